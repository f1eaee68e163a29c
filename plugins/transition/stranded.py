"""Rows that a stopped run had chosen to move, and that no rule finds any more: what they hung from has moved already.

A run that was killed between two tables of a rule may have moved a row and not those that hang from it. Their path is
lost, but not their keys: the run had written them down when its plan was approved. They are traces of the next run too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.keys import frozen_keys
from transition.moodle.database import MoodleDatabase
from transition.rules.branches import Branch, branches
from transition.rules.compile import BY_VALUE, Alias, Scope, Trace, Values, in_areas, link, values_table
from transition.rules.model import TextPattern
from transition.state import tables

_TABLES = sa.text("SELECT table_name FROM information_schema.tables WHERE table_schema = :schema")


@dataclass(frozen=True)
class _Begun:
    """A rule's keys in a table, frozen by earlier runs (their numbers) that began to move."""

    rule: str
    table: str
    runs: tuple[int, ...]


def stranded_traces(campaign: Campaign, scope: Scope) -> Iterator[Trace]:
    """The traces, by rule and table, of the year's earlier runs that began to move; none in a year without any, nor of
    what is no longer in the archive schema: it has expired, and the keys with it."""
    begun = _begun(campaign)
    known = branches(campaign.moodle) if begun else {}
    for keys in begun:
        paths = known.get((keys.rule, keys.table), [])
        # What hangs from the space or the activity itself is found by its rule; a text names no row to look for.
        if any(path.above for path in paths) and not any(isinstance(path.by, TextPattern) for path in paths):
            yield _trace(campaign, scope, keys, paths)


def _begun(campaign: Campaign) -> list[_Begun]:
    progress, run = tables.progress.c, tables.run.c
    moved = sa.select(progress.run).where(progress.moved > 0).distinct()
    query = (
        sa.select(progress.rule, progress.table_name, progress.run)
        .join(tables.run, run.number == progress.run)
        .where(run.year == campaign.year, run.number < campaign.run, progress.run.in_(moved))
        .order_by(progress.rule, progress.table_name, progress.run)
    )
    runs: dict[tuple[str, str], list[int]] = {}
    with campaign.engine.connect() as connection:
        there = set(connection.execute(_TABLES, {"schema": campaign.archive_schema}).scalars())
        for rule, table, number in connection.execute(query):
            if frozen_keys(campaign, table).name in there:
                runs.setdefault((rule, table), []).append(number)
    return [_Begun(rule, table, tuple(numbers)) for (rule, table), numbers in runs.items()]


def _trace(campaign: Campaign, scope: Scope, begun: _Begun, paths: Sequence[Branch]) -> Trace:
    decision, keys = tables.decision, frozen_keys(campaign, begun.table)
    rows = campaign.moodle[begun.table].alias("stranded")
    joins = keys.join(rows, rows.c.id == keys.c.id)
    conditions = [keys.c.run.in_(begun.runs), keys.c.rule == begun.rule]
    values: list[Values] = []
    for number, path in enumerate(paths):
        leads_up, needed = _leads_up(campaign.moodle, path, rows, number)
        conditions.append(~leads_up)
        values += needed
    query = sa.select(rows.c.id, keys.c.courseid.label("courseid")).prefix_with("STRAIGHT_JOIN")
    if scope.everything:
        return Trace(begun.rule, begun.table, query.select_from(joins).where(*conditions), values=tuple(values))
    # The run's spaces lead: most keys are of spaces that the earlier runs have done, and would all be looked up.
    joins = decision.join(keys, keys.c.courseid == decision.c.courseid).join(rows, rows.c.id == keys.c.id)
    conditions += [decision.c.run == scope.run, decision.c.in_scope == sa.true()]
    query = query.select_from(joins).where(*conditions).with_hint(keys, "FORCE INDEX (by_course)")
    return Trace(begun.rule, begun.table, query, values=tuple(values))


def _leads_up(
    moodle: MoodleDatabase, path: Branch, rows: Alias, number: int
) -> tuple[sa.ColumnElement[bool], list[Values]]:
    """Whether every row above, by this path, is still in Moodle; of a path of ``files``, for a file of its areas.

    Where no index leads to the row above, it is looked up among the values that still lead up from there.
    :param number: of the path, among those of the table.
    """
    conditions: list[sa.ColumnElement[bool]] = [in_areas(rows, path.areas)] if path.areas else []
    below, step = rows, path
    while True:
        if not moodle.index(moodle[step.parent], step.to):
            values = _still_there(moodle, step, number)
            value = values.table.alias("value")
            found = sa.select(sa.literal(1)).where(*conditions, link(step.by, below, value.c.value))
            return found.with_hint(value, f"FORCE INDEX ({BY_VALUE})").correlate(rows).exists(), [values]
        above = moodle[step.parent].alias(f"above_{step.depth}")
        conditions.append(step.joins(below, above))
        if step.above is None:
            return sa.exists().where(*conditions).correlate(rows), []
        below, step = above, step.above


def _still_there(moodle: MoodleDatabase, step: Branch, number: int) -> Values:
    """What rows of the table above a branch are named by, as long as every row above them is still in Moodle."""
    first = moodle[step.parent].alias(f"above_{step.depth}")
    joined: sa.FromClause = first
    below, up = first, step.above
    while up:
        above = moodle[up.parent].alias(f"above_{up.depth}")
        joined = joined.join(above, up.joins(below, above))
        below, up = above, up.above
    named = first.c[step.to]
    filled = sa.select(named).distinct().select_from(joined).prefix_with("STRAIGHT_JOIN")
    return Values(values_table(f"above_{step.table}_{number}", named), filled)
