"""The course spaces that a run concerns, and every context in them."""

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.enrolment.tables import ex_change
from transition.rules.compile import COURSE, MODULE
from transition.state import tables

SITE_COURSE = 1  # Moodle's SITEID
_INSIDE = (MODULE, 80)  # activities and blocks (CONTEXT_BLOCK); sections have no context


def record_contexts(campaign: Campaign) -> int:
    """Fill ``space_context`` anew for the run: every context of every course that it concerns; returns their number.

    A run limited to some course codes concerns the courses of these idnumbers only, and those that had one before they
    were archived. A context lies in a course when its path begins with the course context's path (Moodle
    ``context_helper::build_all_paths``).
    """
    moodle, target = campaign.moodle, tables.space_context
    course, context, inner = (
        moodle["course"],
        moodle["context"].alias("course_context"),
        moodle["context"].alias("inside"),
    )
    modules, cm = moodle["modules"], moodle["course_modules"]
    archived = sa.select(ex_change.c.courseid).where(ex_change.c.idnumber.in_(campaign.courses))
    asked = sa.or_(course.c.idnumber.in_(campaign.courses), course.c.id.in_(archived))
    courses = sa.and_(course.c.id != SITE_COURSE, asked if campaign.courses else sa.true())
    at_course = context.join(course, sa.and_(course.c.id == context.c.instanceid, context.c.contextlevel == COURSE))
    of_courses = sa.select(
        sa.literal(campaign.run),
        context.c.id,
        course.c.id,
        context.c.contextlevel,
        context.c.instanceid,
        sa.literal(""),
    ).select_from(at_course)
    # sargable on Moodle's index of context.path: LIKE 'path/%' of each course context
    inside = at_course.join(inner, inner.c.path.like(sa.func.concat(context.c.path, "/%")))
    with_module = inside.outerjoin(
        cm, sa.and_(inner.c.contextlevel == MODULE, cm.c.id == inner.c.instanceid)
    ).outerjoin(modules, modules.c.id == cm.c.module)
    of_inside = (
        sa.select(
            sa.literal(campaign.run), inner.c.id, course.c.id, inner.c.contextlevel, inner.c.instanceid,
            sa.func.coalesce(modules.c.name, ""),
        )
        .select_from(with_module)
        .where(inner.c.contextlevel.in_(_INSIDE))
        .prefix_with("STRAIGHT_JOIN")
    )  # fmt: skip
    columns = ["run", "contextid", "courseid", "contextlevel", "instanceid", "module"]
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(target).where(target.c.run == campaign.run))
        for query in (of_courses, of_inside):
            connection.execute(sa.insert(target).from_select(columns, query.where(courses)))
        return connection.execute(
            sa.select(sa.func.count()).select_from(target).where(target.c.run == campaign.run)
        ).scalar_one()
