"""Forums with automatic subscription, to which Moodle subscribes whoever gets a role in the course.

It does so on an event (``mod_forum_observer::role_assigned``), which enrolment by SQL does not fire; its nightly
synchronisation, with nothing left to do, does not either. Only those who have the capability
``mod/forum:allowforcesubscribe`` in the forum are subscribed. A forum with forced subscription needs no rows.
"""

from collections.abc import Collection

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.enrolment.tables import arrival
from transition.rules.compile import MODULE
from transition.state import tables

SUBSCRIPTIONS = "forum_subscriptions"
_CAPABILITY = "mod/forum:allowforcesubscribe"
_AUTOMATIC = 2  # FORUM_INITIALSUBSCRIBE
_ALLOW, _PROHIBIT = 1, -1000  # CAP_ALLOW, CAP_PROHIBIT


def subscribe(connection: sa.Connection, campaign: Campaign, courses: list[int]) -> int:
    """Subscribe the arrivals of some spaces; returns the number of rows added. Twice changes nothing."""
    if "forum" not in campaign.moodle:
        return 0
    missing = _missing(campaign, courses).subquery()
    # In an order, so that a run started again writes the same rows whatever plan the server takes.
    rows = sa.select(missing.c.forum, missing.c.userid).order_by(missing.c.forum, missing.c.userid)
    added = sa.insert(campaign.moodle[SUBSCRIPTIONS]).from_select(["forum", "userid"], rows)
    return connection.execute(added).rowcount


def subscribed_again(campaign: Campaign, name: str, rows: sa.FromClause) -> sa.ColumnElement[bool] | None:
    """Whether a row of the Moodle table ``name`` is a subscription that the stage would write again; None: no such."""
    if name != SUBSCRIPTIONS or "forum" not in campaign.moodle:
        return None
    joined, forum, due = _due(campaign)
    same = sa.and_(forum.c.id == rows.c.forum, arrival.c.userid == rows.c.userid)
    return sa.select(sa.literal(1)).select_from(joined).where(due, same).correlate(rows).exists()


def unsubscribed(campaign: Campaign) -> sa.Select[int, str, int] | None:
    """For verify: spaces in scope (id and code) with the number of subscriptions that are missing; None: no forums."""
    if "forum" not in campaign.moodle:
        return None
    decision = tables.decision.c
    here = sa.and_(decision.run == campaign.run, decision.in_scope == sa.true())
    missing = _missing(campaign, sa.select(decision.courseid).where(here)).subquery()
    query = sa.select(decision.courseid, decision.code, sa.func.count()).select_from(
        tables.decision.join(missing, missing.c.courseid == decision.courseid)
    )
    return query.where(here).group_by(decision.courseid, decision.code)


def _missing(campaign: Campaign, courses: Collection[int] | sa.Select[int]) -> sa.Select[int, int, int]:
    """``courseid``, ``forum`` and ``userid`` of every subscription of an arrival in some spaces that is not there."""
    joined, forum, due = _due(campaign)
    present = campaign.moodle[SUBSCRIPTIONS].alias("present")
    there = sa.and_(present.c.userid == arrival.c.userid, present.c.forum == forum.c.id)
    return (
        sa.select(arrival.c.courseid, forum.c.id.label("forum"), arrival.c.userid)
        .select_from(joined.outerjoin(present, there))
        .where(forum.c.course.in_(courses), due, present.c.id.is_(None))
        .distinct()
        .prefix_with("STRAIGHT_JOIN")
    )


def _due(campaign: Campaign) -> tuple[sa.Join, sa.FromClause, sa.ColumnElement[bool]]:
    """FROM clause of the forums with the arrivals in their spaces, the forums in it, when Moodle subscribes."""
    moodle = campaign.moodle
    forum, cm, modules, context = (
        moodle[name].alias(f"followed_{name}") for name in ("forum", "course_modules", "modules", "context")
    )
    joined = (
        forum.join(cm, sa.and_(cm.c.instance == forum.c.id, cm.c.course == forum.c.course))
        .join(modules, sa.and_(modules.c.id == cm.c.module, modules.c.name == "forum"))
        .join(context, sa.and_(context.c.contextlevel == MODULE, context.c.instanceid == cm.c.id))
        .join(arrival, sa.and_(arrival.c.run == campaign.run, arrival.c.courseid == forum.c.course))
    )
    automatic = sa.and_(forum.c.forcesubscribe == _AUTOMATIC, cm.c.deletioninprogress == 0)
    return joined, forum, sa.and_(automatic, _allowed(campaign, context))


def _allowed(campaign: Campaign, context: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether the student role has the capability in a context, as ``has_capability`` finds it.

    The permission of the deepest context that gives one counts; one that prohibits counts wherever it stands.
    """
    given, role = campaign.moodle["role_capabilities"], campaign.moodle["role"]
    above = campaign.moodle["context"].alias("giving_context")
    student = sa.select(role.c.id).where(role.c.shortname == campaign.platform.student_role).scalar_subquery()
    within = sa.or_(above.c.id == context.c.id, context.c.path.like(sa.func.concat(above.c.path, "/%")))
    permission = (
        sa.select(given.c.permission)
        .select_from(given.join(above, above.c.id == given.c.contextid))
        .where(given.c.capability == _CAPABILITY, given.c.roleid == student, within)
        .order_by(given.c.permission != _PROHIBIT, above.c.depth.desc())
        .limit(1)
        .correlate(context)
        .scalar_subquery()
    )
    return permission == _ALLOW
