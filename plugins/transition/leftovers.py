"""What a purge left behind or took too far, found without its rules: by places, people and the rows that are gone.

A wrong path in a rule plans, moves and checks the same wrong rows. Here tables are read by what their columns' names
say (:mod:`transition.moodle.references`), so that what such a path missed is seen. A table is either kept whole or
expected empty in the spaces of the run, but for the rows that ``kept_tables.yaml`` declares, each with its reason.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import Any

import sqlalchemy as sa

from transition.campaign import Campaign, now
from transition.enrolment.again import given_again
from transition.french import counted
from transition.key_views import at_spaces, is_view
from transition.keys import frozen_keys, temporary_keys
from transition.location import Alias, Located, locate
from transition.moodle.references import Place, References, Step
from transition.move import archive_table
from transition.rules.compile import Scope, matches
from transition.rules.kept import kept_reasons, kept_rows, load_kept
from transition.rules.model import KeptRows, Test, load_rules
from transition.state import tables
from transition.traces import all_traces

# Columns that tell when Moodle wrote a row, in the tables that it writes at every page view.
_MOMENTS = ("timecreated", "timeaccess", "timeend", "time")
_IN_A_COURSE = (50, 70, 80)  # CONTEXT_COURSE, CONTEXT_MODULE, CONTEXT_BLOCK


@dataclass(frozen=True)
class Finding:
    """What a check found. :param text: a French sentence. :param courseid: the one space it is about; None: no one."""

    text: str
    courseid: int | None = None


Check = Callable[[], Iterable[Finding]]
_Finder = Callable[[sa.Connection, "Search", str], Iterator[Finding]]


@dataclass(frozen=True, order=True)
class _Rows:
    """Rows of one table in one space: how many, and the id of one, by which a person finds them."""

    count: int
    first: int

    def without_reason(self, name: str, one: str, many: str) -> str:
        which, them = ("id", "la") if self.count == 1 else ("dont l'id", "les")
        rows = counted(self.count, one, many)
        return f"{rows} dans {name} ({which} {self.first}), sans motif pour {them} garder"


@dataclass(frozen=True)
class Search:
    """What a search through the tables needs.

    :param names: the tables to search: all but those kept whole. :param moved: those that rows left, by this run.
    :param live: tables that Moodle itself goes on writing: there only what is older than ``since`` counts.
    :param since: when the plan was frozen, now if it is not yet (Unix time).
    """

    campaign: Campaign
    references: References
    names: frozenset[str]
    rows: tuple[KeptRows, ...]
    moved: frozenset[str]
    live: frozenset[str]
    since: int


def leftovers(campaign: Campaign) -> Iterator[Check]:
    """What finds, table by table: rows left without a reason, or whose row above is gone, or moved from another space.

    The largest tables, those that rows left, come first: they take longest.
    """
    search = prepare(campaign)
    for find, names in ((strayed, search.moved), (left_in, search.names)):
        for name in sorted(names):
            yield partial(_find, search, find, name)


def _find(search: Search, find: _Finder, name: str) -> list[Finding]:
    with search.campaign.engine.connect() as connection:
        return list(find(connection, search, name))


def prepare(campaign: Campaign) -> Search:
    """Read the names of rules and kept tables, and what this run plans to move, or moved."""
    moodle, rules, kept = campaign.moodle, load_rules(), load_kept()
    line, run = tables.plan_line.c, tables.run.c
    with campaign.engine.connect() as connection:
        moved = connection.execute(sa.select(line.table_name).where(line.run == campaign.run).distinct())
        names = frozenset(moved.scalars())
        frozen = connection.execute(sa.select(run.frozen_at).where(run.number == campaign.run)).scalar_one()
    return Search(
        campaign=campaign,
        references=References(moodle),
        names=frozenset(moodle.tables) - kept_reasons(rules, kept).keys(),
        rows=kept_rows(rules, kept),
        moved=names,
        live=frozenset(node.table for rule in rules if rule.live for node in rule.traces),
        since=int((frozen or now()).replace(tzinfo=UTC).timestamp()),
    )


def foreseen(campaign: Campaign) -> Iterator[str]:
    """French findings on a plan, before anything moves: rows that it would leave without a reason.

    Row by row: among the rows that go are some that a declared entry would keep, so that numbers alone would let as
    many others pass. Tables that Moodle writes at every page view are left to :func:`leftovers`.
    """
    search, traces = prepare(campaign), all_traces(campaign, Scope(campaign.run))
    with campaign.engine.connect() as connection:
        for name in sorted(search.names - search.live):
            keys = temporary_keys(connection, campaign, name, traces[name]) if name in traces else None
            for (_, code), rows in sorted(_unexpected(connection, search, name, keys).items()):
                yield f"espace {code} : {rows.without_reason(name, 'ligne resterait', 'lignes resteraient')}"


def left_in(connection: sa.Connection, search: Search, name: str) -> Iterator[Finding]:
    """What is left in one table."""
    for (courseid, code), found in sorted(_unexpected(connection, search, name).items()):
        left = found.without_reason(name, "ligne reste", "lignes restent")
        if_kept = "déclarez-la si elle doit rester" if found.count == 1 else "déclarez-les si elles doivent rester"
        yield Finding(
            f"espace {code} : {left} ; {if_kept} (rows_kept d'une règle, rows de kept_tables.yaml), puis"
            " « Réinitialiser » sur verify, avant que l'on n'y travaille",
            courseid,
        )
    for step in search.references.links(name):
        if step.parent in search.moved and (count := connection.execute(_orphans(search, name, step)).scalar_one()):
            rows = counted(count, "ligne reste", "lignes restent")
            yield Finding(f"table {name} : {rows} sans parent, celui de {step.parent} étant parti")


def strayed(connection: sa.Connection, search: Search, name: str) -> Iterator[Finding]:
    """Rows of one table that this run moved though they are, by what they say themselves, of another space."""
    keys, gone = frozen_keys(search.campaign, name), archive_table(search.campaign, name).alias("gone")
    here, mine = keys.join(gone, gone.c.id == keys.c.id), keys.c.run == search.campaign.run
    if is_view(connection, keys):
        # The archive is read from end to end: by its keys, the server would jump for every row of the log.
        keys, mine = at_spaces(connection, search.campaign, name, gone)
        here = gone.join(keys, mine)
    conditions = [*_other_place(search, name, keys, gone), *_other_parent(search, name, keys, gone)]
    if conditions:
        query = sa.select(sa.func.count()).select_from(here)
        query = query.where(mine, sa.or_(*conditions)).prefix_with("STRAIGHT_JOIN")
        if count := connection.execute(query).scalar():
            rows = counted(count, "ligne déplacée est", "lignes déplacées sont")
            yield Finding(f"table {name} : {rows} d'un autre espace que celui de la règle, à restaurer")


def _unexpected(
    connection: sa.Connection, search: Search, name: str, planned: sa.Table | None = None
) -> dict[tuple[int, str], _Rows]:
    """Rows of one table that no declared entry keeps, by space (id and code); ``planned``: keys of rows that go."""
    found: dict[tuple[int, str], _Rows] = {}
    for way in locate(search.campaign, name, _in_scope(search.campaign), search.references.indexed_places(name)):
        for courseid, code, count, first in connection.execute(_undeclared(search, name, way, planned)):
            rows = _Rows(count, first)
            found[courseid, code] = max(rows, found.get((courseid, code), rows))
    return found


def _in_scope(campaign: Campaign) -> sa.Select[*tuple[Any, ...]]:
    decision = tables.decision.c
    return sa.select(decision.courseid, decision.code).where(
        decision.run == campaign.run, decision.in_scope == sa.true()
    )


def _undeclared(search: Search, name: str, way: Located, planned: sa.Table | None) -> sa.Select[*tuple[Any, ...]]:
    """How many rows no declared entry keeps, and the first one's id, by space; those ``planned`` to go aside."""
    space = (way.spaces.c.courseid, way.spaces.c.code)
    stay = [_stays(search, way, entry) for entry in search.rows if entry.table == name]
    # IS NOT TRUE, not NOT: a NULL in a condition must not hide a row.
    conditions: list[sa.ColumnElement[bool]] = [condition.is_not(sa.true()) for condition in stay]
    moment = next((column for column in _MOMENTS if column in way.rows.c), None)
    if name in search.live and moment:
        conditions.append(way.rows.c[moment] < search.since)
    if (given := given_again(search.campaign, name, way.rows)) is not None:
        conditions.append(~given)
    rows = way.joins
    if planned is not None:
        rows = rows.outerjoin(planned, planned.c.id == way.rows.c.id)
        conditions.append(planned.c.id.is_(None))
    id_ = way.rows.c.id
    query = sa.select(*space, sa.func.count(id_.distinct()), sa.func.min(id_)).select_from(rows)
    return query.where(*conditions).group_by(*space)


def _stays(search: Search, way: Located, entry: KeptRows) -> sa.ColumnElement[bool]:
    """Whether a declared entry keeps the row."""
    conditions = [_fulfils(search, way.rows, entry, column, test) for column, test in entry.where.items()]
    if entry.users:
        person = way.rows.c[entry.users.column]
        match entry.users.standing:
            case "teacher":
                conditions.append(_stands(search, way, person, ("teacher",)))
            case "not leaving":
                conditions.append(~_stands(search, way, person, ("leaving",)))
            case "not student":
                conditions.append(~_stands(search, way, person, ("leaving", "staying")))
    if entry.named_by:
        owner, _, column = entry.named_by.partition(".")
        if owner not in search.campaign.moodle:
            return sa.false()
        naming = search.campaign.moodle[owner].alias("naming")
        conditions.append(sa.exists().where(naming.c[column] == way.rows.c.id).correlate_except(naming))
    return sa.and_(sa.true(), *conditions)


def _fulfils(search: Search, rows: Alias, entry: KeptRows, column: str, test: Test) -> sa.ColumnElement[bool]:
    owner, _, own = column.rpartition(".")
    if not owner:
        return matches(rows.c[column], test)
    by = entry.by or next(step.column for step in search.references.links(entry.table) if step.parent == owner)
    above = search.campaign.moodle[owner].alias("declared")
    found = sa.exists().where(above.c.id == rows.c[by], matches(above.c[own], test))
    return found.correlate_except(above)


def _stands(
    search: Search, way: Located, person: sa.ColumnElement[int], standings: tuple[str, ...]
) -> sa.ColumnElement[bool]:
    people = tables.standing.alias("people")
    found = sa.exists().where(
        people.c.run == search.campaign.run,
        people.c.courseid == way.spaces.c.courseid,
        people.c.userid == person,
        people.c.standing.in_(standings),
    )
    return found.correlate_except(people)


def _orphans(search: Search, name: str, step: Step) -> sa.Select[int]:
    """Number of rows that name a row which this run moved."""
    rows, keys = search.campaign.moodle[name].alias("rows_left"), frozen_keys(search.campaign, step.parent)
    return (
        sa.select(sa.func.count())
        .select_from(keys.join(rows, rows.c[step.column] == keys.c.id))
        .where(keys.c.run == search.campaign.run)
    )


def _other_place(search: Search, name: str, keys: sa.Table, gone: Alias) -> Iterator[sa.ColumnElement[bool]]:
    """The row's own columns, or those of the rows above that are still there, do not name the space of the rule."""
    moodle = search.campaign.moodle
    for place in search.references.near_places(name):
        up = [gone, *(moodle[step.parent].alias(f"up_{number}") for number, step in enumerate(place.steps))]
        joined = [above.c.id == up[number].c[place.steps[number].column] for number, above in enumerate(up[1:])]
        other = _names_other(search, up[-1], place, keys.c.courseid)
        yield sa.exists().where(*joined, other).correlate(keys, gone) if joined else other


def _names_other(search: Search, rows: Alias, place: Place, courseid: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Whether rows name, by the column where their way ends, a course other than that one."""
    moodle, column = search.campaign.moodle, rows.c[place.column]
    if place.kind == "course":
        return sa.and_(column > 0, column != courseid)
    if place.kind == "context":
        space, context = tables.space_context.alias("place"), moodle["context"].alias("named")
        inside = sa.exists().where(
            space.c.run == search.campaign.run, space.c.courseid == courseid, space.c.contextid == column
        )
        of_a_course = sa.exists().where(context.c.id == column, context.c.contextlevel.in_(_IN_A_COURSE))
        return sa.and_(~inside.correlate_except(space), of_a_course.correlate_except(context))
    cm, modules = moodle["course_modules"].alias("cm"), moodle["modules"].alias("kind")
    if place.kind == "module":
        return sa.exists().where(cm.c.id == column, cm.c.course != courseid).correlate_except(cm)
    of_kind = sa.and_(cm.c.instance == column, cm.c.module == modules.c.id, modules.c.name == rows.c.modulename)
    return sa.exists().where(of_kind, cm.c.course != courseid).correlate_except(cm, modules)


def _other_parent(search: Search, name: str, keys: sa.Table, gone: Alias) -> Iterator[sa.ColumnElement[bool]]:
    """The row above was moved for another space."""
    for number, step in enumerate(search.references.links(name)):
        if step.parent in search.moved:
            above = frozen_keys(search.campaign, step.parent).alias(f"above_{number}")
            of_row = sa.and_(above.c.run == search.campaign.run, above.c.id == gone.c[step.column])
            yield sa.exists().where(of_row, above.c.courseid != keys.c.courseid).correlate_except(above)
