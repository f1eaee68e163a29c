"""Which spaces are to be reset on their own date, today."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import sqlalchemy as sa

from transition import preflight
from transition.apogee.calendar import EARLY
from transition.apogee.load import loaded_lots
from transition.apogee.model import read_model
from transition.apogee.tables import exception_calendrier, lot
from transition.calendars.tables import calendar_entry
from transition.campaign import Campaign
from transition.decisions import APPLIED, decide, read_facts
from transition.errors import TransitionError, refuse_all
from transition.french import counted
from transition.restore.history import WHOLE
from transition.restore.put_back import STAGE as RESTORE
from transition.spaces import Space, deciding_categories, read_spaces
from transition.state import schema, tables

UNDECIDED = (
    "Des espaces à calendrier décalé attendent une personne. Faites ce que dit chaque ligne ; un espace que vous avez"
    " traité à la main, excluez-le (DAG calendar_exceptions) :"
)
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


@dataclass(frozen=True)
class Night:
    """What a day has to do.

    :param due: the years that have due spaces, the one whose turn it is first. :param undecided: French sentences on
        what a person must see to before the rest can be told or done.
    """

    due: tuple[Due, ...] = ()
    undecided: tuple[str, ...] = ()


def due_spaces(campaign: Campaign, year: int | None = None) -> Night:
    """The due spaces of every year, or only of that ``year``, each year decided on its own. Writes nothing in Moodle.

    Due is a space that a campaign deferred (a run let loose decided so), or one that opens early within
    :data:`~transition.apogee.calendar.EARLY`; that no campaign of the year or a later one has reset, not even if a
    restore has brought it back since (a person wanted it so, and works in it); and that the decisions of today would
    reset or archive. One on hold, or open already, is undecided, as is a year whose decisions cannot be taken. Raises
    :class:`TransitionError` for another site's database or a missing category: no year could be decided.
    """
    refuse_all("Calendriers décalés :", list(preflight.other_site(campaign)))
    schema.upgrade(campaign)
    returns = _returns(campaign)
    deferred = _deferred(campaign, returns)
    years = [one for one in sorted({*deferred, *_years_opening(campaign)}, reverse=True) if year in (None, one)]
    if not years:
        return Night()
    deciding_categories(campaign)
    spaces, due, undecided = read_spaces(campaign), list[Due](), list[str]()
    for candidate in years:
        back = {courseid for of_return, courseid in returns if of_return >= candidate}
        try:
            decided = _decided(replace(campaign, year=candidate), spaces, deferred.get(candidate, set()), back)
        except TransitionError as error:
            undecided.append(f"Année {candidate}-{candidate + 1} : {error}")
            continue
        if found := tuple(space for space, decision, _ in decided if decision in APPLIED):
            due.append(Due(candidate, found))
        undecided += [
            f"{space.code or space.shortname} ({candidate}-{candidate + 1}), dont la date est venue : {reason}."
            for space, decision, reason in decided
            if decision == "hold"
        ]
    # In turn: a year whose run fails, or is refused, night after night, must not keep the others waiting.
    turn = campaign.today.toordinal() % max(len(due), 1)
    return Night((*due[turn:], *due[:turn]), tuple(undecided))


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


def _decided(
    campaign: Campaign, spaces: Sequence[Space], deferred: set[int], back: set[int]
) -> list[tuple[Space, str, str]]:
    """Today's decision, and its reason, on each space that is deferred or opens early.

    :param back: brought back by a restore, they have no early opening left.
    """
    lots = loaded_lots(campaign)
    if campaign.year not in lots:
        raise TransitionError(
            f"Des espaces ouvrent avant le 1er septembre {campaign.year} et aucun lot Apogée de {campaign.year} n'est"
            f" chargé : déposez-le, puis lancez annual_transition_{campaign.platform.name} à blanc, qui le charge."
        )
    facts = read_facts(campaign, spaces, read_model(campaign, lots))

    def opens(space: Space) -> bool:
        asked = facts.exceptions.get(space.key, ()) if space.courseid not in back else ()
        return any(one.type == _PRECOCIOUS and one.moment(facts.today) in ("due", "opened") for one in asked)

    return [(space, *decide(space, facts)) for space in spaces if space.courseid in deferred or opens(space)]


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
    """Years with an early opening that may be due today, or has come this year: nothing may have been done for it."""
    entry, line = calendar_entry.c, exception_calendrier.c
    first, last = date(campaign.today.year, 1, 1), campaign.today + EARLY
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
