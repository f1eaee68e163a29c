"""The rows that a backup holds: which they are, what state they are in, and how they are read."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from MySQLdb.cursors import SSCursor

from transition.campaign import Campaign
from transition.checksum import rows_checksum
from transition.keys import temporary_keys
from transition.moodle.database import quoted
from transition.rules.compile import COURSE, Scope, Trace
from transition.state import tables
from transition.traces import all_traces

_CHUNK_BYTES = 8 * 2**20
_CHUNK_ROWS = 20_000


@dataclass(frozen=True)
class State:
    """The rows of one space in one table: how many, their checksum, the bytes of text and blobs of the largest."""

    rows: int
    checksum: int
    largest: int

    @property
    def chunk(self) -> int:
        """How many of these rows to hold in memory at a time, whatever their size."""
        return max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // max(1, self.largest)))


@dataclass(frozen=True)
class Keyed:
    """A Moodle table beside a temporary table of the keys (id, courseid) of the rows that a backup holds."""

    connection: sa.Connection
    table: sa.Table
    keys: sa.Table

    def states(self) -> dict[int, State]:
        """The state of each space that has rows, by course id, in ascending order."""
        table, keys = self.table, self.keys
        sizes = [
            sa.func.coalesce(sa.func.octet_length(c), 0)
            for c in table.c
            if isinstance(c.type, sa.Text | sa.LargeBinary)
        ]
        query = (
            sa.select(
                keys.c.courseid, sa.func.count(), rows_checksum(table), sa.func.max(sum(sizes, start=sa.literal(0)))
            )
            .select_from(keys.join(table, table.c.id == keys.c.id))
            .group_by(keys.c.courseid)
            .order_by(keys.c.courseid)
            .prefix_with("STRAIGHT_JOIN")
        )
        return {
            courseid: State(rows, int(checksum), int(largest))
            for courseid, rows, checksum, largest in self.connection.execute(query)
        }

    def batches(self, states: Mapping[int, State]) -> Iterator[Sequence[tuple[Any, ...]]]:
        """The rows by id, whatever their space, streamed: the course id, then Moodle's columns.

        In this order the server reads its table from one end to the other; by space, it would jump for every row.
        :param states: of the same snapshot; they say how many rows to hold at a time.
        """
        table, keys = self.table, self.keys
        query = (
            sa.select(keys.c.courseid.label("_space"), *(exact(column) for column in table.c))
            .select_from(keys.join(table, table.c.id == keys.c.id))
            .order_by(keys.c.id)
            .prefix_with("STRAIGHT_JOIN")
        )
        largest = {courseid: state.largest for courseid, state in states.items()}
        size = min(state.chunk for state in states.values())
        batch: list[tuple[Any, ...]] = []
        cost = 0
        # The driver's own cursor and tuples: SQLAlchemy's rows take as long again.
        with closing(self.connection.connection.cursor(SSCursor)) as cursor:
            cursor.execute(str(query.compile(dialect=self.connection.dialect)))
            while rows := cursor.fetchmany(size):
                batch += rows
                cost += sum(largest.get(row[0], 0) for row in rows)
                if cost >= _CHUNK_BYTES or len(batch) >= _CHUNK_ROWS:
                    yield batch
                    batch, cost = [], 0
        if batch:
            yield batch


def backup_traces(campaign: Campaign) -> dict[str, list[Trace]]:
    """Every trace of every space that the run concerns, whoever left it, by table."""
    return all_traces(campaign, Scope(campaign.run, everything=True))


@contextmanager
def keyed_rows(campaign: Campaign, name: str, traces: Collection[Trace], courses: Collection[int]) -> Iterator[Keyed]:
    """The rows of these traces in these spaces; what is read from them comes from one consistent snapshot.

    The keys are selected just before the snapshot: an INSERT ... SELECT inside it would lock Moodle's rows. A row
    written in between is in neither rows nor state: the space's next state differs, and it is backed up again.
    """
    of_courses = [within(trace, courses) for trace in traces]
    with campaign.engine.connect() as connection:
        keys = temporary_keys(connection, campaign, name, of_courses)
        connection.commit()
        try:
            consistent_snapshot(connection)
            yield Keyed(connection, campaign.moodle[name], keys)
        finally:
            if not connection.invalidated:
                connection.rollback()
                connection.execute(sa.text(f"DROP TEMPORARY TABLE IF EXISTS {quoted(keys)}"))


def consistent_snapshot(connection: sa.Connection) -> None:
    """Let all that the connection reads, until it commits or rolls back, be of this very moment."""
    connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    connection.execute(sa.text("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"))


def concerned_spaces(campaign: Campaign, *, in_scope: bool = False) -> dict[int, str]:
    """The spaces that the run concerns, or only those it decided to change: course id to code."""
    space, course, decision = tables.space_context, campaign.moodle["course"], tables.decision
    joined = space.join(course, course.c.id == space.c.courseid)
    conditions = [space.c.run == campaign.run, space.c.contextlevel == COURSE]
    if in_scope:
        joined = joined.join(decision, sa.and_(decision.c.run == space.c.run, decision.c.courseid == space.c.courseid))
        conditions.append(decision.c.in_scope == sa.true())
    query = sa.select(course.c.id, course.c.idnumber).select_from(joined).where(*conditions).order_by(course.c.id)
    with campaign.engine.connect() as connection:
        return {courseid: code or "" for courseid, code in connection.execute(query)}


def within(trace: Trace, courses: Collection[int]) -> Trace:
    """The rows of a trace that are in some spaces."""
    courseid = trace.rows.selected_columns["courseid"]
    column = courseid.element if isinstance(courseid, sa.Label) else courseid
    return replace(trace, rows=trace.rows.where(column.in_(courses)))


def exact(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """A FLOAT is sent with six digits only; as a DOUBLE it is sent with all."""
    return (column * sa.literal_column("1e0")).label(column.name) if isinstance(column.type, sa.Double) else column
