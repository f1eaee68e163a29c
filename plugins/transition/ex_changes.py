"""What archiving changed of spaces (state table ``ex_change``): written down, found again, taken back."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from transition.campaign import Campaign, now
from transition.enrolment.tables import ex_change
from transition.ex_names import ARCHIVED_PREFIX
from transition.moodle.categories import ROOM, fix_sortorder, move_context
from transition.moodle.revisions import raise_revisions

Change = sa.Row[*tuple[Any, ...]]
NAMES = ("fullname", "shortname", "idnumber")
_WRITTEN = (*NAMES, "visible")  # columns of course of which ex_change also has what replaced them, new_...


def last_changes(campaign: Campaign) -> dict[int, Change]:
    """The latest change of each course that has one."""
    with campaign.engine.connect() as connection:
        rows = connection.execute(sa.select(ex_change).order_by(ex_change.c.year))
        return {row.courseid: row for row in rows}


def archived(campaign: Campaign) -> dict[int, Change]:
    """Of the courses that a campaign archived and none has taken out since, that change."""
    return {courseid: row for courseid, row in last_changes(campaign).items() if row.archived_in is None}


def archived_until(campaign: Campaign) -> dict[int, Change]:
    """The same, of this year's campaign and those of earlier years."""
    return {courseid: row for courseid, row in archived(campaign).items() if row.year <= campaign.year}


def code_before(change: Change, idnumber: str) -> str | None:
    """The code of a space whose identification number a campaign set apart, and that still has it; else None."""
    return str(change.idnumber) if idnumber == change.new_idnumber != change.idnumber else None


def visible_before(change: Change, visible: int) -> int:
    """The visibility before a change, if it is still what the campaign, or the expiry, wrote; else the present one."""
    return int(change.visible if visible == change.new_visible else visible)


def hidden_by_expiry(connection: sa.Connection, year: int, courseid: int) -> None:
    """Write down that the expiry hid what the campaign of a year archived: it will be seen again if it comes back."""
    mine = sa.and_(ex_change.c.year == year, ex_change.c.courseid == courseid)
    connection.execute(sa.update(ex_change).where(mine).values(new_visible=0))


def last_change(connection: sa.Connection, courseid: int) -> Change | None:
    """The latest change of a course, if it has one."""
    query = sa.select(ex_change).where(ex_change.c.courseid == courseid).order_by(ex_change.c.year.desc())
    return connection.execute(query.limit(1)).one_or_none()


def change_of(connection: sa.Connection, year: int, courseid: int) -> Change | None:
    """What the campaign of a year changed of a space, if it did."""
    query = sa.select(ex_change).where(ex_change.c.year == year, ex_change.c.courseid == courseid)
    return connection.execute(query).one_or_none()


def remember(
    connection: sa.Connection, campaign: Campaign, before: Change, new: Mapping[str, Any], undone: Change | None = None
) -> None:
    """Write down what a space was; of two attempts the first one saw it, the second one gave it its names.

    :param before: its row in ``course``. :param new: what it gets of ``fullname``, ``shortname``, ``idnumber`` and
        ``visible``, all four. :param undone: the earlier change that
        this one takes back: of an archived space it is a return, of a returned one it is archived as it was.
    """
    year, archived_in = campaign.year, None
    if undone is not None:
        year, archived_in = (campaign.year, undone.year) if undone.archived_in is None else (undone.archived_in, None)
    category = campaign.moodle["course_categories"]
    rank = connection.execute(sa.select(category.c.sortorder).where(category.c.id == before.category)).scalar() or 0
    written = {f"new_{name}": new[name] for name in _WRITTEN}
    kept = {name: getattr(before, name) for name in (*_WRITTEN, "category", "timemodified")}
    statement = mysql.insert(ex_change).values(
        year=year, courseid=before.id, run=campaign.run, at=now(), archived_in=archived_in,
        place=before.sortorder - rank, **kept, **written,
    )  # fmt: skip
    connection.execute(statement.on_duplicate_key_update(**written))


def obstacles(connection: sa.Connection, campaign: Campaign, change: Change) -> list[str]:
    """What keeps a space from getting back what a change took, in French."""
    course, category = campaign.moodle["course"], campaign.moodle["course_categories"]
    found = []
    # Moodle itself refuses two courses of one shortname or idnumber (course_check_updates), its database does not.
    words = {"shortname": "le nom abrégé", "idnumber": "le numéro d'identification"}
    for name, word in words.items():
        value = getattr(change, name)
        if value in ("", getattr(change, f"new_{name}")):
            continue
        other = sa.select(course.c.id).where(course.c[name] == value, course.c.id != change.courseid)
        if (taken := connection.execute(other.limit(1)).scalar()) is not None:
            found.append(f"course : {word} « {value} » est celui de l'espace {taken}")
    if connection.execute(sa.select(category.c.id).where(category.c.id == change.category)).first() is None:
        found.append(f"course_categories : la catégorie {change.category} de l'espace n'existe plus")
    return found


def put_back(
    connection: sa.Connection, campaign: Campaign, change: Change, timemodified: int
) -> tuple[Change, dict[str, Any]]:
    """Undo a change, in the caller's transaction: names, visibility, category and rank.

    Returns the row before, and what was written of names and visibility. The context's path, both categories' ranks
    and counts follow. A name that is neither what the campaign wrote nor begins with ``ex_`` is what somebody has
    chosen since: it stays; so does a visibility that is not what was written. The change is forgotten.
    """
    course, category = campaign.moodle["course"], campaign.moodle["course_categories"]
    before = connection.execute(sa.select(course).where(course.c.id == change.courseid)).one()
    # Categories first, by id, as any other writer of ranks: two of them never wait for each other.
    both = sorted({before.category, change.category})
    query = sa.select(category.c.id, category.c.sortorder).where(category.c.id.in_(both)).order_by(category.c.id)
    ranks = dict(connection.execute(query.with_for_update()).all())
    written: dict[str, Any] = {name: name_after(before, change, name) for name in NAMES}
    written["visible"] = visible_before(change, before.visible)
    place = ranks[change.category] + _take_out(connection, change)
    values = {**written, "timemodified": timemodified}
    if written["visible"] != before.visible:
        values["visibleold"] = written["visible"]  # the two go together (course_change_visibility)
    moved = before.category != change.category
    if moved:
        values |= {"category": change.category, "sortorder": place}
        later = sa.and_(course.c.category == change.category, course.c.sortorder >= place)
        connection.execute(sa.update(course).where(later).values(sortorder=course.c.sortorder + 1))
    connection.execute(sa.update(course).where(course.c.id == change.courseid).values(**values))
    raise_revisions(connection, campaign.moodle, [change.courseid])
    if moved:
        move_context(connection, campaign.moodle, change.courseid, change.category)
        fix_sortorder(connection, campaign.moodle, both, ROOM)
    return before, written


def name_after(space: Any, change: Change, name: str) -> str:
    """The name that a space gets when a change is undone: its own again, unless somebody has given it another.

    :param space: what has its present names as attributes.
    """
    present = getattr(space, name)
    ours = present == getattr(change, f"new_{name}") or present.startswith(ARCHIVED_PREFIX)
    return str(getattr(change, name) if ours else present)


def _take_out(connection: sa.Connection, change: Change) -> int:
    """Remove a change from its year's list as if it had never been; returns the space's place in its category now.

    A place counts the spaces that were there when the change was made. Those archived after it left a category where it
    was already missing: their places are told again with it, and its own without those of them that stood before it.
    """
    place = int(change.place)
    here = sa.and_(ex_change.c.year == change.year, ex_change.c.category == change.category)
    later = sa.select(ex_change.c.courseid, ex_change.c.place).where(
        here, sa.tuple_(ex_change.c.at, ex_change.c.courseid) > sa.tuple_(change.at, change.courseid)
    )
    for courseid, other in connection.execute(later.order_by(ex_change.c.at, ex_change.c.courseid)).all():
        if other >= place:
            told = sa.update(ex_change).where(here, ex_change.c.courseid == courseid)
            connection.execute(told.values(place=other + 1))
        else:
            place -= 1
    connection.execute(sa.delete(ex_change).where(here, ex_change.c.courseid == change.courseid))
    return place
