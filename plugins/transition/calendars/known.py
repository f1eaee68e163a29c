"""What calendar exceptions refer to, as the platform and the loaded lots hold it now; no run is needed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from transition.apogee.calendar import CalendarException, by_code, load_exceptions, load_steps, lots_since
from transition.apogee.load import loaded_lots
from transition.apogee.model import Model, read_model
from transition.calendars.entries import load_entries
from transition.campaign import Campaign
from transition.decisions import done_spaces
from transition.spaces import Space, read_spaces


@dataclass(frozen=True)
class Known:
    """A platform's spaces, and one year's calendars.

    :param steps: elements (compare keys) by étape. :param exceptions: of the newest feed of the year, and the entries.
    :param done: courses already reset for that year, and when (UTC).
    """

    spaces: Sequence[Space]
    model: Model
    steps: Mapping[str, Collection[str]]
    exceptions: Sequence[CalendarException]
    done: Mapping[int, str]

    def spaces_of(self, exception: CalendarException) -> list[Space]:
        """The spaces that an exception concerns."""
        codes = by_code([exception], self.steps, self.model).keys()
        return [space for space in self.spaces if space.key in codes]


def read_known(campaign: Campaign) -> Known:
    """Read them for the campaign's year. Before the first feed of that year, the model of the year before counts."""
    lots = loaded_lots(campaign)
    of_year = lots_since(campaign, lots[campaign.year]) if campaign.year in lots else []
    return Known(
        spaces=read_spaces(campaign),
        model=read_model(campaign, lots),
        steps=load_steps(campaign, lots.values()),
        exceptions=[*load_exceptions(campaign, of_year), *load_entries(campaign)],
        done=done_spaces(campaign),
    )
