"""Rows of a space that the archive schema should still hold and does not.

A table that was dropped or emptied to gain room, a schema that came back from an older dump: without this, a restore
would put the rest back and call the space whole.
"""

from collections import Counter
from collections.abc import Collection, Mapping

import sqlalchemy as sa

from transition.restore.held import Held
from transition.restore.history import Space
from transition.restore.put_back import STAGE, Wanted
from transition.state import tables


def missing_rows(held: Held, space: Space, wanted: Wanted) -> dict[str, int]:
    """How many of the wanted rows that the space's resets moved are not in the archive schema any more, by table.

    A row that comes back takes its keys along, in one transaction: a key of what a run has moved whose row is not held
    is a row that was lost. Where no key of the run is left to say so (a view over the rows, a key table that went with
    them), the journal does: rows moved, without those that came back and those still held.
    """
    runs = [reset.run for reset in space.resets]
    with held.campaign.engine.connect() as connection:
        lost = _by_keys(connection, held, runs, wanted)
        for name, rows in _by_journal(connection, held, space, wanted).items():
            lost[name] = max(rows, lost.get(name, 0))
    return {name: rows for name, rows in sorted(lost.items()) if rows > 0}


def _by_keys(connection: sa.Connection, held: Held, runs: Collection[int], wanted: Wanted) -> dict[str, int]:
    """The keys, by table, of rows that the runs moved and that are not held."""
    moved = tables.progress.c
    begun = sa.select(moved.table_name).where(moved.run.in_(runs), moved.moved > 0).distinct()
    names = [name for name in connection.execute(begun).scalars() if held.has_keys(name)]
    counts = [_keys_alone(held, name, runs, wanted) for name in names]
    found = connection.execute(sa.union_all(*counts)).all() if counts else []
    return {str(name): int(rows) for name, rows in found}


def _keys_alone(held: Held, name: str, runs: Collection[int], wanted: Wanted) -> sa.Select[str, int]:
    keys, moved = held.keys(name), tables.progress
    by_run = sa.and_(moved.c.run == keys.c.run, moved.c.rule == keys.c.rule, moved.c.table_name == name)
    joined = keys.join(moved, by_run)
    # A stopped run has keys of rows that it never came to move: chunks go by the ids, a swap is done or is not.
    conditions = [sa.or_(moved.c.done, keys.c.id <= moved.c.last_id), moved.c.run.in_(runs)]
    if held.has_rows(name):
        table = held.table(name)
        joined = joined.outerjoin(table, table.c.id == keys.c.id)
        conditions.append(table.c.id.is_(None))
    return (
        sa.select(sa.literal(name), sa.func.count(keys.c.id.distinct()))
        .select_from(joined)
        .where(keys.c.courseid == held.courseid, *conditions, *wanted.of(keys.c.rule))
        .prefix_with("STRAIGHT_JOIN")
    )


def _by_journal(connection: sa.Connection, held: Held, space: Space, wanted: Wanted) -> Mapping[str, int]:
    """What should be held, by table, of what was moved by runs that have no key there any more, or a view of them."""
    entry, moved = tables.journal.c, tables.progress.c
    # What an unfinished move took is journalled by a later run, from whatever has left Moodle by then: it may be more.
    done = sa.and_(
        moved.run == entry.run, moved.rule == entry.rule, moved.table_name == entry.table_name,
        moved.done == sa.true(),
    )  # fmt: skip
    gone = (
        sa.select(entry.table_name, entry.run, sa.func.sum(entry.rows_moved))
        .select_from(tables.journal.join(tables.progress, done))
        .where(entry.run.in_([reset.run for reset in space.resets]), entry.stage == "purge", entry.action == "moved")
        .where(entry.courseid == held.courseid, *wanted.of(entry.rule))
        .group_by(entry.table_name, entry.run)
    )
    of_runs = {(name, run): int(rows) for name, run, rows in connection.execute(gone) if rows}
    keyed = _with_keys(connection, held, of_runs)
    expected = Counter[str]()
    for (name, run), rows in of_runs.items():
        if (name, run) not in keyed:
            expected[name] += rows
    if expected:
        expected.subtract(_taken(connection, held, space))
    for name in expected:
        if held.keys_follow(name) and held.has_rows(name):
            keys = held.keys(name)
            of_space = sa.select(sa.func.count()).select_from(keys).where(keys.c.courseid == held.courseid)
            expected[name] -= connection.execute(of_space).scalar_one()
    return expected


def _with_keys(connection: sa.Connection, held: Held, of_runs: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those of the tables and runs that have keys in a key table, be it of other spaces."""
    probes = [
        sa.select(sa.literal(name), sa.literal(run)).where(sa.exists().where(held.keys(name).c.run == run))
        for name, run in of_runs if held.has_keys(name)
    ]  # fmt: skip
    return {(name, run) for name, run in connection.execute(sa.union_all(*probes))} if probes else set()


def _taken(connection: sa.Connection, held: Held, space: Space) -> dict[str, int]:
    """How many rows restores have taken out of the archive since the first of the resets, by table."""
    entry = tables.journal.c
    query = sa.select(entry.table_name, sa.func.sum(sa.func.coalesce(entry.rows_before, entry.rows_moved))).where(
        entry.year == held.campaign.year, entry.courseid == held.courseid, entry.stage == STAGE,
        entry.action == "restored", entry.at > space.resets[0].frozen_at,
    )  # fmt: skip
    return {name: int(rows) for name, rows in connection.execute(query.group_by(entry.table_name))}
