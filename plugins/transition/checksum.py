"""Checksums of rows, computed by the database server."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import BIGINT

from transition.moodle.database import quoted


def rows_checksum(table: sa.Table | sa.Subquery, without: Collection[str] = ()) -> sa.ColumnElement[int]:
    """An aggregate of :func:`row_checksum`: 63 bits that change when any row, or the set of rows, changes.

    The order of rows does not matter.
    """
    return sa.literal_column(f"BIT_XOR(CAST({_of_row(table, without)} AS UNSIGNED))", BIGINT(unsigned=True))


def row_checksum(table: sa.Table) -> sa.ColumnElement[int]:
    """63 bits that change when any column of a row changes; all of a set's, by XOR, are its :func:`rows_checksum`."""
    return sa.literal_column(_of_row(table), BIGINT(unsigned=True))


def _of_row(table: sa.Table | sa.Subquery, without: Collection[str] = ()) -> str:
    """A CRC of the row, which a change escapes once in four billion, and which costs a server that reads the row next
    to nothing: a digest like MD5 takes longer than the reading.

    :param table: among what the statement selects from, with its ``id`` (or ``courseid``); a subquery has a name.
    :param without: columns to leave out.
    """
    # As text: SQLAlchemy takes five times as long to compile the functions one by one, for six hundred tables.
    name = quoted(table if isinstance(table, sa.Table) else table.name)
    row = ", ".join(_value(name, column) for column in table.c if column.name not in without)
    # CRCs alone would cancel each other out when two rows exchange a value: each counts times a factor of its own.
    number = "id" if "id" in table.c else "courseid"  # of the archive's table of spaces
    return f"CRC32(CONCAT_WS('|', {row})) * (1 + MOD({name}.{number}, 2147483647))"


def _value(table: str, column: sa.ColumnElement[object]) -> str:
    """A column's value as text that no separator can be mistaken in; texts by their CRC, NULL told from ''."""
    name = f"{table}.{quoted(str(column.key))}"
    # A row of CRCs stays small enough for max_allowed_packet, whatever its texts and their character sets.
    value = f"CRC32({name})" if isinstance(column.type, sa.Text | sa.LargeBinary) else name
    return f"COALESCE({value}, '-')"
