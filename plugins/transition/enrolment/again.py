"""Rows that year N gives again as they are: they stay, like a repeater's enrolment."""

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.enrolment.forums import subscribed_again
from transition.enrolment.groups import member_again


def given_again(campaign: Campaign, name: str, rows: sa.FromClause) -> sa.ColumnElement[bool] | None:
    """Whether the stage would write a row of the Moodle table ``name`` again just as it is; None: no row of that table.

    Such a row stays: taken out and written again, it could not come back by a restore (a user is once in a group, once
    subscribed to a forum), and a second run of the year would move what the first one wrote.
    """
    for again in (member_again, subscribed_again):
        if (stays := again(campaign, name, rows)) is not None:
            return stays
    return None
