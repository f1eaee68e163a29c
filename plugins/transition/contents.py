"""Stage purge.file_contents: contents whose last row of ``files`` went follow it into the archive.

Moodle collects none that SQL has orphaned. Rows moved by the rules are in the archive's ``files``; where the contents
themselves are: :mod:`transition.filedir`.
"""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from upath import UPath

from transition import filedir, journal, storage
from transition.campaign import Campaign
from transition.filedir import EMPTY
from transition.french import counted, decimal
from transition.move import archive_table
from transition.state import tables

STAGE = "file_contents"
_CHUNK = 1_000  # contents between two records of what was done
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


def left(campaign: Campaign) -> Iterator[str]:
    """For verify: contents that should have moved, that moved and have not their size in the archive, or are missed.

    None is read: these are all those of the year, Moodle is closed, and each was read whole when it moved.
    """
    faults = {"missed": 0, "still": 0, "lost": 0}
    for hashes in _archived(campaign):
        named, listed = _named(campaign, hashes), _listed(campaign, hashes)
        kept = filedir.kept_sizes(campaign, hashes) if campaign.platform.dataroot else {}
        for contenthash in hashes:
            state, size = listed.get(contenthash, (None, 0))
            whole = kept.get(contenthash) == size
            if fault := _fault(campaign, contenthash, contenthash in named, state, whole):
                faults[fault] += 1
    sentences = {
        "missed": (
            "contenu encore utilisé dans Moodle est dans l'archive et non dans filedir",
            "contenus encore utilisés dans Moodle sont dans l'archive et non dans filedir",
        ),
        "still": (
            "contenu que plus rien n'utilise n'a pas été déplacé ni listé",
            "contenus que plus rien n'utilise n'ont pas été déplacés ni listés",
        ),
        "lost": (
            "contenu déplacé manque dans l'archive ou n'y a pas sa taille",
            "contenus déplacés manquent dans l'archive ou n'y ont pas leur taille",
        ),
    }
    for fault, count in faults.items():
        if count:
            yield f"fichiers : {counted(count, *sentences[fault])}, relancez purge.{STAGE}"


def missed(campaign: Campaign) -> int:
    """How many contents of the year's archive Moodle names and lacks: they must not be lost."""
    hashes, count = filedir.archived(campaign), 0
    for start in range(0, len(hashes), _CHUNK):
        for contenthash in _named(campaign, hashes[start : start + _CHUNK]):
            count += not (campaign.platform.dataroot and filedir.in_moodle(campaign, contenthash))
    return count


def states(campaign: Campaign, hashes: Sequence[str]) -> dict[str, str]:
    """The state of those contents that the year's campaign recorded."""
    return {contenthash: state for contenthash, (state, _) in _listed(campaign, hashes).items()}


def _listed(campaign: Campaign, hashes: Sequence[str]) -> dict[str, tuple[str, int]]:
    """The state and the bytes of those contents that the year's campaign recorded."""
    query = sa.select(_table.c.contenthash, _table.c.state, _table.c.bytes).where(_table.c.year == campaign.year)
    found: dict[str, tuple[str, int]] = {}
    with campaign.engine.connect() as connection:
        for start in range(0, len(hashes), _CHUNK):
            part = _table.c.contenthash.in_(hashes[start : start + _CHUNK])
            found |= {contenthash: (state, size) for contenthash, state, size in connection.execute(query.where(part))}
    return found


def forget(campaign: Campaign, hashes: Sequence[str], kept: Sequence[str] = ()) -> None:
    """Take contents off the year's list; ``kept``: states in which they stay on it."""
    listed = sa.delete(_table).where(_table.c.year == campaign.year, _table.c.state.not_in(kept))
    with campaign.engine.begin() as connection:
        for start in range(0, len(hashes), _CHUNK):
            connection.execute(listed.where(_table.c.contenthash.in_(hashes[start : start + _CHUNK])))


def _fault(campaign: Campaign, contenthash: str, named: bool, state: str | None, whole: bool) -> str | None:
    """What is wrong with a content whose row, or one of whose rows, was moved. ``whole``: the archive has its bytes."""
    if contenthash == EMPTY or (not named and state in LOST_BEFORE):
        return None
    if not campaign.platform.dataroot:
        return None if named or state else "still"
    here = filedir.in_moodle(campaign, contenthash)
    if named:
        return "missed" if not here and filedir.in_archive(campaign, contenthash) else None
    if state != "moved" or here:
        return "still"
    return None if whole else "lost"


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
    last = ""
    while True:
        with campaign.engine.connect() as connection:
            page = query.where(_table.c.contenthash > last).order_by(_table.c.contenthash).limit(_CHUNK)
            hashes = connection.execute(page).scalars().all()
        if not hashes:
            return
        yield hashes
        last = hashes[-1]


def _archived(campaign: Campaign) -> Iterator[Sequence[str]]:
    """Contents that the archived rows name, by the folders that the archive keeps them in: each is then listed once."""
    with campaign.engine.connect() as connection:
        if not _has_archive(connection, campaign):
            return
    gone = archive_table(campaign, "files").c.contenthash
    for number in range(256):
        with campaign.engine.connect() as connection:
            query = sa.select(gone).distinct().where(gone.like(f"{number:02x}%"))
            hashes = connection.execute(query).scalars().all()
        if hashes:
            yield hashes


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
    filedir.put_back(campaign, sorted(named))
    forget(campaign, sorted(named))


def _move_all(campaign: Campaign, hashes: Sequence[str]) -> None:
    """Move the contents that are still on the list, and write down what became of each."""
    became: dict[str, list[str]] = {}
    for contenthash, state in states(campaign, hashes).items():
        now = filedir.move(campaign, contenthash)
        if now != state:
            became.setdefault(now, []).append(contenthash)
    with campaign.engine.begin() as connection:
        for state, changed in became.items():
            here = sa.and_(_table.c.year == campaign.year, _table.c.contenthash.in_(changed))
            connection.execute(sa.update(_table).where(here).values(state=state))


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
        "absent": "déjà absent{s} avant la campagne",
        "damaged": "en mauvais état avant la campagne, gardé{s} en place",
    }  # fmt: skip
    parts = [
        f"{counted(counts[state][0], 'contenu', 'contenus')} ({decimal(counts[state][1] / 1e6)} Mo)"
        f" {text.format(s='s' if counts[state][0] > 1 else '')}"
        for state, text in words.items()
        if state in counts
    ]
    return ", ".join(parts).replace(".", ",") or "aucun contenu orphelin"


def _has_archive(connection: sa.Connection, campaign: Campaign) -> bool:
    """Whether any row of ``files`` was moved this year."""
    found = sa.text("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = :s AND table_name = :t")
    name = {"s": campaign.archive_schema, "t": campaign.moodle["files"].name}
    return bool(connection.execute(found, name).scalar())
