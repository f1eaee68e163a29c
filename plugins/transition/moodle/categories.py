"""Course categories as Moodle keeps them: contexts' paths, ranks, counts (``move_courses``)."""

import time
from collections.abc import Iterable

import sqlalchemy as sa

from transition.errors import TransitionError
from transition.moodle.database import MoodleDatabase

ROOM = 10_000  # get_max_courses_in_category: the ranks that a category has for its courses, its own before them
_COURSECAT, _COURSE = 40, 50  # CONTEXT_COURSECAT, CONTEXT_COURSE


def create_category(connection: sa.Connection, moodle: MoodleDatabase, name: str, parentid: int) -> int:
    """Create a category below another one, behind all that it holds; returns its id.

    As ``core_course_category::create`` and ``fix_course_sortorder`` leave it: without idnumber, visible if its parent
    is, its context under its parent's; the categories behind it, and their courses, make room. Raises
    :class:`TransitionError` when the parent is missing or has no context.
    """
    category, context = moodle["course_categories"], moodle["context"]
    query = sa.select(category.c.id, category.c.path, category.c.depth, category.c.visible, category.c.sortorder)
    # Every category at once, by id, as any other writer of ranks: two of them never give the same.
    present = {row.id: row for row in connection.execute(query.order_by(category.c.id).with_for_update())}
    if (parent := present.get(parentid)) is None:
        raise TransitionError(f"La catégorie {parentid} de Moodle n'existe plus : relancez une nouvelle exécution.")
    above = _context(connection, context, _COURSECAT, parentid)
    inside = [row for row in present.values() if f"{row.path}/".startswith(f"{parent.path}/")]
    rank = max(row.sortorder for row in inside) + ROOM
    _make_room(connection, moodle, rank)
    values = {
        "name": name, "description": "", "descriptionformat": 0, "parent": parentid, "sortorder": rank,
        "coursecount": 0, "visible": parent.visible, "visibleold": 1, "timemodified": int(time.time()),
        "depth": parent.depth + 1, "path": "",
    }  # fmt: skip
    made = int(connection.execute(sa.insert(category).values(values)).lastrowid)
    connection.execute(sa.update(category).where(category.c.id == made).values(path=f"{parent.path}/{made}"))
    place = {"contextlevel": _COURSECAT, "instanceid": made, "path": "", "depth": above.depth + 1}
    own = int(connection.execute(sa.insert(context).values(place)).lastrowid)
    connection.execute(sa.update(context).where(context.c.id == own).values(path=f"{above.path}/{own}"))
    return made


def category_ids(moodle: MoodleDatabase, wanted: str | int) -> list[int]:
    """Ids of the categories with that idnumber (text) or id (number): one, if the site is in order."""
    category = moodle["course_categories"].c
    column = category.id if isinstance(wanted, int) else category.idnumber
    with moodle.engine.connect() as connection:
        return list(connection.execute(sa.select(category.id).where(column == wanted)).scalars())


def _make_room(connection: sa.Connection, moodle: MoodleDatabase, rank: int) -> None:
    """Move the categories from a rank on, and their courses with them, one range further."""
    course, category = moodle["course"], moodle["course_categories"]
    behind = sa.select(category.c.id).where(category.c.sortorder >= rank)
    moved = sa.update(course).where(course.c.category.in_(behind))
    connection.execute(moved.values(sortorder=course.c.sortorder + ROOM))
    further = sa.update(category).where(category.c.sortorder >= rank)
    connection.execute(further.values(sortorder=category.c.sortorder + ROOM))


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
