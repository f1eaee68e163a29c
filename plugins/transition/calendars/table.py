"""A year's calendar exceptions as a table that fits a terminal: what each one will do, and when."""

from datetime import UTC
from textwrap import wrap

import sqlalchemy as sa

from transition.apogee.calendar import TARGETS, TYPES, CalendarException
from transition.calendars.entries import standing
from transition.calendars.known import Known, read_known
from transition.calendars.tables import calendar_entry
from transition.campaign import Campaign
from transition.decisions import decide, read_facts
from transition.errors import TransitionError

_WIDTH = 100
_LINE = "  {:>7}  {:<26}  {:<19}  {:>7}  {}"


def calendar_table(campaign: Campaign) -> str:
    """The exceptions that count for the campaign's year, those of the feed and those entered; at most 100 columns.

    A space that its date finds on hold is named, with the reason.

    Neither reasons nor requesters are printed: free text may name a student. They are in ``calendar_entry``.
    """
    known, authors = read_known(campaign), _authors(campaign)
    held, obstacle = _held(campaign, known)
    lines = [
        f"CALENDRIERS — {campaign.platform.label}, année {campaign.year}-{campaign.year + 1},"
        f" au {campaign.today:%d/%m/%Y}",
        _LINE.format("N°", "Cible", "Exception", "Faits", "Effet"),
        _LINE.format("-" * 7, "-" * 26, "-" * 19, "-" * 7, "-" * 30),
    ]
    for exception in known.exceptions:
        spaces = known.spaces_of(exception)
        done = sum(space.courseid in known.done for space in spaces)
        target = f"{TARGETS[exception.target_type]} {exception.target}"
        number = str(exception.line) if exception.entered else f"lot:{exception.line}"
        effect = "fait" if spaces and done == len(spaces) else _effect(campaign, exception)
        lines.append(_LINE.format(number, target[:26], TYPES[exception.type], f"{done}/{len(spaces)}", effect).rstrip())
        if exception.entered:
            lines.append(" " * 11 + authors[exception.line][:88])
        if exception.moment(campaign.today) in ("due", "opened"):
            lines += [
                line
                for space in spaces
                if space.courseid in held
                for line in _wrapped(f"{space.code} en attente : {held[space.courseid]}")
            ]
    if not known.exceptions:
        lines.append("  aucune exception : tous les espaces suivent la transition annuelle")
    return "\n".join([*lines, *obstacle, *_without_model(campaign, known)])


def _held(campaign: Campaign, known: Known) -> tuple[dict[int, str], list[str]]:
    """Why each course on hold is; or what keeps the year from being decided, as lines of the table."""
    if campaign.year not in known.model.lots:
        return {}, []
    try:
        facts = read_facts(campaign, known.spaces, known.model)
    except TransitionError as error:
        return {}, [f"  {line}" for part in str(error).splitlines() for line in wrap(part, _WIDTH - 2)]
    decided = {space.courseid: decide(space, facts) for space in known.spaces}
    return {courseid: reason for courseid, (decision, reason) in decided.items() if decision == "hold"}, []


def _wrapped(text: str) -> list[str]:
    """A remark on the line above it."""
    margin = " " * 11
    return wrap(text, _WIDTH, initial_indent=margin, subsequent_indent=margin)


def _effect(campaign: Campaign, exception: CalendarException) -> str:
    """What becomes of the spaces of an exception that are not reset yet."""
    match exception.moment(campaign.today):
        case "excluded":
            return "jamais réinitialisé"
        case "deferred":
            return f"réinitialisé dès le {exception.end:%d/%m/%Y}"
        case "opened":
            return "déjà ouvert : à vérifier à la main"
        case _ if exception.type == "ouverture_precoce":
            return f"réinitialisé avant le {exception.begin:%d/%m/%Y}"
    return f"dû depuis le {exception.end:%d/%m/%Y}"


def _authors(campaign: Campaign) -> dict[int, str]:
    """Who entered each entry, and when."""
    entry = calendar_entry.c
    query = sa.select(entry.id, entry.entered_by, entry.entered_at).where(standing(campaign))
    with campaign.engine.connect() as connection:
        return {
            number: f"saisi par {by} le {at.replace(tzinfo=UTC).astimezone(campaign.platform.zone):%d/%m/%Y à %H:%M}"
            for number, by, at in connection.execute(query)
        }


def _without_model(campaign: Campaign, known: Known) -> list[str]:
    if campaign.year in known.model.lots:
        return []
    return [
        f"  Aucun lot Apogée de {campaign.year} n'est encore chargé : éléments et étapes sont ceux de"
        f" {campaign.year - 1}."
    ]
