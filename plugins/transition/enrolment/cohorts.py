"""Cohorts through which a platform enrols (enrol_cohort): which they are, who belongs to them, who leaves them.

``cohorts: element``: a cohort a space, of the space's code, with the students whom year N registers there.
``cohorts: etape``: a cohort an étape, linked to the spaces of the étape's elements; its students are all those who have
an active registration through the étape, so that whoever is in a space's étapes is registered there.
"""

import time
from collections.abc import Collection, Iterator

import sqlalchemy as sa

from transition.apogee.codes import compare_key
from transition.apogee.tables import element, element_etape, inscription
from transition.campaign import Campaign
from transition.enrolment.tables import arrival, cohort_space, cohort_student, own_cohort, route, student_account
from transition.keys import frozen_keys
from transition.missing import created_spaces
from transition.rules.compile import COURSE, Scope, Trace
from transition.state import tables

MEMBERS = "cohort_members"
_ACTIVE = "active"  # the one value of inscription.statut that enrols
_SYSTEM = 10  # CONTEXT_SYSTEM


def by_etape(campaign: Campaign) -> bool:
    """Whether the platform enrols by the cohorts of the étapes."""
    return campaign.platform.enrolment == "cohort" and campaign.platform.cohorts == "etape"


def record_cohorts(connection: sa.Connection, campaign: Campaign, lot: str) -> None:
    """Fill ``own_cohort`` and ``cohort_space`` anew for the run, and ``cohort_student`` if it is by étape.

    Needs ``route`` and ``student_account``. A cohort of Moodle is found by its idnumber: an étape's is that of its
    version (``SL3INF_140``) if there is one, else of the étape (``SL3INF``). A cohort of an older version, still linked
    to a space in scope, is the campaign's as well: it loses its members.
    """
    for table in (own_cohort, cohort_space, cohort_student):
        connection.execute(sa.delete(table).where(table.c.run == campaign.run))
    if campaign.platform.enrolment != "cohort":
        return
    known = _known_cohorts(connection, campaign)
    links = set(_of_etapes(connection, campaign, lot, known) if by_etape(campaign) else _of_codes(connection, campaign))
    spaces = [{"run": campaign.run, "courseid": courseid, "idnumber": idnumber} for courseid, idnumber in links]
    place: dict[str, int] = {}
    for courseid, idnumber in sorted(links):
        place.setdefault(idnumber, courseid)
    if by_etape(campaign):
        for courseid, idnumber in sorted(_older_versions(connection, campaign, lot, set(map(compare_key, place)))):
            place.setdefault(idnumber, courseid)
    cohorts = [
        {"run": campaign.run, "idnumber": idnumber, "cohortid": known.get(compare_key(idnumber)), "courseid": courseid}
        for idnumber, courseid in place.items()
    ]
    for table, rows in ((own_cohort, cohorts), (cohort_space, spaces)):
        if rows:
            connection.execute(sa.insert(table), rows)
    if by_etape(campaign):
        _record_students(connection, campaign, lot)


def record_registered(connection: sa.Connection, campaign: Campaign) -> None:
    """Fill ``cohort_student`` of a platform that enrols by the spaces' own cohorts; needs ``arrival``."""
    of_space = sa.and_(arrival.c.run == cohort_space.c.run, arrival.c.courseid == cohort_space.c.courseid)
    students = sa.select(cohort_space.c.run, cohort_space.c.idnumber, arrival.c.userid).distinct()
    query = students.select_from(cohort_space.join(arrival, of_space)).where(cohort_space.c.run == campaign.run)
    connection.execute(sa.insert(cohort_student).from_select(["run", "idnumber", "userid"], query))


def members_of_cohorts(campaign: Campaign) -> sa.Select[int, int, int, int, int]:
    """``arrival`` of a platform by étape: run, courseid, userid, timestart, timeend (enrol_cohort knows no dates)."""
    of_space = sa.and_(cohort_student.c.run == cohort_space.c.run, cohort_student.c.idnumber == cohort_space.c.idnumber)
    return (
        sa.select(cohort_space.c.run, cohort_space.c.courseid, cohort_student.c.userid, sa.literal(0), sa.literal(0))
        .select_from(cohort_space.join(cohort_student, of_space))
        .where(cohort_space.c.run == campaign.run)
        .distinct()
    )


def create_cohorts(connection: sa.Connection, campaign: Campaign, courses: Collection[int]) -> None:
    """Create the missing cohorts of some spaces, in the system context (``cohort_add_cohort``)."""
    cohort, context, moment = campaign.moodle["cohort"], campaign.moodle["context"], int(time.time())
    of_spaces = sa.and_(cohort_space.c.run == own_cohort.c.run, cohort_space.c.idnumber == own_cohort.c.idnumber)
    missing = (
        sa.select(own_cohort.c.idnumber)
        .select_from(own_cohort.join(cohort_space, of_spaces))
        .where(own_cohort.c.run == campaign.run, own_cohort.c.cohortid.is_(None), cohort_space.c.courseid.in_(courses))
        .distinct()
        .order_by(own_cohort.c.idnumber)
    )
    for idnumber in connection.execute(missing).scalars().all():
        values = {
            "contextid": sa.select(context.c.id).where(context.c.contextlevel == _SYSTEM).scalar_subquery(),
            "name": idnumber, "idnumber": idnumber, "description": "", "descriptionformat": 1, "visible": 1,
            "component": "", "timecreated": moment, "timemodified": moment,
        }  # fmt: skip
        cohortid = connection.execute(sa.insert(cohort).values(values)).lastrowid
        created = sa.and_(own_cohort.c.run == campaign.run, own_cohort.c.idnumber == idnumber)
        connection.execute(sa.update(own_cohort).where(created).values(cohortid=cohortid))


def fill_cohorts(connection: sa.Connection, campaign: Campaign, courses: Collection[int]) -> None:
    """Add the missing students to the cohorts of some spaces, as ``cohort_add_member`` does."""
    member = campaign.moodle[MEMBERS]
    present = member.alias("present_member")
    query = (
        cohort_space.join(own_cohort, _same_cohort(own_cohort))
        .join(cohort_student, _same_cohort(cohort_student))
        .outerjoin(
            present, sa.and_(present.c.cohortid == own_cohort.c.cohortid, present.c.userid == cohort_student.c.userid)
        )
    )
    values = {
        "cohortid": own_cohort.c.cohortid, "userid": cohort_student.c.userid, "timeadded": sa.literal(int(time.time()))
    }  # fmt: skip
    rows = sa.select(*values.values()).select_from(query).distinct().prefix_with("STRAIGHT_JOIN")
    here = sa.and_(cohort_space.c.run == campaign.run, cohort_space.c.courseid.in_(courses), present.c.id.is_(None))
    rows = rows.where(here).order_by(own_cohort.c.cohortid, cohort_student.c.userid)
    connection.execute(sa.insert(member).from_select(list(values), rows))


def cohort_traces(campaign: Campaign, scope: Scope, rule: str) -> Iterator[Trace]:
    """The members of the campaign's cohorts whom year N does not put there: else ``enrol_cohort_sync`` enrols them.

    Whoever the cohort enrols in a space out of scope, or in one where they teach, stays: ``enrol_cohort_sync`` would
    unenrol them there. A cohort belongs to the one space that ``own_cohort`` names. For a backup, every member of it,
    and of the cohorts that bear the code of their space: those are known before anything is recorded.
    """
    member = campaign.moodle[MEMBERS].alias("cohort_members")
    decision, people = tables.decision, tables.standing
    rows = sa.select(member.c.id, own_cohort.c.courseid).prefix_with("STRAIGHT_JOIN")
    of_cohort = own_cohort.join(member, member.c.cohortid == own_cohort.c.cohortid)
    if scope.everything:
        yield Trace(rule, MEMBERS, rows.select_from(of_cohort).where(own_cohort.c.run == scope.run))
        yield Trace(rule, MEMBERS, _of_same_code(campaign, scope, member))
        return
    belongs = sa.exists().where(
        cohort_student.c.run == scope.run, cohort_student.c.idnumber == own_cohort.c.idnumber,
        cohort_student.c.userid == member.c.userid,
    )  # fmt: skip
    teaches = sa.exists().where(
        people.c.run == scope.run, people.c.courseid == own_cohort.c.courseid, people.c.userid == member.c.userid,
        people.c.standing == "teacher",
    )  # fmt: skip
    spaces = own_cohort.join(decision, decision.c.courseid == own_cohort.c.courseid)
    yield Trace(
        rule,
        MEMBERS,
        rows.select_from(spaces.join(member, member.c.cohortid == own_cohort.c.cohortid)).where(
            own_cohort.c.run == scope.run, decision.c.run == scope.run, decision.c.in_scope == sa.true(),
            ~belongs, ~teaches, ~needed_elsewhere(campaign, member),
        ),
    )  # fmt: skip


def keep_members(connection: sa.Connection, campaign: Campaign, aside: Collection[int]) -> None:
    """Delete the frozen keys of the members whom their cohort enrols in a space that is about to leave the scope.

    Moodle would unenrol them there, where they keep everything and may have no backup.
    """
    keys, member = frozen_keys(campaign, MEMBERS), campaign.moodle[MEMBERS].alias("cohort_members")
    stay = sa.select(member.c.id).where(needed_elsewhere(campaign, member, aside))
    connection.execute(sa.delete(keys).where(keys.c.run == campaign.run, keys.c.id.in_(stay)))


def needed_elsewhere(campaign: Campaign, member: sa.FromClause, aside: Collection[int] = ()) -> sa.ColumnElement[bool]:
    """Whether the cohort enrols its member in a space that the run does not reset, or where they teach.

    :param aside: courses that are about to leave the run's scope.
    """
    joined, ue, enrol, stays = _staying_enrolments(campaign, aside)
    mine = sa.and_(ue.c.userid == member.c.userid, enrol.c.customint1 == member.c.cohortid)
    return sa.exists().select_from(joined).where(mine, stays).correlate(member)


def cohorts_to_keep(campaign: Campaign) -> sa.Select[int]:
    """Ids of the cohorts with such a member: whoever empties them unenrols that person there."""
    joined, _, enrol, stays = _staying_enrolments(campaign, ())
    named = enrol.c.customint1.is_not(None)  # a NULL would hide every cohort from NOT IN
    return sa.select(enrol.c.customint1).select_from(joined).where(stays, named).distinct()


def _staying_enrolments(
    campaign: Campaign, aside: Collection[int]
) -> tuple[sa.Join, sa.FromClause, sa.FromClause, sa.ColumnElement[bool]]:
    """FROM clause of the enrolments by cohorts; ``user_enrolments`` and ``enrol`` in it; when one has to stay."""
    decision, people = tables.decision.alias("other_decision"), tables.standing.alias("other_people")
    ue, enrol = campaign.moodle["user_enrolments"].alias("other_ue"), campaign.moodle["enrol"].alias("other_enrol")
    reset = sa.and_(
        decision.c.run == campaign.run, decision.c.courseid == enrol.c.courseid, decision.c.in_scope == sa.true()
    )
    if aside:
        reset = sa.and_(reset, decision.c.courseid.not_in(list(aside)))
    teaches = sa.and_(
        people.c.run == campaign.run, people.c.courseid == enrol.c.courseid, people.c.userid == ue.c.userid,
        people.c.standing == "teacher",
    )  # fmt: skip
    joined = ue.join(enrol, enrol.c.id == ue.c.enrolid).outerjoin(decision, reset).outerjoin(people, teaches)
    stays = sa.or_(decision.c.courseid.is_(None), people.c.userid.is_not(None))
    return joined, ue, enrol, sa.and_(enrol.c.enrol == "cohort", stays)


def _of_same_code(campaign: Campaign, scope: Scope, member: sa.FromClause) -> sa.Select[int, int]:
    space, enrol = tables.space_context, campaign.moodle["enrol"].alias("enrol")
    cohort, course = (campaign.moodle[name].alias(f"own_{name}") for name in ("cohort", "course"))
    held = sa.select(cohort.c.idnumber).where(cohort.c.id == enrol.c.customint1).correlate(enrol).scalar_subquery()
    code = sa.select(course.c.idnumber).where(course.c.id == space.c.courseid).correlate(space).scalar_subquery()
    linked = space.join(enrol, sa.and_(enrol.c.courseid == space.c.courseid, enrol.c.enrol == "cohort"))
    return (
        sa.select(member.c.id, space.c.courseid)
        .select_from(linked.join(member, member.c.cohortid == enrol.c.customint1))
        .where(space.c.run == scope.run, space.c.contextlevel == COURSE, code != "", held == code)
        .prefix_with("STRAIGHT_JOIN")
    )


def _same_cohort(table: sa.Table) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.run == cohort_space.c.run, table.c.idnumber == cohort_space.c.idnumber)


def _known_cohorts(connection: sa.Connection, campaign: Campaign) -> dict[str, int]:
    """Cohorts of Moodle by the compare key of their idnumber, the oldest of several."""
    cohort, known = campaign.moodle["cohort"], dict[str, int]()
    query = sa.select(cohort.c.id, cohort.c.idnumber).where(cohort.c.idnumber != "").order_by(cohort.c.id)
    for cohortid, idnumber in connection.execute(query):
        known.setdefault(compare_key(idnumber), cohortid)
    return known


def _of_codes(connection: sa.Connection, campaign: Campaign) -> Iterator[tuple[int, str]]:
    """The spaces in scope, archived ones too, and those that the run created, with their code."""
    decision = tables.decision.c
    query = sa.select(decision.courseid, decision.code).where(
        decision.run == campaign.run, decision.in_scope == sa.true(), decision.code != ""
    )
    yield from ((courseid, code) for courseid, code in connection.execute(query))
    yield from ((courseid, code) for courseid, _, code in connection.execute(created_spaces(campaign)))


def _of_etapes(
    connection: sa.Connection, campaign: Campaign, lot: str, known: Collection[str]
) -> Iterator[tuple[int, str]]:
    """The spaces with the cohorts of their étapes: those of the model, and those through which somebody registered."""
    modelled = route.join(element, sa.and_(element.c.lot_id == lot, element.c.cle == route.c.cle)).join(
        element_etape, sa.and_(element_etape.c.lot_id == lot, element_etape.c.code == element.c.code)
    )
    registered = route.join(
        inscription,
        sa.and_(inscription.c.lot_id == lot, inscription.c.cle == route.c.cle, inscription.c.statut == _ACTIVE),
    )
    for joined, etape in ((modelled, element_etape.c), (registered, inscription.c)):
        query = sa.select(route.c.courseid, etape.etape, etape.version).select_from(joined).distinct()
        for courseid, code, version in connection.execute(query.where(route.c.run == campaign.run)):
            of_version = f"{code}_{version}"
            yield courseid, of_version if compare_key(of_version) in known else code


def _older_versions(
    connection: sa.Connection, campaign: Campaign, lot: str, own: Collection[str]
) -> Iterator[tuple[int, str]]:
    """Spaces in scope linked to another cohort of an étape of the lot: of a version that is no longer taught there.

    A version is a number, or what some lot says is one: a teacher's own cohort may begin with the étape's code as well.
    """
    decision, enrol, cohort = tables.decision, campaign.moodle["enrol"], campaign.moodle["cohort"]
    etapes = {
        compare_key(code): code
        for table in (element_etape, inscription)
        for code in connection.execute(sa.select(table.c.etape).where(table.c.lot_id == lot).distinct()).scalars()
    }
    known = sa.select(element_etape.c.etape, element_etape.c.version).distinct()
    versions = {(compare_key(code), compare_key(version)) for code, version in connection.execute(known)}
    linked = decision.join(enrol, sa.and_(enrol.c.courseid == decision.c.courseid, enrol.c.enrol == "cohort")).join(
        cohort, cohort.c.id == enrol.c.customint1
    )
    query = sa.select(decision.c.courseid, cohort.c.idnumber).select_from(linked)
    here = sa.and_(decision.c.run == campaign.run, decision.c.in_scope == sa.true(), cohort.c.idnumber != "")
    for courseid, idnumber in connection.execute(query.where(here)):
        key = compare_key(idnumber)
        code, _, version = key.rpartition("_")
        if key not in own and key in etapes:
            yield courseid, etapes[key]
        elif key not in own and code in etapes and (version.isdecimal() or (code, version) in versions):
            yield courseid, f"{etapes[code]}_{version}"


def _record_students(connection: sa.Connection, campaign: Campaign, lot: str) -> None:
    """Whoever has an active registration through the étape: into the cohort of its version, else into the étape's."""
    of_version, of_etape = own_cohort.alias("of_version"), own_cohort.alias("of_etape")
    exact = sa.and_(
        of_version.c.run == campaign.run,
        of_version.c.idnumber == sa.func.concat(inscription.c.etape, "_", inscription.c.version),
    )
    whole = sa.and_(of_etape.c.run == campaign.run, of_etape.c.idnumber == inscription.c.etape)
    account = sa.and_(
        student_account.c.run == campaign.run, student_account.c.code_etudiant == inscription.c.code_etudiant
    )
    idnumber = sa.func.coalesce(of_version.c.idnumber, of_etape.c.idnumber)
    query = (
        sa.select(sa.literal(campaign.run), idnumber, student_account.c.userid)
        .select_from(inscription.join(student_account, account).outerjoin(of_version, exact).outerjoin(of_etape, whole))
        .where(inscription.c.lot_id == lot, inscription.c.statut == _ACTIVE, idnumber.is_not(None))
        .distinct()
        .prefix_with("STRAIGHT_JOIN")
    )
    connection.execute(sa.insert(cohort_student).from_select(["run", "idnumber", "userid"], query))
