"""The stage ``detect_missing``: what the campaign does with each course space, and why."""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import sqlalchemy as sa

from transition import journal
from transition.apogee.calendar import (
    CalendarException,
    by_code,
    load_exceptions,
    load_steps,
    lots_since,
    refuse_unknown,
)
from transition.apogee.model import Model, load_model
from transition.calendars.entries import load_entries
from transition.campaign import Campaign
from transition.doubts import ambiguous_forums, doubt
from transition.ex_changes import archived_until, obstacles
from transition.ex_names import ARCHIVED_PREFIX
from transition.french import counted, day
from transition.missing import CSV_NAME, record_missing
from transition.spaces import (
    DecidingCategories,
    Space,
    deciding_categories,
    looks_archived,
    read_spaces,
    refuse_unknown_courses,
)
from transition.state import tables

STAGE = "detect_missing"
APPLIED = ("reset", "archive")
# How a plan and its readers say them, of several spaces, then of one.
DECISIONS = {
    "reset": "à réinitialiser", "archive": "à archiver (ex_)", "defer": "différés", "exclude": "exclus",
    "hold": "en attente d'une décision",
}  # fmt: skip
DECISION = {**DECISIONS, "defer": "différé", "exclude": "exclu"}
_RETURN = "retour dans la maquette après archivage, nom et catégorie lui sont rendus : "
_STRONGEST_FIRST = ("exclude", "defer", "hold")  # among the verdicts of several exceptions
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Facts:
    """All that a decision depends on besides the space itself.

    :param exceptions: by the compare key of a code.
    :param spaces_by_key: how many spaces carry that code; one kept apart does only in the year the code comes back.
    :param ours: courses that this very campaign archives: an earlier run of it may have renamed them already.
    :param before: courses that a campaign archived, of this year or before, and that the model wants, and what keeps
        them from leaving Archives.
    :param done: courses whose transition to this year or a later one was carried out and verified, on which day.
    :param ambiguous: courses of which nobody can tell what is to stay, and why.
    """

    categories: DecidingCategories
    model: Model
    today: date
    exceptions: Mapping[str, Sequence[CalendarException]] = field(default_factory=dict)
    spaces_by_key: Mapping[str, int] = field(default_factory=dict)
    ours: frozenset[int] = frozenset()
    before: Mapping[int, str] = field(default_factory=dict)
    done: Mapping[int, str] = field(default_factory=dict)
    ambiguous: Mapping[int, str] = field(default_factory=dict)


def detect_missing(campaign: Campaign) -> None:
    """Write one ``decision`` for every course of the platform, the site page aside; replaces those of this run.

    Elements of the model that have no space are listed (:mod:`transition.missing`).
    Raises :class:`TransitionError` for a missing category, an exception whose target is unknown, or a course code of
    the form that no space carries.
    """
    with journal.stage(campaign, STAGE) as closing:
        spaces = read_spaces(campaign)
        refuse_unknown_courses(campaign, spaces)
        facts = read_facts(campaign, spaces, load_model(campaign))
        rows = [_row(campaign, space, *decide(space, facts)) for space in spaces]
        decision = tables.decision
        with campaign.engine.begin() as connection:
            connection.execute(sa.delete(decision).where(decision.c.run == campaign.run))
            if rows:
                connection.execute(sa.insert(decision), rows)
        missing = record_missing(campaign, spaces)
        counts = Counter(str(row["decision"]) for row in rows)
        closing["detail"] = ", ".join(
            counted(counts[name], DECISION[name], text) for name, text in DECISIONS.items() if counts[name]
        )
        log.info("Décisions : %s.", closing["detail"])
        if missing:
            log.warning(
                "%s sans espace : voir %s.",
                counted(missing, "élément de la maquette", "éléments de la maquette"),
                CSV_NAME,
            )


def still_excluded(campaign: Campaign) -> set[int]:
    """Courses that the run has in scope and that must not be touched any more, read again now.

    Moved under a deciding category, renamed ``ex_`` by a person, excluded or deferred by the run's lot or a later one,
    or by an engineer's entry.
    """
    decision = tables.decision.c
    with campaign.engine.connect() as connection:
        rows = connection.execute(sa.select(decision.courseid).where(decision.run == campaign.run, decision.in_scope))
        concerned = set(rows.scalars())
    spaces = read_spaces(campaign)
    facts = read_facts(campaign, spaces, load_model(campaign))
    return {space.courseid for space in spaces if space.courseid in concerned and _protection(space, facts)}


def decide(space: Space, facts: Facts) -> tuple[str, str]:
    """The decision on a space and its reason, in French; pure.

    In this order: done before; excluded or deferred; archived by us before and not wanted; impossible to tell; in the
    model; has students; left. What the model says of a space that is named after another element, or hidden, waits for
    a person.
    """
    if space.courseid in facts.done:
        return (
            "exclude",
            f"déjà fait et vérifié le {facts.done[space.courseid]} pour cette année ou une suivante",
        )
    protection = _protection(space, facts)
    if protection:
        return protection
    archived = looks_archived(space, facts.categories)
    if space.courseid in facts.ours and archived and (stays := _stays_archived(space, facts)):
        # What another campaign's archived space is left alone for, this one carries through.
        own = ("archive", "archivé par une exécution précédente de cette campagne")
        return own if stays[0] == "exclude" else stays
    if unusable := _unusable_code(space, facts, archived):
        return "hold", unusable
    decision, reason = _by_model(space, facts.model)
    return doubt(space, decision, facts.model) or (decision, f"{_RETURN}{reason}" if archived else reason)


def _unusable_code(space: Space, facts: Facts, archived: bool) -> str:
    """Why a space's code does not tell which element it is for; '' if it does."""
    if not space.key:
        return "sans numéro d'identification : le relier à un code Apogée ou le déplacer en espaces complémentaires"
    if space.apart and not archived:
        return f"son numéro d'identification est resté celui des Archives : lui rendre le sien, {space.code}"
    if facts.spaces_by_key.get(space.key, 1) > 1:
        return f"le code {space.code} est porté par {facts.spaces_by_key[space.key]} espaces : n'en garder qu'un"
    return ""


def _by_model(space: Space, model: Model) -> tuple[str, str]:
    this, lot = f"la maquette {model.year}", f"lot {model.lots.get(model.year, '')}"
    if space.key in model.taught:
        return "reset", f"dans {this} ({lot})"
    if space.key in model.hosts:
        return "reset", f"porteur d'un élément de {this} ({lot})"
    state = model.states.get(space.key)
    missing = f"{state} dans {this}" if state else f"absent de {this}"
    if space.key in model.registered:
        return "reset", f"{missing}, mais des inscriptions y sont actives ({lot})"
    if model.last is None:
        return "hold", f"{missing}, et aucune maquette {model.year - 1} ne dit s'il y était ({lot})"
    last = f"lot {model.lots[model.year - 1]}"
    if space.key not in model.last:
        return "hold", f"{missing}, absent aussi en {model.year - 1} : code inconnu d'Apogée ({lot}, {last})"
    return "archive", f"{missing}, présent en {model.year - 1}, sans inscription active ({lot}, {last})"


def _protection(space: Space, facts: Facts) -> tuple[str, str] | None:
    """The decision that forbids to touch a space, whatever the model says."""
    if facts.categories.complementary in space.path:
        return "exclude", f"dans la catégorie « {space.category} » (espaces complémentaires)"
    foreign = space.courseid not in facts.ours and looks_archived(space, facts.categories)
    if foreign and (stays := _stays_archived(space, facts)):
        return stays
    verdicts = [exception.verdict(facts.today) for exception in facts.exceptions.get(space.key, ())]
    imposed = [verdict for verdict in verdicts if verdict]
    if not imposed:
        why = facts.ambiguous.get(space.courseid)
        return ("hold", why) if why else None
    return min(imposed, key=lambda verdict: _STRONGEST_FIRST.index(verdict[0]))


def _stays_archived(space: Space, facts: Facts) -> tuple[str, str] | None:
    """The decision on an archived space, but for one that a campaign archived and that may come back."""
    where = f"son nom commence par « {ARCHIVED_PREFIX} »"
    if facts.categories.archives in space.path:
        where = f"dans la catégorie « {space.category} »"
    if not facts.model.wants(space.key):
        return "exclude", f"déjà archivé : {where}"
    carries = _carries(space, facts.model)
    if facts.spaces_by_key.get(space.key, 0) > carries:
        if not carries:
            return "exclude", f"déjà archivé : {where} ; son code {space.code} est devenu celui d'un autre espace"
        return "hold", (
            f"son code {space.code} revient dans la maquette {facts.model.year}, mais un autre espace le porte aussi :"
            " supprimer celui des deux qui ne sert pas, ou lui ôter son numéro d'identification"
        )
    here = f"le code {space.code} est dans la maquette {facts.model.year}, mais son espace est archivé ({where})"
    if space.courseid not in facts.before:
        return "hold", f"{here} par une personne : lui rendre nom et catégorie, ou lui ôter son numéro d'identification"
    if obstacle := facts.before[space.courseid]:
        return "hold", f"{here} et ne peut en sortir : {obstacle}"
    return None


def _carries(space: Space, model: Model) -> bool:
    """Whether a space counts among those that carry its code.

    One that is kept apart does only in the year when its code comes back: later, it is another space's for good.
    """
    return bool(space.key) and not (space.apart and space.key in (model.last or ()))


def read_facts(campaign: Campaign, spaces: Collection[Space], model: Model) -> Facts:
    """What the decisions of the campaign depend on now.

    Raises :class:`TransitionError` for a missing category, or an exception whose target is unknown.
    """
    lots = [*model.lots.values(), *lots_since(campaign, model.lots[campaign.year])]
    steps = load_steps(campaign, lots)
    exceptions = [*load_exceptions(campaign, lots_since(campaign, model.lots[campaign.year])), *load_entries(campaign)]
    refuse_unknown(exceptions, steps, model, {space.key for space in spaces if space.key})
    return Facts(
        categories=deciding_categories(campaign),
        model=model,
        today=campaign.today,
        exceptions=by_code(exceptions, steps, model),
        spaces_by_key=Counter(space.key for space in spaces if _carries(space, model)),
        ours=_archived_by_this_campaign(campaign),
        before=_archived_and_wanted(campaign, spaces, model),
        done=done_spaces(campaign),
        ambiguous=ambiguous_forums(campaign),
    )


def _archived_and_wanted(campaign: Campaign, spaces: Collection[Space], model: Model) -> dict[int, str]:
    """Spaces that a campaign archived and whose code the model wants, and what keeps each from leaving Archives.

    By this campaign as well: a run of it that was stopped may have had a lot that was cut short.
    """
    changes = archived_until(campaign)
    wanted = [space.courseid for space in spaces if space.courseid in changes and model.wants(space.key)]
    with campaign.engine.connect() as connection:
        return {courseid: " ; ".join(obstacles(connection, campaign, changes[courseid])) for courseid in wanted}


def done_spaces(campaign: Campaign) -> dict[int, str]:
    """Courses that verify found in order in this year's campaign: what was done in them since is the new year's own.

    Or in a later year's: a calendar of their own may last longer than the year, and the next campaign come first.
    By course id, the day of it, as French readers write it.
    """
    reset = tables.space_reset.c
    query = sa.select(reset.courseid, sa.func.max(reset.verified_at)).where(reset.year >= campaign.year)
    query = query.group_by(reset.courseid)
    with campaign.engine.connect() as connection:
        return {courseid: day(at, campaign.platform.zone) for courseid, at in connection.execute(query)}


def _archived_by_this_campaign(campaign: Campaign) -> frozenset[int]:
    """Courses that a run of this year was let loose to archive: `ex_` on them is the campaign's own work.

    Without this, a run that follows a killed one would exclude the spaces that the first renamed and did not purge.
    """
    decision, run = tables.decision, tables.run
    query = (
        sa.select(decision.c.courseid)
        .join(run, run.c.number == decision.c.run)
        .where(run.c.year == campaign.year, run.c.frozen_at.is_not(None), sa.not_(run.c.dry_run))
        .where(decision.c.decision == "archive", decision.c.in_scope)
    )
    with campaign.engine.connect() as connection:
        return frozenset(connection.execute(query).scalars())


def _row(campaign: Campaign, space: Space, decision: str, reason: str) -> dict[str, object]:
    chosen = not campaign.courses or space.code in campaign.courses
    return {
        "run": campaign.run,
        "courseid": space.courseid,
        "code": space.code,
        "shortname": space.shortname,
        "fullname": space.fullname,
        "category": space.category[:1000],
        "decision": decision,
        "reason": reason[:1000],
        "in_scope": chosen and decision in APPLIED,
    }
