"""Stage july_backup: every trace of every space, off the server, then read back."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import MySQLdb
import sqlalchemy as sa
from upath import UPath

from transition import journal, preflight, storage
from transition.backup import manifest as sets
from transition.backup import mbz
from transition.backup.coverage import CHANGED, NONE, slices, stale_spaces
from transition.backup.divided import divided_tables
from transition.backup.file_contents import keep_contents
from transition.backup.journalled import held_sets, record_held
from transition.backup.manifest import Contents, Manifest, Space, TableFile, state_of
from transition.backup.rows import backup_traces, concerned_spaces, selected_rows
from transition.backup.runs import TableRows, read_rows
from transition.backup.table import read_back, write_table
from transition.campaign import Campaign, now
from transition.course_copy.settings import put_back
from transition.errors import UnreachableError
from transition.french import counted
from transition.moodle.command_line import CommandLine
from transition.progress import Progress
from transition.rules.compile import Trace

_STAGE = "july_backup"
_log = logging.getLogger(__name__)


class IncompleteBackupError(UnreachableError):
    """Tables, or spaces asked for by name, have no verified backup: worth another try, of only what is missing."""


def july_backup(campaign: Campaign) -> None:
    """Back up every space that the run concerns and that has no verified backup of its present state.

    Writes nothing in Moodle. A space that fails is journalled and does not stop the others: it stays without a backup,
    so nothing will be moved out of it. Raises :class:`IncompleteBackupError`, at the end, if a whole table failed, the
    storage failed, or Moodle's own backups took too long for all to have their turn.
    """
    with campaign.lock(_STAGE), journal.stage(campaign, _STAGE) as closing:
        _complete(campaign, concerned_spaces(campaign), closing)


def back_up_spaces(campaign: Campaign, spaces: Mapping[int, str], label: str) -> None:
    """The same for some spaces (course id to code): raises :class:`IncompleteBackupError` if any has no backup at last.

    :param label: what they are, for the journal.
    """
    with campaign.lock(_STAGE), journal.stage(campaign, _STAGE) as closing:
        failures = _complete(campaign, spaces, closing)
        closing["detail"] = f"{label} : {closing['detail']}"
        _log.info("%s.", closing["detail"])
        if failures:
            listed = (f"{spaces[courseid] or courseid} ({reason})" for courseid, reason in sorted(failures.items()))
            raise IncompleteBackupError(
                f"{label} : sans sauvegarde vérifiée, {counted(len(failures), 'espace', 'espaces')} sur {len(spaces)} ;"
                " les autres l'ont. Corrigez la cause, puis relancez cette tâche, qui ne reprend que ce qui manque :"
                "\n  - " + "\n  - ".join(listed)
            )


def complete_mbz(campaign: Campaign) -> dict[int, str]:
    """Moodle's own backup (.mbz) of the spaces in scope whose traces changed since theirs; before keys are frozen.

    Returns the spaces that have none of their present traces, and why: nothing may be moved out of them. Nothing where
    the platform declares no such files.
    """
    with campaign.lock(_STAGE):
        return mbz.make_missing(campaign, concerned_spaces(campaign, in_scope=True), most_slow=None)


def complete_backup(campaign: Campaign) -> dict[int, str]:
    """Back up again the spaces in scope that changed since their backup; for the freeze, when nobody writes any more.

    Returns the spaces in scope that are still without a verified backup, and why: nothing may be moved out of them.
    They are compared once more after it, for something may write all the same: a cron, where Moodle's command line is
    not declared.
    """
    with campaign.lock(_STAGE):
        spaces = concerned_spaces(campaign, in_scope=True)
        stale = _stale(campaign, spaces)
        rows, failures, _ = _back_up(campaign, stale)
        # Tables were read one after the other, and nothing compares them later. All that were read together, those that
        # failed included: a row that two spaces reach is counted in the same one as when it was written.
        changed = {
            courseid: f"sauvegardé à l'instant et déjà à refaire ({reason}) : vérifiez que rien n'écrit dans Moodle"
            for courseid, reason in stale_spaces(campaign, stale).items()
            if courseid not in failures
        }
        _journal_failures(campaign, changed)
        failures |= changed
        with campaign.engine.begin() as connection:
            detail = "avant le gel : " + _summary(campaign, len(spaces), len(stale), rows, len(failures))
            journal.record(connection, campaign, _STAGE, "completed", rows_moved=rows, detail=detail)
        return failures


def _complete(campaign: Campaign, spaces: Mapping[int, str], closing: dict[str, object]) -> dict[int, str]:
    """Back up what is missing, Moodle's own files first: it logs each, and that row is then in the backup as well.

    Fills the stage's closing entry; returns the spaces that failed and why. Raises :class:`BlockingIOError` while an
    archived space is copied: Moodle's backups are then without users.
    """
    for copying in preflight.running(campaign, ["copy_archived_course"]):
        raise BlockingIOError(f"La sauvegarde ne commence pas : {copying}, puis relancez cette tâche.")
    if mbz.declared(campaign.platform):
        put_back(campaign, CommandLine(campaign.platform.moodle_command or ()))  # what a killed copy left
    unmade = mbz.make_missing(campaign, spaces)
    stale = _stale(campaign, spaces)
    rows, failures, broken = _back_up(campaign, stale)
    closing["rows_moved"] = rows
    closing["detail"] = _summary(campaign, len(spaces), len(stale), rows, len(failures))
    if unmade:
        closing["detail"] = f"{closing['detail']}, {len(unmade)} sans fichier .mbz de Moodle"
    if untried := list(unmade.values()).count(mbz.UNTRIED):
        waiting = counted(untried, "espace pas encore essayé", "espaces pas encore essayés")
        broken.add(f"fichiers .mbz de Moodle ({waiting}, d'autres ayant pris trop de temps)")
    if broken:
        raise IncompleteBackupError(
            f"Sauvegarde incomplète : {' ; '.join(sorted(broken))}. Corrigez la cause, puis relancez cette tâche, qui"
            " ne reprend que ce qui manque."
        )
    return {**unmade, **failures}


def _stale(campaign: Campaign, spaces: Mapping[int, str]) -> dict[int, str]:
    """Those of these spaces that have no backup of their present state, with their codes.

    Says and journals which backups are not relied upon and why, but not that spaces changed or are backed up for the
    first time.
    """
    rejected: list[str] = []
    stale, known = stale_spaces(campaign, spaces, rejected), held_sets(campaign)
    alike: dict[str, list[int]] = {}  # by what comes before the figures in brackets
    for courseid, reason in stale.items():
        if not reason.startswith(CHANGED) and (reason != NONE or courseid in known):
            alike.setdefault(reason.partition(" (")[0], []).append(courseid)
    for first, *others in alike.values():
        again = counted(1 + len(others), "espace", "espaces")
        rejected.append(f"{stale[first]} ; à sauvegarder de nouveau : {again} ({spaces[first] or first}…)")
    with campaign.engine.begin() as connection:
        for sentence in rejected:
            _log.warning("%s", sentence)
            journal.record(connection, campaign, _STAGE, "rejected", detail=sentence)
    return {courseid: spaces[courseid] for courseid in stale}


def _summary(campaign: Campaign, spaces: int, stale: int, rows: int, failed: int) -> str:
    without = "" if campaign.platform.dataroot else " ; sans le contenu des fichiers : la clé dataroot manque"
    if not stale:
        return f"{counted(spaces, 'espace', 'espaces')}, déjà en sauvegarde dans leur état actuel{without}"
    failing = f", {failed} sans sauvegarde vérifiée (voir les lignes « failed »)" if failed else ""
    concerned = counted(spaces, "espace", "espaces")
    return f"{stale - failed} sur {concerned} en sauvegarde relue, {counted(rows, 'ligne', 'lignes')}{failing}{without}"


def _back_up(campaign: Campaign, spaces: Mapping[int, str]) -> tuple[int, dict[int, str], set[str]]:
    """Write and verify sets of some spaces each: rows written, spaces that failed and why, tables that failed."""
    total, failures, broken = 0, dict[int, str](), set[str]()
    _discard_unfinished(campaign)
    traces, parts = backup_traces(campaign), list(slices(sorted(spaces)))
    with divided_tables(campaign, traces, parts) as divided:
        for number, part in enumerate(parts):
            own = {table: of_table.rows(number) for table, of_table in divided.items()}
            rows, failed, tables = _write_set(campaign, {c: spaces[c] for c in part}, traces, own)
            total += rows
            failures |= failed
            broken |= tables
            held, so_far = counted(len(part), "espace", "espaces"), counted(total, "ligne", "lignes")
            _log.info("Sauvegarde : jeu %d sur %d terminé (%s), %s en tout", number + 1, len(parts), held, so_far)
    return total, failures, broken


def _write_set(
    campaign: Campaign, spaces: Mapping[int, str], traces_by_table: Mapping[str, list[Trace]],
    divided: Mapping[str, TableRows],
) -> tuple[int, dict[int, str], set[str]]:  # fmt: skip
    """Write and verify one set; ``divided``: its rows of the tables that were read for all sets at once.

    A storage that takes nothing, or does not give back what it took, fails the spaces of this set alone.
    """
    name = sets.new_name()
    folder = storage.folder(campaign, "backup") / name
    rows, failures, broken = 0, dict[int, str](), set[str]()
    try:
        storage.make_private(folder)
        files, failures, broken = _write_tables(campaign, folder, spaces, traces_by_table, divided)
        kept, unkept, stopped = keep_contents(campaign, folder, files.get("files"), spaces)
        if stopped:
            broken.add(f"contenus des fichiers ({stopped})")
        failures |= unkept
        manifest = _manifest(campaign, name, {c: code for c, code in spaces.items() if c not in failures}, files, kept)
        failures |= _verify(campaign, manifest)
        rows = sum(space.rows for courseid, space in manifest.spaces.items() if courseid not in failures)
    except OSError as error:
        reason = f"sauvegarde {name} : {storage.fault(error)}"
        _log.warning("%s", reason)
        broken.add(f"{folder.parent} ({storage.fault(error)})")
        failures = dict.fromkeys(spaces, reason) | failures
    _journal_failures(campaign, failures)
    return rows, failures, broken


def _write_tables(
    campaign: Campaign, folder: UPath, spaces: Mapping[int, str], traces_by_table: Mapping[str, list[Trace]],
    divided: Mapping[str, TableRows],
) -> tuple[dict[str, TableFile], dict[int, str], set[str]]:  # fmt: skip
    """Write the tables of a set: their files, spaces that failed and why, tables that failed."""
    files: dict[str, TableFile] = {}
    failures: dict[int, str] = {}
    broken: set[str] = set()
    progress = Progress(
        f"Sauvegarde ({counted(len(spaces), 'espace', 'espaces')})", len(traces_by_table), "tables", "lignes"
    )
    for table, traces in traces_by_table.items():
        path = folder / f"{table}.parquet"
        try:
            with _rows(campaign, table, traces, spaces, divided) as source:
                written = write_table(source, path)
        except (sa.exc.DBAPIError, MySQLdb.Error, OSError) as error:  # rows come from the driver itself
            if isinstance(error, OSError) and error.errno in storage.FULL:
                raise  # no other table would find room
            # Which spaces have rows there is not known.
            broken.add(f"table {table} ({_cause(error)})")
            failures |= dict.fromkeys(spaces, f"table {table} : sauvegarde impossible ({_cause(error)})")
            _log.warning("Table %s : sauvegarde impossible (%s)", table, _cause(error))
        else:
            failures |= written.failures
            if written.file:
                files[table] = written.file
        progress.step(files[table].rows if table in files else 0)
    return files, failures, broken


def _cause(error: sa.exc.DBAPIError | MySQLdb.Error | OSError) -> str:
    """What a fault was, without the server's words, which may quote a row."""
    if isinstance(error, OSError):
        return storage.fault(error)
    raised = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    number = raised.args[0] if raised and raised.args else None
    return f"erreur {number} du serveur de base de données" if isinstance(number, int) else type(error).__name__


@contextmanager
def _rows(
    campaign: Campaign, name: str, traces: list[Trace], spaces: Mapping[int, str], divided: Mapping[str, TableRows]
) -> Iterator[TableRows]:
    if name in divided:
        yield divided[name]
        return
    with selected_rows(campaign, name, traces, spaces) as selected:
        yield read_rows(selected)


def _manifest(
    campaign: Campaign,
    name: str,
    spaces: Mapping[int, str],
    files: dict[str, TableFile],
    contents: Mapping[int, Contents],
) -> Manifest:
    moodle = campaign.moodle

    def of_space(courseid: int, code: str) -> Space:
        rows = {table: file.spaces[courseid] for table, file in files.items() if courseid in file.spaces}
        state = state_of({table: (found.rows, found.checksum) for table, found in rows.items()})
        return Space(
            code=code, rows=sum(found.rows for found in rows.values()), state=state, contents=contents.get(courseid)
        )

    return Manifest(
        name=name, platform=campaign.platform.name, site=moodle.site,
        site_identifier=moodle.config.get("siteidentifier", ""), year=campaign.year, run_id=campaign.run_id,
        moodle_release=moodle.config.get("release", ""), table_prefix=campaign.platform.table_prefix,
        rules=sets.rules_hash(), created_at=now(), tables=files,
        spaces={courseid: of_space(courseid, code) for courseid, code in spaces.items()},
    )  # fmt: skip


def _verify(campaign: Campaign, manifest: Manifest) -> dict[int, str]:
    """Store the manifest, read every file back, and vouch for the set; a file that differs fails the whole set."""
    folder = storage.folder(campaign, "backup") / manifest.name
    sets.store(folder, manifest)
    faults = [fault for table in manifest.tables.values() for fault in read_back(folder / table.file, table)]
    if faults:
        return dict.fromkeys(manifest.spaces, f"sauvegarde {manifest.name} : {faults[0]} ; contrôlez le stockage")
    digest = sets.mark_verified(folder)
    rows = sum(table.rows for table in manifest.tables.values())
    spaces, tables = (
        counted(len(manifest.spaces), "espace", "espaces"),
        counted(len(manifest.tables), "table", "tables"),
    )
    detail = f"jeu {manifest.name} : {spaces}, {tables}, manifeste {digest}"
    if lost := {
        contenthash for space in manifest.spaces.values() if space.contents for contenthash in space.contents.lost
    }:
        contents = counted(len(lost), "contenu de fichier", "contenus de fichiers")
        detail += f" ; {contents} que Moodle n'a plus en bon état (dont {min(lost)})"
        _log.warning("%s", detail)
    with campaign.engine.begin() as connection:
        journal.record(connection, campaign, _STAGE, "verified", rows_before=rows, rows_after=rows, detail=detail)
        record_held(connection, campaign, manifest.name, manifest.spaces)
    return {}


def _journal_failures(campaign: Campaign, failures: Mapping[int, str]) -> None:
    with campaign.engine.begin() as connection:
        for courseid, reason in failures.items():
            journal.record(connection, campaign, _STAGE, "failed", courseid=courseid, detail=reason)


def _discard_unfinished(campaign: Campaign) -> None:
    """Remove what a killed backup left: sets without a manifest, of which nothing can be read by space.

    Only what can be nothing else: a set that was verified and has lost its manifest since may be the only copy of
    spaces that were reset, and a person may be copying one back.
    """
    verified = {name for of_space in held_sets(campaign).values() for _, name in of_space}
    for folder in sets.folders(campaign):
        if (folder / sets.MANIFEST).exists():
            continue
        if sets.is_name(folder.name) and folder.name not in verified and not (folder / sets.VERIFIED).exists():
            _log.info("Jeu inachevé %s : supprimé", folder.name)
            folder.fs.rm(folder.path, recursive=True)
        else:
            _log.warning(
                "Dossier %s : sans %s, mais pas un jeu inachevé, donc laissé tel quel ; remettez-y une copie intacte de"
                " ce fichier, ou retirez ce dossier s'il n'est pas une sauvegarde",
                folder, sets.MANIFEST,
            )  # fmt: skip
