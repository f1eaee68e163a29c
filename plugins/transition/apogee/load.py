"""A checked feed becomes a lot in the state tables."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

import pandas as pd
import sqlalchemy as sa

from transition.apogee import tables
from transition.apogee.canonical import CANONICAL, CODES, Canonical
from transition.apogee.feed import Feed, Manifest, RawTable
from transition.campaign import Campaign, now
from transition.errors import TransitionError

_CHUNK = 10_000  # rows a transaction
_YEAR = timedelta(days=365)


def loaded_lot(campaign: Campaign, year: int, table: str = "element") -> sa.Row[Any, Any, Any] | None:
    """The newest lot of that year that is loaded whole and brought that table (``lot_id``, ``nb_lignes``), if any."""
    return next(iter(_loaded(campaign, year, table)), None)


def same_day_last_year(campaign: Campaign, day: datetime, table: str) -> sa.Row[Any, Any, Any] | None:
    """As :func:`loaded_lot` of the year before: the lot extracted nearest to a year before that day.

    Registrations grow from July to the winter: those of August are to be compared with those of August.
    """
    found = _loaded(campaign, campaign.year - 1, table)
    return min(found, key=lambda lot: abs(lot.extrait_le - (day - _YEAR)), default=None)


def _loaded(campaign: Campaign, year: int, table: str) -> Sequence[sa.Row[Any, Any, Any]]:
    """The lots of that year that are loaded whole and brought that table, the newest first."""
    lot = tables.lot
    query = (
        sa.select(lot.c.lot_id, lot.c.nb_lignes, lot.c.extrait_le)
        .where(lot.c.annee == year, lot.c.charge_le.is_not(None), lot.c.nb_lignes.contains(f'"{table}"'))
        .order_by(lot.c.extrait_le.desc(), lot.c.charge_le.desc())
    )
    with campaign.engine.connect() as connection:
        return connection.execute(query).all()


def loaded_lots(campaign: Campaign) -> dict[int, str]:
    """The newest loaded lot of the campaign's year and of the year before, as far as there are any; by year.

    Of its own year, one that knows calendars: the next year's campaign loads a snapshot of the mere model, which would
    hide them.
    """
    own, last = campaign.year, campaign.year - 1
    found = {own: loaded_lot(campaign, own, "exception_calendrier"), last: loaded_lot(campaign, last)}
    return {year: lot.lot_id for year, lot in found.items() if lot}


def already_loaded(campaign: Campaign, manifest: Manifest) -> bool:
    """Whether that very lot is loaded whole; raises :class:`TransitionError` if its name has another content."""
    with campaign.engine.connect() as connection:
        known = connection.execute(
            sa.select(tables.lot.c.sha256, tables.lot.c.charge_le).where(tables.lot.c.lot_id == manifest.lot_id)
        ).first()
    if known is None or known.charge_le is None:
        return False
    if known.sha256 != manifest.fingerprint:
        raise TransitionError(
            f"Le lot Apogée « {manifest.lot_id} » est déjà chargé avec un autre contenu : donnez un nouveau lot_id"
            " à la nouvelle extraction dans lot.csv."
        )
    return True


def load(campaign: Campaign, feed: Feed) -> dict[str, int]:
    """Load a checked feed that is not :func:`already_loaded` as a lot; returns the rows loaded by table.

    Rows are committed by chunks. ``lot.charge_le`` is set last: a lot without it counts for nobody, and is loaded again
    from nothing.
    """
    manifest = feed.manifest
    assert manifest is not None  # noqa: S101  a feed without manifest never passes the checks
    _forget(campaign, manifest.lot_id)
    with campaign.engine.begin() as connection:
        connection.execute(
            sa.insert(tables.lot).values(
                lot_id=manifest.lot_id, source=manifest.source, annee=manifest.annee, extrait_le=manifest.extrait_le,
                nb_lignes=json.dumps(dict(manifest.rows)), sha256=manifest.fingerprint,
            )
        )  # fmt: skip
    loaded = {}
    for name, raw in feed.tables.items():
        rows = stored_rows(manifest.lot_id, name, raw)
        while chunk := list(islice(rows, _CHUNK)):
            with campaign.engine.begin() as connection:
                connection.execute(sa.insert(CANONICAL[name].table), chunk)
        loaded[name] = len(raw.frame)
    with campaign.engine.begin() as connection:
        connection.execute(sa.update(tables.lot).where(tables.lot.c.lot_id == manifest.lot_id).values(charge_le=now()))
    return loaded


def record_lots(campaign: Campaign, lots: Mapping[int, str]) -> None:
    """Record which lot of each year the run works with."""
    run_lot = tables.run_lot
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(run_lot).where(run_lot.c.run == campaign.run))
        connection.execute(
            sa.insert(run_lot),
            [{"run": campaign.run, "annee": year, "lot_id": lot_id} for year, lot_id in lots.items()],
        )


def _forget(campaign: Campaign, lot_id: str) -> None:
    """Delete what an interrupted load left."""
    for table in (*(canonical.table for canonical in CANONICAL.values()), tables.lot):
        with campaign.engine.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.lot_id == lot_id))


def stored_rows(lot_id: str, name: str, raw: RawTable) -> Iterator[dict[str, Any]]:
    """The rows of a checked table as they are stored; made some at a time, for the sake of memory."""
    for start in range(0, len(raw.frame), _CHUNK):
        some = slice(start, start + _CHUNK)
        columns = _stored(lot_id, CANONICAL[name], raw.frame.iloc[some], raw.lines[some])
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))


def _stored(lot_id: str, canonical: Canonical, frame: pd.DataFrame, lines: Sequence[int]) -> dict[str, list[Any]]:
    """The values of each column of the lot's table."""
    columns: dict[str, list[Any]] = {"lot_id": [lot_id] * len(frame)}
    for column in canonical.columns:
        if column.name in frame.columns:
            columns[column.name] = _values(frame[column.name], column)
        if column.name in CODES:
            key = canonical.table.c.get(CODES[column.name])
            if key is not None and column.name in frame.columns:
                columns[key.name] = [value or None for value in frame[key.name].tolist()]
    if "ligne" in canonical.table.c:
        columns["ligne"] = list(lines)
    return columns


def _values(values: pd.Series, column: sa.Column[Any]) -> list[Any]:
    """A column's values as they are stored: typed, and NULL where a nullable one is empty."""
    convert: Callable[[str], Any] = str
    if isinstance(column.type, sa.Boolean):
        convert = "1".__eq__
    elif isinstance(column.type, sa.Date):
        convert = date.fromisoformat
    stored = {value: convert(value) if value or not column.nullable else None for value in values.unique()}
    return [stored[value] for value in values.tolist()]
