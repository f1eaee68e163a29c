"""Take back what ex_rename did to a space: its names, its category, its place there."""

import sqlalchemy as sa

from transition import journal
from transition.campaign import Campaign
from transition.ex_changes import change_of, obstacles, put_back, remember
from transition.ex_links import undo
from transition.restore.put_back import STAGE


def name_conflicts(connection: sa.Connection, campaign: Campaign, courseid: int) -> list[str]:
    """What keeps a space from getting its name and place back, in French; nothing for a space that never lost them."""
    change = change_of(connection, campaign.year, courseid)
    return obstacles(connection, campaign, change) if change else []


def put_name_back(campaign: Campaign, courseid: int) -> bool:
    """Give a space the names, the category and the rank that it had before the campaign; True if it had lost them.

    See :func:`transition.ex_changes.put_back`. A space that the campaign had taken out of Archives goes there again.
    The teachers enrolled by hand stay. One transaction; does nothing twice.
    """
    with campaign.engine.begin() as connection:
        change = change_of(connection, campaign.year, courseid)
        if change is None:
            return False
        before, written = put_back(connection, campaign, change, change.timemodified)
        if change.archived_in is not None:
            remember(connection, campaign, before, written, change)
        undo(connection, campaign, courseid, change.year, change.archived_in)
        journal.record(
            connection, campaign, STAGE, "renamed", courseid=courseid, table_name="course",
            detail=f"{before.shortname} redevient {written['shortname']}",
        )  # fmt: skip
        return True
