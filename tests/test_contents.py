"""Contents of files: which follow their rows into the archive, by a rename, a copy, or not at all."""

import errno
import hashlib
import itertools
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from upath import UPath

from demo.server import PrivateMariaDB
from tests.conftest import drop_databases
from tests.support.campaign import reference_platform
from transition import contents, filedir, storage
from transition.campaign import Campaign, now
from transition.moodle.database import open_engine
from transition.state import tables

SCHEMAS = ("moodle_contents", "contents_transition", "contents_2026")
STATE = [tables.run, tables.fence, tables.content, tables.journal]
FILES = """(id BIGINT PRIMARY KEY AUTO_INCREMENT, contenthash VARCHAR(40), component VARCHAR(100), filesize BIGINT,
    KEY (contenthash)) COLLATE utf8mb4_unicode_ci"""
GONE, SHARED, KEPT = (b"devoir", b"copie"), (b"sujet repris ailleurs",), (b"cours",)


def sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def place(folder: Path, contenthash: str) -> Path:
    return folder / contenthash[:2] / contenthash[2:4] / contenthash


class World:
    """A Moodle of one table, its filedir, and the archive of a campaign that has moved rows of ``files``."""

    def __init__(self, campaign: Campaign, folder: Path) -> None:
        self.campaign, self.filedir = campaign, folder / "moodledata" / "filedir"
        self.archive = folder / "stockage" / "contents" / "2026" / "filedir"

    def store(self, data: bytes) -> Path:
        path = place(self.filedir, sha1(data))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o664)
        return path

    def name(self, schema: str, data: bytes) -> None:
        self.run(
            f"INSERT INTO {schema}.mdl_files (contenthash, component, filesize) VALUES (:h, 'mod_x', :n)",
            h=sha1(data), n=len(data),
        )  # fmt: skip

    def run(self, statement: str, **values: Any) -> None:
        with self.campaign.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def here(self) -> set[bytes]:
        return {path.read_bytes() for path in self.filedir.rglob("*") if path.is_file()}

    def archived(self) -> set[bytes]:
        return {path.read_bytes() for path in self.archive.rglob("*") if path.is_file()}

    def again(self) -> None:
        """As before the stage ran."""
        shutil.rmtree(self.archive)
        for data in GONE:
            self.store(data)
        self.run("DELETE FROM contents_transition.content")

    def closing(self) -> tuple[Any, ...]:
        entry = tables.journal.c
        columns = (entry.rows_before, entry.rows_moved, entry.rows_after, entry.detail)
        with self.campaign.engine.connect() as connection:
            query = sa.select(*columns).where(entry.action == "done").order_by(entry.id.desc()).limit(1)
            return tuple(connection.execute(query).one())


@pytest.fixture
def world(server: PrivateMariaDB, tmp_path: Path) -> Iterator[World]:
    drop_databases(server, set(SCHEMAS))
    with sa.create_engine(server.url(), isolation_level="AUTOCOMMIT").connect() as connection:
        for name in SCHEMAS:
            connection.execute(sa.text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
    engine = open_engine(server.url("moodle_contents"), poolclass=sa.NullPool)
    dataroot = tmp_path / "moodledata"
    platform = reference_platform(tmp_path / "stockage", name="contents", dataroot=str(dataroot))
    campaign = Campaign(platform, 2026, "essai", engine, dry_run=False)
    tables.metadata.create_all(campaign.engine, tables=STATE)
    campaign.take_fence()
    with campaign.engine.begin() as connection:
        connection.execute(sa.update(tables.run).values(frozen_at=now()))
        for name in ("moodle_contents", "contents_2026"):
            connection.execute(sa.text(f"CREATE TABLE {name}.mdl_files {FILES}"))
    made = World(campaign, tmp_path)
    for data in (*GONE, *SHARED, *KEPT, b""):
        made.store(data)
    for data in (*GONE, *GONE, *SHARED, b""):  # one content twice; b"": a directory row
        made.name("contents_2026", data)
    for data in (*SHARED, *KEPT):
        made.name("moodle_contents", data)
    yield made
    drop_databases(server, set(SCHEMAS))


def test_what_nothing_names_any_more_moves(world: World) -> None:
    contents.file_contents(world.campaign)
    assert world.archived() == set(GONE)
    assert world.here() == {*SHARED, *KEPT, b""}
    moved = place(world.archive, sha1(GONE[0]))
    assert moved.stat().st_mode & 0o777 == 0o664
    assert world.closing() == (2, 2, 0, "2 contenus (0,0 Mo) dans l'archive")
    assert list(contents.left(world.campaign)) == []


def test_twice_is_once(world: World) -> None:
    contents.file_contents(world.campaign)
    contents.file_contents(world.campaign)
    assert world.archived() == set(GONE)
    assert world.closing()[:3] == (2, 2, 0)


def test_across_file_systems_a_verified_copy_moves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    across(monkeypatch)
    contents.file_contents(world.campaign)
    assert world.archived() == set(GONE)
    assert world.here() == {*SHARED, *KEPT, b""}
    assert place(world.archive, sha1(GONE[0])).stat().st_mode & 0o777 == 0o664
    assert list(world.archive.rglob(".*.part")) == []


def across(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have renames from one folder to another refused, as between two file systems."""
    rename = Path.replace

    def refuse(self: Path, target: Any) -> Path:
        if self.parent != Path(str(target)).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refuse)


@pytest.mark.parametrize("apart", [False, True], ids=["one file system", "two"])
def test_what_the_backup_holds_is_read_once_and_not_copied_again(
    world: World, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    for data in GONE:
        assert filedir.keep_copy(world.campaign, sha1(data))
    if apart:
        across(monkeypatch)
    read, digest = list[Path](), filedir._sha1

    def reading(path: UPath) -> str:
        read.append(Path(str(path)))
        return digest(path)

    monkeypatch.setattr(filedir, "_sha1", reading)
    monkeypatch.setattr(filedir, "_carry", lambda *_: pytest.fail("a content was carried again"))
    contents.file_contents(world.campaign)
    assert sorted(read) == sorted(place(world.archive, sha1(data)) for data in GONE)
    assert world.archived() == set(GONE)
    assert world.here() == {*SHARED, *KEPT, b""}
    assert world.closing() == (2, 2, 0, "2 contenus (0,0 Mo) dans l'archive")
    assert list(contents.left(world.campaign)) == []


@pytest.mark.parametrize("apart", [False, True], ids=["one file system", "two"])
def test_a_damaged_copy_of_the_same_size_gives_way_to_the_good_original(
    world: World, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    assert filedir.keep_copy(world.campaign, sha1(GONE[0]))
    place(world.archive, sha1(GONE[0])).write_bytes(b"?" * len(GONE[0]))
    if apart:
        across(monkeypatch)
    contents.file_contents(world.campaign)
    assert world.archived() == set(GONE)
    assert world.here() == {*SHARED, *KEPT, b""}


def test_a_damaged_copy_and_a_damaged_original_are_left(world: World) -> None:
    assert filedir.keep_copy(world.campaign, sha1(GONE[0]))
    place(world.archive, sha1(GONE[0])).write_bytes(b"?" * len(GONE[0]))
    place(world.filedir, sha1(GONE[0])).write_bytes(b"!" * len(GONE[0]))
    contents.file_contents(world.campaign)
    assert b"!" * len(GONE[0]) in world.here()
    assert b"?" * len(GONE[0]) in world.archived()
    assert "en mauvais état avant la campagne, gardé en place" in world.closing()[3]


def test_a_copy_that_differs_moves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    across(monkeypatch)

    def copy(reader: Any, writer: Any, _: int) -> None:
        writer.write(reader.read()[:-1])

    monkeypatch.setattr("shutil.copyfileobj", copy)
    with pytest.raises(OSError, match="n'est pas identique"):
        contents.file_contents(world.campaign)
    assert world.here() >= set(GONE)


def test_lost_and_damaged_contents_are_said_and_left(world: World) -> None:
    place(world.filedir, sha1(GONE[0])).unlink()
    place(world.filedir, sha1(GONE[1])).write_bytes(b"autre chose")
    contents.file_contents(world.campaign)
    assert world.archived() == set()
    assert b"autre chose" in world.here()
    rows_before, rows_moved, rows_after, detail = world.closing()
    assert (rows_before, rows_moved, rows_after) == (2, 0, 2)
    assert "1 contenu (0,0 Mo) déjà absent avant la campagne" in detail
    assert "1 contenu (0,0 Mo) en mauvais état avant la campagne, gardé en place" in detail
    assert list(contents.left(world.campaign)) == []


def test_a_content_that_is_named_again_comes_back(world: World) -> None:
    contents.file_contents(world.campaign)
    world.name("moodle_contents", GONE[0])
    assert any("1 contenu encore utilisé dans Moodle est dans" in finding for finding in contents.left(world.campaign))
    contents.file_contents(world.campaign)
    assert world.here() == {GONE[0], *SHARED, *KEPT, b""}
    assert place(world.filedir, sha1(GONE[0])).stat().st_mode & 0o777 == 0o664
    assert world.closing()[:3] == (1, 1, 0)
    assert list(contents.left(world.campaign)) == []


def test_a_content_named_while_it_moves_comes_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    move = contents._move_all

    def meanwhile(*args: Any) -> None:
        move(*args)
        world.name("moodle_contents", GONE[1])

    monkeypatch.setattr(contents, "_move_all", meanwhile)
    contents.file_contents(world.campaign)
    assert world.here() == {GONE[1], *SHARED, *KEPT, b""}
    assert world.archived() == set(GONE), "the archive keeps its own: a backup may rely on it"


def test_a_content_on_the_list_that_is_named_again_never_leaves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = world.campaign.platform.model_copy(update={"dataroot": None})
    contents.file_contents(replace(world.campaign, platform=platform))
    world.name("moodle_contents", GONE[0])
    carried: list[str] = []
    monkeypatch.setattr(filedir, "_carry", lambda _source, _target, contenthash: carried.append(contenthash))
    contents.file_contents(world.campaign)
    assert carried == [sha1(GONE[1])]


def test_two_contents_that_were_lost_are_said_in_the_plural(world: World) -> None:
    for data in GONE:
        place(world.filedir, sha1(data)).unlink()
    contents.file_contents(world.campaign)
    assert world.closing() == (2, 0, 2, "2 contenus (0,0 Mo) déjà absents avant la campagne")


def test_without_dataroot_the_orphans_are_listed(world: World) -> None:
    platform = world.campaign.platform.model_copy(update={"dataroot": None})
    campaign = replace(world.campaign, platform=platform)
    before = world.here()
    contents.file_contents(campaign)
    assert world.here() == before
    listed = world.archive.parent / "reports" / "contenus-orphelins.csv"
    lines = sorted(f"{sha1(data)};{len(data)}" for data in GONE)
    assert listed.read_text(encoding="utf-8").splitlines() == ["contenthash;octets", *lines]
    rows_before, rows_moved, rows_after, detail = world.closing()
    assert (rows_before, rows_moved, rows_after) == (2, 0, 2)
    assert "la plateforme ne déclare pas dataroot" in detail
    assert list(contents.left(campaign)) == []


@pytest.mark.parametrize("damage", ["lost", "altered", "both"])
def test_verify_sees(world: World, damage: str) -> None:
    contents.file_contents(world.campaign)
    moved = place(world.archive, sha1(GONE[0]))
    if damage == "lost":
        moved.unlink()
    elif damage == "altered":
        moved.write_bytes(b"!")
    else:
        world.store(GONE[0])
    [finding] = contents.left(world.campaign)
    assert finding.startswith("fichiers : 1 contenu ")
    assert ("n'a pas été déplacé" if damage == "both" else "manque dans l'archive ou n'y a pas sa taille") in finding


def test_verify_reads_no_content(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    contents.file_contents(world.campaign)
    monkeypatch.setattr(filedir, "_sha1", lambda path: pytest.fail(f"{path} was read"))
    assert list(contents.left(world.campaign)) == []


def test_verify_sees_what_the_stage_forgot(world: World) -> None:
    [finding] = contents.left(world.campaign)
    assert finding.startswith("fichiers : 2 contenus que plus rien n'utilise")


_hooks: list[Callable[[str], None]] = []
_TOUCHING = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod"}
sys.addaudithook(lambda event, _: _hooks[0](event) if _hooks and event in _TOUCHING else None)


class KilledError(BaseException):
    """The process was killed."""


def kill_at(number: int) -> Callable[[str], None]:
    """A hook that kills the process at the step of that number, counted from 1."""
    steps = itertools.count(1)

    def hook(_: str) -> None:
        if next(steps) == number:
            raise KilledError

    return hook


@pytest.mark.parametrize("copied", [False, True])
def test_killed_before_any_step_it_resumes(world: World, monkeypatch: pytest.MonkeyPatch, copied: bool) -> None:
    """Before each SQL statement and each change of the file system, in turn, until a run meets none."""
    if copied:
        across(monkeypatch)
    sa.event.listen(world.campaign.server, "before_cursor_execute", lambda *_: [hook("sql") for hook in _hooks])
    for kills in range(1_000):
        _hooks.append(kill_at(kills + 1))
        try:
            contents.file_contents(world.campaign)
            break
        except KilledError:
            pass
        finally:
            _hooks.clear()
        assert world.here() | world.archived() >= {*GONE, *SHARED, *KEPT, b""}
        assert world.here() >= {*SHARED, *KEPT, b""}
        contents.file_contents(world.campaign)
        assert (world.archived(), world.here()) == (set(GONE), {*SHARED, *KEPT, b""})
        assert list(contents.left(world.campaign)) == []
        world.again()
    assert kills >= 20


def test_killed_at_any_step_a_content_comes_back_from_an_object_store_readable(world: World) -> None:
    campaign = replace(world.campaign, root=UPath("memory://contents"))
    hash_ = sha1(GONE[0])
    target, kept = place(world.filedir, hash_), filedir._in(storage.folder(campaign, "filedir"), hash_)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(GONE[0])
    world.filedir.chmod(0o775)

    for kills in range(100):
        shutil.rmtree(target.parent.parent)
        _hooks.append(kill_at(kills + 1))
        try:
            filedir.put_back(campaign, [hash_])
            break
        except KilledError:
            pass
        finally:
            _hooks.clear()
        filedir.put_back(campaign, [hash_])
        folders = (target.parent, target.parent.parent)
        assert [path.stat().st_mode & 0o777 for path in (target, *folders)] == [0o664, 0o775, 0o775], f"kill {kills}"
        assert target.read_bytes() == GONE[0]
    assert kills >= 8


def test_preflight_knows_the_site_s_own_folder(world: World) -> None:
    assert list(filedir.check_dataroot(world.campaign)) == []
    for data in (*SHARED, *KEPT):
        place(world.filedir, sha1(data)).unlink()
    [finding] = filedir.check_dataroot(world.campaign)
    assert "0 des 2 derniers fichiers" in finding
    platform = world.campaign.platform.model_copy(update={"dataroot": "/nulle/part"})
    [finding] = filedir.check_dataroot(replace(world.campaign, platform=platform))
    assert "/nulle/part/filedir n'existe pas" in finding
