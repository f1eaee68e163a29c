"""The ``ex_`` spaces: which are due, and how one is hidden or deleted."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.ex_changes import archived, hidden_by_expiry
from transition.ex_names import ARCHIVED_PREFIX
from transition.expiry.age import Ages, too_young
from transition.expiry.item import Item
from transition.moodle.command_line import CommandLine
from transition.moodle.revisions import next_revision
from transition.spaces import deciding_categories

_PATIENCE = 3600  # seconds that Moodle may take to delete one space
_NOT_OURS = (
    "des espaces ex_ n'ont pas été archivés par ce projet, leur âge est compté depuis leur dernière modification"
)
_NO_COMMAND = "la suppression passe par Moodle : déclarez moodle_command dans le fichier de la plateforme"
_Course = sa.Row[*tuple[Any, ...]]


def due_spaces(campaign: Campaign, ages: Ages, now: datetime) -> Iterator[Item]:
    """The spaces that campaigns archived, that none has taken out of Archives since, and that are still there; and the
    other ``ex_`` spaces in Archives.

    Those that are hidden already, when that is all that happens to them, are over.
    """
    keep, latest = campaign.platform.retention, archived(campaign)
    course = campaign.moodle["course"].c
    named = course.fullname.startswith(ARCHIVED_PREFIX, autoescape=True)
    courses = _courses(campaign, sa.or_(course.id.in_(list(latest)), named))
    archives = deciding_categories(campaign).archives if courses else 0
    for space in courses:
        fault, ours = _no_longer_archived(space, archives), latest.get(space.id)
        if (fault and not ours) or (keep.ex_action == "hide" and not space.visible):
            continue
        year, since, warning = (ours.year, ours.at, "") if ours else (*_last_modified(space), _NOT_OURS)
        item = Item("space", year, str(space.id), "keep", "", since, space.idnumber)
        if reason := ages.unfinished.get(year) or fault or too_young(campaign, since, keep.ex_spaces, now):
            yield replace(item, reason=reason)
        elif keep.ex_action == "hide":
            yield replace(item, action="hide", reason=warning)
        elif not campaign.platform.moodle_command:
            yield replace(item, reason=_NO_COMMAND)
        else:
            yield replace(item, action="delete", reason=warning)


def _last_modified(space: _Course) -> tuple[int, datetime]:
    """Year and moment (UTC) for a space that no campaign archived: it was renamed then, or before."""
    since = datetime.fromtimestamp(space.timemodified, UTC).replace(tzinfo=None)
    return since.year, since


def still_archived(campaign: Campaign, item: Item) -> str:
    """Why the space of an item must not be touched any more, a French sentence; '' if it may, or is gone."""
    archives = deciding_categories(campaign).archives
    courses = _courses(campaign, campaign.moodle["course"].c.id == int(item.name))
    return next((_no_longer_archived(course, archives) for course in courses), "")


def is_over(campaign: Campaign, item: Item) -> bool:
    """Whether the space of an item is hidden, or gone, as the item says."""
    courses = _courses(campaign, campaign.moodle["course"].c.id == int(item.name))
    return not courses or (item.action == "hide" and not courses[0].visible)


def hide(connection: sa.Connection, campaign: Campaign, item: Item) -> None:
    """Hide a space, in the caller's transaction, as Moodle does (``course_change_visibility``, ``update_course``).

    ``visible`` and ``visibleold`` go together; the revision of the cached structure is raised.
    """
    course, moment = campaign.moodle["course"], int(time.time())
    values = {"visible": 0, "visibleold": 0, "timemodified": moment}
    connection.execute(
        sa.update(course)
        .where(course.c.id == int(item.name), course.c.visible != 0)
        .values(**values, cacherev=next_revision(course, moment))
    )
    hidden_by_expiry(connection, item.year, int(item.name))


def delete(campaign: Campaign, item: Item) -> None:
    """Have Moodle delete a space (``admin/cli/delete_course.php``); does nothing if it is gone.

    Raises :class:`~transition.errors.UnreachableError` if Moodle fails, :class:`TransitionError` if it says that it
    succeeded and the space is still there.
    """
    if is_over(campaign, item):
        return
    _command(campaign).run("delete_course.php", f"--courseid={item.name}", "--non-interactive", seconds=_PATIENCE)
    if not is_over(campaign, item):
        raise TransitionError(
            f"Moodle n'a pas supprimé l'espace {item.code or item.name} (cours {item.name}) alors qu'il le dit :"
            " vérifiez que moodle_command et la connexion désignent le même site, puis relancez."
        )


def purge_caches(campaign: Campaign) -> str:
    """Make Moodle forget its lists of visible spaces; returns what a person has to do instead, '' if nothing."""
    if not campaign.platform.moodle_command:
        return "purgez les caches de Moodle (admin/cli/purge_caches.php), qui montrent encore les espaces masqués"
    _command(campaign).run("purge_caches.php", seconds=1800)
    return ""


def _command(campaign: Campaign) -> CommandLine:
    if not campaign.platform.moodle_command:
        raise TransitionError(f"Rien n'est supprimé : {_NO_COMMAND}.")
    return CommandLine(campaign.platform.moodle_command)


def _courses(campaign: Campaign, condition: sa.ColumnElement[bool]) -> Sequence[_Course]:
    """The courses of Moodle that meet a condition, each with the ``path`` of its category."""
    course, category = campaign.moodle["course"], campaign.moodle["course_categories"]
    columns = (course.c[name] for name in ("id", "idnumber", "fullname", "shortname", "visible", "timemodified"))
    query = sa.select(*columns, category.c.path).join_from(course, category, category.c.id == course.c.category)
    with campaign.engine.connect() as connection:
        return connection.execute(query.where(condition).order_by(course.c.id)).all()


def _no_longer_archived(course: _Course, archives: int) -> str:
    named = course.fullname.startswith(ARCHIVED_PREFIX) and course.shortname.startswith(ARCHIVED_PREFIX)
    if named and str(archives) in course.path.split("/"):
        return ""
    return "n'est plus archivé : une personne l'a renommé ou sorti d'Archives"
