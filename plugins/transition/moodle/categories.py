"""Course categories as Moodle keeps them: contexts' paths, ranks, counts (``move_courses``)."""

from collections.abc import Iterable

import sqlalchemy as sa

from transition.errors import TransitionError
from transition.moodle.database import MoodleDatabase

_COURSECAT, _COURSE = 40, 50  # CONTEXT_COURSECAT, CONTEXT_COURSE


def move_context(connection: sa.Connection, moodle: MoodleDatabase, courseid: int, categoryid: int) -> None:
    """Hang a course's context, and all below it, under a category's context (``context::update_moved``).

    Raises :class:`TransitionError` when one of the two has no context.
    """
    context = moodle["context"]
    old = _context(connection, context, _COURSE, courseid)
    above = _context(connection, context, _COURSECAT, categoryid)
    values = {
        "path": sa.func.concat(f"{above.path}/{old.id}", sa.func.substring(context.c.path, len(old.path) + 1)),
        "depth": context.c.depth + (above.depth + 1 - old.depth),
    }
    for where in (context.c.path == old.path, context.c.path.like(f"{old.path}/%")):
        connection.execute(sa.update(context).where(where).values(values))


def _context(connection: sa.Connection, context: sa.Table, level: int, instance: int) -> sa.Row[int, str, int]:
    query = sa.select(context.c.id, context.c.path, context.c.depth).where(
        context.c.contextlevel == level, context.c.instanceid == instance
    )
    row = connection.execute(query.with_for_update()).one_or_none()
    if row is None:
        raise TransitionError(
            f"Il manque dans {context.name} le contexte de niveau {level} de l'objet {instance} : ouvrez cet espace ou"
            " cette catégorie dans Moodle, qui le crée, puis relancez l'étape."
        )
    return row


def fix_sortorder(connection: sa.Connection, moodle: MoodleDatabase, categories: Iterable[int], room: int) -> None:
    """Count the courses of some categories and rank them from the category's own rank + 1, without gap or double.

    As ``fix_course_sortorder``: present order, of equals the highest id first. Raises :class:`TransitionError` when a
    category has more courses than its range holds (``room`` - 1), which would run into the next category's.
    """
    course, category = moodle["course"], moodle["course_categories"]
    for categoryid in sorted(set(categories)):
        rank, name = connection.execute(
            sa.select(category.c.sortorder, category.c.name).where(category.c.id == categoryid)
        ).one()
        query = sa.select(course.c.id, course.c.sortorder).where(course.c.category == categoryid)
        ranked = connection.execute(query.order_by(course.c.sortorder, course.c.id.desc())).all()
        if len(ranked) >= room:
            raise TransitionError(
                f"La catégorie « {name} » est pleine ({len(ranked)} espaces) : créez-en une autre pour les archives."
            )
        for position, (courseid, sortorder) in enumerate(ranked, start=rank + 1):
            if sortorder != position:
                connection.execute(sa.update(course).where(course.c.id == courseid).values(sortorder=position))
        counted = sa.update(category).where(category.c.id == categoryid, category.c.coursecount != len(ranked))
        connection.execute(counted.values(coursecount=len(ranked)))
