"""What the journal says of the verified sets: an older one must not pass for one that is lost or altered since."""

from collections.abc import Collection, Iterable
from datetime import datetime

import sqlalchemy as sa

from transition import journal
from transition.campaign import Campaign
from transition.state import tables

_STAGE, _HELD = "july_backup", "held"

Verification = tuple[datetime, str]  # when (UTC), and the name of the set


def record_held(connection: sa.Connection, campaign: Campaign, name: str, spaces: Collection[int]) -> None:
    """Write down, in the caller's transaction, that the set of that name was verified with these spaces in it."""
    for courseid in spaces:
        journal.record(connection, campaign, _STAGE, _HELD, courseid=courseid, detail=name)


def held_sets(campaign: Campaign) -> dict[int, list[Verification]]:
    """The sets of the year that were verified with each space in them, by course id."""
    entry = tables.journal.c
    held = sa.select(entry.courseid, entry.at, entry.detail).where(
        entry.year == campaign.year, entry.stage == _STAGE, entry.action == _HELD
    )
    sets: dict[int, list[Verification]] = {}
    with campaign.engine.connect() as connection:
        for courseid, at, name in connection.execute(held):
            sets.setdefault(courseid, []).append((at, name))
    return sets


def newest_set(sets: Iterable[Verification], moment: datetime) -> str:
    """The name of the newest of them that was verified by then (UTC); '' if none was."""
    return max((name for at, name in sets if at <= moment), default="")
