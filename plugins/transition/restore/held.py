"""Rows of a course space outside Moodle: in the archive schema, or in a schema filled from a backup."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.keys import frozen_keys
from transition.moodle.database import MoodleDatabase, table_like


@dataclass(frozen=True)
class Held:
    """The rows of one space in a schema of Moodle's server: tables like Moodle's, a key table beside each."""

    campaign: Campaign
    schema: str
    courseid: int
    _tables: dict[str, sa.Table] = field(default_factory=dict, init=False, repr=False, compare=False)

    def table(self, name: str) -> sa.Table:
        """The held rows of the Moodle table ``name``, in the columns that the schema has."""
        if name not in self._tables:
            self._tables[name] = self._table(name)
        return self._tables[name]

    def _table(self, name: str) -> sa.Table:
        moodle = self.campaign.moodle
        present = self._columns.get(f"{moodle.prefix}{name}", [])
        if name in moodle and present == moodle[name].c.keys():
            return table_like(moodle[name], self.schema)
        types = {column.name: column.type for column in moodle[name].c} if name in moodle else {}
        columns = [sa.Column(column, types.get(column), primary_key=column == "id") for column in present]
        return sa.Table(f"{moodle.prefix}{name}", sa.MetaData(), *columns, schema=self.schema)

    def lost(self, name: str) -> list[str]:
        """What Moodle has no longer, since an update or the removal of a module: columns, or the whole table."""
        moodle = self.campaign.moodle
        return lost_columns(moodle, name, self._columns.get(f"{moodle.prefix}{name}", []))

    def keys(self, name: str) -> sa.Table:
        """The key table of ``name``: run, rule, id, courseid."""
        return table_like(frozen_keys(self.campaign, name), self.schema)

    def keys_follow(self, name: str) -> bool:
        """Whether the key table of ``name`` is a view over the rows: a key goes with its row."""
        return f"key_{name}" in self._views

    def has_keys(self, name: str) -> bool:
        """Whether ``name`` has a key table in the schema, no view: it may outlive the rows that it names."""
        return f"key_{name}" in self._columns and not self.keys_follow(name)

    def has_rows(self, name: str) -> bool:
        """Whether the schema has a table for the rows of ``name``."""
        return f"{self.campaign.moodle.prefix}{name}" in self._columns

    def names(self) -> Iterator[str]:
        """The tables that have a key table in the schema, whether the space has rows there or not."""
        for table in sorted(self._columns):
            name = table.removeprefix("key_")
            if table.startswith("key_") and self.has_rows(name):
                yield name

    def knows(self, runs: Collection[int]) -> bool:
        """Whether the schema has keys of one of these runs, be it of other spaces.

        An archive schema that is no longer the one they filled has none: it expired, and a later run made it anew.
        """
        with self.campaign.engine.connect() as connection:
            return bool(self.names_with(connection, lambda keys: [keys.c.run.in_(runs)]))

    def names_with(
        self, connection: sa.Connection, conditions: Callable[[sa.Table], Iterable[sa.ColumnElement[bool]]]
    ) -> list[str]:
        """The tables that have a key to which the conditions, on the key table, apply."""
        probes = [
            sa.select(sa.literal(name)).where(sa.exists().where(*conditions(self.keys(name)))) for name in self.names()
        ]
        return list(connection.execute(sa.union_all(*probes)).scalars()) if probes else []

    @cached_property
    def _columns(self) -> dict[str, list[str]]:
        query = sa.text(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = :schema"
            " ORDER BY table_name, ordinal_position"
        )
        found: dict[str, list[str]] = {}
        with self.campaign.server.connect() as connection:
            for table, column in connection.execute(query, {"schema": self.schema}):
                found.setdefault(table, []).append(column)
        return found

    @cached_property
    def _views(self) -> set[str]:
        query = sa.text("SELECT table_name FROM information_schema.views WHERE table_schema = :schema")
        with self.campaign.server.connect() as connection:
            return set(connection.execute(query, {"schema": self.schema}).scalars())


def lost_columns(moodle: MoodleDatabase, name: str, columns: Iterable[str]) -> list[str]:
    """Those of a table's columns that Moodle has no longer; the table's own name if it has gone altogether."""
    return [column for column in columns if column not in moodle[name].c] if name in moodle else [name]
