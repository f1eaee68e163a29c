"""The engineers' form: exceptions to add, one or several, or one to withdraw; all is checked before it counts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from transition import journal, preflight
from transition.apogee.calendar import TARGETS, TYPES, CalendarException, agree, unknown
from transition.apogee.canonical import CANONICAL
from transition.apogee.codes import compare_key
from transition.apogee.csv_source import UnreadableError, pasted_table
from transition.apogee.feed import RawTable
from transition.apogee.load import stored_rows
from transition.apogee.rows import Findings, check_rows, shown
from transition.calendars.entries import STAGE, add, added_by_this_run, withdraw
from transition.calendars.known import Known, read_known
from transition.campaign import Campaign
from transition.errors import TransitionError, refuse_all
from transition.state import schema

_TABLE = "exception_calendrier"
_UNTIL = ("fermeture_tardive", "decale")  # types whose `fin` is the day of the reset
_FIELDS = ("cible_type", "cible", "type", "debut", "fin", "motif", "demandeur")


@dataclass(frozen=True)
class Request:
    """What an engineer asks for; the fields of an entry are the columns of ``exception_calendrier.csv``, as text.

    :param action: ``add`` one entry, ``import`` the ``csv`` (its header line first), ``withdraw`` the entry of number
        ``entry``, or only ``show`` the year.
    """

    action: Literal["show", "add", "import", "withdraw"]
    cible_type: str = ""
    cible: str = ""
    type: str = ""
    debut: str = ""
    fin: str = ""
    motif: str = ""
    demandeur: str = ""
    csv: str = ""
    entry: int | None = None


def change(campaign: Campaign, request: Request) -> None:
    """Carry out the request for the campaign's year, all of it or nothing; twice by the same run is once.

    Writes nothing in Moodle. Raises :class:`TransitionError` with every line that is refused, and why.
    """
    refuse_all("Calendriers décalés :", list(preflight.other_site(campaign)))
    schema.upgrade(campaign)
    if request.action == "show":
        return
    with campaign.lock(STAGE), journal.stage(campaign, STAGE):
        if request.action == "withdraw":
            if request.entry is None:
                raise TransitionError("Indiquez le numéro de la saisie à retirer : « afficher » en donne la liste.")
            withdraw(campaign, request.entry)
        elif not added_by_this_run(campaign):
            add(campaign, _checked(campaign, request))


def _checked(campaign: Campaign, request: Request) -> list[dict[str, Any]]:
    """The rows that the request gives, checked; raises :class:`TransitionError` with all findings."""
    intro = f"Rien n'a été enregistré ({campaign.platform.label}, {campaign.year}) ; corrigez puis relancez :"
    try:
        raw = _given(campaign, request)
    except UnreadableError as error:
        raise TransitionError(f"{intro}\n  - {error}") from None
    findings = Findings()
    check_rows(raw, CANONICAL[_TABLE], campaign.year, findings)
    if raw.frame.empty:
        findings.refused.append(f"{raw.where} : aucune ligne sous l'en-tête.")
    refuse_all(intro, findings.refused)
    known = read_known(campaign)
    rows = [_with_code(row, known) for row in stored_rows("", _TABLE, raw)]
    refuse_all(intro, list(_findings(campaign, known, raw, rows)))
    return [{name: value for name, value in row.items() if name not in ("lot_id", "ligne")} for row in rows]


def _given(campaign: Campaign, request: Request) -> RawTable:
    """What was typed or pasted, as a table of a feed."""
    if request.action == "import":
        return pasted_table("csv", request.csv, CANONICAL[_TABLE])
    values = {"annee": str(campaign.year), **{name: getattr(request, name) for name in _FIELDS}}
    return RawTable("formulaire", pd.DataFrame([values], dtype=str), [1], "")


def _with_code(row: dict[str, Any], known: Known) -> dict[str, Any]:
    """A space may be given by its number in Moodle instead of its code: what is stored is the code."""
    if row["cible_type"] != "cours" or any(space.key == row["cle"] for space in known.spaces):
        return row
    codes = [space.code for space in known.spaces if str(space.courseid) == row["cle"] and space.key]
    return {**row, "cible": codes[0], "cle": compare_key(codes[0])} if codes else row


def _findings(campaign: Campaign, known: Known, raw: RawTable, rows: list[dict[str, Any]]) -> Iterator[str]:
    """What is wrong with each row beside what the platform, the feed and the entries hold."""
    before = list(known.exceptions)
    keys = {space.key for space in known.spaces if space.key}
    for position, row in enumerate(rows):
        new = CalendarException(
            raw.lines[position], row["cible_type"], row["cle"], row["type"], row.get("debut"), row.get("fin")
        )
        target = f"{TARGETS[new.target_type]} « {shown(row['cible'])} »"
        problems = list(_date_problems(campaign, new))
        if unknown([new], known.steps, known.model, keys):
            problems.append(f"colonne cible : {target} {agree('inconnu', new.target_type)} dans Moodle et dans Apogée")
        spaces = known.spaces_of(new)
        if spaces and all(space.courseid in known.done for space in spaces):
            done = agree("réinitialisé", new.target_type)
            problems.append(f"colonne cible : {target} déjà {done} pour {campaign.year}, ce serait sans effet")
        for old in before:
            if _same_target(new, old) and not _goes_further(new, old):
                place = old.place if old in known.exceptions else f"ligne {old.line}"
                problems.append(
                    f"colonne type : {TYPES[new.type]} fait double emploi avec l'exception de {target} qui existe"
                    f" déjà ({TYPES[old.type]}, {place}), ou la contredit ; retirez d'abord celle-là"
                )
        before.append(new)
        yield from (f"{raw.place(position)}, {problem}." for problem in problems)


def _date_problems(campaign: Campaign, new: CalendarException) -> Iterator[str]:
    """Dates that a file may hold, once they are past, and that nobody enters: they would change nothing."""
    if new.type == "exclu" and (new.begin or new.end):
        yield f"colonne {'debut' if new.begin else 'fin'} : une exclusion vaut pour l'année entière, sans date"
    if new.type in _UNTIL and new.end and new.end <= campaign.today:
        yield f"colonne fin : « {new.end} » est déjà passé, ce serait sans effet"


def _same_target(new: CalendarException, old: CalendarException) -> bool:
    """An element and the space of its code are one."""
    return new.target == old.target and (new.target_type == "etape") == (old.target_type == "etape")


def _goes_further(new: CalendarException, old: CalendarException) -> bool:
    """Whether a second exception of one target says more: an exclusion, or a later end. The strictest wins."""
    if new.type == "exclu":
        return old.type != "exclu"
    later = bool(new.end and old.end and new.end > old.end)
    return new.type in _UNTIL and old.type in _UNTIL and later
