"""Stage purge.file_contents: contents whose last row of ``files`` went follow it into the archive.

Moodle stores a content once, in ``<dataroot>/filedir/ab/cd/<SHA-1>``, however many rows of ``files`` name it
(``contenthash``), and collects none that SQL has orphaned. Rows moved by the rules are in the archive's ``files``.
The archive's folder is also where the backup keeps its copies: a content is stored once a year, whoever put it there.
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

from transition import journal, storage
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.french import counted
from transition.move import archive_table
from transition.state import tables

STAGE = "file_contents"
EMPTY = hashlib.sha1(usedforsecurity=False).hexdigest()  # of directory rows: Moodle expects this content to stay
_CHUNK = 1_000  # contents between two records of what was done
_SAMPLE = 200
_log = logging.getLogger(__name__)
_table = tables.content
LOST_BEFORE = ("absent", "damaged")  # states of a content that Moodle itself no longer held intact


def file_contents(campaign: Campaign) -> None:
    """Move every content that nothing in Moodle names any more; without ``dataroot``, list them.

    The list, or what was moved, is in the state table ``content``, and without ``dataroot`` in
    ``reports/contenus-orphelins.csv`` too. Safe to run again after a kill at any point. A content that is named again
    meanwhile (the same file sent anew) is put back.
    """
    campaign.check_frozen()
    with campaign.lock(STAGE), journal.stage(campaign, STAGE) as closing:
        _record(campaign)
        for hashes in _recorded(campaign):
            _release(campaign, _named(campaign, hashes))
            if campaign.platform.dataroot:
                _move_all(campaign, hashes)
                # Whoever sent the same file just now found its content there, and stored the row only.
                _release(campaign, _named(campaign, hashes))
        counts = _counts(campaign)
        closing["rows_before"] = sum(number for number, _ in counts.values())
        closing["rows_moved"] = counts.get("moved", (0, 0))[0]
        closing["rows_after"] = closing["rows_before"] - closing["rows_moved"]
        closing["detail"] = _detail(counts)
        if not campaign.platform.dataroot and counts:
            closing["detail"] += f", listés dans {_write_list(campaign)} : la plateforme ne déclare pas dataroot"


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


def left(campaign: Campaign) -> Iterator[str]:
    """For verify: contents that should have moved, that moved and are not in the archive intact, or are missed."""
    faults = {"missed": 0, "still": 0, "lost": 0}
    for hashes in _archived(campaign):
        named, found = _named(campaign, hashes), states(campaign, hashes)
        for contenthash in hashes:
            if fault := _fault(campaign, contenthash, contenthash in named, found.get(contenthash)):
                faults[fault] += 1
    sentences = {
        "missed": "contenus encore utilisés dans Moodle sont dans l'archive et non dans filedir",
        "still": "contenus que plus rien n'utilise n'ont pas été déplacés ni listés",
        "lost": "contenus déplacés manquent dans l'archive ou y sont altérés",
    }
    for fault, count in faults.items():
        if count:
            yield f"fichiers : {count} {sentences[fault]}, relancez purge.{STAGE}"


def missed(campaign: Campaign) -> int:
    """How many contents of the year's archive Moodle names and lacks: they must not be lost."""
    archive, count = storage.folder(campaign, "filedir"), 0
    hashes = sorted(path.name for path in archive.rglob("*") if path.is_file()) if archive.exists() else []
    for start in range(0, len(hashes), _CHUNK):
        for contenthash in _named(campaign, hashes[start : start + _CHUNK]):
            count += not campaign.platform.dataroot or not _in(_filedir(campaign), contenthash).exists()
    return count


def held_nowhere(campaign: Campaign, hashes: Iterable[str]) -> set[str]:
    """Those that are neither in filedir nor in the archive; without ``dataroot``, none is looked for."""
    if not campaign.platform.dataroot:
        return set()
    filedir, archive = _filedir(campaign), storage.folder(campaign, "filedir")
    return {
        contenthash
        for contenthash in hashes
        if contenthash != EMPTY and not (_in(filedir, contenthash).exists() or _in(archive, contenthash).exists())
    }


def states(campaign: Campaign, hashes: Sequence[str]) -> dict[str, str]:
    """The state of those contents that the year's campaign recorded."""
    query = sa.select(_table.c.contenthash, _table.c.state).where(_table.c.year == campaign.year)
    found: dict[str, str] = {}
    with campaign.engine.connect() as connection:
        for start in range(0, len(hashes), _CHUNK):
            part = _table.c.contenthash.in_(hashes[start : start + _CHUNK])
            found |= dict(connection.execute(query.where(part)).all())
    return found


def put_back(campaign: Campaign, hashes: Sequence[str]) -> None:
    """Copy those contents from the archive back to filedir, where it lacks them; the others are left alone.

    The archive keeps its own: a backup may rely on it. Raises :class:`TransitionError` if it was altered there.
    """
    if not campaign.platform.dataroot:
        return
    filedir, archive = _filedir(campaign), storage.folder(campaign, "filedir")
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


def forget(campaign: Campaign, hashes: Sequence[str], kept: Sequence[str] = ()) -> None:
    """Take contents off the year's list; ``kept``: states in which they stay on it."""
    listed = sa.delete(_table).where(_table.c.year == campaign.year, _table.c.state.not_in(kept))
    with campaign.engine.begin() as connection:
        for start in range(0, len(hashes), _CHUNK):
            connection.execute(listed.where(_table.c.contenthash.in_(hashes[start : start + _CHUNK])))


def is_kept(campaign: Campaign, contenthash: str) -> bool:
    """Whether the archive holds a content, unaltered: it is read whole."""
    target = _in(storage.folder(campaign, "filedir"), contenthash)
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
    target = _in(storage.folder(campaign, "filedir"), contenthash)
    storage.make_private(target.parent)
    _copy(_in(_filedir(campaign), contenthash), target, contenthash)
    return True


def kept_sizes(campaign: Campaign, hashes: Iterable[str]) -> dict[str, int]:
    """The bytes of those contents that the archive holds; lists folders, reads no content."""
    wanted, archive = set(hashes), storage.folder(campaign, "filedir")
    sizes: dict[str, int] = {}
    for prefix in sorted({contenthash[:2] for contenthash in wanted}):
        found = archive.fs.find((archive / prefix).path, detail=True)  # one request for many contents
        sizes |= {path.rpartition("/")[2]: int(about["size"]) for path, about in found.items()}
    return {contenthash: size for contenthash, size in sizes.items() if contenthash in wanted}


def _fault(campaign: Campaign, contenthash: str, named: bool, state: str | None) -> str | None:
    """What is wrong with a content whose row, or one of whose rows, was moved."""
    if contenthash == EMPTY or (not named and state in LOST_BEFORE):
        return None
    if not campaign.platform.dataroot:
        return None if named or state else "still"
    here, archived = _in(_filedir(campaign), contenthash), _in(storage.folder(campaign, "filedir"), contenthash)
    if named:
        return "missed" if archived.exists() and not here.exists() else None
    if state != "moved" or here.exists():
        return "still"
    return None if archived.exists() and _sha1(archived) == contenthash else "lost"


def _record(campaign: Campaign) -> None:
    """Add the contents that only archived rows name to the state table."""
    with campaign.engine.begin() as connection:
        if _has_archive(connection, campaign):
            gone, files = archive_table(campaign, "files"), campaign.moodle["files"]
            orphans = (
                sa.select(
                    sa.literal(campaign.year), gone.c.contenthash, sa.literal(campaign.run),
                    sa.func.max(gone.c.filesize), sa.literal("listed"),
                )
                .where(gone.c.contenthash != EMPTY, ~sa.exists().where(files.c.contenthash == gone.c.contenthash))
                .group_by(gone.c.contenthash)
            )  # fmt: skip
            insert = sa.insert(_table).from_select(["year", "contenthash", "run", "bytes", "state"], orphans)
            connection.execute(insert.prefix_with("IGNORE"))


def _recorded(campaign: Campaign) -> Iterator[Sequence[str]]:
    """Contents of the state table, in chunks."""
    query = sa.select(_table.c.contenthash).where(_table.c.year == campaign.year)
    yield from _chunks(campaign, query, _table.c.contenthash)


def _archived(campaign: Campaign) -> Iterator[Sequence[str]]:
    """Contents that the archived rows name, in chunks."""
    with campaign.engine.connect() as connection:
        if not _has_archive(connection, campaign):
            return
    gone = archive_table(campaign, "files").c.contenthash
    yield from _chunks(campaign, sa.select(gone).distinct(), gone)


def _chunks(campaign: Campaign, query: sa.Select[str], column: sa.ColumnElement[str]) -> Iterator[Sequence[str]]:
    last = ""
    while True:
        with campaign.engine.connect() as connection:
            page = query.where(column > last).order_by(column).limit(_CHUNK)
            hashes = connection.execute(page).scalars().all()
        if not hashes:
            return
        yield hashes
        last = hashes[-1]


def _named(campaign: Campaign, hashes: Sequence[str]) -> set[str]:
    """Those that a row of Moodle's ``files`` names, whatever its component."""
    # Bound values, not a join: the state table's collation is not Moodle's, whose index it could not use.
    files = campaign.moodle["files"]
    with campaign.engine.connect() as connection:
        query = sa.select(files.c.contenthash).distinct().where(files.c.contenthash.in_(hashes))
        return set(connection.execute(query).scalars())


def _release(campaign: Campaign, named: set[str]) -> None:
    """Give up contents that Moodle names again: back where they were, and off the list."""
    if not named:
        return
    put_back(campaign, sorted(named))
    forget(campaign, sorted(named))


def _move_all(campaign: Campaign, hashes: Sequence[str]) -> None:
    """Move the contents that are still on the list, and write down what became of each."""
    filedir, archive = _filedir(campaign), storage.folder(campaign, "filedir")
    became: dict[str, list[str]] = {}
    for contenthash, state in states(campaign, hashes).items():
        now = _move(_in(filedir, contenthash), _in(archive, contenthash), contenthash)
        if now != state:
            became.setdefault(now, []).append(contenthash)
    with campaign.engine.begin() as connection:
        for state, changed in became.items():
            here = sa.and_(_table.c.year == campaign.year, _table.c.contenthash.in_(changed))
            connection.execute(sa.update(_table).where(here).values(state=state))


def _move(source: UPath, target: UPath, contenthash: str) -> str:
    """Move one content; what became of it: ``moved``; ``absent`` (lost before); ``damaged`` (left where it is)."""
    if not source.exists():
        return "moved" if target.exists() else "absent"
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


def _write_list(campaign: Campaign) -> UPath:
    """Write the contents that are listed and not moved: hash, bytes."""
    folder = storage.folder(campaign, "reports")
    storage.make_private(folder)
    path = folder / "contenus-orphelins.csv"
    with storage.create(path) as file:
        file.write(b"contenthash;octets\n")
        for hashes in _recorded(campaign):
            query = sa.select(_table.c.contenthash, _table.c.bytes).order_by(_table.c.contenthash)
            with campaign.engine.connect() as connection:
                rows = connection.execute(
                    query.where(_table.c.year == campaign.year, _table.c.contenthash.in_(hashes))
                ).all()
            file.writelines(f"{contenthash};{size}\n".encode() for contenthash, size in rows)
    return path


def _counts(campaign: Campaign) -> dict[str, tuple[int, int]]:
    """Number and bytes of the year's contents, by state."""
    query = sa.select(_table.c.state, sa.func.count(), sa.func.sum(_table.c.bytes)).group_by(_table.c.state)
    with campaign.engine.connect() as connection:
        rows = connection.execute(query.where(_table.c.year == campaign.year)).all()
    return {state: (number, int(size)) for state, number, size in rows}


def _detail(counts: dict[str, tuple[int, int]]) -> str:
    words = {
        "moved": "dans l'archive", "listed": "que plus rien n'utilise",
        "absent": "déjà absent avant la campagne",
        "damaged": "en mauvais état avant la campagne, gardé en place",
    }  # fmt: skip
    parts = [
        f"{counted(counts[state][0], 'contenu', 'contenus')} ({counts[state][1] / 1e6:.1f} Mo) {text}"
        for state, text in words.items()
        if state in counts
    ]
    return ", ".join(parts).replace(".", ",") or "aucun contenu orphelin"


def _filedir(campaign: Campaign) -> UPath:
    return UPath(str(campaign.platform.dataroot)) / "filedir"


def _in(folder: UPath, contenthash: str) -> UPath:
    """Where a content is in such a folder (Moodle ``file_system_filedir::get_contentpath_from_hash``)."""
    return folder / contenthash[:2] / contenthash[2:4] / contenthash


def _sha1(path: UPath) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _has_archive(connection: sa.Connection, campaign: Campaign) -> bool:
    """Whether any row of ``files`` was moved this year."""
    found = sa.text("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = :s AND table_name = :t")
    name = {"s": campaign.archive_schema, "t": campaign.moodle["files"].name}
    return bool(connection.execute(found, name).scalar())
