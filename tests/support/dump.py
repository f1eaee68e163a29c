"""A whole database in memory, to compare row by row."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

Rows = dict[int, dict[str, Any]]


@dataclass(frozen=True)
class Difference:
    """What happened to a table: ids gone and added; for each changed row, its columns that changed."""

    gone: frozenset[int]
    added: frozenset[int]
    changed: dict[int, frozenset[str]]


def dump(engine: sa.Engine, schema: str, prefix: str = "mdl_") -> dict[str, Rows]:
    """Every row of every table of a schema, by table (without prefix) and id."""
    found: dict[str, Rows] = {}
    with engine.connect() as connection:
        names = connection.execute(
            sa.text("SELECT table_name FROM information_schema.tables WHERE table_schema = :schema"), {"schema": schema}
        )
        for name in sorted(names.scalars()):
            if name.startswith(prefix):
                rows = connection.execute(sa.text(f"SELECT * FROM `{schema}`.`{name}`")).mappings()
                found[name.removeprefix(prefix)] = {row["id"]: dict(row) for row in rows}
    return found


def compare(before: dict[str, Rows], after: dict[str, Rows]) -> dict[str, Difference]:
    """The tables that differ."""
    found = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name, {}), after.get(name, {})
        changed = {
            id_: frozenset(column for column in old[id_] if old[id_][column] != new[id_][column])
            for id_ in old.keys() & new.keys()
            if old[id_] != new[id_]
        }
        difference = Difference(frozenset(old.keys() - new.keys()), frozenset(new.keys() - old.keys()), changed)
        if difference != Difference(frozenset(), frozenset(), {}):
            found[name] = difference
    return found
