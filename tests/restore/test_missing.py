"""An archive schema that has lost rows of a space: the backup gives them, or they are named and nothing is whole."""

import shutil
from pathlib import Path

import pytest

from tests.restore.conftest import World
from tests.restore.helpers import ARCHIVE, STATE, differences, everything, restore_all, restored
from tests.support.campaign import run_chain
from tests.support.dump import compare
from transition.errors import TransitionError
from transition.restore.held import Held
from transition.restore.history import find_space
from transition.restore.missing import missing_rows
from transition.restore.put_back import Wanted
from transition.restore.stage import Request, restore

CODE, COURSE = "LI3INF01", 2
LOG, ATTEMPTS, POSTS = "logstore_standard_log", "quiz_attempts", "forum_posts"
ALARM = f"Le schéma d'archive {ARCHIVE} n'a plus toutes les lignes prises à l'espace"


def missing(world: World, code: str = CODE) -> dict[str, int]:
    campaign = world.open("look")
    space = find_space(campaign, code)
    held = Held(campaign, campaign.archive_schema, space.courseid)
    return missing_rows(held, space, Wanted(traces=True, enrolments=True))


def moved(world: World, table: str) -> int:
    query = f"SELECT COUNT(DISTINCT id) FROM {ARCHIVE}.key_{table} WHERE courseid = {COURSE}"
    return int(world.execute(query)[0][0])


def journalled(world: World) -> set[str]:
    return {action for (action,) in world.execute(f"SELECT action FROM {STATE}.journal WHERE stage = 'restore'")}


def backups(world: World) -> list[Path]:
    return list(Path(world.campaign.platform.storage).glob("*/2026/backup"))


def test_rows_that_the_archive_has_lost_are_counted_by_table(either_world: World) -> None:
    world, expected = either_world, dict[str, int]()
    assert [missing(world, code) for code in (CODE, "LI3INF02", "L1MAT101")] == [{}, {}, {}]
    losses = {
        LOG: ("DROP TABLE {}.mdl_{}",),
        ATTEMPTS: ("TRUNCATE {}.mdl_{}",),
        POSTS: ("DROP TABLE {}.mdl_{}", "DROP TABLE {}.key_{}"),
        "choice_answers": ("TRUNCATE {}.mdl_{}", "TRUNCATE {}.key_{}"),
        "assign_submission": ("DELETE FROM {}.mdl_{} ORDER BY id DESC LIMIT 100000",),
        "user_enrolments": ("TRUNCATE {}.mdl_{}",),
    }
    for name, statements in losses.items():
        expected[name] = moved(world, name)
        assert expected[name], name
        for statement in statements:
            world.execute(statement.format(ARCHIVE, name))
        assert missing(world) == expected, name
    campaign = world.open("traces")
    held = Held(campaign, campaign.archive_schema, COURSE)
    of_traces = missing_rows(held, find_space(campaign, CODE), Wanted(traces=True, enrolments=False))
    assert of_traces == {name: rows for name, rows in expected.items() if name != "user_enrolments"}


def test_keys_of_what_a_stopped_run_never_came_to_move_are_no_loss(still_world: World) -> None:
    world = still_world
    world.execute(
        f"INSERT INTO {ARCHIVE}.key_{POSTS} (run, id, courseid, `rule`)"
        f" SELECT run + 100, id + 900000, courseid, `rule` FROM {ARCHIVE}.key_{POSTS} WHERE courseid = {COURSE}"
    )
    try:
        assert missing(world) == {}
    finally:
        world.execute(f"DELETE FROM {ARCHIVE}.key_{POSTS} WHERE id > 900000")


def test_a_space_comes_from_the_backup_where_the_archive_has_lost_some_of_it(
    either_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = either_world
    logs, attempts = moved(world, LOG), moved(world, ATTEMPTS)
    world.execute(f"DROP TABLE {ARCHIVE}.mdl_{LOG}")
    world.execute(f"TRUNCATE {ARCHIVE}.mdl_{ATTEMPTS}")
    restore_all(world, "restore")
    [alarm] = [text for text in caplog.messages if text.startswith(f"{ALARM} {CODE} : ")]
    losses = f"{LOG} ({logs} lignes disparues), {ATTEMPTS} ({attempts} lignes disparues)."
    assert alarm.replace("\xa0", "") == f"{ALARM} {CODE} : {losses}"
    after = world.dump()
    assert differences(restored(world), after) == {}
    assert world.files() == world.contents
    assert world.execute(f"SELECT COUNT(*) FROM {STATE}.space_reset") == [(0,)]
    assert moved(world, POSTS) == 0, "what comes back leaves the archive"
    caplog.clear()
    assert restore(world.open("again"), everything(CODE)) == f"{CODE} : déjà restauré, rien n'a changé."
    assert ALARM not in caplog.text
    assert compare(after, world.dump()) == {}


def test_a_space_that_came_from_the_backup_is_reset_and_restored_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows that the archive still had would be in the way of the same ones, coming again."""
    for name in (LOG, ATTEMPTS):
        world.execute(f"TRUNCATE {ARCHIVE}.mdl_{name}")
    restore(world.open("restore"), everything(CODE))
    run_chain(world.open("second", courses=(CODE,)))
    assert moved(world, ATTEMPTS)
    caplog.clear()
    restore_all(world, "rest")
    assert f"{ALARM} {CODE} " not in caplog.text
    after = world.dump()
    for name in (ATTEMPTS, POSTS, "assign_submission", "grade_grades"):
        assert after[name] == world.before[name], name


def test_without_a_backup_either_what_is_lost_is_named_and_nothing_is_whole(
    either_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = either_world
    lost = {name: moved(world, name) for name in (LOG, POSTS)}
    for name in lost:
        world.execute(f"DROP TABLE {ARCHIVE}.mdl_{name}")
    [folder] = backups(world)
    shutil.move(folder, folder.with_name("ailleurs"))
    with pytest.raises(TransitionError) as refusal:
        restore(world.open("stop"), everything(CODE))
    lines = str(refusal.value).replace("\xa0", "").splitlines()
    for name, rows in lost.items():
        assert f"  - {name} : {rows} lignes disparues du schéma d'archive {ARCHIVE}" in lines
    assert "l'activité a été supprimée" not in str(refusal.value)
    assert compare(world.reset, world.dump()) == {}
    assert "Ces lignes ne peuvent pas venir de la sauvegarde. " in caplog.text
    sentence = restore(world.open("look"), everything(CODE, conflicts="scratch")).replace("\xa0", "")
    assert f" ; {POSTS} : {lost[POSTS]} lignes disparues du schéma d'archive {ARCHIVE} ; " in sentence

    assert "de côté." in restore(world.open("skip"), everything(CODE, conflicts="skip"))
    assert "whole" not in journalled(world)
    assert world.execute(f"SELECT COUNT(*) FROM {STATE}.space_reset WHERE courseid = {COURSE}") == [(1,)]
    after = world.dump()
    quizzes = {id_ for id_, row in world.before["quiz"].items() if row["course"] == COURSE}
    attempts = {id_: row for id_, row in world.before[ATTEMPTS].items() if row["quiz"] in quizzes}
    assert attempts
    assert {id_: after[ATTEMPTS].get(id_) for id_ in attempts} == attempts

    # The backup is there again: so is the rest.
    shutil.move(folder.with_name("ailleurs"), folder)
    restore_all(world, "rest")
    assert differences(restored(world), world.dump()) == {}
    assert world.execute(f"SELECT COUNT(*) FROM {STATE}.space_reset") == [(0,)]


def test_enrolments_that_the_archive_has_lost_come_from_the_backup_after_the_traces(world: World) -> None:
    restore(world.open("traces"), Request(CODE))
    world.execute(f"TRUNCATE {ARCHIVE}.mdl_user_enrolments")
    restore_all(world, "rest")
    assert differences(restored(world), world.dump()) == {}
