"""A Moodle database as tables: names and columns reflected from the server, never assumed."""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, lru_cache, wraps
from threading import Lock
from typing import Any, NamedTuple

import sqlalchemy as sa

from transition.errors import TransitionError

_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint"), sa.BigInteger),
    **dict.fromkeys(("float", "double"), sa.Double),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "json", "enum"), sa.Text),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), sa.LargeBinary),
}


def _column_type(data_type: str, precision: int | None, scale: int | None) -> sa.types.TypeEngine[Any]:
    if data_type == "decimal":
        return sa.Numeric(precision, scale)
    return _TYPES.get(data_type, sa.Text)()


def made_once(make: Callable[..., sa.Table]) -> Callable[..., sa.Table]:
    """The same table for the same arguments: SQLAlchemy then compiles a statement on it once in a process.

    In two threads at once as well: two objects of one table, in one statement, would be two tables.
    """
    made, lock = lru_cache(maxsize=2_000)(make), Lock()

    @wraps(make)
    def locked(*arguments: Hashable) -> sa.Table:
        with lock:
            return made(*arguments)

    return locked


def open_engine(url: sa.URL, **options: Any) -> sa.Engine:
    """An engine on a platform's server as the stages expect it: it reads committed rows and refuses what does not fit.

    :param options: more of :func:`sqlalchemy.create_engine`. Nothing is connected to yet.
    """
    # `hide_parameters`: what is written of students must not show in the log of a task whose statement fails.
    engine = sa.create_engine(url, isolation_level="READ COMMITTED", hide_parameters=True, **options)
    sa.event.listen(engine, "connect", _be_strict)
    return engine


def _be_strict(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
    """Have a value refused that its column cannot hold: a lax server cuts it off, and the original is then deleted."""
    with closing(connection.cursor()) as cursor:
        cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")


class _Column(NamedTuple):
    """A column as ``information_schema.columns`` describes it."""

    name: str
    kind: str
    precision: int | None
    scale: int | None
    key: str


@made_once
def _table(name: str, schema: str, columns: tuple[_Column, ...]) -> sa.Table:
    made = (sa.Column(c.name, _column_type(c.kind, c.precision, c.scale), primary_key=c.key == "PRI") for c in columns)
    return sa.Table(name, sa.MetaData(), *made, schema=schema)


@made_once
def table_like(table: sa.Table, schema: str) -> sa.Table:
    """A table of the same name and columns in another schema."""
    columns = [sa.Column(c.name, c.type, primary_key=c.primary_key) for c in table.columns]
    return sa.Table(table.name, sa.MetaData(), *columns, schema=schema)


class _Tables(Mapping[str, sa.Table]):
    """The tables of a schema, by their names without prefix; each is made when it is first asked for.

    A task needs a few of six hundred: to make them all takes longer than most tasks' own work.
    """

    def __init__(self, columns: dict[str, list[_Column]], prefix: str, schema: str) -> None:
        self._columns = {name: tuple(of_table) for name, of_table in columns.items()}
        self._prefix, self._schema = prefix, schema

    def __getitem__(self, name: str) -> sa.Table:
        return _table(f"{self._prefix}{name}", self._schema, self._columns[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


@dataclass(frozen=True)
class MoodleDatabase:
    """The Moodle tables of one schema.

    :param engine: an engine whose connection names the Moodle schema as its database.
    :param prefix: Moodle's table prefix (``$CFG->prefix``).
    """

    engine: sa.Engine
    prefix: str

    @cached_property
    def schema(self) -> str:
        """Name of the schema that holds Moodle's tables."""
        name = self.engine.url.database
        if not name:
            raise TransitionError("La connexion Moodle ne nomme pas de base : renseignez son champ « Schema ».")
        return name

    @cached_property
    def tables(self) -> Mapping[str, sa.Table]:
        """Every table, by its name without prefix; columns in their order, typed as Python sees their values."""
        columns = sa.text(
            "SELECT table_name, column_name, data_type, numeric_precision, numeric_scale, column_key"
            " FROM information_schema.columns WHERE table_schema = :schema"
            " ORDER BY table_name, ordinal_position"
        )
        found: dict[str, list[_Column]] = {}
        with self.engine.connect() as connection:
            for table, *column in connection.execute(columns, {"schema": self.schema}):
                if table.startswith(self.prefix):
                    found.setdefault(table.removeprefix(self.prefix), []).append(_Column(*column))
        return _Tables(found, self.prefix, self.schema)

    def __getitem__(self, name: str) -> sa.Table:
        """The table of that name (without prefix); raises :class:`TransitionError` if the schema lacks it."""
        try:
            return self.tables[name]
        except KeyError:
            raise TransitionError(
                f"La table {self.prefix}{name} manque dans la base {self.schema} :"
                " vérifiez le préfixe des tables et la connexion de la plateforme."
            ) from None

    def __contains__(self, name: str) -> bool:
        return name in self.tables

    @cached_property
    def config(self) -> dict[str, str]:
        """Moodle's site settings (table ``config``), by name."""
        config = self["config"]
        with self.engine.connect() as connection:
            return dict(connection.execute(sa.select(config.c.name, config.c.value)).all())

    @cached_property
    def site(self) -> str:
        """The site's own address: ``mnet_host.wwwroot`` of the host that ``mnet_localhost_id`` names.

        Moodle keeps ``$CFG->wwwroot`` in config.php; this row is its copy in the database (``mnet_environment::init``).
        """
        host = self["mnet_host"]
        query = sa.select(host.c.wwwroot).where(host.c.id == int(self.config.get("mnet_localhost_id", 0)))
        with self.engine.connect() as connection:
            return str(connection.execute(query).scalar() or "").rstrip("/")

    @cached_property
    def activities(self) -> dict[str, int]:
        """Installed activity plugins: name to id (table ``modules``)."""
        modules = self["modules"]
        with self.engine.connect() as connection:
            return dict(connection.execute(sa.select(modules.c.name, modules.c.id)).all())

    @cached_property
    def indexes(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """The columns of each index, by its name, of each table of the schema, by its full name."""
        query = sa.text(
            "SELECT table_name, index_name, column_name FROM information_schema.statistics"
            " WHERE table_schema = :schema ORDER BY table_name, index_name, seq_in_index"
        )
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        with self.engine.connect() as connection:
            for table, index, column in connection.execute(query, {"schema": self.schema}):
                of_table = found.setdefault(table, {})
                of_table[index] = (*of_table.get(index, ()), column)
        return found

    def index(self, table: sa.FromClause, column: str, equal: Iterable[str] = ()) -> str:
        """An index of a table that leads to a value of a column, '' if none does.

        :param equal: columns whose value is given too.
        """
        of = table.element if isinstance(table, sa.Alias) else table
        for name, columns in self.indexes.get(of.name if isinstance(of, sa.Table) else "", {}).items():
            if column in columns and set(columns[: columns.index(column)]) <= set(equal):
                return name
        return ""


def last_id(connection: sa.Connection, table: sa.Table) -> int:
    """The highest id of a table's rows; 0 if it has none."""
    return int(connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0)


def quoted(table: sa.Table | str, schema: str | None = None) -> str:
    """A table's name, schema-qualified and quoted, for the few statements that Core does not write."""
    if isinstance(table, sa.Table):
        name, schema = table.name, table.schema
    else:
        name = table
    parts = [schema, name] if schema else [name]
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def index_definitions(definition: str) -> dict[str, str]:
    """The indexes besides the primary key in what ``SHOW CREATE TABLE`` says: quoted name to definition."""
    lines = re.finditer(r"^  ((?:UNIQUE |FULLTEXT )?KEY (`(?:[^`]|``)+`) .+?),?$", definition, re.MULTILINE)
    return {found[2]: found[1] for found in lines}


def unique_keys(connection: sa.Connection, schema: str) -> dict[str, list[tuple[str, ...]]]:
    """Columns of each unique key but the primary one, by table of a schema."""
    query = sa.text(
        "SELECT table_name, index_name, column_name FROM information_schema.statistics WHERE table_schema = :schema"
        " AND non_unique = 0 AND index_name <> 'PRIMARY' ORDER BY table_name, index_name, seq_in_index"
    )
    columns: dict[tuple[str, str], list[str]] = {}
    for table, index, column in connection.execute(query, {"schema": schema}):
        columns.setdefault((table, index), []).append(column)
    found: dict[str, list[tuple[str, ...]]] = {}
    for (table, _), key in columns.items():
        found.setdefault(table, []).append(tuple(key))
    return found
