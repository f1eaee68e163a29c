"""The restore drill: spaces picked at random come out of the off-server backup, every row and file compared."""

import json
import logging
import random
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from transition import journal, preflight, storage
from transition.backup import file_contents, mbz
from transition.backup.journalled import held_sets, newest_set
from transition.backup.manifest import BackupSet, verified_sets
from transition.campaign import Campaign, now
from transition.checksum import rows_checksum
from transition.errors import TransitionError, refuse_all
from transition.filedir import is_kept
from transition.french import counted
from transition.restore import scratch
from transition.restore.held import Held, lost_columns
from transition.restore.history import resets_of_year
from transition.state import schema

STAGE = "restore_drill"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """One space of a drill. ``backup``: the set's name; ``contents``: of files, read whole, as its ``mbz`` were;
    ``fault``: a French sentence, '' when all is as it was."""

    code: str
    courseid: int
    backup: str
    tables: int
    rows: int
    contents: int
    mbz: int
    seconds: float
    fault: str


def restore_drill(campaign: Campaign, number: int, seed: int) -> str:
    """Restore ``number`` spaces of the year's backups, picked at random, into a schema that is dropped after.

    Writes nothing in Moodle. Every row in the schema is compared with what the manifest vouches for (counts and
    checksums); the contents of files and Moodle's own backups are read whole. The proof is
    ``reports/restore_drill-<run>.json`` (codes, counts, no person) and the journal. Raises :class:`TransitionError` if
    there is no backup and, after the proof is written, if a space did not come back whole or any space's newest set is
    lost: an older one proves nothing of it.
    :param seed: the same seed picks the same spaces of the same backups.
    """
    refuse_all("Exercice de restauration :", list(preflight.other_site(campaign)))
    schema.upgrade(campaign)
    with campaign.lock(STAGE), journal.stage(campaign, STAGE) as closing:
        held, lost = _latest(campaign)
        chosen = random.Random(seed).sample(sorted(held), min(number, len(held)))
        trials = [
            _try(campaign, backup, courseid)
            for backup in verified_sets(campaign, [], without=set(held.values()) - {held[one] for one in chosen})
            for courseid in chosen
            if held[courseid] == backup.manifest.name
        ]
        tried = {trial.courseid for trial in trials}
        vanished = [f"jeu {held[one]} : disparu pendant l'exercice" for one in chosen if one not in tried]
        proof = _prove(campaign, seed, trials)
        rows, failed = sum(trial.rows for trial in trials), [trial for trial in trials if trial.fault]
        closing["rows_moved"] = rows
        whole = counted(len(trials) - len(failed), "espace restauré", "espaces restaurés")
        closing["detail"] = f"{whole} à l'essai sur {len(chosen)}, {proof}"
        refuse_all(
            f"Des espaces ne reviendraient pas entiers de leur sauvegarde (preuve : {proof}). Remettez une copie"
            " intacte de ce qui manque ou est altéré, ou relancez july_backup tant que ces espaces ne sont pas"
            " réinitialisés :",
            [*(f"{trial.code} : {trial.fault}" for trial in failed), *vanished, *lost],
        )
    _log.info("%s", closing["detail"])
    return str(closing["detail"])


def latest_year(campaign: Campaign) -> int:
    """The latest year, up to the campaign's, whose storage holds backups; the campaign's own if none does."""
    root = campaign.storage / campaign.platform.name
    years = {int(path.name) for path in root.iterdir() if path.name.isdigit()} if root.exists() else set()
    held = [year for year in years if year <= campaign.year and (root / str(year) / "backup").exists()]
    return max(held, default=campaign.year)


def _latest(campaign: Campaign) -> tuple[dict[int, str], list[str]]:
    """The set that each space with rows would come back from; a French sentence for each such set that is lost.

    Of a space that was reset, the last set of before counts: a later one holds what the new year did. Only names are
    kept, for manifests are large.
    """
    with campaign.engine.connect() as connection:
        last_reset = {reset.courseid: reset.frozen_at for reset in connection.execute(resets_of_year(campaign))}
    rejected: list[str] = []
    found: dict[int, str] = {}
    empty = set()
    for backup in verified_sets(campaign, rejected):
        for courseid, space in backup.manifest.spaces.items():
            if courseid not in found and backup.manifest.created_at <= last_reset.get(courseid, datetime.max):
                found[courseid] = backup.manifest.name
                if not space.rows:
                    empty.add(courseid)
    lost: Counter[str] = Counter()
    for courseid, sets in held_sets(campaign).items():
        name = newest_set(sets, last_reset.get(courseid, datetime.max))
        if found.get(courseid, "") < name:
            lost[name] += 1
    if not (found or lost):
        refuse_all(
            f"Aucune sauvegarde vérifiée de l'année {campaign.year} ({campaign.platform.label}) : lancez july_backup.",
            rejected or ["le stockage n'en contient aucune"],
        )
    sentences = [
        f"jeu {name} : manque ou n'est plus vérifié, et c'est le dernier de {counted(spaces, 'espace', 'espaces')}"
        for name, spaces in sorted(lost.items())
    ]
    return {courseid: name for courseid, name in found.items() if courseid not in empty}, sentences


def _try(campaign: Campaign, backup: BackupSet, courseid: int) -> Trial:
    space, begin, fault = backup.manifest.spaces[courseid], time.monotonic(), ""
    names = [name for name, file in backup.manifest.tables.items() if courseid in file.spaces]
    made = list(mbz.latest(campaign, courseid))
    contents: Collection[str] = ()
    rows = 0
    with scratch.temporary(campaign, "drill") as name:
        try:
            rows = scratch.load(campaign, backup, courseid, name)
            contents = file_contents.named_contents(backup, courseid)  # of a table that was just found unaltered
            faults = [*_differences(campaign, backup, courseid, name), *_altered(campaign, contents, made)]
            fault = " ; ".join(faults)
        except TransitionError as error:
            fault = str(error)
        except OSError as error:  # of contents and .mbz: rows have been read
            fault = f"{error.filename or 'un fichier gardé'} ne peut pas être lu ({storage.fault(error)})"
    trial = Trial(
        space.code, courseid, backup.manifest.name, len(names), rows, len(contents), len(made),
        round(time.monotonic() - begin, 3), fault,
    )  # fmt: skip
    with campaign.engine.begin() as connection:
        journal.record(
            connection, campaign, STAGE, "unproven" if fault else "proven", courseid=courseid, rows_before=space.rows,
            rows_after=rows, seconds=trial.seconds, detail=fault or f"sauvegarde {backup.manifest.name}",
        )  # fmt: skip
    return trial


def _altered(campaign: Campaign, contents: Iterable[str], made: Iterable[mbz.Made]) -> Iterator[str]:
    """Contents and files that have the size they had, and other bytes: elsewhere sizes are compared, for the time."""
    bad = sorted(contenthash for contenthash in contents if not is_kept(campaign, contenthash))
    if bad:
        what = counted(len(bad), "contenu de fichier manque ou est altéré", "contenus manquent ou sont altérés")
        yield f"{what} ({bad[0]}…)"
    yield from (f"{one.file}, fichier .mbz de Moodle, est altéré" for one in made if mbz.altered(campaign, one))


def _differences(campaign: Campaign, backup: BackupSet, courseid: int, schema_name: str) -> Iterator[str]:
    """Tables whose rows in the schema are not those that Moodle had: the server's own checksum tells, of both."""
    for name, file in backup.manifest.tables.items():
        if courseid not in file.spaces:
            continue
        expected, table = file.spaces[courseid], Held(campaign, schema_name, courseid).table(name)
        new = {column.name for column in table.c} - {column.name for column in file.columns}
        checksum_of: sa.ColumnElement[int] = rows_checksum(table, new)
        if lost_columns(campaign.moodle, name, (column.name for column in file.columns[1:])):
            # How the server saw a column that Moodle has no longer is not known; the file's digest has been checked.
            checksum_of = sa.literal(expected.checksum)
        query = sa.select(sa.func.count(), checksum_of).select_from(table)
        with campaign.engine.connect() as connection:
            rows, checksum = connection.execute(query).one()
        if (rows, int(checksum)) != (expected.rows, expected.checksum):
            found = counted(rows, "ligne relue", "lignes relues")
            yield f"table {name} : {found} sur {expected.rows}, ou d'autres valeurs"


def _prove(campaign: Campaign, seed: int, trials: list[Trial]) -> str:
    folder = storage.folder(campaign, "reports")
    storage.make_private(folder)
    proof = {
        "platform": campaign.platform.name, "site": campaign.moodle.site, "year": campaign.year,
        "run_id": campaign.run_id, "at": now().isoformat(), "seed": seed, "spaces": [asdict(trial) for trial in trials],
    }  # fmt: skip
    path = folder / f"{STAGE}-{storage.stem(campaign)}.json"
    storage.write(path, json.dumps(proof, ensure_ascii=False, indent=1).encode())
    return str(path)
