"""Contents of files: in Moodle's ``filedir``, and in the year's archive of them.

Moodle stores a content once, in ``<dataroot>/filedir/ab/cd/<SHA-1>``, however many rows of ``files`` name it
(``contenthash``). The archive is a folder laid out like it: the backup keeps its copies there and the purge moves
contents into it, so that a content is stored once a year, whoever put it there.
"""

import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import sqlalchemy as sa
from upath import UPath

from transition import storage
from transition.campaign import Campaign
from transition.errors import TransitionError

EMPTY = hashlib.sha1(usedforsecurity=False).hexdigest()  # of directory rows: Moodle expects this content to stay
_SAMPLE = 200
_log = logging.getLogger(__name__)


def check_dataroot(campaign: Campaign) -> Iterator[str]:
    """For preflight, and the backup that misses a content: the declared folder is the site's own, and is writable."""
    if not campaign.platform.dataroot:
        return
    filedir, files = _filedir(campaign), campaign.moodle["files"]
    if not os.access(str(filedir), os.R_OK | os.W_OK | os.X_OK):
        yield (
            f"le dossier {filedir} n'existe pas ou n'est pas inscriptible par le compte d'Airflow : montez-le, donnez"
            " les droits à ce compte, ou corrigez « dataroot »"
        )
        return
    newest = sa.select(files.c.contenthash).where(files.c.filesize > 0).order_by(files.c.id.desc()).limit(_SAMPLE)
    with campaign.server.connect() as connection:
        sample = set(connection.execute(newest).scalars())
    found = sum(_in(filedir, contenthash).exists() for contenthash in sample)
    if found * 2 < len(sample):
        yield (
            f"le dossier {filedir} ne contient que {found} des {len(sample)} derniers fichiers que la base connaît : ce"
            " n'est pas celui de ce site, corrigez « dataroot »"
        )


def in_moodle(campaign: Campaign, contenthash: str) -> bool:
    """Whether Moodle's filedir holds a content, be it altered."""
    return _in(_filedir(campaign), contenthash).exists()


def in_archive(campaign: Campaign, contenthash: str) -> bool:
    """Whether the archive holds a content, be it altered."""
    return _in(_archive(campaign), contenthash).exists()


def archived(campaign: Campaign) -> list[str]:
    """The SHA-1 of every content that the archive holds, in their order."""
    archive = _archive(campaign)
    return sorted(path.name for path in archive.rglob("*") if path.is_file()) if archive.exists() else []


def held_nowhere(campaign: Campaign, hashes: Iterable[str]) -> set[str]:
    """Those that are neither in filedir nor in the archive; without ``dataroot``, none is looked for."""
    if not campaign.platform.dataroot:
        return set()
    return {
        contenthash
        for contenthash in hashes
        if contenthash != EMPTY and not (in_moodle(campaign, contenthash) or in_archive(campaign, contenthash))
    }


def put_back(campaign: Campaign, hashes: Sequence[str]) -> None:
    """Copy those contents from the archive back to filedir, where it lacks them; the others are left alone.

    The archive keeps its own: a backup may rely on it. Raises :class:`TransitionError` if it was altered there.
    """
    if not campaign.platform.dataroot:
        return
    filedir, archive = _filedir(campaign), _archive(campaign)
    for contenthash in hashes:
        source, target = _in(archive, contenthash), _in(filedir, contenthash)
        if target.exists() or not source.exists():
            continue
        if _sha1(source) != contenthash:
            raise TransitionError(
                f"Le contenu {contenthash} est altéré dans {archive} : remettez-en une copie intacte, puis relancez."
            )
        for folder in (target.parent.parent, target.parent):
            if not folder.exists():
                _make_like(folder, filedir)
        _copy(source, target, contenthash, filedir)


def is_kept(campaign: Campaign, contenthash: str) -> bool:
    """Whether the archive holds a content, unaltered: it is read whole."""
    target = _in(_archive(campaign), contenthash)
    return target.exists() and _sha1(target) == contenthash


def is_whole(campaign: Campaign, contenthash: str) -> bool:
    """Whether Moodle's filedir holds a content, unaltered: it is read whole."""
    source = _in(_filedir(campaign), contenthash)
    return source.exists() and _sha1(source) == contenthash


def keep_copy(campaign: Campaign, contenthash: str) -> bool:
    """Have the archive hold a content of Moodle's, its SHA-1 checked; False: Moodle has lost it, or holds it altered.

    Whatever the archive held under that name and is not the content is replaced. Raises :class:`OSError`.
    """
    if is_kept(campaign, contenthash):
        return True
    if not is_whole(campaign, contenthash):
        return False
    target = _in(_archive(campaign), contenthash)
    storage.make_private(target.parent)
    _copy(_in(_filedir(campaign), contenthash), target, contenthash)
    return True


def kept_sizes(campaign: Campaign, hashes: Iterable[str]) -> dict[str, int]:
    """The bytes of those contents that the archive holds; lists folders, reads no content."""
    wanted, archive = set(hashes), _archive(campaign)
    sizes: dict[str, int] = {}
    for prefix in sorted({contenthash[:2] for contenthash in wanted}):
        found = archive.fs.find((archive / prefix).path, detail=True)  # one request for many contents
        sizes |= {path.rpartition("/")[2]: int(about["size"]) for path, about in found.items()}
    return {contenthash: size for contenthash, size in sizes.items() if contenthash in wanted}


def move(campaign: Campaign, contenthash: str) -> str:
    """Move a content into the archive; what became of it: ``moved``; ``absent`` (lost before); ``damaged`` (left where
    it is).

    A copy that the backup has put there is read whole, and then serves: the size alone would not tell an altered one.
    """
    source, target = _in(_filedir(campaign), contenthash), _in(_archive(campaign), contenthash)
    if not source.exists():
        return "moved" if target.exists() else "absent"
    if is_kept(campaign, contenthash):
        source.unlink()
        return "moved"
    if _sha1(source) != contenthash:
        _log.warning("Contenu %s : altéré dans filedir avant la campagne, laissé en place", contenthash)
        return "damaged"
    storage.make_private(target.parent)
    _carry(source, target, contenthash)
    return "moved"


def _carry(source: UPath, target: UPath, contenthash: str) -> None:
    """Move a file: at once within a file system, else a verified copy first, whose source goes last."""
    if source.protocol == "" and target.protocol == "":
        try:
            Path(str(source)).replace(str(target))
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
    _copy(source, target, contenthash)
    source.unlink()


def _copy(source: UPath, target: UPath, contenthash: str, like: UPath | None = None) -> None:
    """Copy a file and read the copy back; it shows under its name once it is whole, on the disk, with its rights.

    :param like: the folder that gives the copy its owner and rights when the source, in an object store, knows none.
    """
    part = target.with_name(f".{target.name}.part") if target.protocol == "" else target
    with source.open("rb") as reader, storage.create(part) as writer:
        shutil.copyfileobj(reader, writer, 2**20)
    if _sha1(part) != contenthash:
        raise OSError(errno.EIO, f"la copie de {contenthash} n'est pas identique")
    if source.protocol == "" and target.protocol == "":
        shutil.copystat(str(source), str(part))
        _give(Path(str(part)), Path(str(source)))
    elif like:
        Path(str(part)).chmod(like.stat().st_mode & 0o666)
        _give(Path(str(part)), Path(str(like)))
    if part != target:
        part.replace(target)
        _settle(Path(str(target.parent)))


def _make_like(folder: UPath, like: UPath) -> None:
    """Make a folder that shows once it has its rights: Moodle writes there under another account."""
    part = folder.with_name(f".{folder.name}.part")
    part.mkdir(exist_ok=True)
    shutil.copymode(str(like), str(part))
    part.replace(folder)


def _give(path: Path, like: Path) -> None:
    """Give a copy the owner of its original, as far as the account may."""
    found = like.stat()
    try:
        os.chown(path, found.st_uid, found.st_gid)
    except PermissionError:
        _log.debug("owner of %s not kept", path.name)


def _settle(folder: Path) -> None:
    """Have a folder's new names on the disk before what they replace is deleted."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _filedir(campaign: Campaign) -> UPath:
    return UPath(str(campaign.platform.dataroot)) / "filedir"


def _archive(campaign: Campaign) -> UPath:
    return storage.folder(campaign, "filedir")


def _in(folder: UPath, contenthash: str) -> UPath:
    """Where a content is in such a folder (Moodle ``file_system_filedir::get_contentpath_from_hash``)."""
    return folder / contenthash[:2] / contenthash[2:4] / contenthash


def _sha1(path: UPath) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
