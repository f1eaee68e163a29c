"""Which space a code names, and what the campaign's runs did to it."""

import difflib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from transition.apogee.codes import compare_key
from transition.backup.journalled import Verification, held_sets, newest_set
from transition.backup.manifest import BackupSet, verified_sets
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.restore.put_back import STAGE
from transition.state import tables

_log = logging.getLogger(__name__)
# What a restore that left nothing aside writes into the journal: every trace of people is back, and the enrolments are.
WHOLE, ENROLMENTS = "whole", "enrolments"


@dataclass(frozen=True)
class Reset:
    """A run that was let loose on the space. ``frozen_at``: UTC."""

    run: int
    run_id: str
    frozen_at: datetime


@dataclass(frozen=True)
class Space:
    """A space that the campaign of the year reset.

    ``in_moodle``: nobody has deleted it since. ``resets``: those since it last came back and was reset again, oldest
    first. ``back``: what came back since the last of them, :data:`WHOLE`, :data:`ENROLMENTS`.
    """

    courseid: int
    code: str
    in_moodle: bool
    resets: Sequence[Reset]
    back: Collection[str]


def resets_of_year(campaign: Campaign) -> sa.Select[Any]:
    """Each time that the year's campaign was let loose on a space, oldest first.

    Columns courseid, code, number and run_id (of the run), frozen_at (UTC).
    """
    decision, run = tables.decision, tables.run
    return (
        sa.select(decision.c.courseid, decision.c.code, run.c.number, run.c.run_id, run.c.frozen_at)
        .join(run, run.c.number == decision.c.run)
        .where(run.c.year == campaign.year, run.c.frozen_at.is_not(None), sa.not_(run.c.dry_run))
        .where(decision.c.in_scope == sa.true())
        .order_by(run.c.frozen_at)
    )


def find_space(campaign: Campaign, code: str) -> Space:
    """The space of that code that this year's campaign reset.

    Found by the code that the space had then, or has now. Raises :class:`TransitionError` for an unknown code, with the
    nearest ones, for a space that was not reset, and for a code that two such spaces carry.
    """
    course, decision = campaign.moodle["course"], tables.decision
    with campaign.engine.connect() as connection:
        codes = dict(connection.execute(sa.select(course.c.id, course.c.idnumber).where(course.c.id != 1)).all())
        then = resets_of_year(campaign)
        of_now = {courseid for courseid, now in codes.items() if now == code}
        found = connection.execute(then.where(sa.or_(decision.c.code == code, decision.c.courseid.in_(of_now)))).all()
        spaces = {courseid for courseid, *_ in found}
        if len(spaces) != 1:
            raise TransitionError(_refusal(campaign, code, set(codes.values()), bool(of_now), spaces))
        courseid = spaces.pop()
        resets = [Reset(number, run_id, frozen_at) for _, _, number, run_id, frozen_at in found]
        returns = _returns(connection, campaign, courseid)
    # By moments: a run that started before a restore may have been let loose after it.
    last = resets[-1].frozen_at
    since = max((at for what, at in returns if what == WHOLE and at < last), default=datetime.min)
    return Space(
        courseid, code, courseid in codes, [reset for reset in resets if reset.frozen_at > since],
        frozenset(what for what, at in returns if at > last),
    )  # fmt: skip


def backup_sets(campaign: Campaign, space: Space, *, older: bool = False) -> list[tuple[Reset, BackupSet]]:
    """For each reset of the space, the verified backup that it was preceded by, latest first.

    A set made after the freeze holds what the new year did: never taken. Raises :class:`TransitionError` without any,
    and if the last one made before a reset is lost or altered.
    :param older: take an older one in its place, and warn.
    """
    rejected: list[str] = []
    wanted = {reset.run: reset for reset in space.resets}
    found: dict[int, tuple[Reset, BackupSet]] = {}
    held = held_sets(campaign)
    mine = held.get(space.courseid, [])
    # Manifests are large: those are not opened of which the journal says that the space is not in them.
    others = {name for sets in held.values() for _, name in sets} - {name for _, name in mine}
    for backup in verified_sets(campaign, rejected, others):
        if space.courseid in backup.manifest.spaces:
            for number, reset in wanted.items():
                if number not in found and backup.manifest.created_at <= reset.frozen_at:
                    found[number] = (reset, backup)
        if len(found) == len(wanted):
            break
    if lost := _lost(mine, space, found):
        sentence = (
            f"La dernière sauvegarde de l'espace {space.code} d'avant sa réinitialisation ({', '.join(lost)}) manque ou"
            f" n'est plus vérifiée dans le stockage de {campaign.platform.label}, année {campaign.year} ; une plus"
            " ancienne n'a pas ses dernières lignes : remettez une copie intacte de ce jeu, puis relancez, ou restaurez"
            " la plus ancienne dans un schéma d'essai (conflits : scratch)."
        )
        if not older:
            raise TransitionError(sentence + "".join(f"\n  - {reason}" for reason in rejected))
        _log.warning("%s", sentence)
    if not found:
        raise TransitionError(
            f"Aucune sauvegarde vérifiée de l'espace {space.code} d'avant sa réinitialisation dans le stockage de"
            f" {campaign.platform.label}, année {campaign.year} : rebranchez le stockage, puis relancez."
            + "".join(f"\n  - {reason}" for reason in rejected)
        )
    return [found[reset.run] for reset in reversed(space.resets) if reset.run in found]


def _lost(held: Sequence[Verification], space: Space, found: Mapping[int, tuple[Reset, BackupSet]]) -> list[str]:
    """The sets that the journal says held the space last before a reset, where what is found is older, or nothing."""
    lost = set()
    for reset in space.resets:
        name = newest_set(held, reset.frozen_at)
        taken = found[reset.run][1].manifest.name if reset.run in found else ""
        if taken < name:
            lost.add(name)
    return sorted(lost)


def _returns(connection: sa.Connection, campaign: Campaign, courseid: int) -> list[tuple[str, datetime]]:
    """What the restores of the year that left nothing aside gave back of the space, and when."""
    entry = tables.journal.c
    query = sa.select(entry.action, entry.at).where(
        entry.year == campaign.year, entry.courseid == courseid, entry.stage == STAGE,
        entry.action.in_((WHOLE, ENROLMENTS)),
    )  # fmt: skip
    return [(action, at) for action, at in connection.execute(query)]


def _refusal(campaign: Campaign, code: str, codes: Collection[str], known: bool, spaces: Collection[int]) -> str:
    where = f"{campaign.platform.label}, année {campaign.year}"
    if spaces:
        return (
            f"Le code {code} est celui de {len(spaces)} espaces réinitialisés ({where}, cours"
            f" {', '.join(map(str, sorted(spaces)))}) : donnez à chacun un numéro d'identification distinct dans"
            " Moodle, puis relancez."
        )
    if known:
        return f"L'espace {code} n'a pas été réinitialisé ({where}) : rien à restaurer, vérifiez l'année."
    near = nearest(code, codes)
    hint = f" ; les plus proches : {', '.join(near)}" if near else ""
    return f"Aucun espace ne porte le code {code}{hint} ({campaign.platform.label}) : corrigez le code, puis relancez."


def nearest(code: str, codes: Collection[str]) -> list[str]:
    """Up to five known codes that look like this one, best first."""
    by_key: dict[str, str] = {compare_key(known): known for known in sorted(codes) if known}
    return [by_key[key] for key in difflib.get_close_matches(compare_key(code), by_key, n=5, cutoff=0.6)]
