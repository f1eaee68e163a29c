"""The rows that a backup holds: which they are, what state they are in, and how they are read."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import sqlalchemy as sa
from MySQLdb.cursors import SSCursor

from transition.campaign import Campaign
from transition.checksum import row_checksum, rows_checksum
from transition.key_views import Whole, whole_by
from transition.keys import temporary_keys
from transition.moodle.database import quoted
from transition.rules.compile import COURSE, Scope, Trace
from transition.state import tables
from transition.traces import all_traces

CHUNK_BYTES = 8 * 2**20  # of texts and blobs
# For one space in so many a table is read from end to end: in the time of one look-up, as many rows are read in order.
_SHARE = 20
CHUNK_ROWS = 5_000  # as Python holds them, a row of the log takes a kilobyte
_FETCHED = 20  # rows whose size is not known yet


class State(NamedTuple):
    """The rows of one space in one table: how many, and their checksum."""

    rows: int = 0
    checksum: int = 0

    def joined(self, other: "State") -> "State":
        """The state of the rows of both; none may be in both."""
        return State(self.rows + other.rows, self.checksum ^ other.checksum)


@dataclass(frozen=True)
class Selected:
    """The rows of a Moodle table that a backup holds, and the space of each, as one connection sees them.

    :param source: what is selected from, in the order in which the server is to read it: the table and the spaces that
        are wanted, or a table of keys (id, courseid) and the table. :param id: by which to read the rows in the table's
        own order.
    """

    connection: sa.Connection
    table: sa.Table
    source: sa.Join
    id: sa.ColumnElement[int]
    courseid: sa.ColumnElement[int]

    @classmethod
    def by_keys(cls, connection: sa.Connection, table: sa.Table, keys: sa.Table) -> Self:
        """The rows whose keys are in a table of keys."""
        source = keys.join(table, table.c.id == keys.c.id)
        return cls(connection, table, source, keys.c.id, keys.c.courseid)

    @classmethod
    def of_spaces(cls, connection: sa.Connection, table: sa.Table, column: str, spaces: sa.Table) -> Self:
        """Every row of the spaces in a table of spaces (courseid), which a column of the table names.

        The table is read from end to end: from the spaces, the server would follow an index and jump for every row.
        """
        source = table.join(spaces, spaces.c.courseid == table.c[column])
        return cls(connection, table, source, table.c.id, spaces.c.courseid)

    def states(self, ids: range | None = None) -> dict[int, State]:
        """The state of each space that has rows, by course id. ``ids``: the rows among which; by default, all."""
        query = self._select(self.courseid, sa.func.count(), rows_checksum(self.table)).group_by(self.courseid)
        if ids is not None:
            query = query.where(self.table.c.id >= ids.start, self.table.c.id < ids.stop)
        found = self.connection.execute(query).all()
        return {courseid: State(rows, int(checksum)) for courseid, rows, checksum in found}

    def batches(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        """The rows of :meth:`in_order`, streamed: a few thousand at a time, fewer where they are large."""
        query = str(self.in_order().compile(dialect=self.connection.dialect))
        batch: list[tuple[Any, ...]] = []
        held = 0
        # The driver's own cursor and tuples: SQLAlchemy's rows take as long again.
        with closing(self.connection.connection.cursor(SSCursor)) as cursor:
            cursor.execute(query)
            while rows := cursor.fetchmany(_FETCHED):
                batch += rows
                held += sum(row[2] for row in rows)
                if held >= CHUNK_BYTES or len(batch) >= CHUNK_ROWS:
                    yield batch
                    batch, held = [], 0
        if batch:
            yield batch

    def in_order(self) -> sa.Select[Any]:
        """The rows by id, whatever their space: the course id, the checksum, the size, then Moodle's columns.

        In this order the server reads its table from one end to the other; by space, it would jump for every row.
        """
        columns = [_exact(column) for column in self.table.c]
        return self._select(self.courseid, row_checksum(self.table), _size(self.table), *columns).order_by(self.id)

    def _select(self, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        return sa.select(*columns).select_from(self.source).prefix_with("STRAIGHT_JOIN")


def reads_whole(campaign: Campaign, traces: Sequence[Trace], courses: Collection[int]) -> Whole | None:
    """By which column a table is read from end to end, without keys: it names each row's space, and enough are wanted.

    None: its rows are read by their keys.
    """
    whole = whole_by(traces)
    if whole is None:
        return None
    with campaign.engine.connect() as connection:
        query = sa.select(sa.func.count()).select_from(campaign.moodle["course"])
        return whole if _SHARE * len(courses) >= connection.execute(query).scalar_one() else None


def backup_traces(campaign: Campaign) -> dict[str, list[Trace]]:
    """Every trace of every space that the run concerns, whoever left it, by table."""
    return all_traces(campaign, Scope(campaign.run, everything=True))


@contextmanager
def selected_rows(
    campaign: Campaign, name: str, traces: Sequence[Trace], courses: Collection[int]
) -> Iterator[Selected]:
    """The rows of all the traces of a table in these spaces; what is read of them comes from one consistent snapshot.

    The keys, if it is read by keys, are selected just before the snapshot: an INSERT ... SELECT inside it would lock
    Moodle's rows. A row written in between is in neither rows nor state: the space's next state differs, and it is
    backed up again.
    """
    table, whole = campaign.moodle[name], reads_whole(campaign, traces, courses)
    with campaign.engine.connect() as connection:
        if whole:
            chosen = _temporary_spaces(connection, campaign, courses)
            selected = Selected.of_spaces(connection, table, whole.column, chosen)
        else:
            chosen = temporary_keys(connection, campaign, name, [within(trace, courses) for trace in traces])
            selected = Selected.by_keys(connection, table, chosen)
        connection.commit()
        try:
            consistent_snapshot(connection)
            yield selected
        finally:
            if not connection.invalidated:
                connection.rollback()
                connection.execute(sa.text(f"DROP TEMPORARY TABLE IF EXISTS {quoted(chosen)}"))


def _temporary_spaces(connection: sa.Connection, campaign: Campaign, courses: Collection[int]) -> sa.Table:
    """A table of course ids; not a list of them, which MariaDB may take for a table and read first."""
    table = sa.Table(
        "spaces", sa.MetaData(), sa.Column("courseid", sa.BigInteger, primary_key=True), schema=campaign.state_schema
    )
    connection.execute(sa.text(f"DROP TEMPORARY TABLE IF EXISTS {quoted(table)}"))
    connection.execute(sa.text(f"CREATE TEMPORARY TABLE {quoted(table)} (courseid BIGINT NOT NULL PRIMARY KEY)"))
    connection.execute(sa.insert(table), [{"courseid": courseid} for courseid in courses])
    return table


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
    values = tuple(replace(each, filled=each.filled.where(*_among(each.filled, courses))) for each in trace.values)
    return replace(trace, rows=trace.rows.where(*_among(trace.rows, courses)), values=values)


def _among(query: sa.Select[int, int] | sa.Select[Any], courses: Collection[int]) -> Iterator[sa.ColumnElement[bool]]:
    """The condition on the spaces of what is selected; none where it names no space."""
    if "courseid" in query.selected_columns:
        courseid = query.selected_columns["courseid"]
        column = courseid.element if isinstance(courseid, sa.Label) else courseid
        yield column.in_(courses)


def _size(table: sa.Table) -> sa.ColumnElement[int]:
    """The bytes of a row's texts and blobs."""
    large = [column for column in table.c if isinstance(column.type, sa.Text | sa.LargeBinary)]
    sizes = (f"COALESCE(OCTET_LENGTH({quoted(table)}.{quoted(column.name)}), 0)" for column in large)
    return sa.literal_column(" + ".join(("0", *sizes)), sa.BigInteger)


def _exact(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """A FLOAT is sent with six digits only; as a DOUBLE it is sent with all."""
    return (column * sa.literal_column("1e0")).label(column.name) if isinstance(column.type, sa.Double) else column
