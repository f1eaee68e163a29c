"""The stage ``apogee_sync``: check the feed of year N and the snapshot of year N-1, then load them."""

import json
import logging
from collections.abc import Mapping

import pandas as pd
import sqlalchemy as sa

from transition import journal
from transition.apogee import load, tables
from transition.apogee.canonical import SNAPSHOT, YEAR_N
from transition.apogee.checks import COMPARED, check, compare_components, compare_years, feed_source
from transition.apogee.feed import Feed, RawTable, Source
from transition.apogee.rows import Findings
from transition.campaign import Campaign
from transition.errors import refuse_all
from transition.french import counted

STAGE = "apogee_sync"
_LISTED = 60  # findings that a refusal lists
log = logging.getLogger(__name__)


def apogee_sync(campaign: Campaign) -> None:
    """Load the platform's Apogée feed and record which lots the run works with (``run_lot``).

    Nothing is loaded before every check of both years has passed. Loading the same lot again does nothing.
    Raises :class:`TransitionError` with all findings.
    """
    with campaign.lock(STAGE), journal.stage(campaign, STAGE) as closing:
        feeds, findings = _read(campaign, feed_source(campaign))
        refuse_all(f"Données Apogée refusées ({campaign.platform.label}) :", _capped(findings.refused))
        lots, loaded = _load(campaign, feeds)
        if campaign.year - 1 not in lots:
            findings.warned.append(
                f"aucun lot de {campaign.year - 1} : un espace absent de la maquette {campaign.year} ne peut pas être"
                " reconnu comme sorti de la maquette, il sera laissé en attente"
            )
        load.record_lots(campaign, lots)
        closing["rows_moved"] = loaded
        closing["detail"] = " ; ".join([f"lots {', '.join(lots.values())}", *findings.warned])
    for sentence in findings.warned:
        log.warning("À vérifier : %s.", sentence)
    rows = counted(loaded, "ligne chargée", "lignes chargées")
    log.info("Lots Apogée retenus : %s ; %s.", ", ".join(lots.values()), rows)


def _read(campaign: Campaign, source: Source) -> tuple[list[Feed], Findings]:
    """Year N, and N-1 where the source has it, read and checked; a live source is not asked for a year that is kept."""
    feed = source.read(campaign.year)
    findings = check(feed, YEAR_N)
    kept = load.loaded_lot(campaign, campaign.year - 1) is not None
    if (kept and source.live) or campaign.year - 1 not in source.years():
        _compare(campaign, feed, {}, findings)
        return [feed], findings
    last = source.read(campaign.year - 1, snapshot=True)
    of_last = check(last, SNAPSHOT)
    findings.refused += of_last.refused
    findings.warned += of_last.warned
    if feed.manifest and last.manifest and feed.manifest.lot_id == last.manifest.lot_id:
        findings.refused.append(
            f"{last.manifest.where}, colonne lot_id : c'est le nom du lot de {feed.year} ; donnez-en un autre."
        )
    _compare(campaign, feed, last.tables, findings)
    return [feed, last], findings


def _compare(campaign: Campaign, feed: Feed, last: Mapping[str, RawTable], findings: Findings) -> None:
    """Compare the model with last year's: with the snapshot read now and, of what it lacks, with a loaded lot."""
    rows = {name: len(raw.frame) for name, raw in last.items()}
    for name in COMPARED:
        lot = feed.manifest and load.same_day_last_year(campaign, feed.manifest.extrait_le, name)
        if lot and name not in rows:
            rows[name] = json.loads(lot.nb_lignes)[name]
    compare_years(feed, rows, findings)
    if "element" in last:
        compare_components(feed, last["element"].frame, findings)
    elif kept := load.loaded_lot(campaign, campaign.year - 1):
        compare_components(feed, _elements(campaign, kept.lot_id), findings)


def _elements(campaign: Campaign, lot_id: str) -> pd.DataFrame:
    element = tables.element
    query = sa.select(element.c.cle, element.c.composante).where(element.c.lot_id == lot_id)
    with campaign.engine.connect() as connection:
        return pd.DataFrame(connection.execute(query).all(), columns=["cle", "composante"])


def _load(campaign: Campaign, feeds: list[Feed]) -> tuple[Mapping[int, str], int]:
    """Load the feeds; returns the lot of each year and the rows that were loaded now."""
    lots = {feed.year: feed.manifest.lot_id for feed in feeds if feed.manifest}
    # every lot's name is checked before the first row is written
    fresh = [feed for feed in feeds if feed.manifest and not load.already_loaded(campaign, feed.manifest)]
    rows = sum(sum(load.load(campaign, feed).values()) for feed in fresh)
    last = load.loaded_lot(campaign, campaign.year - 1)
    if campaign.year - 1 not in lots and last is not None:
        lots[campaign.year - 1] = last.lot_id
    return lots, rows


def _capped(findings: list[str]) -> list[str]:
    if len(findings) <= _LISTED:
        return findings
    return [*findings[:_LISTED], f"… et {counted(len(findings) - _LISTED, 'autre constat', 'autres constats')}."]
