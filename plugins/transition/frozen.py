"""The keys of what moves, written down at the freeze, of each table in the form that its way needs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.key_views import is_view, whole_by, write_down, write_spaces
from transition.keys import count_keys, count_rows, create_frozen_keys, frozen_keys, temporary_keys
from transition.moodle.database import last_id, quoted
from transition.move import archive_table, create_archive_table
from transition.plan import Lines
from transition.rules.compile import Scope, Trace
from transition.side_by_side import side_by_side
from transition.state import tables
from transition.traces import all_traces
from transition.ways import SWAP, choose_all, load_ways, store_way


def freeze_keys(campaign: Campaign) -> Lines:
    """Write down which rows go, of every table, and which way; returns their counts, those of the plan once more.

    A table that goes by whole spaces and is to be swapped gets a view of its keys; any other gets a key table.
    """

    def freeze(table: tuple[str, list[Trace]]) -> Lines:
        name, traces = table
        with campaign.engine.connect() as connection:
            counts = _freeze_table(connection, campaign, name, traces)
            connection.commit()
        return {(rule, name, courseid): rows for (rule, courseid), rows in counts.items()}

    lines: Lines = {}
    for own in side_by_side(freeze, all_traces(campaign, Scope(campaign.run)).items()):
        lines |= own
    return lines


def write_keys_ahead(campaign: Campaign) -> None:
    """Turn into tables the key views of an earlier run to which the freeze is to add keys, as far as the plan tells.

    For the time when Moodle is still open. Does nothing twice, and goes on after a kill at any point.
    """
    with campaign.lock("freeze"), campaign.engine.connect() as connection:
        for name, way in load_ways(campaign).items():
            if way.way != SWAP:
                write_down(connection, campaign, frozen_keys(campaign, name))


def _freeze_table(
    connection: sa.Connection, campaign: Campaign, name: str, traces: Sequence[Trace]
) -> Mapping[tuple[str, int], int]:
    """The counts are by (rule, courseid)."""
    whole, selected, last = whole_by(traces), None, 0
    if whole:
        last = last_id(connection, campaign.moodle[name])
        counts = count_rows(connection, campaign, name, [_up_to(last, trace) for trace in traces])
    else:
        selected = temporary_keys(connection, campaign, name, traces)
        counts = count_keys(connection, selected)
    if not counts:
        return {}
    way = choose_all(campaign, {(rule, name, courseid): rows for (rule, courseid), rows in counts.items()})[name]
    store_way(connection, campaign, name, way)
    connection.commit()  # other tables' ways are being stored meanwhile
    keys = frozen_keys(campaign, name)
    if whole and way.way == SWAP:
        if not is_view(connection, keys):  # keys of a stopped run that moved nothing: the archive has no row
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {quoted(keys)}"))
        write_spaces(connection, campaign, name, whole, {courseid: last for _, courseid in sorted(counts)})
        return counts
    if selected is None:
        selected = temporary_keys(connection, campaign, name, traces)
        counts = count_keys(connection, selected)
    write_down(connection, campaign, keys)
    create_frozen_keys(connection, keys)
    connection.execute(sa.delete(keys).where(keys.c.run == campaign.run))
    chosen = sa.select(sa.literal(campaign.run), selected.c.id, selected.c.courseid, selected.c.rule)
    connection.execute(sa.insert(keys).from_select(["run", "id", "courseid", "rule"], chosen))
    if way.way != SWAP:
        create_archive_table(connection, campaign, name)
        _drop_copies(connection, campaign, name, keys)
    return counts


def _up_to(last: int, trace: Trace) -> Trace:
    """The rows of a trace that were there when ``last`` was the table's last id."""
    return replace(trace, rows=trace.rows.where(trace.rows.selected_columns["id"] <= last))


def _drop_copies(connection: sa.Connection, campaign: Campaign, name: str, keys: sa.Table) -> None:
    """Rows that an earlier swap kept have a copy in the archive, which must not be in the way of those that go now."""
    way, archive = tables.way.c, archive_table(campaign, name)
    swapped = sa.select(way.run).where(way.table_name == name, way.way == SWAP, way.state == "done")
    if connection.execute(swapped.limit(1)).first():
        connection.execute(
            sa.text(
                f"DELETE t FROM {quoted(keys)} k STRAIGHT_JOIN {quoted(archive)} t ON t.id = k.id WHERE k.run = :run"
            ),
            {"run": campaign.run},
        )
