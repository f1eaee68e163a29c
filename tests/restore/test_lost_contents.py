"""Contents that the storage has lost: their files stay where they are held until it has them again."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from tests.restore.conftest import MOODLE, NAME, World
from tests.restore.helpers import ARCHIVE, STATE, differences, everything, restore_all, restored
from tests.support.dump import compare
from transition import filedir
from transition.backup.manifest import mark_verified, store, verified_sets
from transition.errors import TransitionError
from transition.restore import stage
from transition.restore.stage import restore

CODE, COURSE = "LI3INF01", 2


def archive_of(world: World) -> Path:
    return Path(world.campaign.platform.storage) / NAME / "2026" / "filedir"


@contextmanager
def unmounted(world: World) -> Iterator[None]:
    """The archive's contents are out of reach."""
    archive = archive_of(world)
    away = archive.rename(archive.with_name("ailleurs"))
    yield
    away.rename(archive)


def missed(world: World) -> dict[int, str]:
    """The files of the space that were moved and whose content is in the archive only: row id to content."""
    here = {Path(path).name for path in world.files()}
    moved = world.execute(f"SELECT DISTINCT id FROM {ARCHIVE}.key_files WHERE courseid = {COURSE}")
    of_rows = {id_: world.before["files"][id_]["contenthash"] for (id_,) in moved}
    return {id_: found for id_, found in of_rows.items() if found not in here}


def listed(world: World) -> dict[str, str]:
    return dict(world.execute(f"SELECT contenthash, state FROM {STATE}.content"))


def fails(world: World, run_id: str, error: type[Exception], match: str) -> None:
    """A restore that ends so, without a row in Moodle."""
    before = world.dump()
    with pytest.raises(error, match=match):
        restore(world.open(run_id), everything(CODE))
    assert compare(before, world.dump()) == {}


def comes_back(world: World) -> None:
    """Every file of the space, with its content."""
    lost = missed(world)
    restore(world.open("again"), everything(CODE))
    files, here = world.dump()["files"], {Path(path).name for path in world.files()}
    assert {id_: files.get(id_) for id_ in lost} == {id_: world.before["files"][id_] for id_ in lost}
    assert set(lost.values()) <= here


@pytest.mark.parametrize("source", ["archive", "backup"])
def test_files_wait_until_the_storage_has_their_contents_again(world: World, source: str) -> None:
    lost, moved = missed(world), listed(world)
    assert len(lost) > len(set(lost.values())) > 1
    if source == "backup":
        world.execute(f"DROP DATABASE {ARCHIVE}")
    with unmounted(world):
        fails(world, "stop", TransitionError, (
            rf"files : {len(lost)} lignes, {len(set(lost.values()))} contenus absents de Moodle et de l'archive, dont"
            rf" {min(lost.values())} : rebranchez le stockage, ou remettez dans filedir ce qui manque \(id"
        ))  # fmt: skip
        assert listed(world) == moved
        sentence = restore(world.open("skip"), everything(CODE, conflicts="skip"))
        after = world.dump()
    assert not lost.keys() & after["files"].keys()
    assert compare(world.reset, after)["files"].added, "folders come back"
    assert {(hash_, moved[hash_]) for hash_ in lost.values()} <= listed(world).items(), "still on the list"
    assert "de côté." in sentence
    restore_all(world, "rest")
    assert differences(restored(world), world.dump()) == {}
    assert world.files() == world.contents
    assert not lost.keys() - world.dump()["files"].keys()
    assert not set(lost.values()) & listed(world).keys()


def test_what_hangs_from_a_file_waits_with_it(world: World) -> None:
    moved = world.execute(f"SELECT id FROM {ARCHIVE}.key_files WHERE courseid = {COURSE}")
    files = {id_: world.before["files"][id_] for (id_,) in moved}
    sent = min(id_ for id_, row in files.items() if row["filearea"] == "submission_files" and row["filesize"])
    hash_ = files[sent]["contenthash"]
    place = f"{hash_[:2]}/{hash_[2:4]}/{hash_}"
    (archive_of(world) / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(Path(str(world.campaign.platform.dataroot)) / "filedir" / place, archive_of(world) / place)
    world.execute(f"CREATE TABLE IF NOT EXISTS {ARCHIVE}.mdl_file_conversion LIKE {MOODLE}.mdl_file_conversion")
    world.execute(f"CREATE TABLE IF NOT EXISTS {ARCHIVE}.key_file_conversion LIKE {ARCHIVE}.key_assign_submission")
    world.execute(
        f"INSERT INTO {ARCHIVE}.mdl_file_conversion (id, usermodified, timecreated, timemodified, sourcefileid,"
        " targetformat) VALUES (1, 2, 0, 0, :sent, 'pdf')", sent=sent,
    )  # fmt: skip
    world.execute(
        f"INSERT INTO {ARCHIVE}.key_file_conversion (id, courseid, run, rule)"
        f" SELECT 1, {COURSE}, MAX(run), 'assign' FROM {ARCHIVE}.key_assign_submission"
    )
    with unmounted(world):
        restore(world.open("skip"), everything(CODE, conflicts="skip"))
        assert world.dump()["file_conversion"] == {}
    restore(world.open("rest"), everything(CODE))
    assert world.dump()["file_conversion"][1]["sourcefileid"] == sent


def _recorded(world: World, hash_: str) -> None:
    world.execute(f"UPDATE {STATE}.content SET state = 'absent' WHERE contenthash = :hash", hash=hash_)


def _backed_up(world: World, hash_: str) -> None:
    """The set says that Moodle had lost the content; another space used it too: it was never on the list."""
    world.execute(f"DELETE FROM {STATE}.content WHERE contenthash = :hash", hash=hash_)
    for backup in verified_sets(world.campaign, []):
        facts = backup.manifest.model_dump()
        facts["spaces"][COURSE]["contents"]["lost"] = (hash_,)
        store(backup.folder, type(backup.manifest).model_validate(facts))
        mark_verified(backup.folder)


@pytest.mark.parametrize("known", [_recorded, _backed_up])
def test_a_file_that_moodle_had_lost_itself_comes_back_as_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch, known: Callable[[World, str], None]
) -> None:
    row, hash_ = min(missed(world).items())
    (archive_of(world) / hash_[:2] / hash_[2:4] / hash_).unlink()
    fails(world, "lost", TransitionError, f"1 contenu absent de Moodle et de l'archive, dont {hash_}")
    known(world, hash_)

    def killed(*_: Any) -> int:
        raise KeyError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "put_back", killed)
        fails(world, "killed", KeyError, "killed")
    assert "de côté" not in restore(world.open("again"), everything(CODE))
    assert world.dump()["files"][row] == world.before["files"][row]
    assert hash_ not in listed(world)


def test_killed_while_contents_are_copied_it_resumes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, copied = filedir._copy, list[str]()

    def killed(source: UPath, target: UPath, contenthash: str, *more: Any) -> None:
        if copied:
            raise KeyError("killed")
        copy(source, target, contenthash, *more)
        copied.append(contenthash)

    with monkeypatch.context() as patch:
        patch.setattr(filedir, "_copy", killed)
        fails(world, "killed", KeyError, "killed")
    assert copied
    comes_back(world)


def test_a_storage_that_goes_while_contents_are_copied(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, archive = filedir._copy, archive_of(world)

    def gone(*about: Any) -> None:
        copy(*about)
        archive.rename(archive.with_name("ailleurs"))

    with monkeypatch.context() as patch:
        patch.setattr(filedir, "_copy", gone)
        fails(world, "gone", TransitionError, r"disparu de l'archive pendant la restauration, dont [0-9a-f]{40}")
    archive.with_name("ailleurs").rename(archive)
    comes_back(world)


def test_a_content_altered_in_the_archive_stops_before_the_first_row(world: World) -> None:
    hash_ = max(missed(world).values())
    (archive_of(world) / hash_[:2] / hash_[2:4] / hash_).write_bytes(b"!")
    fails(world, "altered", TransitionError, f"Le contenu {hash_} est altéré")
