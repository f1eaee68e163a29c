"""Checksums of rows, computed by the database server."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import BIGINT


def rows_checksum(table: sa.FromClause, without: Collection[str] = ()) -> sa.ColumnElement[int]:
    """An aggregate: 64 bits that change when any row, any column of any row, or the set of rows changes.

    The order of rows does not matter. ``id`` is always part of a row, so equal rows cannot cancel each other out.
    :param without: columns to leave out.
    """
    row = sa.func.concat_ws("|", *(_value(column) for column in table.c if column.name not in without))
    half = sa.func.conv(sa.func.substring(sa.func.md5(row), 1, 16), 16, 10)
    return sa.func.bit_xor(sa.cast(half, BIGINT(unsigned=True)))


def _value(column: sa.ColumnElement[object]) -> sa.ColumnElement[str]:
    """A column's value as text that no separator can be mistaken in; long ones by their digest, NULL told from ''."""
    if isinstance(column.type, sa.Text | sa.LargeBinary):
        # Quoting costs half of what a digest does; a row of digests stays small enough for max_allowed_packet.
        # As bytes: columns of a table may have different character sets.
        raw = sa.cast(column, sa.LargeBinary)
        return sa.case((sa.func.octet_length(raw) > 200, sa.func.md5(raw)), else_=sa.func.quote(raw))
    return sa.func.coalesce(column, "-")
