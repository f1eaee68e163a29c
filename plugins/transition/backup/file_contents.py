"""The contents of the files that a backup set names: each stored once a year, in the year's ``filedir``.

The set's own table ``files`` is their list (``contenthash``, ``filesize``), vouched for by the manifest like any table.
"""

from collections.abc import Collection, Iterator

import pyarrow.parquet as pq
from upath import UPath

from transition import storage
from transition.backup.manifest import BackupSet, Contents, TableFile
from transition.backup.read import read_space
from transition.backup.runs import SPACE
from transition.campaign import Campaign
from transition.filedir import EMPTY, check_dataroot, is_whole, keep_copy, kept_sizes
from transition.french import counted
from transition.progress import Progress

_COLUMNS = [SPACE, "contenthash", "filesize"]


def keep_contents(
    campaign: Campaign, folder: UPath, files: TableFile | None, courses: Collection[int]
) -> tuple[dict[int, Contents], dict[int, str], str]:
    """Copy the contents that a new set's table ``files`` names, whatever was copied before checked again.

    Returns what each space has, why the contents of others could not be stored, and what would fail any other space
    (the storage is full, the data folder is gone), or ''. A content that Moodle itself has lost, or holds altered, is
    counted and does not fail its space: nobody can back it up any more. Without ``dataroot``, nothing.
    """
    if not campaign.platform.dataroot:
        return {}, {}, ""
    wanted = dict(_named(folder, files)) if files else {}
    sizes = {contenthash: size for named in wanted.values() for contenthash, size in named.items()}
    lost, failed, stopped = set[str](), dict[str, str](), ""
    progress = Progress("Contenus des fichiers", len(sizes), "contenus", "Mo")
    for contenthash, size in sorted(sizes.items()):
        try:
            if not keep_copy(campaign, contenthash):
                lost.add(contenthash)
        except OSError as error:
            failed[contenthash] = (
                f"contenu {contenthash} : copie impossible de {campaign.platform.dataroot} vers"
                f" {storage.folder(campaign, 'filedir')} ({storage.fault(error)}) ; vérifiez ces dossiers et les"
                " droits du compte d'Airflow"
            )
            if error.errno in storage.FULL:
                stopped = storage.fault(error)
        progress.step(size / 1e6)
    # A folder that vanished meanwhile (a mount that dropped) looks like contents that Moodle has lost.
    if lost and (fault := next(check_dataroot(campaign), "")):
        stopped = fault
        failed |= dict.fromkeys(lost, f"contenus des fichiers : {fault}")
    kept, failures = dict[int, Contents](), dict[int, str]()
    for courseid in courses:
        mine = wanted.get(courseid, {})
        if unstored := sorted(failed.keys() & mine.keys()):
            failures[courseid] = failed[unstored[0]]
            continue
        missing = tuple(sorted(lost & mine.keys()))
        present = [size for contenthash, size in mine.items() if contenthash not in missing]
        kept[courseid] = Contents(number=len(present), bytes=sum(present), lost=missing)
    return kept, failures, stopped


def missing_contents(campaign: Campaign, backup: BackupSet, courses: Collection[int]) -> dict[int, str]:
    """The spaces, among these, whose contents are not all in the storage with their size, or of which Moodle has again
    one that it had lost, and a French reason."""
    found: dict[int, str] = {}
    wanted: dict[int, dict[str, int]] = {}
    for courseid in courses:
        contents = backup.manifest.spaces[courseid].contents
        if contents is None:
            if campaign.platform.dataroot:
                found[courseid] = f"sauvegarde {backup.manifest.name} : sans le contenu des fichiers"
        else:
            try:
                wanted[courseid] = named_contents(backup, courseid)
            except OSError as error:
                what = f"la liste des contenus de fichiers ne peut pas être lue ({storage.fault(error)})"
                found[courseid] = f"sauvegarde {backup.manifest.name} : {what}"
            if back := [contenthash for contenthash in contents.lost if _is_back(campaign, contenthash)]:
                what = counted(len(back), "contenu perdu est revenu", "contenus perdus sont revenus")
                found[courseid] = f"sauvegarde {backup.manifest.name} : {what} dans Moodle ({back[0]}…)"
    sizes = kept_sizes(campaign, {contenthash for named in wanted.values() for contenthash in named})
    for courseid, named in wanted.items():
        if bad := sorted(c for c, size in named.items() if sizes.get(c) != size):
            what = f"contenus de fichiers absents ou altérés ({len(bad)}, dont {bad[0]})"
            found[courseid] = f"sauvegarde {backup.manifest.name} : {what}"
    return found


def _is_back(campaign: Campaign, contenthash: str) -> bool:
    """Whether Moodle's folder holds again what it had lost; one that cannot be read is for the next backup to name."""
    try:
        return bool(campaign.platform.dataroot) and is_whole(campaign, contenthash)
    except OSError:
        return True


def named_contents(backup: BackupSet, courseid: int) -> dict[str, int]:
    """The contents that a set vouches for of a space's files: SHA-1 to bytes."""
    contents = backup.manifest.spaces[courseid].contents
    if contents is None or not contents.number:
        return {}
    rows = read_space(backup, "files", courseid).select(_COLUMNS[1:])
    named = dict(zip(*(column.to_pylist() for column in rows.columns), strict=True))
    return {contenthash: size for contenthash, size in named.items() if contenthash not in {EMPTY, *contents.lost}}


def _named(folder: UPath, files: TableFile) -> Iterator[tuple[int, dict[str, int]]]:
    """The contents that each space's rows of ``files`` name, and their sizes."""
    with (folder / files.file).open("rb") as source, pq.ParquetFile(source) as parquet:
        for courseid, rows in files.spaces.items():
            own = parquet.read_row_groups(list(rows.groups), columns=_COLUMNS)
            _, hashes, sizes = own.select(_COLUMNS).columns
            named = dict(zip(hashes.to_pylist(), sizes.to_pylist(), strict=True))
            named.pop(EMPTY, None)
            yield courseid, named
