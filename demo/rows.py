"""Rows waiting for their tables: ids are given here, and each table is written in bulk at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from demo.catalogue import Table, read_catalogue

BATCH = 2000

Value = str | int | float | None


class Rows:
    """Buffers rows of Moodle's tables; a column that a row does not name gets the catalogue's default."""

    def __init__(self) -> None:
        self._tables: dict[str, _Buffer] = {}

    def add(self, table: str, **values: Value) -> int:
        """Add a row and return its id. An unknown table or column raises KeyError."""
        buffer = self._tables.get(table)
        if buffer is None:
            buffer = self._tables[table] = _Buffer(read_catalogue()[table])
        return buffer.add(values)

    def change(self, table: str, row_id: int, **values: Value) -> None:
        """Change columns of a row that was added before."""
        self._tables[table].change(row_id, values)

    def get(self, table: str, row_id: int, column: str) -> Any:
        """Return one value of a row that was added before."""
        return self._tables[table].get(row_id, column)

    def each(self, table: str) -> Iterator[dict[str, Any]]:
        """Yield every row added to `table`, as a mapping."""
        if table in self._tables:
            yield from self._tables[table].each()

    def count(self) -> int:
        """Return how many rows wait, in all tables."""
        return sum(len(buffer.rows) for buffer in self._tables.values())

    def write(self, connection: Connection, prefix: str = "mdl_") -> None:
        """Insert everything; the tables must be empty, since ids start at 1."""
        for name, buffer in self._tables.items():
            columns = ", ".join(f"`{column}`" for column in buffer.columns)
            marks = ", ".join(["%s"] * len(buffer.columns))
            statement = f"INSERT INTO `{prefix}{name}` ({columns}) VALUES ({marks})"  # noqa: S608 - our catalogue's names
            for start in range(0, len(buffer.rows), BATCH):
                batch = [tuple(row) for row in buffer.rows[start : start + BATCH]]
                connection.exec_driver_sql(statement, batch)


class _Buffer:
    def __init__(self, table: Table) -> None:
        self._name = table.name
        self.columns = [column.name for column in table.columns]
        self._place = {name: place for place, name in enumerate(self.columns)}
        self._id = self._place["id"]
        self._blank: list[Value] = [column.filler for column in table.columns]
        self.rows: list[list[Value]] = []

    def add(self, values: dict[str, Value]) -> int:
        row = self._blank.copy()
        try:
            for name, value in values.items():
                row[self._place[name]] = value
        except KeyError as unknown:
            raise KeyError(f"{self._name} has no column {unknown}") from None
        self.rows.append(row)
        row[self._id] = len(self.rows)
        return len(self.rows)

    def change(self, row_id: int, values: dict[str, Value]) -> None:
        row = self.rows[row_id - 1]
        for name, value in values.items():
            row[self._place[name]] = value

    def get(self, row_id: int, column: str) -> Any:
        return self.rows[row_id - 1][self._place[column]]

    def each(self) -> Iterator[dict[str, Any]]:
        for row in self.rows:
            yield dict(zip(self.columns, row, strict=True))
