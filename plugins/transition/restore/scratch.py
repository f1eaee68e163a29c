"""Schemas of the restore's own, on Moodle's server, filled from a backup set or from the archive schema."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from transition.backup.manifest import BackupSet, TableFile
from transition.backup.table import Content, Values
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.keys import create_frozen_keys
from transition.moodle.database import index_definitions, quoted, table_like
from transition.restore.held import Held, lost_columns
from transition.restore.tables import restore_row

# scratch: what a person asked to look at; staging: a backup on its way into Moodle; drill: a backup on trial.
Purpose = Literal["scratch", "staging", "drill"]
_ROWS = 1_000  # of one INSERT


def schema_name(campaign: Campaign, purpose: Purpose) -> str:
    """The schema's name: that of the archive schema, with the purpose behind it."""
    return f"{campaign.archive_schema}_{purpose}"


def create(campaign: Campaign, purpose: Purpose) -> str:
    """Make the schema, empty (what it held is dropped); returns its name.

    Raises :class:`TransitionError` if the account has no right to.
    """
    name = schema_name(campaign, purpose)
    try:
        with campaign.server.begin() as connection:
            connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {quoted(name)}"))
            connection.execute(sa.text(f"CREATE SCHEMA {quoted(name)} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
    except sa.exc.DBAPIError as error:
        if error.orig is None or error.orig.args[0] not in (1044, 1142):  # access denied to the schema, to the command
            raise
        raise TransitionError(
            f"Le compte {campaign.server.url.username} ne peut pas créer le schéma {name} : accordez-lui tous les"
            f" droits sur {name}.*, puis relancez la restauration."
        ) from None
    return name


def drop(campaign: Campaign, purpose: Purpose) -> None:
    """Drop the schema, if it exists."""
    with campaign.server.begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {quoted(schema_name(campaign, purpose))}"))


def create_table(connection: sa.Connection, campaign: Campaign, schema: str, name: str, file: TableFile) -> sa.Table:
    """A table like Moodle's table ``name``, without rows, that can hold those of a backup's file.

    Columns that Moodle has no longer (an update, a module that was removed) are added.
    """
    moodle = campaign.moodle
    lost = lost_columns(moodle, name, (column.name for column in file.columns[1:]))
    if name in moodle:
        target = table_like(moodle[name], schema)
        connection.execute(sa.text(f"CREATE TABLE IF NOT EXISTS {quoted(target)} LIKE {quoted(moodle[name])}"))
        if not lost:
            return target
        target = target.to_metadata(sa.MetaData())  # one of its own: columns are added to it
    else:
        target = sa.Table(f"{moodle.prefix}{name}", sa.MetaData(), schema=schema)
        connection.execute(sa.text(f"CREATE TABLE IF NOT EXISTS {quoted(target)} (id BIGINT NOT NULL PRIMARY KEY)"))
        target.append_column(sa.Column("id", sa.BigInteger, primary_key=True))
        lost = [column.name for column in file.columns[1:] if column.name != "id"]
    there = sa.inspect(connection).get_columns(target.name, schema=schema) if lost else []
    present = {column["name"] for column in there}
    for column in file.columns[1:]:
        if column.name in lost:
            if column.name not in present:
                added = f"ADD COLUMN {quoted(column.name)} {_sql_type(column.type)}"
                connection.execute(sa.text(f"ALTER TABLE {quoted(target)} {added}"))
            target.append_column(sa.Column(column.name))
    return target


def _make_plain(connection: sa.Connection, table: sa.Table) -> None:
    """Turn unique keys into plain ones: what was unique in Moodle when one backup was made need not be beside what
    another one holds."""
    definition = connection.execute(sa.text(f"SHOW CREATE TABLE {quoted(table)}")).one()[1]
    changes = [
        f"DROP INDEX {name}, ADD {of_index.removeprefix('UNIQUE ')}"
        for name, of_index in index_definitions(definition).items()
        if of_index.startswith("UNIQUE ")
    ]
    if changes:
        connection.execute(sa.text(f"ALTER TABLE {quoted(table)} {', '.join(changes)}"))


def _sql_type(kind: str) -> str:
    """A type that holds every value of Arrow's type of that name (:func:`transition.backup.runs.file_schema`)."""
    if kind.startswith("decimal"):
        return f"DECIMAL{kind[kind.index('(') :]}"
    return {"int64": "BIGINT", "double": "DOUBLE", "binary": "LONGBLOB"}.get(kind, "LONGTEXT")


def load(campaign: Campaign, backup: BackupSet, courseid: int, schema: str, only: Collection[str] = ()) -> int:
    """Add the rows of a space in a backup set to a schema: those whose id it does not hold yet; returns their number.

    What is read is compared with the manifest first: raises :class:`TransitionError` for a file that was altered.
    :param only: these tables (without prefix) alone; empty: all of the set.
    """
    total = 0
    for name, file in backup.manifest.tables.items():
        if courseid not in file.spaces or (only and name not in only):
            continue
        with campaign.engine.begin() as connection:
            table = create_table(connection, campaign, schema, name, file)
            held = set(connection.execute(sa.select(table.c.id)).scalars())
            if held:
                _make_plain(connection, table)
            for columns, rows in checked_rows(backup, name, courseid):
                place = columns.index("id")
                new = [dict(zip(columns, row, strict=True)) for row in rows if row[place] not in held]
                for start in range(0, len(new), _ROWS):
                    connection.execute(sa.insert(table), new[start : start + _ROWS])
                total += len(new)
    return total


def checked_rows(backup: BackupSet, name: str, courseid: int) -> Iterator[tuple[list[str], Sequence[tuple[Any, ...]]]]:
    """The rows of a space in one table of a set, a row group at a time: (Moodle's columns, rows).

    Raises :class:`TransitionError`, after the last group at the latest, when they are not those that the manifest
    vouches for: use them within a transaction.
    """
    file = backup.manifest.tables[name]
    expected, content, count = file.spaces[courseid], Content(), 0
    try:
        with (backup.folder / file.file).open("rb") as source, pq.ParquetFile(source) as parquet:
            for group in expected.groups:
                _, *columns = parquet.read_row_group(group).columns
                content.add(Values(columns), slice(0, len(columns[0])))
                rows = list(zip(*(column.to_pylist() for column in columns), strict=True))
                count += len(rows)
                yield [column.name for column in file.columns[1:]], rows
    except (OSError, ValueError, LookupError, MemoryError, pa.ArrowException) as error:  # whatever a changed bit does
        raise TransitionError(_damaged(backup, file.file, type(error).__name__)) from None
    if (count, str(content)) != (expected.rows, expected.content):
        raise TransitionError(_damaged(backup, file.file, "lignes altérées"))


def _damaged(backup: BackupSet, file: str, what: str) -> str:
    return (
        f"La sauvegarde {backup.manifest.name} ne peut pas servir : son fichier {file} est absent ou altéré ({what}) ;"
        " remettez-en une copie intacte, puis relancez."
    )


def copy_picked(held: Held, names: Collection[str], schema: str) -> int:
    """Copy the rows of ``restore_row``, in any state, and their keys, into another schema; returns their number."""
    campaign, rows = held.campaign, restore_row
    copied = 0
    with campaign.engine.begin() as connection:
        for name in names:
            source, keys = held.table(name), held.keys(name)
            target = table_like(source, schema)
            connection.execute(sa.text(f"CREATE TABLE {quoted(target)} LIKE {quoted(source)}"))
            target_keys = table_like(keys, schema)
            create_frozen_keys(connection, target_keys)
            picked = sa.and_(rows.c.run == campaign.run, rows.c.table_name == name)
            chosen = sa.select(*source.c).select_from(rows.join(source, source.c.id == rows.c.id)).where(picked)
            copied += connection.execute(
                sa.insert(target).from_select([c.name for c in source.c], chosen.prefix_with("STRAIGHT_JOIN"))
            ).rowcount
            of_rows = (
                sa.select(*keys.c)
                .select_from(rows.join(keys, keys.c.id == rows.c.id))
                .where(picked, keys.c.courseid == held.courseid)
            )
            connection.execute(sa.insert(target_keys).from_select([c.name for c in keys.c], of_rows))
    return copied


@contextmanager
def temporary(campaign: Campaign, purpose: Purpose) -> Iterator[str]:
    """A schema for the time of a block."""
    try:
        yield create(campaign, purpose)
    finally:
        drop(campaign, purpose)
