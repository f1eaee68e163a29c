"""Who is who in the spaces of a run: who teaches, who leaves, who stays, who arrives."""

from datetime import date, datetime, timedelta

import sqlalchemy as sa

from transition import journal
from transition.apogee.codes import compare_key
from transition.apogee.tables import element, etudiant, inscription, run_lot
from transition.campaign import Campaign
from transition.enrolment.cohorts import (
    by_etape,
    cohort_traces,
    members_of_cohorts,
    record_cohorts,
    record_registered,
)
from transition.enrolment.groups import record_groups
from transition.enrolment.instances import own_instance, own_places
from transition.enrolment.standing import record_standing
from transition.enrolment.tables import arrival, route, student_account, unknown_student
from transition.errors import TransitionError
from transition.french import counted
from transition.missing import created_spaces
from transition.rules.compile import COURSE, Scope, Trace
from transition.state import tables

RULE = "enrolment"
ACTIVE = "active"  # the one value of inscription.statut that enrols


def record_people(campaign: Campaign) -> None:
    """Fill anew, for the run, every table of ``enrolment/tables.py`` that is a run's, and ``standing``.

    Needs the run's decisions, its contexts and the lot of year N. A registration counts when its ``statut`` is
    ``active``; it enrols in the space of its element and in that of the element's porteur, also if this run created
    it; on a platform that enrols by étape, in every space of the étape. Archived spaces get nobody.
    Raises :class:`TransitionError` if the run has no lot of year N.
    """
    with campaign.engine.begin() as connection:
        lot = _lot(connection, campaign)
        for table in (route, student_account, arrival, unknown_student, tables.standing):
            connection.execute(sa.delete(table).where(table.c.run == campaign.run))
        _record_routes(connection, campaign, lot)
        _record_accounts(connection, campaign, lot)
        record_cohorts(connection, campaign, lot)
        _record_arrivals(connection, campaign, lot)
        record_groups(connection, campaign)
        unknown = _record_unknown(connection, campaign, lot)
        record_standing(connection, campaign)
        who = counted(unknown, "étudiant d'Apogée n'a", "étudiants d'Apogée n'ont")
        detail = f"{who} pas de compte dans Moodle" if unknown else ""
        journal.record(connection, campaign, "people", "recorded", rule=RULE, detail=detail)


def planned_arrivals(campaign: Campaign) -> dict[int, int]:
    """Number of enrolments to create, by course: of the arrivals, those not yet enrolled by the platform's method."""
    ue = campaign.moodle["user_enrolments"].alias("present")
    with campaign.engine.connect() as connection:
        query = sa.select(arrival.c.courseid).distinct().where(arrival.c.run == campaign.run)
        joined, instances = own_places(campaign, list(connection.execute(query).scalars()))
        present = joined.join(ue, sa.and_(ue.c.enrolid == instances.c.enrolid, ue.c.userid == arrival.c.userid))
        already = (
            sa.select(arrival.c.courseid, arrival.c.userid).select_from(present).where(arrival.c.run == campaign.run)
        )
        there = already.distinct().subquery()
        new = (
            sa.select(arrival.c.courseid, sa.func.count())
            .outerjoin(there, sa.and_(there.c.courseid == arrival.c.courseid, there.c.userid == arrival.c.userid))
            .where(arrival.c.run == campaign.run, there.c.userid.is_(None))
        )
        return dict(connection.execute(new.group_by(arrival.c.courseid)).all())


def is_ours(campaign: Campaign, courseid: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Whether a space is still in the run's scope, or one that the run created."""
    decision = tables.decision.c
    in_scope = sa.select(decision.courseid).where(decision.run == campaign.run, decision.in_scope == sa.true())
    created = sa.select(created_spaces(campaign).subquery().c.courseid)
    return sa.or_(courseid.in_(in_scope), courseid.in_(created))


def registered_students(campaign: Campaign) -> dict[int, tuple[int, int]]:
    """By course id, how many students year N registers in the space, and how many of them have an account."""
    with campaign.engine.connect() as connection:
        joined = _registrations(campaign, _lot(connection, campaign)).outerjoin(
            student_account,
            sa.and_(
                student_account.c.run == route.c.run, student_account.c.code_etudiant == inscription.c.code_etudiant
            ),
        )
        query = (
            sa.select(
                route.c.courseid, sa.func.count(inscription.c.code_etudiant.distinct()),
                sa.func.count(student_account.c.code_etudiant.distinct()),
            )
            .select_from(joined).group_by(route.c.courseid).prefix_with("STRAIGHT_JOIN")
        )  # fmt: skip
        return {courseid: (registered, known) for courseid, registered, known in connection.execute(query)}


def enrolment_traces(campaign: Campaign, scope: Scope) -> list[Trace]:
    """What enrolment removes beyond the rows of leaving people, which ``include/rules/enrolment.yaml`` names.

    Of people who stay: every enrolment and role that the platform's own method did not write (manual, self, other
    cohorts, local roles in activities): they come back by that method alone. On a platform that enrols by cohort: the
    members of its cohorts who do not belong there any more.
    """
    traces = [] if scope.everything else [_other_enrolments(campaign, scope), _other_roles(campaign, scope)]
    if campaign.platform.enrolment == "cohort":
        traces += cohort_traces(campaign, scope, RULE)
    return traces


def _lot(connection: sa.Connection, campaign: Campaign) -> str:
    query = sa.select(run_lot.c.lot_id).where(run_lot.c.run == campaign.run, run_lot.c.annee == campaign.year)
    lot = connection.execute(query).scalar()
    if lot is None:
        raise TransitionError(
            f"L'exécution {campaign.run_id} n'a pas de lot Apogée de l'année {campaign.year} : relancez la tâche"
            " apogee_sync."
        )
    return str(lot)


def _record_routes(connection: sa.Connection, campaign: Campaign, lot: str) -> None:
    decision = tables.decision.c
    spaces = sa.select(decision.courseid, decision.code).where(
        decision.run == campaign.run, decision.in_scope == sa.true(), decision.decision == "reset", decision.code != ""
    )
    rows = [
        {"run": campaign.run, "courseid": courseid, "cle": compare_key(code)}
        for courseid, code in connection.execute(spaces)
    ]
    new = connection.execute(created_spaces(campaign))
    rows += [{"run": campaign.run, "courseid": courseid, "cle": key} for courseid, key, _ in new]
    if rows:
        connection.execute(sa.insert(route), rows)
    hosted = (
        sa.select(route.c.run, route.c.courseid, element.c.cle)
        .join(element, sa.and_(element.c.lot_id == lot, element.c.cle_porteur == route.c.cle))
        .where(route.c.run == campaign.run)
    )
    connection.execute(sa.insert(route).prefix_with("IGNORE").from_select(["run", "courseid", "cle"], hosted))


def _record_accounts(connection: sa.Connection, campaign: Campaign, lot: str) -> None:
    """By username (``etudiant.identifiant``), else by idnumber when one account only carries it: no guess between two.

    The first comparison, in the column's own collation, finds the row by its index; that collation may ignore accents,
    so the second one compares letter for letter but for case.
    """
    user = campaign.moodle["user"].alias("account")
    alive = sa.and_(
        user.c.mnethostid == int(campaign.moodle.config.get("mnet_localhost_id", 0)), user.c.deleted == 0
    )  # fmt: skip

    def same(column: str, value: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        wanted, lower = sa.func.lower(value), sa.func.lower(user.c[column])
        return sa.and_(
            user.c[column] == sa.collate(wanted, _collation(connection, campaign, column)),
            sa.collate(lower, "utf8mb4_bin") == sa.collate(wanted, "utf8mb4_bin"),
        )

    by_username = (
        sa.select(sa.literal(campaign.run), etudiant.c.code_etudiant, user.c.id)
        .select_from(etudiant.join(user, sa.and_(alive, same("username", etudiant.c.identifiant))))
        .where(etudiant.c.lot_id == lot, etudiant.c.identifiant != "")
        .prefix_with("STRAIGHT_JOIN")
    )
    done = sa.exists().where(
        student_account.c.run == campaign.run, student_account.c.code_etudiant == etudiant.c.code_etudiant
    )
    by_idnumber = (
        sa.select(sa.literal(campaign.run), etudiant.c.code_etudiant, sa.func.min(user.c.id))
        .select_from(etudiant.join(user, sa.and_(alive, same("idnumber", etudiant.c.code_etudiant))))
        .where(etudiant.c.lot_id == lot, ~done)
        .group_by(etudiant.c.code_etudiant)
        .having(sa.func.count() == 1)
        .prefix_with("STRAIGHT_JOIN")
    )
    for query in (by_username, by_idnumber):
        connection.execute(sa.insert(student_account).from_select(["run", "code_etudiant", "userid"], query))


def _collation(connection: sa.Connection, campaign: Campaign, column: str) -> str:
    """Collation of a column of Moodle's ``user``: a comparison in another one could not use its index."""
    query = sa.text(
        "SELECT collation_name FROM information_schema.columns"
        " WHERE table_schema = :schema AND table_name = :name AND column_name = :column"
    )
    where = {"schema": campaign.moodle.schema, "name": campaign.moodle["user"].name, "column": column}
    return str(connection.execute(query, where).scalar_one())


def _registrations(campaign: Campaign, lot: str) -> sa.Join:
    """``route`` (the small side) joined to the active registrations of its elements."""
    return route.join(
        inscription,
        sa.and_(
            route.c.run == campaign.run, inscription.c.lot_id == lot,
            inscription.c.cle == route.c.cle, inscription.c.statut == ACTIVE,
        ),
    )  # fmt: skip


def _record_arrivals(connection: sa.Connection, campaign: Campaign, lot: str) -> None:
    """Several registrations of a student that lead to one space open the widest window of them all."""
    columns = ["run", "courseid", "userid", "timestart", "timeend"]
    if by_etape(campaign):
        connection.execute(sa.insert(arrival).from_select(columns, members_of_cohorts(campaign)))
        return
    dates = sa.select(inscription.c.depuis, inscription.c.jusqu_a).where(inscription.c.lot_id == lot).distinct()
    starts, ends = {}, {}
    for start, end in connection.execute(dates):
        if start:
            starts[start] = _midnight(campaign, start)
        if end:
            ends[end] = _midnight(campaign, end + timedelta(days=1))
    timestart, timeend = _unix(inscription.c.depuis, starts), _unix(inscription.c.jusqu_a, ends)
    query = (
        sa.select(
            sa.literal(campaign.run), route.c.courseid, student_account.c.userid, sa.func.min(timestart),
            sa.case((sa.func.min(timeend) == 0, 0), else_=sa.func.max(timeend)),
        )
        .select_from(
            _registrations(campaign, lot).join(
                student_account,
                sa.and_(
                    student_account.c.run == campaign.run,
                    student_account.c.code_etudiant == inscription.c.code_etudiant,
                ),
            )
        )
        .group_by(route.c.courseid, student_account.c.userid)
        .prefix_with("STRAIGHT_JOIN")
    )  # fmt: skip
    connection.execute(sa.insert(arrival).from_select(columns, query))
    record_registered(connection, campaign)


def _unix(column: sa.ColumnElement[date], moments: dict[date, int]) -> sa.ColumnElement[int]:
    """The Unix time of each date; 0 (no limit) for none. In SQL alone, a zone needs tables that a server may lack."""
    return sa.case(moments, value=column, else_=0) if moments else sa.literal(0)


def _midnight(campaign: Campaign, day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=campaign.platform.zone).timestamp())


def _record_unknown(connection: sa.Connection, campaign: Campaign, lot: str) -> int:
    known = sa.exists().where(
        student_account.c.run == campaign.run, student_account.c.code_etudiant == inscription.c.code_etudiant
    )
    query = (
        sa.select(route.c.run, inscription.c.code_etudiant)
        .select_from(_registrations(campaign, lot))
        .where(~known)
        .distinct()
        .prefix_with("STRAIGHT_JOIN")
    )
    return connection.execute(
        sa.insert(unknown_student).from_select(["run", "code_etudiant"], query)
    ).rowcount  # fmt: skip


def _staying(
    campaign: Campaign, courseid: sa.ColumnElement[int], userid: sa.ColumnElement[int]
) -> sa.ColumnElement[bool]:
    people = tables.standing
    return sa.exists().where(
        people.c.run == campaign.run, people.c.courseid == courseid, people.c.userid == userid,
        people.c.standing == "staying",
    )  # fmt: skip


def _in_scope(scope: Scope) -> sa.ColumnElement[bool]:
    return sa.and_(tables.decision.c.run == scope.run, tables.decision.c.in_scope == sa.true())


def _other_enrolments(campaign: Campaign, scope: Scope) -> Trace:
    decision = tables.decision
    enrol = campaign.moodle["enrol"].alias("enrol")
    ue = campaign.moodle["user_enrolments"].alias("user_enrolments")
    rows = (
        sa.select(ue.c.id, decision.c.courseid)
        .select_from(decision.join(enrol, enrol.c.courseid == decision.c.courseid).join(ue, ue.c.enrolid == enrol.c.id))
        .where(_in_scope(scope), _staying(campaign, enrol.c.courseid, ue.c.userid))
        .where(~own_instance(campaign, enrol, ue.c.userid))
        .prefix_with("STRAIGHT_JOIN")
    )
    return Trace(RULE, "user_enrolments", rows)


def _other_roles(campaign: Campaign, scope: Scope) -> Trace:
    decision, space = tables.decision, tables.space_context
    enrol = campaign.moodle["enrol"].alias("enrol")
    ra = campaign.moodle["role_assignments"].alias("role_assignments")
    own = sa.exists().where(enrol.c.id == ra.c.itemid, own_instance(campaign, enrol, ra.c.userid)).correlate(ra)
    kept = sa.and_(
        space.c.contextlevel == COURSE, ra.c.component == f"enrol_{campaign.platform.enrolment}", own
    )  # fmt: skip
    spaces = decision.join(space, sa.and_(space.c.run == decision.c.run, space.c.courseid == decision.c.courseid))
    rows = (
        sa.select(ra.c.id, decision.c.courseid)
        .select_from(spaces.join(ra, ra.c.contextid == space.c.contextid))
        .where(_in_scope(scope), ~kept, _staying(campaign, space.c.courseid, ra.c.userid))
        .prefix_with("STRAIGHT_JOIN")
    )
    return Trace(RULE, "role_assignments", rows)
