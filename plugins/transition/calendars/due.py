"""Which spaces are to be reset on their own date, today."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from transition import preflight
from transition.apogee.calendar import EARLY
from transition.apogee.load import loaded_lots
from transition.apogee.model import read_model
from transition.apogee.tables import exception_calendrier, lot
from transition.calendars.tables import calendar_entry
from transition.campaign import Campaign
from transition.decisions import APPLIED, Space, decide, read_facts, read_spaces
from transition.errors import TransitionError, refuse_all
from transition.french import counted
from transition.restore.history import WHOLE
from transition.restore.put_back import STAGE as RESTORE
from transition.state import schema, tables

_PRECOCIOUS = "ouverture_precoce"
_YEARS = 2  # dates of an exception lie in its year or the next one: older campaigns defer nothing any more


@dataclass(frozen=True)
class Due:
    """The spaces that a year's campaign has to reset today. The year is the campaign's, whatever the day's is."""

    year: int
    spaces: tuple[Space, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """Their codes."""
        return tuple(space.code for space in self.spaces)


def due_spaces(campaign: Campaign, year: int | None = None) -> list[Due]:
    """The years that have due spaces, the newest first, or only that ``year``. Writes nothing in Moodle.

    Due is a space that a campaign deferred (a run let loose decided so), or one that opens early within
    :data:`~transition.apogee.calendar.EARLY`; that no campaign of the year or a later one has reset, not even if a
    restore has brought it back since (a person wanted it so, and works in it); and that the decisions of today would
    reset or archive. Raises :class:`TransitionError` for another site's database, or an early opening of a year without
    any loaded feed.
    """
    refuse_all("Calendriers décalés :", list(preflight.other_site(campaign)))
    schema.upgrade(campaign)
    returns = _returns(campaign)
    deferred, opening = _deferred(campaign, returns), _years_opening(campaign)
    spaces = read_spaces(campaign) if deferred or opening else []
    found = []
    for candidate in sorted({*deferred, *opening}, reverse=True):
        if year in (None, candidate):
            of_year = replace(campaign, year=candidate)
            back = {courseid for of_return, courseid in returns if of_return >= candidate}
            due = _due(of_year, spaces, deferred.get(candidate, set()), back)
            found += [Due(candidate, due)] if due else []
    return found


def refuse_unfinished(campaign: Campaign, due: Due) -> None:
    """Raise :class:`TransitionError` if the platform's last writing run has spaces left that ``due`` would not finish.

    To take the platform from it would forbid it to go on. Not so when all its spaces are due: the new run is the one
    that carries on.
    """
    run, decision, reset = tables.run, tables.decision, tables.space_reset
    finished = sa.exists().where(reset.c.courseid == decision.c.courseid, reset.c.year >= run.c.year)
    query = (
        sa.select(run.c.run_id, run.c.year, decision.c.courseid)
        .select_from(
            tables.fence.join(run, run.c.number == tables.fence.c.run).join(decision, decision.c.run == run.c.number)
        )
        .where(run.c.frozen_at.is_not(None), decision.c.in_scope, ~finished)
    )
    mine = {(due.year, space.courseid) for space in due.spaces}
    with campaign.engine.connect() as connection:
        left = [row for row in connection.execute(query) if (row.year, row.courseid) not in mine]
    if left:
        spaces = counted(len(left), "espace", "espaces")
        raise TransitionError(
            f"L'exécution {left[0].run_id} ({left[0].year}) n'est pas terminée ({spaces}) : reprenez-la d'abord"
            " (« Réinitialiser » sur sa tâche en rouge, ou une nouvelle transition annuelle) ; jusque-là, les espaces à"
            f" calendrier décalé attendent : {', '.join(due.codes)}."
        )


def _due(campaign: Campaign, spaces: Sequence[Space], deferred: set[int], back: set[int]) -> tuple[Space, ...]:
    """Of the spaces, those to reset today; ``back``: brought back by a restore, they have no early opening left."""
    lots = loaded_lots(campaign)
    if campaign.year not in lots:
        raise TransitionError(
            f"Des espaces ouvrent avant le 1er septembre {campaign.year} et aucun lot Apogée de {campaign.year} n'est"
            f" chargé : déposez-le, puis lancez annual_transition_{campaign.platform.name} à blanc, qui le charge."
        )
    facts = read_facts(campaign, spaces, read_model(campaign, lots))

    def opens(space: Space) -> bool:
        if space.courseid in back:
            return False
        asked = facts.exceptions.get(space.key, ())
        return any(one.type == _PRECOCIOUS and one.moment(facts.today) == "due" for one in asked)

    return tuple(
        space for space in spaces if (space.courseid in deferred or opens(space)) and decide(space, facts)[0] in APPLIED
    )


def _returns(campaign: Campaign) -> dict[tuple[int, int], datetime]:
    """By year and course, when a restore last brought back all that the campaign of that year had taken from it."""
    entry = tables.journal.c
    query = (
        sa.select(entry.year, entry.courseid, sa.func.max(entry.at))
        .where(entry.stage == RESTORE, entry.action == WHOLE)
        .group_by(entry.year, entry.courseid)
    )
    with campaign.engine.connect() as connection:
        return {(year, courseid): at for year, courseid, at in connection.execute(query)}


def _deferred(campaign: Campaign, returns: Mapping[tuple[int, int], datetime]) -> dict[int, set[int]]:
    """Courses that a campaign deferred and none has reset nor restored since, by the campaign's year."""
    run, decision, reset = tables.run, tables.decision, tables.space_reset
    since = sa.exists().where(reset.c.courseid == decision.c.courseid, reset.c.year >= run.c.year)
    query = (
        sa.select(run.c.year, decision.c.courseid, sa.func.max(run.c.frozen_at))
        .select_from(run.join(decision, decision.c.run == run.c.number))
        .where(run.c.year >= campaign.today.year - _YEARS, run.c.frozen_at.is_not(None))
        .where(decision.c.decision == "defer", ~since)
        .group_by(run.c.year, decision.c.courseid)
    )
    found: dict[int, set[int]] = {}
    with campaign.engine.connect() as connection:
        for year, courseid, let_loose in connection.execute(query):
            later = [at for (of_return, other), at in returns.items() if other == courseid and of_return >= year]
            if max(later, default=datetime.min) < let_loose:
                found.setdefault(year, set()).add(courseid)
    return found


def _years_opening(campaign: Campaign) -> set[int]:
    """Years with an early opening that may be due today."""
    entry, line = calendar_entry.c, exception_calendrier.c
    first, last = campaign.today, campaign.today + EARLY
    entered = sa.select(entry.year).where(
        entry.withdrawn_at.is_(None), entry.type == _PRECOCIOUS, entry.debut.between(first, last)
    )
    fed = (
        sa.select(lot.c.annee)
        .join(exception_calendrier, line.lot_id == lot.c.lot_id)
        .where(lot.c.charge_le.is_not(None), line.type == _PRECOCIOUS, line.debut.between(first, last))
    )
    with campaign.engine.connect() as connection:
        return {year for query in (entered, fed) for year in connection.execute(query.distinct()).scalars()}
