"""Who teaches in a space, who leaves it, who stays (state table ``standing``)."""

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.enrolment.tables import arrival
from transition.rules.compile import COURSE
from transition.state import tables

_ABOVE_COURSES = (10, 40)  # CONTEXT_SYSTEM and CONTEXT_COURSECAT
NOT_TEACHING = ("student", "guest", "user", "frontpage")  # role archetypes that give nothing to teach with
_COLUMNS = ["run", "courseid", "userid", "standing"]


def record_standing(connection: sa.Connection, campaign: Campaign) -> None:
    """Fill ``standing`` for the spaces in scope, in the caller's transaction; needs ``arrival``.

    ``teacher``: holds a role whose archetype is none of student, guest, user, frontpage in the course's context or in
    one above it; or, without any student role in the space nor registration, such a role in one of its activities (a
    guest examiner). Of the others who are enrolled (by any method, suspended or not) or hold a role in the space:
    ``staying`` when year N registers them there, else ``leaving``. A student who was lent a role in an activity stays a
    student.
    """
    for query in (_in_course(campaign), _above(campaign), _examiners(campaign)):
        _insert(connection, query)  # first come, first served: whoever teaches is a teacher, whatever else they are
    for query in (_enrolled(campaign), _role_holders(campaign)):
        _insert(connection, query)


def _insert(connection: sa.Connection, query: sa.Select[int, int, int, str]) -> None:
    connection.execute(sa.insert(tables.standing).prefix_with("IGNORE").from_select(_COLUMNS, query))


def _spaces(campaign: Campaign) -> tuple[sa.Join, sa.FromClause, sa.ColumnElement[bool]]:
    """FROM clause of every context of the spaces in scope, the contexts' table in it, condition."""
    decision, space = tables.decision, tables.space_context.alias("space")
    joined = decision.join(space, sa.and_(space.c.run == decision.c.run, space.c.courseid == decision.c.courseid))
    return joined, space, sa.and_(decision.c.run == campaign.run, decision.c.in_scope == sa.true())


def teaches(role: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether a row of ``role`` gives something to teach with: by its archetype; a role without one does."""
    return role.c.archetype.not_in(NOT_TEACHING)


def _row(campaign: Campaign, courseid: sa.ColumnElement[int], userid: sa.ColumnElement[int],
         standing: sa.ColumnElement[str]) -> sa.Select[int, int, int, str]:  # fmt: skip
    return sa.select(sa.literal(campaign.run), courseid, userid, standing).distinct().prefix_with("STRAIGHT_JOIN")


def _in_course(campaign: Campaign) -> sa.Select[int, int, int, str]:
    spaces, space, here = _spaces(campaign)
    ra, role = campaign.moodle["role_assignments"], campaign.moodle["role"]
    return (
        _row(campaign, space.c.courseid, ra.c.userid, sa.literal("teacher"))
        .select_from(spaces.join(ra, ra.c.contextid == space.c.contextid).join(role, role.c.id == ra.c.roleid))
        .where(here, space.c.contextlevel == COURSE, teaches(role))
    )


def _above(campaign: Campaign) -> sa.Select[int, int, int, str]:
    """Every such person in every space below: few people hold a role that high, and their traces must stay theirs."""
    spaces, space, here = _spaces(campaign)
    ra, role, context = (campaign.moodle[name] for name in ("role_assignments", "role", "context"))
    above, course = context.alias("above"), context.alias("course_context")
    holders = (
        sa.select(ra.c.userid, above.c.path)
        .select_from(role.join(ra, ra.c.roleid == role.c.id).join(above, above.c.id == ra.c.contextid))
        .where(teaches(role), above.c.contextlevel.in_(_ABOVE_COURSES))
        .distinct()
        .prefix_with("STRAIGHT_JOIN")
        .subquery()
    )
    under = spaces.join(course, course.c.id == space.c.contextid).join(
        holders, course.c.path.like(sa.func.concat(holders.c.path, "/%"))
    )
    return (
        _row(campaign, space.c.courseid, holders.c.userid, sa.literal("teacher"))
        .select_from(under)
        .where(here, space.c.contextlevel == COURSE)
    )


def _examiners(campaign: Campaign) -> sa.Select[int, int, int, str]:
    spaces, space, here = _spaces(campaign)
    ra, role = campaign.moodle["role_assignments"], campaign.moodle["role"]
    other, learning = ra.alias("other_assignment"), role.alias("student_role")
    place = tables.space_context.alias("place")
    student = (
        sa.exists()
        .where(
            place.c.run == space.c.run, place.c.courseid == space.c.courseid, other.c.userid == ra.c.userid,
            other.c.contextid == place.c.contextid, learning.c.id == other.c.roleid, learning.c.archetype == "student",
        )
        .correlate(space, ra)
    )  # fmt: skip
    return (
        _row(campaign, space.c.courseid, ra.c.userid, sa.literal("teacher"))
        .select_from(spaces.join(ra, ra.c.contextid == space.c.contextid).join(role, role.c.id == ra.c.roleid))
        .where(here, space.c.contextlevel != COURSE, teaches(role), ~student)
        .where(~_registered(campaign, space.c.courseid, ra.c.userid))
    )


def _enrolled(campaign: Campaign) -> sa.Select[int, int, int, str]:
    decision = tables.decision
    enrol, ue = campaign.moodle["enrol"], campaign.moodle["user_enrolments"]
    return (
        _row(campaign, decision.c.courseid, ue.c.userid, _student(campaign, decision.c.courseid, ue.c.userid))
        .select_from(decision.join(enrol, enrol.c.courseid == decision.c.courseid).join(ue, ue.c.enrolid == enrol.c.id))
        .where(decision.c.run == campaign.run, decision.c.in_scope == sa.true())
    )


def _role_holders(campaign: Campaign) -> sa.Select[int, int, int, str]:
    spaces, space, here = _spaces(campaign)
    ra = campaign.moodle["role_assignments"]
    return (
        _row(campaign, space.c.courseid, ra.c.userid, _student(campaign, space.c.courseid, ra.c.userid))
        .select_from(spaces.join(ra, ra.c.contextid == space.c.contextid))
        .where(here)
    )


def _student(
    campaign: Campaign, courseid: sa.ColumnElement[int], userid: sa.ColumnElement[int]
) -> sa.ColumnElement[str]:
    return sa.case((_registered(campaign, courseid, userid), "staying"), else_="leaving")


def _registered(
    campaign: Campaign, courseid: sa.ColumnElement[int], userid: sa.ColumnElement[int]
) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        arrival.c.run == campaign.run, arrival.c.courseid == courseid, arrival.c.userid == userid
    )  # fmt: skip
