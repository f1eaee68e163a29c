"""Moodle's caches, which know nothing of rows that come back by SQL."""

import logging

from transition.campaign import Campaign
from transition.errors import TransitionError, UnreachableError
from transition.moodle.command_line import CommandLine

_log = logging.getLogger(__name__)
_SECONDS = 1800  # as long as a transition gives it


def purge_caches(campaign: Campaign) -> str:
    """Purge Moodle's caches, if the platform declares its command line; returns what is done, or left to a person.

    Never raises what the command says: the rows are back already.
    """
    if prefix := campaign.platform.moodle_command:
        try:
            CommandLine(prefix).run("purge_caches.php", seconds=_SECONDS)
            return "Les caches de Moodle sont purgés."
        except (TransitionError, UnreachableError) as error:
            _log.warning("%s", error)
    return "Purgez maintenant les caches de Moodle (admin/cli/purge_caches.php)."
