"""Stage purge: one rule's frozen rows move into the archive."""

from transition import journal, move
from transition.campaign import Campaign
from transition.etherpad import pads


def purge(campaign: Campaign, rule: str) -> None:
    """Move the rows of a rule; that of Etherpad, which has none in Moodle, empties the pads. Does nothing twice.

    Raises :class:`TransitionError` if the plan is not frozen or another run has taken the platform.
    """
    with campaign.lock(f"purge:{rule}"):
        campaign.check_frozen()  # once the lock is held: another run may have taken the platform during the wait
        with journal.stage(campaign, "purge", rule) as closing:
            closing["rows_moved"] = pads.empty(campaign) if rule == pads.RULE else move.move_rule(campaign, rule)
