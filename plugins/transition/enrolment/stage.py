"""Stage enrolment: last year's students out, the students of year N in."""

import time
from collections.abc import Iterable

import sqlalchemy as sa

from transition import journal
from transition.campaign import Campaign
from transition.enrolment.cohorts import create_cohorts, fill_cohorts
from transition.enrolment.forums import subscribe
from transition.enrolment.groups import fill_groups
from transition.enrolment.instances import create_own_instances, modifier, own_places, student_role
from transition.enrolment.nightly import synchronised
from transition.enrolment.people import RULE, is_ours
from transition.enrolment.tables import arrival
from transition.french import counted
from transition.move import move_rule
from transition.rules.compile import COURSE
from transition.state import tables

BATCH = 20_000  # enrolments a transaction: what a replica replays, and a kill repeats, in about a second


def enrolment(campaign: Campaign) -> None:
    """Move the frozen rows of those who leave, then enrol whoever year N registers.

    Written with the instance, status, role, component and item that enrol_database (or enrol_cohort, by platform)
    writes, so that its next synchronisation changes nothing. Suspended repeaters are active again. Set-based, one
    transaction a batch of spaces; run again after a kill, it writes only what is missing, and twice changes nothing.
    Each space is journalled (``enrolled``). Groups are filled where Apogée gives them, and the students subscribed to
    the forums that Moodle would subscribe them to.
    """
    campaign.check_frozen()
    with campaign.lock("enrolment"), journal.stage(campaign, "enrolment", rule=RULE) as closing:
        closing["rows_moved"] = move_rule(campaign, RULE)
        added = grouped = subscribed = 0
        for courses in _batches(_sizes(campaign), BATCH):
            with campaign.engine.begin() as connection:
                enrolments, memberships = _bring_in(connection, campaign, courses)
                added, grouped = added + enrolments, grouped + memberships
                subscribed += subscribe(connection, campaign, courses)
        closing["detail"] = counted(added, "inscription ajoutée", "inscriptions ajoutées")
        if grouped:
            closing["detail"] += f", {counted(grouped, 'place', 'places')} dans les groupes d'Apogée"
        if subscribed:
            closing["detail"] += f", {counted(subscribed, 'abonnement', 'abonnements')} aux forums"
        closing["detail"] += synchronised(campaign)


def _sizes(campaign: Campaign) -> list[tuple[int, int]]:
    """Arrivals of each space that is still the run's."""
    query = (
        sa.select(arrival.c.courseid, sa.func.count())
        .where(arrival.c.run == campaign.run, is_ours(campaign, arrival.c.courseid))
        .group_by(arrival.c.courseid)
        .order_by(arrival.c.courseid)
    )
    with campaign.engine.connect() as connection:
        return list(connection.execute(query).all())


def _batches(sizes: Iterable[tuple[int, int]], limit: int) -> list[list[int]]:
    """Group spaces, in order, so that the sizes of a group add up to at most ``limit``; a larger space goes alone."""
    groups: list[list[int]] = []
    room = 0
    for courseid, size in sizes:
        if size > room:
            groups.append([])
            room = limit
        groups[-1].append(courseid)
        room -= size
    return groups


def _bring_in(connection: sa.Connection, campaign: Campaign, courses: list[int]) -> tuple[int, int]:
    """Enrol the arrivals of some spaces and fill their groups; returns the enrolments and memberships added."""
    create_cohorts(connection, campaign, courses)
    create_own_instances(connection, campaign, courses)
    fill_cohorts(connection, campaign, courses)  # first: enrol_cohort takes back whoever is enrolled without belonging
    missing = _missing(campaign, courses).subquery()
    counts: dict[int, int] = dict(
        connection.execute(sa.select(missing.c.courseid, sa.func.count()).group_by(missing.c.courseid)).all()
    )
    _add_enrolments(connection, campaign, courses)
    _reactivate(connection, campaign, courses)
    _add_roles(connection, campaign, courses)
    grouped = fill_groups(connection, campaign, courses)
    for courseid, count in sorted(counts.items()):
        journal.record(connection, campaign, "enrolment", "enrolled", rule=RULE, table_name="user_enrolments",
                       courseid=courseid, rows_after=count)  # fmt: skip
    return sum(counts.values()), grouped


def _arrivals(campaign: Campaign, courses: list[int]) -> tuple[sa.Join, sa.Subquery, sa.ColumnElement[bool]]:
    """FROM clause of the arrivals of some spaces with their instances, the instances in it, condition."""
    joined, instances = own_places(campaign, courses)
    return joined, instances, sa.and_(arrival.c.run == campaign.run, arrival.c.courseid.in_(courses))


def _missing(campaign: Campaign, courses: list[int]) -> sa.Select[tuple[int, int, int, int, int]]:
    """Arrivals without a row in ``user_enrolments``: courseid, enrolid, userid, timestart, timeend."""
    joined, instances, here = _arrivals(campaign, courses)
    ue = campaign.moodle["user_enrolments"].alias("present")
    return (
        sa.select(arrival.c.courseid, instances.c.enrolid, arrival.c.userid, arrival.c.timestart, arrival.c.timeend)
        .select_from(
            joined.outerjoin(ue, sa.and_(ue.c.enrolid == instances.c.enrolid, ue.c.userid == arrival.c.userid))
        )
        .where(here, ue.c.id.is_(None))
    )


def _add_enrolments(connection: sa.Connection, campaign: Campaign, courses: list[int]) -> None:
    """As ``enrol_plugin::enrol_user`` inserts them, status 0 (ENROL_USER_ACTIVE)."""
    missing, moment = _missing(campaign, courses).subquery(), int(time.time())
    values = {
        "status": sa.literal(0), "enrolid": missing.c.enrolid, "userid": missing.c.userid,
        "timestart": missing.c.timestart, "timeend": missing.c.timeend, "modifierid": sa.literal(modifier(campaign)),
        "timecreated": sa.literal(moment), "timemodified": sa.literal(moment),
    }  # fmt: skip
    ue = campaign.moodle["user_enrolments"]
    rows = sa.select(*values.values()).order_by(missing.c.enrolid, missing.c.userid)
    connection.execute(sa.insert(ue).from_select(list(values), rows))


def _reactivate(connection: sa.Connection, campaign: Campaign, courses: list[int]) -> None:
    """Repeaters: active again, in the window of year N, as ``enrol_plugin::update_user_enrol`` does.

    An old start date that year N does not replace stays: it is past, and the row with it unchanged.
    """
    joined, instances, here = _arrivals(campaign, courses)
    columns = (instances.c.enrolid, arrival.c.userid, arrival.c.timestart, arrival.c.timeend)
    due, ue = sa.select(*columns).select_from(joined).where(here).subquery(), campaign.moodle["user_enrolments"]
    other_start = sa.and_(due.c.timestart != 0, ue.c.timestart != due.c.timestart)
    connection.execute(
        sa.update(ue)
        .values(
            status=0,
            timestart=sa.case((due.c.timestart != 0, due.c.timestart), else_=ue.c.timestart),
            timeend=due.c.timeend,
            modifierid=modifier(campaign),
            timemodified=int(time.time()),
        )
        .where(
            ue.c.enrolid == due.c.enrolid, ue.c.userid == due.c.userid,
            sa.or_(ue.c.status != 0, ue.c.timeend != due.c.timeend, other_start),
        )
    )  # fmt: skip


def _add_roles(connection: sa.Connection, campaign: Campaign, courses: list[int]) -> None:
    """As ``role_assign`` inserts them for a plugin that protects its roles: its component, its instance as the item."""
    joined, instances, here = _arrivals(campaign, courses)
    ra, space = campaign.moodle["role_assignments"], tables.space_context
    held = ra.alias("held")
    role, component = student_role(connection, campaign), f"enrol_{campaign.platform.enrolment}"
    query = joined.join(
        space,
        sa.and_(
            space.c.run == arrival.c.run, space.c.courseid == arrival.c.courseid, space.c.contextlevel == COURSE,
        ),
    ).outerjoin(
        held,
        sa.and_(
            held.c.userid == arrival.c.userid, held.c.contextid == space.c.contextid, held.c.roleid == role,
            held.c.component == component, held.c.itemid == instances.c.enrolid,
        ),
    )  # fmt: skip
    values = {
        "roleid": sa.literal(role), "contextid": space.c.contextid, "userid": arrival.c.userid,
        "timemodified": sa.literal(int(time.time())), "modifierid": sa.literal(modifier(campaign)),
        "component": sa.literal(component), "itemid": instances.c.enrolid, "sortorder": sa.literal(0),
    }  # fmt: skip
    rows = sa.select(*values.values()).select_from(query).where(here, held.c.id.is_(None))
    rows = rows.order_by(arrival.c.courseid, arrival.c.userid)
    connection.execute(sa.insert(ra).from_select(list(values), rows))
