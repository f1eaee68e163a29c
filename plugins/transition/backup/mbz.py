"""Moodle's own backup of each space (.mbz, with users' data), made by its command line, opened, then stored.

Beside the rows: a file that Moodle restores by itself, on any site. In ``<storage>/<platform>/<year>/mbz/<course id>/``
lie ``<moment>.mbz`` and, once it was opened and read back, ``<moment>.json``, which vouches for it. None is ever
replaced: what was made before a reset must not give way to what was made after.
"""

import hashlib
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from pydantic import ValidationError
from upath import UPath

from transition import journal, storage
from transition.backup import manifest as sets
from transition.backup.coverage import present_states
from transition.campaign import Campaign, now
from transition.errors import TransitionError, UnreachableError
from transition.french import counted
from transition.moodle.command_line import CommandLine, SlowCommandError
from transition.moodle.mbz import Mbz, UnusableMbzError, read_mbz, site_hash
from transition.platforms import Platform, Strict
from transition.progress import Progress
from transition.state import tables

_STAGE = "july_backup"
_SCRIPT = "backup.php"
_MADE = "mbz"  # in the journal: a space's file, by its name
_SLOW = "mbz_slow"  # in the journal: a space that took too long
_SECONDS = 4 * 3600  # a space of many gigabytes
_MOST_SLOW = 2  # spaces that may take that long before the rows have their turn: a task has 12 hours
UNTRIED = "fichier .mbz de Moodle : pas encore essayé, trop d'espaces avant lui ayant pris trop de temps"
_DEFAULTS = "réglez les valeurs par défaut des sauvegardes dans Moodle (Administration du site > Cours > Sauvegardes)"
_log = logging.getLogger(__name__)


class Made(Strict):
    """A .mbz that was opened and stored. ``state``: the space's lasting traces just before (``present_states``)."""

    file: str
    bytes: int
    sha256: str
    courseid: int
    code: str
    site: str
    site_identifier: str
    state: str
    activities: int
    users: int
    run_id: str
    made_at: datetime


@dataclass(frozen=True)
class _Space:
    """A space to back up. ``state``: its lasting traces now."""

    courseid: int
    code: str
    state: str


def declared(platform: Platform) -> bool:
    """Whether the platform asks for these files: it declares ``moodle_command`` and ``exchange``."""
    return bool(platform.moodle_command and platform.exchange)


def check_exchange(campaign: Campaign) -> Iterator[str]:
    """For preflight: the declared folder is there, and Airflow may take files out of it."""
    exchange = campaign.platform.exchange
    if exchange and not (Path(exchange).is_dir() and os.access(exchange, os.R_OK | os.W_OK | os.X_OK)):
        yield (
            f"le dossier {exchange} n'existe pas ou n'est pas inscriptible par le compte d'Airflow : créez-le, donnez"
            " les droits à ce compte et à celui de Moodle, ou corrigez « exchange »"
        )


def make_missing(campaign: Campaign, spaces: Mapping[int, str], most_slow: int | None = _MOST_SLOW) -> dict[int, str]:
    """Have Moodle back up those of these spaces that have no file of their present traces; why it failed for some.

    A file is good as long as the space's traces have not changed since; what such a file does not hold (views, last
    accesses, the recycle bin, other backups) does not count. A space whose traces are all gone needs no other one than
    it has. Each space that fails is journalled; one that took too long is not tried again by this run. Call it before
    rows are backed up or keys are frozen: Moodle logs each such backup.
    :param spaces: course id to code.
    :param most_slow: after so many spaces that took too long the others are left :data:`UNTRIED`; None: all are tried.
    """
    if not declared(campaign.platform):
        return {}
    states = present_states(campaign, list(spaces), lasting=True)
    missing = [courseid for courseid in spaces if not _fresh(campaign, courseid, states[courseid])]
    known = _slow(campaign)
    failures = {courseid: known[courseid] for courseid in missing if courseid in known}
    missing = [courseid for courseid in missing if courseid not in known]
    for courseid in failures:
        _clear(Path(str(campaign.platform.exchange)), courseid)  # Moodle may have gone on to its end
    slow = 0
    progress = Progress("Fichiers .mbz de Moodle", len(missing), "espaces", "Mo")
    for number, courseid in enumerate(missing):
        if slow == most_slow:
            return failures | dict.fromkeys(missing[number:], UNTRIED)
        size, action, file = 0, "failed", ""
        try:
            made = _make(campaign, _Space(courseid, spaces[courseid], states[courseid]))
        except SlowCommandError as error:
            failures[courseid] = f"fichier .mbz de Moodle : {error}"
            slow, action = slow + 1, _SLOW
        except (UnusableMbzError, UnreachableError, TransitionError) as error:
            failures[courseid] = f"fichier .mbz de Moodle : {error}"
        except OSError as error:
            failures[courseid] = (
                f"fichier .mbz de Moodle : ne peut pas être gardé dans {_folder(campaign, courseid)}"
                f" ({storage.fault(error)}) ; vérifiez les droits du compte d'Airflow, là et dans « exchange »"
            )
        else:
            size, action, file = made.bytes, _MADE, made.file
        detail = failures.get(courseid) or f"fichier .mbz de Moodle, ouvert et relu : {file} ({size} octets)"
        _record(campaign, courseid, action, detail)
        progress.step(size / 1e6)
    return failures


def latest(campaign: Campaign, courseid: int) -> Iterator[Made]:
    """The files of a space that are there with their size, of this very site, latest first."""
    folder, moodle = _folder(campaign, courseid), campaign.moodle
    if not folder.exists():
        return
    for path in sorted(folder.glob("*.json"), key=lambda path: path.name, reverse=True):
        if (made := _read(path)) and (made.courseid, made.site, made.site_identifier) == (
            courseid, moodle.site, moodle.config.get("siteidentifier", ""),
        ):  # fmt: skip
            yield made


def vouched(folder: UPath) -> dict[str, str]:
    """The digests of a year's files (``<course id>/<file>``), as what lies beside each says; of those of its size."""
    found = ((path.parent.name, _read(path)) for path in (folder.rglob("*.json") if folder.exists() else ()))
    return {f"{course}/{made.file}": made.sha256 for course, made in found if made}


def _read(path: UPath) -> Made | None:
    """What vouches for a file, by the path of its ``.json``; None if either cannot be read, or has another size."""
    try:
        made = Made.model_validate_json(path.read_bytes())
        return made if (path.parent / made.file).stat().st_size == made.bytes else None
    except (OSError, ValidationError):
        return None


def altered(campaign: Campaign, made: Made) -> bool:
    """Whether a stored file is no longer what was opened: it is read whole."""
    return storage.sha256(_folder(campaign, made.courseid) / made.file) != made.sha256


def _fresh(campaign: Campaign, courseid: int, state: str) -> bool:
    return any(made.state == state or not state for made in latest(campaign, courseid))


def _make(campaign: Campaign, space: _Space) -> Made:
    """Make, open and store the file of one space; nothing of it stays in the exchange folder."""
    courseid = space.courseid
    exchange, prefix = Path(str(campaign.platform.exchange)), campaign.platform.moodle_command or ()
    _clear(exchange, courseid)  # what a killed run left
    activities, people = _expected(campaign, courseid)
    try:
        said = CommandLine(prefix).run(_SCRIPT, f"--courseid={courseid}", f"--destination={exchange}", seconds=_SECONDS)
        found = _exchanged(exchange, courseid)
        if len(found) != 1:  # the script ends with 0 whatever happened: its last line tells
            last = (said.strip().splitlines() or ["aucun message"])[-1][:200]
            raise UnusableMbzError(
                f"n'est pas dans {exchange} ; {_SCRIPT} dit « {last} » : corrigez-en la cause, ou « exchange », qui"
                " doit être le même dossier pour Moodle et pour Airflow"
            )
        mbz = read_mbz(found[0])
        _refuse_other(campaign, courseid, mbz, activities, people)
        return _store(campaign, space, found[0], mbz)
    finally:
        _clear(exchange, courseid)


def _refuse_other(
    campaign: Campaign, courseid: int, mbz: Mbz, activities: Collection[int], people: Collection[int]
) -> None:
    """Refuse a file that is not of this space, or lacks users' data, contents of files or activities."""
    if mbz.site != site_hash(campaign.moodle.config.get("siteidentifier", "")):
        raise UnusableMbzError("vient d'un autre site : corrigez moodle_command")
    if mbz.course != courseid:
        raise UnusableMbzError(f"est celui du cours {mbz.course} : corrigez moodle_command")
    if mbz.settings.get("users") != "1" or mbz.settings.get("anonymize") not in (None, "0"):
        raise UnusableMbzError(f"est sans les données des utilisateurs, ou anonyme : {_DEFAULTS}")
    if mbz.settings.get("files") not in (None, "1"):  # an older Moodle has no such setting
        raise UnusableMbzError(f"est sans le contenu des fichiers : {_DEFAULTS}")
    if lacking := set(activities) - mbz.activities:
        raise UnusableMbzError(
            f"n'a que {counted(len(mbz.activities), 'activité', 'activités')}, il en manque {len(lacking)} (module"
            f" {min(lacking)}…) : {_DEFAULTS}, ou retirez « exchange » si un module ne sait pas se sauvegarder"
        )
    if lacking := set(people) - mbz.users:
        users = counted(len(mbz.users), "utilisateur", "utilisateurs")
        raise UnusableMbzError(
            f"n'a que {users}, il manque {counted(len(lacking), 'inscrit', 'inscrits')} : relancez cette tâche, une"
            " inscription a pu arriver pendant la sauvegarde"
        )


def _expected(campaign: Campaign, courseid: int) -> tuple[set[int], set[int]]:
    """The activities of a space that are not being deleted, and the accounts enrolled in it, before its backup."""
    moodle = campaign.moodle
    cm, enrol, ue, user = (moodle[name].c for name in ("course_modules", "enrol", "user_enrolments", "user"))
    activities = sa.select(cm.id).where(cm.course == courseid, cm.deletioninprogress == 0)
    enrolled = sa.select(ue.userid).where(
        enrol.courseid == courseid, ue.enrolid == enrol.id, user.id == ue.userid, user.deleted == 0
    )
    with campaign.engine.connect() as connection:
        return set(connection.execute(activities).scalars()), set(connection.execute(enrolled).scalars())


def _store(campaign: Campaign, space: _Space, source: Path, mbz: Mbz) -> Made:
    folder, name, digest = _folder(campaign, space.courseid), sets.new_name(), hashlib.sha256()
    storage.make_private(folder)
    _discard_unfinished(campaign, space.courseid)
    target = folder / f"{name}.mbz"
    with source.open("rb") as reader, storage.create(target) as writer:
        while block := reader.read(2**20):
            digest.update(block)
            writer.write(block)
    if storage.sha256(target) != digest.hexdigest():
        raise UnusableMbzError(f"relu dans {folder} diffère de celui de Moodle : contrôlez ce stockage")
    made = Made(
        file=target.name, bytes=target.stat().st_size, sha256=digest.hexdigest(),
        courseid=space.courseid, code=space.code,
        site=campaign.moodle.site, site_identifier=campaign.moodle.config.get("siteidentifier", ""), state=space.state,
        activities=len(mbz.activities), users=len(mbz.users), run_id=campaign.run_id, made_at=now(),
    )  # fmt: skip
    storage.write(folder / f"{name}.json", made.model_dump_json(indent=1).encode())
    return made


def _discard_unfinished(campaign: Campaign, courseid: int) -> None:
    """Remove what a killed run left: files without the ``.json`` that vouches for them.

    Only what can be nothing else: one that the journal names was finished, and has lost its ``.json`` since.
    """
    entry = tables.journal.c
    query = sa.select(entry.detail).where(
        entry.stage == _STAGE, entry.action == _MADE, entry.courseid == courseid, entry.year == campaign.year
    )
    with campaign.engine.connect() as connection:
        journalled = " ".join(connection.execute(query).scalars())
    for path in _folder(campaign, courseid).glob("*.mbz"):
        if path.with_suffix(".json").exists():
            continue
        if sets.is_name(path.stem) and path.name not in journalled:
            path.unlink()
        else:
            _log.warning(
                "Fichier %s : sans son .json, mais pas inachevé, donc laissé tel quel ; remettez-y une copie intacte du"
                " .json, ou retirez ce fichier s'il n'est pas une sauvegarde",
                path,
            )


def _slow(campaign: Campaign) -> dict[int, str]:
    """The spaces that took too long in this run, and what was said: hours each, with Moodle closed at the freeze."""
    entry = tables.journal.c
    query = sa.select(entry.courseid, entry.detail).where(
        entry.run == campaign.run, entry.stage == _STAGE, entry.action == _SLOW
    )
    with campaign.engine.connect() as connection:
        return dict(connection.execute(query).all())


def _record(campaign: Campaign, courseid: int, action: str, detail: str) -> None:
    if action != _MADE:
        _log.warning("Espace %d : %s", courseid, detail)
    with campaign.engine.begin() as connection:
        journal.record(connection, campaign, _STAGE, action, courseid=courseid, detail=detail)


def _exchanged(exchange: Path, courseid: int) -> list[Path]:
    """The files of a course, by Moodle's own name (``backup_plan_dbops::get_default_backup_filename``)."""
    return sorted(exchange.glob(f"*-moodle2-course-{courseid}-*.mbz"))


def _clear(exchange: Path, courseid: int) -> None:
    for path in _exchanged(exchange, courseid):
        path.unlink(missing_ok=True)


def _folder(campaign: Campaign, courseid: int) -> UPath:
    return storage.folder(campaign, "mbz") / str(courseid)
