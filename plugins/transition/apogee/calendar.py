"""Calendar exceptions: which codes are excluded, or reset on their own date.

They come with the feed (table ``exception_calendrier``) and from the table that pedagogical engineers fill
(:mod:`transition.calendars`).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from transition.apogee import tables
from transition.apogee.codes import compare_key
from transition.apogee.model import Model
from transition.campaign import Campaign
from transition.errors import refuse_all

TYPES = {
    "ouverture_precoce": "ouverture précoce",
    "fermeture_tardive": "fermeture tardive",
    "decale": "calendrier décalé",
    "exclu": "exclusion demandée",
}
TARGETS = {"element": "élément", "etape": "étape", "cours": "espace"}
# An early opening is due that long before: room for a person to approve, and for a night that fails.
EARLY = timedelta(days=7)

Moment = Literal["excluded", "deferred", "waiting", "due", "opened"]


@dataclass(frozen=True)
class CalendarException:
    """One exception; ``target`` is the compare key of ``cible``.

    :param line: its line in the feed or, if it was ``entered`` by an engineer, the number of its entry.
    """

    line: int
    target_type: str
    target: str
    type: str
    begin: date | None
    end: date | None
    entered: bool = False

    @property
    def place(self) -> str:
        """Where it can be corrected, in French."""
        return f"saisie n° {self.line}" if self.entered else f"ligne {self.line} des exceptions"

    def moment(self, today: date) -> Moment:
        """Where the space stands in its own calendar on that day.

        - ``excluded``: never reset.
        - ``deferred``: a late closing or a shifted calendar before its end, the first day on which it may be reset.
        - ``waiting``: an early opening that is still far; the transition may come first.
        - ``due``: its own date has come, or an early opening comes within :data:`EARLY`.
        - ``opened``: an early opening has passed.
        """
        if self.type == "exclu":
            return "excluded"
        if self.type == "ouverture_precoce":
            if self.begin is None or today < self.begin - EARLY:
                return "waiting"
            return "due" if today < self.begin else "opened"
        return "due" if self.end is None or today >= self.end else "deferred"

    def verdict(self, today: date) -> tuple[str, str] | None:
        """The decision that the exception imposes on that day, with its reason in French; None if it imposes none.

        A late closing or a shifted calendar blocks the reset until its end. An early opening asks for nothing before
        it. Once open, students of the new year may be at work: a person must look.
        """
        origin = f"{TYPES[self.type]}, {TARGETS[self.target_type]} {self.target}, {self.place}"
        match self.moment(today):
            case "excluded":
                return "exclude", origin
            case "deferred":
                return "defer", f"à réinitialiser à partir du {self.end:%d/%m/%Y} ({origin})"
            case "opened":
                return (
                    "hold",
                    f"déjà ouvert depuis le {self.begin:%d/%m/%Y} ({origin}) : à vérifier et réinitialiser à la main",
                )
        return None


def agree(adjective: str, target_type: str) -> str:
    """An adjective that is said of such a target: « étape » alone is feminine."""
    return adjective + ("e" if target_type == "etape" else "")


def load_exceptions(campaign: Campaign, lots: Iterable[str]) -> list[CalendarException]:
    """The exceptions of those lots."""
    table = tables.exception_calendrier.c
    query = sa.select(table.ligne, table.cible_type, table.cle, table.type, table.debut, table.fin)
    with campaign.engine.connect() as connection:
        rows = connection.execute(query.where(table.lot_id.in_(list(lots))).order_by(table.lot_id, table.ligne))
        return [CalendarException(*row) for row in rows]


def lots_since(campaign: Campaign, lot_id: str) -> list[str]:
    """That lot and those of the same year that were loaded after it: an exclusion that was added since still counts."""
    lot, own = tables.lot, tables.lot.alias("own")
    query = (
        sa.select(lot.c.lot_id)
        .join(own, sa.and_(own.c.lot_id == lot_id, own.c.annee == lot.c.annee))
        .where(lot.c.charge_le >= own.c.charge_le)
    )
    with campaign.engine.connect() as connection:
        return list(connection.execute(query).scalars())


def load_steps(campaign: Campaign, lots: Iterable[str]) -> dict[str, frozenset[str]]:
    """Elements (compare keys) by étape, under each spelling of the étape: ``SL3INF``, ``SL3INF_140``, ``SL3INF-140``.

    Apogée writes a version of an étape with either sign. Both years count: an element that left still closes late.
    """
    path, element = tables.element_etape, tables.element
    query = (
        sa.select(path.c.etape, path.c.version, element.c.cle)
        .join(element, sa.and_(element.c.lot_id == path.c.lot_id, element.c.code == path.c.code))
        .where(path.c.lot_id.in_(list(lots)))
    )
    steps: dict[str, set[str]] = {}
    with campaign.engine.connect() as connection:
        for step, version, key in connection.execute(query):
            for spelling in (step, f"{step}_{version}", f"{step}-{version}"):
                steps.setdefault(compare_key(spelling), set()).add(key)
    return {step: frozenset(keys) for step, keys in steps.items()}


def by_code(
    exceptions: Iterable[CalendarException], steps: Mapping[str, Collection[str]], model: Model
) -> dict[str, list[CalendarException]]:
    """Exceptions by the code of the spaces that they concern.

    An element's exception also concerns the space that hosts it. That of an étape concerns every element in it, even
    one that other étapes share: their students are in the same space.
    """
    concerned: dict[str, list[CalendarException]] = {}
    for exception in exceptions:
        codes: Collection[str] = [exception.target]
        if exception.target_type == "etape":
            codes = steps.get(exception.target, ())
        for code in codes if exception.target_type == "cours" else model.with_hosts(codes):
            concerned.setdefault(code, []).append(exception)
    return concerned


def unknown(
    exceptions: Iterable[CalendarException], steps: Mapping[str, Any], model: Model, platform_codes: Collection[str]
) -> list[CalendarException]:
    """Exceptions whose target nobody knows: neither the model nor, for an element or a space, the platform."""
    known = {*model.taught, *model.hosts, *model.states, *(model.last or ()), *platform_codes}
    return [
        exception
        for exception in exceptions
        if exception.target not in (steps if exception.target_type == "etape" else known)
    ]


def refuse_unknown(
    exceptions: Iterable[CalendarException], steps: Mapping[str, Any], model: Model, platform_codes: Collection[str]
) -> None:
    """Raise :class:`TransitionError` for exceptions whose target nobody knows: they would protect nothing."""
    refuse_all(
        "Exceptions de calendrier dont la cible est inconnue, donc sans effet ; corrigez exception_calendrier.csv, ou"
        " retirez la saisie (DAG calendar_exceptions) :",
        [
            f"{f'saisie n° {found.line}' if found.entered else f'ligne {found.line}'}, colonne cible :"
            f" {TARGETS[found.target_type]} « {found.target} » {agree('inconnu', found.target_type)}"
            for found in unknown(exceptions, steps, model, platform_codes)
        ],
    )
