"""Where the rows of any Moodle table are: in which course space, by their columns' names, whatever the rules say."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.sql.selectable import NamedFromClause

from transition.campaign import Campaign
from transition.moodle.references import Place, References
from transition.rules.compile import MODULE
from transition.state import tables

Alias: TypeAlias = "NamedFromClause[Any]"


@dataclass(frozen=True)
class Located:
    """A table joined to some spaces. :param rows: alias of the table. :param spaces: the spaces, ``courseid`` first."""

    joins: sa.FromClause
    rows: Alias
    spaces: sa.Subquery


def rows_in_spaces(
    connection: sa.Connection, campaign: Campaign, references: References, name: str, spaces: sa.Select[int]
) -> int:
    """How many rows of a table are in these spaces; all its rows, when no column tells where they are."""
    ways = list(locate(campaign, name, spaces, references.places(name)))
    if not ways:
        return int(connection.execute(sa.select(sa.func.count()).select_from(campaign.moodle[name])).scalar_one())
    found = sa.union(*(sa.select(way.rows.c.id).select_from(way.joins) for way in ways)).subquery()
    return int(connection.execute(sa.select(sa.func.count()).select_from(found)).scalar_one())


def locate(
    campaign: Campaign, name: str, spaces: sa.Select[*tuple[Any, ...]], ways: Iterable[Place]
) -> Iterator[Located]:
    """The rows of a table that lie in these spaces (their ids the first column), once for each way to find them."""
    for place in ways:
        # From the table up to the one that names the place; then joined downwards, from the few spaces on.
        up = [campaign.moodle[name].alias("found")]
        up += [campaign.moodle[step.parent].alias(f"above_{number}") for number, step in enumerate(place.steps, 1)]
        inside = spaces.subquery("spaces")
        joins = _join_place(campaign, inside, up[-1], place)
        for number in range(len(place.steps) - 1, -1, -1):
            joins = joins.join(up[number], up[number].c[place.steps[number].column] == up[number + 1].c.id)
        yield Located(joins, up[0], inside)


def _join_place(campaign: Campaign, inside: sa.Subquery, top: Alias, place: Place) -> sa.FromClause:
    """The spaces joined to the table that names them: by course, context, course module or activity."""
    courseid, column = inside.c[0], top.c[place.column]
    if place.kind == "course":
        return inside.join(top, column == courseid)
    if place.kind == "instance":
        cm, modules = campaign.moodle["course_modules"].alias("cm"), campaign.moodle["modules"].alias("kind")
        joins = inside.join(cm, cm.c.course == courseid).join(modules, modules.c.id == cm.c.module)
        return joins.join(top, sa.and_(column == cm.c.instance, top.c.modulename == modules.c.name))
    space = tables.space_context.alias("place")
    joins = inside.join(space, sa.and_(space.c.run == campaign.run, space.c.courseid == courseid))
    if place.kind == "context":
        return joins.join(top, column == space.c.contextid)
    return joins.join(top, sa.and_(column == space.c.instanceid, space.c.contextlevel == MODULE))
