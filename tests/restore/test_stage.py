"""A space that was reset comes back as it was: every row of every table, from either source."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from upath import UPath

from tests.restore.conftest import World
from tests.restore.helpers import (
    ARCHIVE,
    STATE,
    alter,
    differences,
    everything,
    insert,
    moved_of,
    restore_all,
    restored,
    scratch_rows,
)
from tests.support.backup_sets import LOSSES, OLDER, add_older
from tests.support.campaign import run_chain
from tests.support.dump import Rows, compare
from transition import preflight
from transition.backup import manifest
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.restore import put_back
from transition.restore.held import Held
from transition.restore.history import backup_sets, find_space
from transition.restore.stage import Request, restore


def test_every_space_comes_back_from_the_archive_schema(either_world: World) -> None:
    world = either_world
    assert world.files() != world.contents, "the transition moved contents out of Moodle's folder"
    sentences = restore_all(world, "restore")
    assert sentences[0] == (
        "LI3INF02 : 12\xa0160 lignes remises dans Moodle, nom et catégorie rendus. Purgez maintenant les caches de"
        " Moodle (admin/cli/purge_caches.php)."
    )
    after = world.dump()
    assert differences(restored(world), after) == {}
    assert world.files() == world.contents
    revisions = {id_: row["cacherev"] for id_, row in after["course"].items()}
    assert all(revisions[id_] > world.before["course"][id_]["cacherev"] for id_ in range(2, 8))
    assert world.execute(f"SELECT COUNT(*) FROM {STATE}.space_reset") == [(0,)], "they may be reset again"
    # A swapped table of the archive also holds a copy of what stayed.
    stayed = len(world.reset["quiz_attempts"]) if world.swapped else 0
    assert world.execute(f"SELECT COUNT(*) FROM {ARCHIVE}.mdl_quiz_attempts") == [(stayed,)], "moved, not copied"
    for code in ("LI3INF02", "L1MAT101"):
        assert restore(world.open(f"again-{code}"), everything(code)) == f"{code} : déjà restauré, rien n'a changé."
    assert compare(after, world.dump()) == {}


def test_every_space_comes_back_from_the_backup(either_world: World) -> None:
    world = either_world
    # What a later run backs up is the new year's: it is not what comes back.
    run_chain(world.open("later", dry_run=True, courses=("L1MAT101",)), ["preflight", "july_backup"])
    world.execute(f"DROP DATABASE {ARCHIVE}")
    restore_all(world, "restore")
    after = world.dump()
    assert differences(restored(world), after) == {}
    assert world.files() == world.contents
    for code in ("LI3INF02", "L1MAT101"):
        assert restore(world.open(f"again-{code}"), everything(code)) == f"{code} : déjà restauré, rien n'a changé."
    assert compare(after, world.dump()) == {}
    assert f"{ARCHIVE}_staging" not in world.schemas()


def test_an_archive_schema_made_anew_by_a_later_run_does_not_hide_the_backup(world: World) -> None:
    """It has expired; then a space with a date of its own was reset."""
    world.execute(f"DROP DATABASE {ARCHIVE}")
    world.execute(f"DELETE FROM {STATE}.space_reset WHERE courseid = 4")
    attempt = next(
        row for row in world.before["quiz_attempts"].values() if world.before["quiz"][row["quiz"]]["course"] == 4
    )
    insert(world, "quiz_attempts", {**attempt, "id": None})
    run_chain(world.open("later", courses=("L1MAT101",)))
    assert ARCHIVE in world.schemas()
    assert "remises dans Moodle" in restore(world.open("restore"), Request("LI3INF01"))
    after = world.dump()
    for table, activity, column in (("quiz_attempts", "quiz", "quiz"), ("choice_answers", "choice", "choiceid")):
        mine = {i: row for i, row in world.before[table].items() if world.before[activity][row[column]]["course"] == 2}
        assert mine
        assert {id_: after[table].get(id_) for id_ in mine} == mine


def test_sets_that_do_not_hold_the_space_are_not_opened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    [before] = Path(world.campaign.platform.storage).glob("*/2026/backup/*")
    run_chain(world.open("later", dry_run=True, courses=("L1MAT101",)), ["preflight", "july_backup"])
    opened, open_set = list[str](), manifest._open

    def opening(campaign: Campaign, folder: UPath) -> Any:
        opened.append(folder.name)
        return open_set(campaign, folder)

    monkeypatch.setattr(manifest, "_open", opening)
    [(_, backup)] = backup_sets(world.campaign, find_space(world.campaign, "LI3INF01"))
    assert [backup.manifest.name, *opened] == [before.name] * 2


def test_without_name_and_enrolments_these_stay_as_the_campaign_left_them(world: World, tmp_path: Path) -> None:
    restore(world.open("restore"), Request("LI3INF02"))
    after = world.dump()
    for table in ("user_enrolments", "role_assignments", "context", "enrol"):
        assert after[table] == world.reset[table]
    assert after["course"][3]["shortname"] == "ex_LI3INF02"
    assert {row["course"] for row in after["assign"].values()} >= {3}
    assert after["quiz_attempts"].keys() == {
        id_ for id_, row in world.before["quiz_attempts"].items()
        if world.before["quiz"][row["quiz"]]["course"] in {3, 8, 9}
    }  # fmt: skip
    (tmp_path / "purge_caches.php").write_text(f"touch {tmp_path}/purged", encoding="utf-8")
    platform = world.campaign.platform.model_copy(update={"moodle_command": ("sh", str(tmp_path))})
    sentence = restore(world.open("then", platform=platform), everything("LI3INF02"))
    assert sentence.endswith("nom et catégorie rendus. Les caches de Moodle sont purgés.")
    assert (tmp_path / "purged").exists()
    assert world.dump()["course"][3]["shortname"] == "LI3INF02"


def test_a_restored_space_may_be_reset_again(world: World) -> None:
    second = world.open("second", courses=("L1MAT101",))
    assert second.run, "it starts before the restore, waits, and is let loose after it"
    restore(world.open("restore"), everything("L1MAT101"))
    assert find_space(second, "L1MAT101").back == {"whole", "enrolments"}
    run_chain(second)
    space = find_space(second, "L1MAT101")
    assert ([reset.run for reset in space.resets], space.back) == ([second.run], frozenset())
    assert differences(world.reset, _without_moments(world.dump(), world.reset)) == {}
    restore(world.open("once more"), everything("L1MAT101"))
    after = world.dump()
    assert set(world.before["quiz_attempts"]) >= after["quiz_attempts"].keys() > set()


def _without_moments(found: dict[str, Rows], like: dict[str, Rows]) -> dict[str, Rows]:
    """Rows that enrolment writes anew get new ids and moments: only their number is compared."""
    for table in ("user_enrolments", "role_assignments"):
        assert len(found[table]) == len(like[table])
    return {**found, **{t: like[t] for t in ("user_enrolments", "role_assignments", "course")}}


def test_what_was_deleted_after_a_restore_from_the_backup_stays_deleted(world: World) -> None:
    post = min(moved_of(world, "forum_posts", 2))
    choice = next(id_ for id_, row in world.before["choice"].items() if row["course"] == 2)
    world.execute(f"DROP DATABASE {ARCHIVE}")
    again = "LI3INF01 : déjà restauré, rien n'a changé."

    def restore_as(run_id: str, **more: Any) -> str:
        return restore(world.open(run_id), Request("LI3INF01", **more))

    restore_as("restore")
    world.execute(f"DELETE FROM mdl_forum_posts WHERE id = {post}")
    world.execute(f"DELETE FROM mdl_choice WHERE id = {choice}")  # its answers have no path any more
    deleted = world.dump()
    assert restore_as("again") == again
    assert restore_as("activity", activity=world.before["assign"][1]["name"]) == again
    assert compare(deleted, world.dump()) == {}

    assert "remises dans Moodle" in restore_as("with enrolments", enrolments=True)
    found = compare(deleted, world.dump())
    assert found.keys() == {"course", "user_enrolments", "role_assignments"}, "last year's, and the cache's revision"
    enrolment = min(found["user_enrolments"].added)
    world.execute(f"DELETE FROM mdl_user_enrolments WHERE id = {enrolment}")
    deleted = world.dump()
    assert restore_as("enrolments again", enrolments=True) == again
    assert compare(deleted, world.dump()) == {}

    restore_as("scratch", enrolments=True, conflicts="scratch")
    assert post in scratch_rows(world, "forum_posts"), "to look at, the backup still gives everything"
    assert enrolment in scratch_rows(world, "user_enrolments")


def test_a_restore_from_the_backup_that_was_stopped_resumes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.execute(f"DROP DATABASE {ARCHIVE}")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(put_back, "CHUNK", 500)
        patch.setattr(put_back, "_record", _stop_at_call(5))
        restore(world.open("stopped"), everything("LI3INF01"))
    stopped = compare(world.reset, world.dump())
    assert stopped, "some chunks were written"
    restore(world.open("stopped"), everything("LI3INF01"))
    restore_all(world, "rest")
    assert differences(restored(world), world.dump()) == {}


def test_a_restore_that_was_stopped_leaves_no_answer_without_its_attempt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeater takes the quiz again before it is run again: the old attempt then stays where it is."""
    steps, record, written = "question_attempt_steps", put_back._record, set[str]()
    moved = moved_of(world, steps, 2)

    def stopping(connection: sa.Connection, held: Held, done: list[dict[str, Any]]) -> None:
        if steps in written:
            raise KeyboardInterrupt
        record(connection, held, done)
        written.update(entry["table_name"] for entry in done)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(put_back, "CHUNK", 100)
        patch.setattr(put_back, "_record", stopping)
        restore(world.open("stopped"), everything("LI3INF01"))
    first = world.before[steps][min(moved)]["questionattemptid"]
    assert min(moved) in world.dump()[steps]
    usage = world.before["question_attempts"][first]["questionusageid"]
    attempt = next(row for row in world.before["quiz_attempts"].values() if row["uniqueid"] == usage)
    insert(world, "quiz_attempts", {**attempt, "id": None, "attempt": 9, "uniqueid": 987_654_321})
    restore(world.open("again"), everything("LI3INF01", conflicts="skip"))
    assert _without_attempt(world.dump()) & moved == _without_attempt(world.before) & moved


def _without_attempt(found: dict[str, Rows]) -> set[int]:
    """The steps of answers in no attempt at a quiz: those of an offline quiz, say."""
    usages = {row["uniqueid"] for row in found["quiz_attempts"].values()}
    answers = {id_ for id_, row in found["question_attempts"].items() if row["questionusageid"] in usages}
    return {id_ for id_, row in found["question_attempt_steps"].items() if row["questionattemptid"] not in answers}


def _stop_at_call(number: int) -> Callable[..., None]:
    record, calls = put_back._record, iter(range(1, number))

    def stopping(*arguments: Any) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        record(*arguments)

    return stopping


def test_a_code_that_cannot_be_restored(still_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = still_world

    def refused(code: str, **more: Any) -> str:
        with pytest.raises(TransitionError) as refusal:
            restore(world.open("refused", **more), Request(code))
        return str(refusal.value)

    before = world.dump()
    assert "les plus proches : LI3INF0" in refused("LI3INFO1")
    assert refused("ESPCOMP01").startswith("L'espace ESPCOMP01 n'a pas été réinitialisé (Ecampus, année 2026)")
    assert "n'a pas été réinitialisé" in refused("LI3INF01", year=2025)
    other = world.campaign.platform.model_copy(update={"site": "https://ailleurs.example"})
    assert "est celle du site http://127.0.0.1:8045" in refused("LI3INF01", platform=other)
    for task in ("purge:assign", "restore"):
        with world.campaign.lock(task):
            assert f"l'étape {task} d'une autre exécution est en cours" in refused("LI3INF01")
    with monkeypatch.context() as patch, world.campaign.lock("expiry"):
        patch.setattr(preflight, "other_writers", lambda _: iter(()))  # it began right after that look
        assert "l'étape expiry d'une autre exécution est en cours" in refused("LI3INF01")
    world.execute(f"UPDATE {STATE}.maintenance SET reopened_at = NULL")
    assert "l'exécution transition tient Moodle en maintenance" in refused("LI3INF01")
    world.execute(f"UPDATE {STATE}.maintenance SET reopened_at = closed_at")
    assert compare(before, world.dump()) == {}


@pytest.mark.parametrize("damage", [Path.unlink, alter])
def test_a_damaged_backup_is_refused(world: World, damage: Callable[[Path], None]) -> None:
    world.execute(f"DROP DATABASE {ARCHIVE}")
    for path in Path(world.campaign.platform.storage).glob("*/2026/backup/*/quiz_attempts.parquet"):
        damage(path)
    before = world.dump()
    with pytest.raises(TransitionError, match=r"quiz_attempts\.parquet"):
        restore(world.open("restore"), everything("LI3INF01"))
    assert compare(before, world.dump()) == {}


def test_an_older_set_does_not_pass_for_the_last_one_of_before_the_reset(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world.execute(f"DROP DATABASE {ARCHIVE}")
    [newest] = Path(world.campaign.platform.storage).glob("*/2026/backup/*")
    shutil.copytree(newest, tmp_path / "intact")
    add_older(newest)
    before = world.dump()
    caplog.set_level(logging.INFO)
    for name, lose in LOSSES.items():
        lose(newest)
        with pytest.raises(TransitionError, match=rf"^La dernière sauvegarde de l'espace LI3INF01 .*\({newest.name}\)"):
            restore(world.open(name), everything("LI3INF01"))
        assert "copiées dans le schéma" in restore(world.open(name), everything("LI3INF01", conflicts="scratch"))
        assert f"({newest.name}) manque ou n'est plus vérifiée" in caplog.text
        assert f"vient de la sauvegarde {OLDER}" in caplog.text
        assert compare(before, world.dump()) == {}
        caplog.clear()
        shutil.rmtree(newest, ignore_errors=True)
        shutil.copytree(tmp_path / "intact", newest)
    restore(world.open("intact"), everything("LI3INF01"))
    assert f"vient de la sauvegarde {newest.name}" in caplog.text


def test_messages_name_no_student(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        restore(world.open("restore"), everything("L1MAT101"))
    students = {row["username"] for row in world.before["user"].values() if row["username"].startswith("223")}
    assert "L1MAT101" in caplog.text
    assert not [name for name in students if name in caplog.text]
