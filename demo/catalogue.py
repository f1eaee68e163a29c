"""The facts of Moodle's tables (4.5.6 and the ten contributed activities of the policy), and tables created from them.

`catalogue.tsv` holds one fact a line, tab-separated, no SQL and no code of Moodle's:

    table    <name> <row format>
    column   <name> <type> <null|not null> <default, - when none> <auto|->
    index    <name> <primary|unique|plain|fulltext> <columns, comma-separated>

A `column` or `index` line belongs to the last `table` line. Names come without the site's prefix. Made again from a
connected Moodle (MariaDB, whose defaults information_schema quotes) by

    python -m demo.catalogue --from mysql://user:password@host/database
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine, make_url, text

CATALOGUE = Path(__file__).with_name("catalogue.tsv")
NO_VALUE = "-"


@dataclass(frozen=True)
class Column:
    """A column: `type` as MariaDB names it, `default` None when there is none (NULL for a nullable column)."""

    name: str
    type: str
    nullable: bool
    default: str | None
    auto: bool

    @property
    def is_number(self) -> bool:
        """Tell whether the column holds a number."""
        return not self.type.startswith(("varchar", "longtext", "char", "text"))

    @property
    def filler(self) -> str | int | float | None:
        """The value of a row that says nothing about this column."""
        if self.default is not None:
            if not self.is_number:
                return self.default
            return float(self.default) if "." in self.default else int(self.default)
        if self.nullable:
            return None
        return 0 if self.is_number else ""


@dataclass(frozen=True)
class Index:
    """An index: `kind` is primary, unique, plain or fulltext."""

    name: str
    kind: str
    columns: tuple[str, ...]


@dataclass
class Table:
    """The facts of one table, named without prefix."""

    name: str
    row_format: str
    columns: list[Column] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)


@cache
def read_catalogue(path: Path = CATALOGUE) -> dict[str, Table]:
    """Return the facts of every table by its name without prefix."""
    tables: dict[str, Table] = {}
    table: Table | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, name, *facts = line.split("\t")
        if kind == "table":
            table = tables[name] = Table(name, facts[0])
        elif table is None:
            raise ValueError(f"{path}: a {kind} comes before the first table")
        elif kind == "column":
            kept_type, nullable, default, auto = facts
            value = None if default == NO_VALUE else default[1:]
            table.columns.append(Column(name, kept_type, nullable == "null", value, auto == "auto"))
        elif kind == "index":
            table.indexes.append(Index(name, facts[0], tuple(facts[1].split(","))))
        else:
            raise ValueError(f"{path}: unknown kind of fact: {kind}")
    return tables


def write_catalogue(tables: Iterable[Table], path: Path = CATALOGUE) -> None:
    """Write the facts of `tables`; a default carries a leading `=`, so that an empty one is not lost."""
    lines: list[str] = []
    for table in tables:
        lines.append(f"table\t{table.name}\t{table.row_format}")
        for column in table.columns:
            default = NO_VALUE if column.default is None else f"={column.default}"
            null, auto = "null" if column.nullable else "not null", "auto" if column.auto else NO_VALUE
            lines.append(f"column\t{column.name}\t{column.type}\t{null}\t{default}\t{auto}")
        lines += [f"index\t{index.name}\t{index.kind}\t{','.join(index.columns)}" for index in table.indexes]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def create_tables(connection: Connection, prefix: str = "mdl_") -> None:
    """Create every table of the catalogue, with its indexes, in the connection's database."""
    for table in read_catalogue().values():
        connection.exec_driver_sql(_create_statement(table, prefix).replace("%", "%%"))


def _create_statement(table: Table, prefix: str) -> str:
    kinds = {"primary": "PRIMARY KEY", "unique": "UNIQUE KEY", "plain": "KEY", "fulltext": "FULLTEXT KEY"}
    parts = [_column_clause(column) for column in table.columns]
    for index in table.indexes:
        name = "" if index.kind == "primary" else f" `{prefix}{index.name}`"
        columns = ", ".join(f"`{column}`" for column in index.columns)
        parts.append(f"{kinds[index.kind]}{name} ({columns})")
    return (
        f"CREATE TABLE `{prefix}{table.name}` ({', '.join(parts)}) ENGINE=InnoDB ROW_FORMAT={table.row_format} "
        "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci"
    )


def _column_clause(column: Column) -> str:
    clause = f"`{column.name}` {column.type}"
    if not column.nullable:
        clause += " NOT NULL"
    if column.default is not None:
        quoted = column.default.replace("'", "''")
        clause += f" DEFAULT {quoted}" if column.is_number else f" DEFAULT '{quoted}'"
    return clause + (" AUTO_INCREMENT" if column.auto else "")


def facts_of(connection: Connection, prefix: str = "mdl_") -> dict[str, Table]:
    """Return the facts of every table of the connection's database that has the prefix (MariaDB)."""
    tables: dict[str, Table] = {}
    for name, row_format in connection.execute(_TABLES, {"like": prefix.replace("_", "\\_") + "%"}):
        tables[name] = Table(name.removeprefix(prefix), row_format.upper())
    for name, column, kept_type, nullable, default, extra in connection.execute(_COLUMNS):
        if name in tables:
            auto = "auto_increment" in extra
            fact = Column(column, kept_type, nullable == "YES", _plain_default(default), auto)
            tables[name].columns.append(fact)
    for name, index, unique, kind, columns in connection.execute(_INDEXES):
        if name in tables:
            word = "primary" if index == "PRIMARY" else "unique" if unique else "plain"
            word = "fulltext" if kind == "FULLTEXT" else word
            tables[name].indexes.append(Index(index.removeprefix(prefix), word, tuple(columns.split(","))))
    return {table.name: table for table in tables.values()}


def _plain_default(default: str | None) -> str | None:
    if default is None or default == "NULL":
        return None
    return default[1:-1].replace("''", "'") if default.startswith("'") else default


_TABLES = text(
    "SELECT table_name, row_format FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_name LIKE :like ORDER BY table_name"
)
_COLUMNS = text(
    "SELECT table_name, column_name, column_type, is_nullable, column_default, extra "
    "FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"
)
_INDEXES = text(
    "SELECT table_name, index_name, 1 - MIN(non_unique), MIN(index_type), "
    "GROUP_CONCAT(column_name ORDER BY seq_in_index) "
    "FROM information_schema.statistics WHERE table_schema = DATABASE() "
    "GROUP BY table_name, index_name ORDER BY table_name, index_name = 'PRIMARY' DESC, index_name"
)


def connect_url(address: str) -> URL:
    """Return the SQLAlchemy URL of a `mysql://` address, with the driver that the project installs."""
    return make_url(address).set(drivername="mysql+mysqldb").update_query_dict({"charset": "utf8mb4"})


def main() -> None:
    """Write the catalogue again from a connected Moodle."""
    parser = argparse.ArgumentParser(description="Write demo/catalogue.tsv from a Moodle database: facts, no SQL.")
    parser.add_argument("--from", dest="source", required=True, metavar="mysql://…", help="the database to read")
    parser.add_argument("--prefix", default="mdl_", help="its table prefix (mdl_)")
    arguments = parser.parse_args()
    with create_engine(connect_url(arguments.source)).connect() as connection:
        tables = facts_of(connection, arguments.prefix)
    write_catalogue(tables.values())
    print(f"{len(tables)} tables written to {CATALOGUE.name}.")


if __name__ == "__main__":
    main()
