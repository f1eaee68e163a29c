"""Teachers of an archived space, enrolled by hand before what enrols them lets them go."""

import time
from collections.abc import Collection

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.enrolment.instances import add_manual_instance, modifier
from transition.enrolment.standing import teaches
from transition.rules.compile import COURSE


def keep_teachers(connection: sa.Connection, campaign: Campaign, courseid: int, links: Collection[int]) -> int:
    """Enrol by hand whoever teaches in a space through enrol_database, or through one of its instances ``links``, which
    are about to be disabled; returns the number of enrolments added.

    Once the space is out of the feed, enrol_database unenrols everybody it enrolled, teachers too. The status and the
    window of the enrolment, and every teaching role that the plugin gave in the course, are written again as
    enrol_manual writes them (no component, item 0). What is there already stays as it is, but for a suspension that the
    other enrolment made harmless until now.
    """
    fed = _fed_teachers(campaign, courseid, links)
    if connection.execute(fed.limit(1)).first() is None:
        return 0
    instance = add_manual_instance(connection, campaign, courseid)
    added = _add_enrolments(connection, campaign, fed.subquery(), instance)
    _reactivate(connection, campaign, fed.subquery(), instance)
    _add_roles(connection, campaign, courseid, links)
    return added


def _fed_teachers(campaign: Campaign, courseid: int, links: Collection[int]) -> sa.Select[int, int, int, int]:
    """Users who hold a teaching role in the course and such an enrolment: userid, status, window."""
    enrol, ue, ra, role = (campaign.moodle[name] for name in ("enrol", "user_enrolments", "role_assignments", "role"))
    teaching = sa.exists().where(
        ra.c.contextid == _context(campaign, courseid), ra.c.userid == ue.c.userid,
        role.c.id == ra.c.roleid, teaches(role),
    )  # fmt: skip
    return (
        sa.select(
            ue.c.userid,
            sa.func.min(ue.c.status).label("status"),
            sa.func.min(ue.c.timestart).label("timestart"),
            sa.case((sa.func.min(ue.c.timeend) == 0, 0), else_=sa.func.max(ue.c.timeend)).label("timeend"),
        )
        .select_from(enrol.join(ue, ue.c.enrolid == enrol.c.id))
        .where(enrol.c.courseid == courseid, sa.or_(enrol.c.enrol == "database", enrol.c.id.in_(links)), teaching)
        .group_by(ue.c.userid)
    )


def _context(campaign: Campaign, courseid: int) -> sa.ScalarSelect[int]:
    context = campaign.moodle["context"]
    query = sa.select(context.c.id).where(context.c.contextlevel == COURSE, context.c.instanceid == courseid)
    return query.scalar_subquery()


def _add_enrolments(connection: sa.Connection, campaign: Campaign, fed: sa.Subquery, instance: int) -> int:
    ue, moment = campaign.moodle["user_enrolments"], int(time.time())
    present = ue.alias("present")
    values = {
        "status": fed.c.status, "enrolid": sa.literal(instance), "userid": fed.c.userid, "timestart": fed.c.timestart,
        "timeend": fed.c.timeend, "modifierid": sa.literal(modifier(campaign)), "timecreated": sa.literal(moment),
        "timemodified": sa.literal(moment),
    }  # fmt: skip
    missing = (
        sa.select(*values.values())
        .select_from(fed.outerjoin(present, sa.and_(present.c.enrolid == instance, present.c.userid == fed.c.userid)))
        .where(present.c.id.is_(None))
        .order_by(fed.c.userid)
    )
    return connection.execute(sa.insert(ue).from_select(list(values), missing)).rowcount


def _reactivate(connection: sa.Connection, campaign: Campaign, fed: sa.Subquery, instance: int) -> None:
    ue = campaign.moodle["user_enrolments"]
    connection.execute(
        sa.update(ue)
        .values(status=0, modifierid=modifier(campaign), timemodified=int(time.time()))
        .where(ue.c.enrolid == instance, ue.c.userid == fed.c.userid, ue.c.status != 0, fed.c.status == 0)
    )


def _add_roles(connection: sa.Connection, campaign: Campaign, courseid: int, links: Collection[int]) -> None:
    ra, role = campaign.moodle["role_assignments"], campaign.moodle["role"]
    held = ra.alias("held")
    by_hand = sa.exists().where(
        held.c.contextid == ra.c.contextid, held.c.userid == ra.c.userid, held.c.roleid == ra.c.roleid,
        held.c.component == "", held.c.itemid == 0,
    )  # fmt: skip
    values = {
        "roleid": ra.c.roleid, "contextid": ra.c.contextid, "userid": ra.c.userid,
        "timemodified": sa.literal(int(time.time())), "modifierid": sa.literal(modifier(campaign)),
        "component": sa.literal(""), "itemid": sa.literal(0), "sortorder": sa.literal(0),
    }  # fmt: skip
    rows = (
        sa.select(*values.values())
        .select_from(ra.join(role, role.c.id == ra.c.roleid))
        .where(
            ra.c.contextid == _context(campaign, courseid),
            teaches(role),
            ~by_hand,
            sa.or_(
                ra.c.component == "enrol_database", sa.and_(ra.c.component == "enrol_cohort", ra.c.itemid.in_(links))
            ),
        )
        .distinct()
        .order_by(ra.c.userid, ra.c.roleid)
    )
    connection.execute(sa.insert(ra).from_select(list(values), rows))
