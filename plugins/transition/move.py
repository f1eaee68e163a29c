"""Move, don't delete: rows go by their frozen keys into the archive schema, chunk by chunk."""

import time

import sqlalchemy as sa

from transition import journal
from transition.archive_indexes import shed_indexes
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.keys import frozen_keys
from transition.moodle.database import quoted, table_like
from transition.pace import Pace
from transition.state import tables
from transition.swap import swap_table
from transition.ways import SWAP, load_ways

CHUNK = 5_000  # keys of the first transaction; the next ones as its time says (:mod:`transition.pace`)


def archive_table(campaign: Campaign, name: str) -> sa.Table:
    """The table of the archive schema that rows of the Moodle table ``name`` go to: same name, same columns."""
    return table_like(campaign.moodle[name], campaign.archive_schema)


def create_archive_table(connection: sa.Connection, campaign: Campaign, name: str) -> None:
    """Create an archive table if it is missing.

    Raises :class:`TransitionError` if an older one has other columns, or of other types: what goes must fit there.
    """
    source, target = campaign.moodle[name], archive_table(campaign, name)
    connection.execute(sa.text(f"CREATE TABLE IF NOT EXISTS {quoted(target)} LIKE {quoted(source)}"))
    query = sa.text(
        "SELECT column_name, column_type, is_nullable, collation_name FROM information_schema.columns"
        " WHERE table_schema = :schema AND table_name = :name ORDER BY ordinal_position"
    )
    columns, found = (
        connection.execute(query, {"schema": table.schema, "name": table.name}).all() for table in (source, target)
    )
    if found != columns:
        raise TransitionError(
            f"La table d'archive {target.schema}.{target.name} n'a pas les colonnes de Moodle, ou pas leurs types (mise"
            f" à jour entre deux exécutions ?) : donnez-lui par ALTER TABLE celles de {source.schema}.{source.name},"
            " sans la renommer ni la vider (une restauration y cherche ses lignes), puis relancez approval.freeze."
        )
    shed_indexes(connection, campaign, name)  # of a table that is there too: a kill may have come before


def move_rule(campaign: Campaign, rule: str) -> int:
    """Move every frozen row of a rule; returns the number of rows moved by the run so far (earlier attempts included).

    Safe to run again after a kill at any point: each chunk is copied, deleted and recorded in one transaction.
    """
    progress = tables.progress
    query = (
        sa.select(progress.c.table_name)
        .where(progress.c.run == campaign.run, progress.c.rule == rule)
        .order_by(progress.c.table_name)
    )
    with campaign.engine.connect() as connection:
        names = list(connection.execute(query).scalars())
    moved = 0
    ways = load_ways(campaign)
    for name in names:
        if name in ways and ways[name].way == SWAP:
            swap_table(campaign, name)
        pace = Pace(campaign, CHUNK)
        begun = time.monotonic()
        while not _move_chunk(campaign, rule, name, pace.size):
            pace.after(time.monotonic() - begun)
            begun = time.monotonic()
        moved += _finish(campaign, rule, name)
    return moved


def _of(rule: str, name: str, campaign: Campaign) -> sa.ColumnElement[bool]:
    progress = tables.progress
    return sa.and_(progress.c.run == campaign.run, progress.c.rule == rule, progress.c.table_name == name)


def _move_chunk(campaign: Campaign, rule: str, name: str, size: int) -> bool:
    """Move the next ``size`` rows in one transaction; True when none is left."""
    source, target, keys, progress = (
        campaign.moodle[name], archive_table(campaign, name), frozen_keys(campaign, name), tables.progress
    )  # fmt: skip
    with campaign.engine.begin() as connection:
        # The lock on the progress row makes an orphan of a killed task wait, then see what its successor did.
        last, done = connection.execute(
            sa.select(progress.c.last_id, progress.c.done).where(_of(rule, name, campaign)).with_for_update()
        ).one()
        if done:
            return True
        chunk = sa.and_(keys.c.run == campaign.run, keys.c.rule == rule, keys.c.id > last)
        ids = sa.select(keys.c.id).where(chunk).order_by(keys.c.id).limit(size).subquery()
        upper, expected = connection.execute(sa.select(sa.func.max(ids.c.id), sa.func.count()).select_from(ids)).one()
        if not expected:
            connection.execute(sa.update(progress).where(_of(rule, name, campaign)).values(done=True))
            return True
        # The keys lead, in both statements: STRAIGHT_JOIN, or the server may scan Moodle's table.
        # The rows are locked as they are read: what somebody writes in one before it is deleted would be lost.
        rows = (
            sa.select(*source.c)
            .select_from(keys.join(source, source.c.id == keys.c.id))
            .where(chunk, keys.c.id <= upper)
            .prefix_with("STRAIGHT_JOIN")
            .with_for_update()
        )
        inserted = connection.execute(sa.insert(target).from_select([c.name for c in source.c], rows)).rowcount
        delete = sa.text(
            f"DELETE t FROM {quoted(keys)} k STRAIGHT_JOIN {quoted(source)} t ON t.id = k.id"
            " WHERE k.run = :run AND k.rule = :rule AND k.id > :last AND k.id <= :upper"
        )
        bounds = {"run": campaign.run, "rule": rule, "last": last, "upper": upper}
        deleted = connection.execute(delete, bounds).rowcount
        if not inserted == deleted == expected:
            raise TransitionError(
                f"{source.name}, lignes des identifiants {last} à {upper} : {expected} à déplacer,"
                f" copiées {inserted}, supprimées {deleted} ; ce lot est annulé. Quelqu'un modifie la base pendant la"
                " campagne : mettez Moodle en maintenance, puis lancez une nouvelle exécution."
            )
        connection.execute(
            sa.update(progress)
            .where(_of(rule, name, campaign))
            .values(last_id=upper, moved=progress.c.moved + expected)
        )
    return False


def journal_abandoned(campaign: Campaign) -> None:
    """Journal what earlier runs of the year moved before they were stopped, space by space."""
    progress, run = tables.progress, tables.run
    entries = tables.journal.c
    known = sa.exists().where(
        entries.run == progress.c.run, entries.rule == progress.c.rule,
        entries.table_name == progress.c.table_name, entries.action == "moved",
    )  # fmt: skip
    query = (
        sa.select(progress.c.run, progress.c.rule, progress.c.table_name)
        .join(run, run.c.number == progress.c.run)
        .where(run.c.year == campaign.year, run.c.number != campaign.run, progress.c.moved > 0, ~known)
    )
    with campaign.engine.begin() as connection:
        for number, rule, name in connection.execute(query).all():
            _journal_moved(connection, campaign, number, rule, name)


def _finish(campaign: Campaign, rule: str, name: str) -> int:
    """Journal, once, what was moved of each space; returns the rows moved."""
    entries = tables.journal.c
    known = sa.select(sa.func.count()).where(
        entries.run == campaign.run, entries.rule == rule, entries.table_name == name, entries.action == "moved"
    )
    with campaign.engine.begin() as connection:
        moved = connection.execute(
            sa.select(tables.progress.c.moved).where(_of(rule, name, campaign)).with_for_update()
        ).scalar_one()
        if not connection.execute(known).scalar():
            _journal_moved(connection, campaign, campaign.run, rule, name)
    return int(moved)


def _journal_moved(connection: sa.Connection, campaign: Campaign, run: int, rule: str, name: str) -> None:
    """One entry a space: keys of the run, those that left Moodle, those still there."""
    source, keys = campaign.moodle[name], frozen_keys(campaign, name)
    heading = {
        **journal.heading(campaign, "purge", "moved"),
        "run": run,
        "rule": rule,
        "table_name": name,
        "detail": "",
    }
    left = sa.exists().where(source.c.id == keys.c.id)
    by_space = (
        sa.select(
            *(sa.literal(value).label(column) for column, value in heading.items()),
            keys.c.courseid, sa.func.count(),
            sa.func.sum(sa.case((left, 0), else_=1)), sa.func.sum(sa.case((left, 1), else_=0)),
        )
        .where(keys.c.run == run, keys.c.rule == rule)
        .group_by(keys.c.courseid)
    )  # fmt: skip
    columns = [*heading, "courseid", "rows_before", "rows_moved", "rows_after"]
    connection.execute(sa.insert(tables.journal).from_select(columns, by_space))
