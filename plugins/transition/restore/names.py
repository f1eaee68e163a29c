"""Take back what ex_rename did to a space: its name, its category, its place there."""

import sqlalchemy as sa

from transition import journal
from transition.campaign import Campaign
from transition.enrolment.tables import ex_change
from transition.ex_rename import ROOM
from transition.moodle.categories import fix_sortorder, move_context
from transition.moodle.revisions import raise_revisions
from transition.restore.put_back import STAGE


def name_conflicts(connection: sa.Connection, campaign: Campaign, courseid: int) -> list[str]:
    """What keeps a space from getting its name and place back, in French; nothing for a space that never lost them."""
    course, category = campaign.moodle["course"], campaign.moodle["course_categories"]
    change = _change(connection, campaign, courseid)
    if change is None:
        return []
    found = []
    # Moodle itself refuses two courses of one shortname (course_check_updates), its database does not.
    other = sa.select(course.c.id).where(course.c.shortname == change.shortname, course.c.id != courseid)
    if (taken := connection.execute(other.limit(1)).scalar()) is not None:
        found.append(f"course : le nom abrégé « {change.shortname} » est celui de l'espace {taken}")
    if connection.execute(sa.select(category.c.id).where(category.c.id == change.category)).first() is None:
        found.append(f"course_categories : la catégorie {change.category} de l'espace n'existe plus")
    return found


def put_name_back(campaign: Campaign, courseid: int) -> bool:
    """Give a space the names, the category and the rank that it had before ``ex_``; True if it had lost them.

    Its context's path, both categories' ranks and counts follow. A name that no longer begins with ``ex_`` is what
    somebody has chosen since: it stays. The teachers enrolled by hand stay too. One transaction; does nothing twice.
    """
    moodle = campaign.moodle
    course, category = moodle["course"], moodle["course_categories"]
    with campaign.engine.begin() as connection:
        change = _change(connection, campaign, courseid)
        if change is None:
            return False
        # Categories first, by id, as any other writer of ranks: two of them never wait for each other.
        now = connection.execute(sa.select(course).where(course.c.id == courseid)).one()
        both = sorted({now.category, change.category})
        connection.execute(sa.select(category.c.id).where(category.c.id.in_(both)).with_for_update()).all()
        moved = now.category != change.category
        values = {
            name: getattr(change, name) for name in ("fullname", "shortname") if getattr(now, name).startswith("ex_")
        }
        rank = _take_out(connection, campaign, change)
        if moved:
            values |= {"category": change.category, "sortorder": rank}
            later = sa.and_(course.c.category == change.category, course.c.sortorder >= rank)
            connection.execute(sa.update(course).where(later).values(sortorder=course.c.sortorder + 1))
        connection.execute(
            sa.update(course).where(course.c.id == courseid).values(**values, timemodified=change.timemodified)
        )
        raise_revisions(connection, moodle, [courseid])
        if moved:
            move_context(connection, moodle, courseid, change.category)
            fix_sortorder(connection, moodle, both, ROOM)
        journal.record(
            connection, campaign, STAGE, "renamed", courseid=courseid, table_name="course",
            detail=f"{now.shortname} redevient {values.get('shortname', now.shortname)}",
        )  # fmt: skip
        return True


def _change(connection: sa.Connection, campaign: Campaign, courseid: int) -> sa.Row[tuple[object, ...]] | None:
    query = sa.select(ex_change).where(ex_change.c.year == campaign.year, ex_change.c.courseid == courseid)
    return connection.execute(query).one_or_none()


def _take_out(connection: sa.Connection, campaign: Campaign, change: sa.Row[tuple[object, ...]]) -> int:
    """Remove a change from the campaign's list as if it had never been; returns the space's rank in its category now.

    A rank counts the spaces that were there when the change was made. Those archived after it left a category where it
    was already missing: their ranks are told again with it, and its own without those of them that stood before it.
    """
    rank = int(change.sortorder)
    here = sa.and_(ex_change.c.year == campaign.year, ex_change.c.category == change.category)
    later = sa.select(ex_change.c.courseid, ex_change.c.sortorder).where(
        here, sa.tuple_(ex_change.c.at, ex_change.c.courseid) > sa.tuple_(change.at, change.courseid)
    )
    for courseid, sortorder in connection.execute(later.order_by(ex_change.c.at, ex_change.c.courseid)).all():
        if sortorder >= rank:
            told = sa.update(ex_change).where(here, ex_change.c.courseid == courseid)
            connection.execute(told.values(sortorder=sortorder + 1))
        else:
            rank -= 1
    connection.execute(sa.delete(ex_change).where(here, ex_change.c.courseid == change.courseid))
    return rank
