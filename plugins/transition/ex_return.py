"""Spaces that a campaign archived and whose code is in the model again: they leave Archives."""

import time

import sqlalchemy as sa

from transition import journal
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.ex_changes import archived_until, last_change, obstacles, put_back, remember
from transition.ex_links import undo
from transition.spaces import deciding_categories, looks_archived, read_spaces
from transition.state import tables


def coming_back(campaign: Campaign) -> list[tuple[int, str]]:
    """Spaces in scope that are to be reset and still look archived, by a campaign: (course id, code)."""
    decision = tables.decision.c
    query = sa.select(decision.courseid, decision.code).where(
        decision.run == campaign.run, decision.in_scope == sa.true(), decision.decision == "reset",
        decision.courseid.in_(archived_until(campaign)),
    )  # fmt: skip
    with campaign.engine.connect() as connection:
        found = connection.execute(query.order_by(decision.courseid)).all()
    if not found:  # as in most years: no need to read every course
        return []
    categories = deciding_categories(campaign)
    archived = {space.courseid for space in read_spaces(campaign) if looks_archived(space, categories)}
    return [(courseid, code) for courseid, code in found if courseid in archived]


def bring_back(connection: sa.Connection, campaign: Campaign, stage: str, courseid: int) -> None:
    """Give a space its names, its identification number and its category back, in the caller's transaction.

    It is seen again if the expiry hid it. Its teachers stay as they are. What it was in Archives is kept in
    ``ex_change``: a restore puts it there again. Of a space that a stopped run of this very campaign archived, nothing
    is kept: that should not have been. Does nothing twice. Raises :class:`TransitionError` when a name is another
    space's now, or the category is gone.
    """
    change = last_change(connection, courseid)
    if change is None or change.archived_in is not None:
        return
    if found := obstacles(connection, campaign, change):
        raise TransitionError(" ; ".join(found))
    before, written = put_back(connection, campaign, change, int(time.time()))
    of_an_earlier_year = change.year != campaign.year
    if of_an_earlier_year:
        remember(connection, campaign, before, written, change)
    undo(connection, campaign, courseid, change.year, campaign.year if of_an_earlier_year else None)
    journal.record(
        connection, campaign, stage, "returned", courseid=courseid, table_name="course",
        detail=f"{before.shortname} redevient {written['shortname']}, archivé par la campagne {change.year}",
    )  # fmt: skip
