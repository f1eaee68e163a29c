"""Which two spaces a copy is between: an archived one, and the one that succeeds it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.checksum import rows_checksum
from transition.errors import TransitionError
from transition.restore.history import nearest
from transition.spaces import DecidingCategories, Space, deciding_categories, looks_archived, read_spaces


@dataclass(frozen=True)
class Pair:
    """The archived space and the space that gets its content."""

    source: Space
    target: Space


@dataclass(frozen=True)
class Activity:
    """An activity of a space: course module, kind (the plugin's name), name."""

    cmid: int
    kind: str
    name: str


def find_pair(campaign: Campaign, source: str, target: str) -> Pair:
    """The two spaces; raises :class:`TransitionError` unless each name is that of one space that may take that part.

    :param source: Apogée code, short name or id of an archived space. :param target: Apogée code of a space that is
        neither archived nor complementary.
    """
    spaces, categories = read_spaces(campaign), deciding_categories(campaign)
    found = [space for space in spaces if source in (space.code, space.shortname, str(space.courseid))]
    archived = [space for space in found if looks_archived(space, categories)]
    if found and not archived:
        raise TransitionError(
            f"L'espace {_name(found[0])} n'est pas archivé (ni « ex_ », ni dans « Archives ») : seul le contenu d'un"
            " espace archivé se copie, corrigez la source."
        )
    origin = _only(archived, source, "archivé", [space.shortname for space in spaces])
    named = [space for space in spaces if space.code == target]
    named = [space for space in named if not space.apart] or named  # a new space has the code of one set apart
    successor = _only(named, target, "d'arrivée", [space.code for space in spaces])
    if refusal := _unfit(origin, successor, categories):
        raise TransitionError(f"L'espace {_name(successor)} ne peut pas recevoir de contenu : {refusal}.")
    return Pair(origin, successor)


def read_activities(connection: sa.Connection, campaign: Campaign, courseid: int) -> list[Activity]:
    """The activities of a space, those that Moodle is deleting aside (as ``get_modules_from_sectionid`` does)."""
    cm, modules = campaign.moodle["course_modules"], campaign.moodle["modules"]
    query = (
        sa.select(cm.c.id, modules.c.name, cm.c.instance)
        .select_from(cm.join(modules, modules.c.id == cm.c.module))
        .where(cm.c.course == courseid, cm.c.deletioninprogress == 0)
        .order_by(cm.c.id)
    )
    rows = connection.execute(query).all()
    names: dict[tuple[str, int], str] = {}
    for kind in {row.name for row in rows if row.name in campaign.moodle}:
        own = campaign.moodle[kind].c
        for instance, name in connection.execute(sa.select(own.id, own.name).where(own.course == courseid)):
            names[kind, instance] = name
    return [Activity(row.id, row.name, names.get((row.name, row.instance), "?")) for row in rows]


def added_by_moodle(connection: sa.Connection, campaign: Campaign, courseid: int) -> set[int]:
    """Course modules that Moodle gives a new space by itself: its announcements (a forum of type ``news``)."""
    cm, modules, forum = (campaign.moodle[name] for name in ("course_modules", "modules", "forum"))
    query = (
        sa.select(cm.c.id)
        .select_from(cm.join(modules, modules.c.id == cm.c.module).join(forum, forum.c.id == cm.c.instance))
        .where(cm.c.course == courseid, modules.c.name == "forum", forum.c.type == "news")
    )
    return set(connection.execute(query).scalars())


def content_state(connection: sa.Connection, campaign: Campaign, courseid: int) -> str:
    """A checksum of what a teacher sees of a space's content: sections, activities and their settings."""
    moodle = campaign.moodle
    kinds = {activity.kind for activity in read_activities(connection, campaign, courseid)}
    parts = []
    for name in ("course_modules", "course_sections", *sorted(kind for kind in kinds if kind in moodle)):
        table = moodle[name]
        query = sa.select(rows_checksum(table)).where(table.c.course == courseid)
        parts.append(f"{connection.execute(query).scalar() or 0:x}")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _only(found: Sequence[Space], asked: str, role: str, known: Sequence[str]) -> Space:
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"{space.shortname} (id {space.courseid})" for space in found)
        raise TransitionError(
            f"« {asked} » désigne {len(found)} espaces : {listed} ; donnez à chacun un code distinct dans Moodle, ou"
            " désignez l'espace archivé par son id."
        )
    near = nearest(asked, known)
    hint = f" ; les plus proches : {', '.join(near)}" if near else ""
    raise TransitionError(f"Aucun espace {role} ne s'appelle « {asked} »{hint} : corrigez, puis relancez.")


def _unfit(source: Space, target: Space, categories: DecidingCategories) -> str:
    """Why a space may not get the content of another, '' if it may."""
    if target.courseid == source.courseid:
        return "c'est l'espace archivé lui-même, donnez le code du nouvel espace"
    if looks_archived(target, categories):
        return "il est archivé lui aussi, donnez le code du nouvel espace"
    if categories.complementary in target.path:
        return "c'est un espace complémentaire, que ce projet ne touche jamais"
    return ""


def _name(space: Space) -> str:
    return f"{space.code or space.shortname} (id {space.courseid})"
