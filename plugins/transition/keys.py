"""Which rows go: the ids that the rules select, in key tables.

A key table has columns rule, id (of the Moodle table) and courseid. A row that two rules reach is the first rule's.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.key_views import create_key_table, is_view, whole_by
from transition.moodle.database import made_once, quoted
from transition.rules.compile import Trace


def temporary_keys(connection: sa.Connection, campaign: Campaign, name: str, traces: Iterable[Trace]) -> sa.Table:
    """A key table of the Moodle table ``name``, filled from its traces; it lives as long as the connection."""
    table = _key_table(f"keys_{name}", campaign.state_schema)
    connection.execute(sa.text(f"DROP TEMPORARY TABLE IF EXISTS {quoted(table)}"))
    connection.execute(
        sa.text(
            f"CREATE TEMPORARY TABLE {quoted(table)} (id BIGINT NOT NULL PRIMARY KEY, courseid BIGINT NOT NULL,"
            " rule VARCHAR(40) NOT NULL) ENGINE=InnoDB"
        )
    )
    for trace in traces:
        insert_keys(connection, table, trace, {"rule": trace.rule})
    return table


def insert_keys(connection: sa.Connection, table: sa.Table, trace: Trace, also: Mapping[str, Any]) -> None:
    """Add the rows that a trace selects to a key table, but for those that it has; ``also``: its further columns."""
    fill_values(connection, trace)
    rows = trace.rows.add_columns(*map(sa.literal, also.values()))
    connection.execute(sa.insert(table).from_select(["id", "courseid", *also], rows).prefix_with("IGNORE"))


def fill_values(connection: sa.Connection, trace: Trace) -> None:
    """Make and fill the temporary tables that a trace reads."""
    for values in trace.values:
        connection.execute(sa.schema.CreateTable(values.table, if_not_exists=True))
        connection.execute(sa.delete(values.table))  # a connection may have filled it before
        columns = [column.name for column in values.table.c]
        connection.execute(sa.insert(values.table).from_select(columns, values.filled))


def frozen_keys(campaign: Campaign, name: str) -> sa.Table:
    """The key table of the Moodle table ``name`` in the archive schema; ``run``: the run that froze the key."""
    return _key_table(f"key_{name}", campaign.archive_schema, "run")


def create_frozen_keys(connection: sa.Connection, keys: sa.Table) -> None:
    """Create a frozen key table if it is missing."""
    create_key_table(connection, quoted(keys))


def count_rows(
    connection: sa.Connection, campaign: Campaign, name: str, traces: Sequence[Trace]
) -> Mapping[tuple[str, int], int]:
    """Number of rows that traces of the Moodle table ``name`` select, by (rule, courseid), each row once."""
    whole = whole_by(traces)
    if whole is None:
        return count_keys(connection, temporary_keys(connection, campaign, name, traces))
    rows = traces[0].rows
    courseid = rows.selected_columns["courseid"]
    # Not a derived table: merging it, the server would forget its order of joins.
    query = rows.with_only_columns(courseid, sa.func.count(), maintain_column_froms=True).group_by(courseid)
    return {(whole.rule, courseid): count for courseid, count in connection.execute(query)}


def count_keys(connection: sa.Connection, keys: sa.Table, run: int | None = None) -> Mapping[tuple[str, int], int]:
    """Number of keys by (rule, courseid); of one run, for frozen keys."""
    query = sa.select(keys.c.rule, keys.c.courseid, sa.func.count()).group_by(keys.c.rule, keys.c.courseid)
    if run is not None:
        if is_view(connection, keys):  # of one rule: grouped by the spaces alone, it is read in its own order
            query = sa.select(sa.func.min(keys.c.rule), keys.c.courseid, sa.func.count()).group_by(keys.c.courseid)
        query = query.where(keys.c.run == run)
    return {(rule, courseid): count for rule, courseid, count in connection.execute(query)}


@made_once
def _key_table(name: str, schema: str, *before: str) -> sa.Table:
    return sa.Table(
        name, sa.MetaData(), *(sa.Column(column, sa.Integer, primary_key=True) for column in before),
        sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("courseid", sa.BigInteger),
        sa.Column("rule", sa.String(40)), schema=schema,
    )  # fmt: skip
