"""What the journal says of the verified sets: an older one must not pass for one that is lost or altered since."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from transition import journal
from transition.campaign import Campaign
from transition.state import tables

_STAGE, _HELD = "july_backup", "held"


def record_held(connection: sa.Connection, campaign: Campaign, name: str, spaces: Collection[int]) -> None:
    """Write down, in the caller's transaction, that the set of that name was verified with these spaces in it."""
    for courseid in spaces:
        journal.record(connection, campaign, _STAGE, _HELD, courseid=courseid, detail=name)


def newest_sets(campaign: Campaign, resets: Collection[tuple[int, datetime]]) -> dict[tuple[int, datetime], str]:
    """The name of the newest set that held each space before it was reset; '' if the journal knows of none.

    :param resets: course id, and when its keys were frozen (UTC).
    """
    entry = tables.journal.c
    held = sa.select(entry.courseid, entry.at, entry.detail).where(_of_year(campaign))
    sets: dict[int, list[tuple[datetime, str]]] = {}
    with campaign.engine.connect() as connection:
        for courseid, at, name in connection.execute(held):
            sets.setdefault(courseid, []).append((at, name))
    return {
        (courseid, moment): max((name for at, name in sets.get(courseid, ()) if at <= moment), default="")
        for courseid, moment in resets
    }


def lost_sets(campaign: Campaign, present: Collection[str]) -> dict[str, int]:
    """The newest sets of some spaces that are not among those present: by name, how many spaces.

    :param present: names of the sets in the storage that may be relied upon.
    """
    entry = tables.journal.c
    newest = sa.select(sa.func.max(entry.detail)).where(_of_year(campaign)).group_by(entry.courseid)
    with campaign.engine.connect() as connection:
        return Counter(name for name in connection.execute(newest).scalars() if name not in present)


def _of_year(campaign: Campaign) -> sa.ColumnElement[bool]:
    entry = tables.journal.c
    return sa.and_(entry.year == campaign.year, entry.stage == _STAGE, entry.action == _HELD)
