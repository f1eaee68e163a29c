"""A space that was reset comes back as it was: every row of every table, from either source."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.restore.conftest import NAME, World
from tests.support.backup_sets import LOSSES, OLDER, add_older
from tests.support.campaign import run_chain
from tests.support.dump import Rows, compare
from transition.errors import TransitionError
from transition.restore import put_back
from transition.restore.drill import restore_drill
from transition.restore.history import find_space
from transition.restore.stage import Request, restore

ARCHIVE, STATE = f"{NAME}_2026", f"{NAME}_transition"
CODES = ("LI3INF02", "LI3INF01", "L1MAT101", "M1DRO201", "LETL2H03", "M2CHI305")


def differences(expected: dict[str, Rows], found: dict[str, Rows]) -> dict[str, Any]:
    """Tables that differ, the revision of the spaces' cache aside."""
    expected, found = (
        {**tables, "course": {id_: {**row, "cacherev": 0} for id_, row in tables["course"].items()}}
        for tables in (expected, found)
    )
    return dict(compare(expected, found))


def restored(world: World) -> dict[str, Rows]:
    """All as it was, beside the new year's enrolments, what ex_ renaming created: teachers' enrolments by hand, and the
    category of the year, which is empty now."""
    grown = ("user_enrolments", "role_assignments", "course_categories", "context")
    added = {t: {**world.reset[t], **world.before[t]} for t in grown}
    (year,) = world.reset["course_categories"].keys() - world.before["course_categories"].keys()
    added["course_categories"][year] = {**added["course_categories"][year], "coursecount": 0}
    return {**world.before, **added}


def everything(code: str, **more: Any) -> Request:
    return Request(code, name=True, enrolments=True, **more)


def restore_all(world: World, run_id: str) -> list[str]:
    return [restore(world.open(f"{run_id}-{code}"), everything(code)) for code in CODES]


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


def test_without_name_and_enrolments_these_stay_as_the_campaign_left_them(world: World) -> None:
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
    assert "nom et catégorie rendus" in restore(world.open("then"), everything("LI3INF02"))
    assert world.dump()["course"][3]["shortname"] == "LI3INF02"


def _moved_of(world: World, table: str, courseid: int) -> set[int]:
    return {id_ for (id_,) in world.execute(f"SELECT id FROM {ARCHIVE}.key_{table} WHERE courseid = {courseid}")}


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


@pytest.mark.parametrize("source", ["archive", "backup"])
def test_of_two_rows_that_two_resets_moved_from_one_place_the_last_comes_back(world: World, source: str) -> None:
    """A run that did not end well, a student who comes by in between, another run."""
    access = next(row for row in world.before["user_lastaccess"].values() if row["courseid"] == 4)
    submission = next(row for id_, row in world.before["assign_submission"].items() if _course(world, id_) == 4)
    world.execute(f"DELETE FROM {STATE}.space_reset WHERE courseid = 4")
    newer = {
        "user_lastaccess": {**access, "timeaccess": 1_790_000_000},
        "assign_submission": {**submission, "status": "new"},
    }
    for table, row in newer.items():
        row["id"] = max(world.dump()[table].keys() | world.before[table].keys()) + 1
        _insert(world, table, row)
    run_chain(world.open("second", courses=("L1MAT101",)))
    if source == "backup":
        world.execute(f"DROP DATABASE {ARCHIVE}")
    assert "copiées dans le schéma" in restore(world.open("look"), everything("L1MAT101", conflicts="scratch"))
    with pytest.raises(
        TransitionError, match="assign_submission : 1 ligne, place prise par une autre ligne"
    ) as refusal:
        restore(world.open("stop"), everything("L1MAT101"))
    assert "user_lastaccess" not in str(refusal.value), "Moodle wrote that by itself: the last is true"
    restore(world.open("skip"), everything("L1MAT101", conflicts="skip"))
    after = world.dump()
    for table, old in (("user_lastaccess", access), ("assign_submission", submission)):
        assert after[table][newer[table]["id"]] == newer[table]
        assert old["id"] not in after[table]
    assert after["quiz_attempts"].keys() == {
        id_
        for id_, row in world.before["quiz_attempts"].items()
        if world.before["quiz"][row["quiz"]]["course"] in {4, 8, 9}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("archive", "DROP TABLE mdl_choice_answers"),
        ("backup", "DROP TABLE mdl_choice_answers"),
        ("backup", "ALTER TABLE mdl_forum_posts DROP COLUMN mailed"),
    ],
)
def test_a_module_or_a_column_that_moodle_has_lost_blocks_only_its_rows(world: World, source: str, change: str) -> None:
    table = "choice_answers" if "DROP TABLE" in change else "forum_posts"
    lost = _moved_of(world, table, 2)
    world.execute(change)
    if source == "backup":
        world.execute(f"DROP DATABASE {ARCHIVE}")
    world = replace(world, campaign=replace(world.campaign))  # another task: it reads Moodle's tables anew
    with pytest.raises(TransitionError, match=f"{table} : .*Moodle n'a plus"):
        restore(world.open("stop"), everything("LI3INF01"))
    assert "dans le schéma" in restore(world.open("look"), everything("LI3INF01", conflicts="scratch"))
    if source == "archive" or table == "forum_posts":
        assert _scratch(world, table) == {id_: world.before[table][id_] for id_ in lost}
    assert restore_drill(world.open("drill"), 100, seed=1)
    restore(world.open("skip"), everything("LI3INF01", conflicts="skip"))
    after = world.dump()
    assert not lost & after.get(table, {}).keys()
    assert {id_ for id_, row in after["quiz_attempts"].items() if world.before["quiz"][row["quiz"]]["course"] == 2} == {
        id_ for id_, row in world.before["quiz_attempts"].items() if world.before["quiz"][row["quiz"]]["course"] == 2
    }


def _without_moments(found: dict[str, Rows], like: dict[str, Rows]) -> dict[str, Rows]:
    """Rows that enrolment writes anew get new ids and moments: only their number is compared."""
    for table in ("user_enrolments", "role_assignments"):
        assert len(found[table]) == len(like[table])
    return {**found, **{t: like[t] for t in ("user_enrolments", "role_assignments", "course")}}


def test_what_was_deleted_after_a_restore_from_the_backup_stays_deleted(world: World) -> None:
    post = min(_moved_of(world, "forum_posts", 2))
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
    assert post in _scratch(world, "forum_posts"), "to look at, the backup still gives everything"
    assert enrolment in _scratch(world, "user_enrolments")


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


def _stop_at_call(number: int) -> Callable[..., None]:
    record, calls = put_back._record, iter(range(1, number))

    def stopping(*arguments: Any) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        record(*arguments)

    return stopping


def test_enrolments_that_the_reset_did_not_leave_so_stay(world: World) -> None:
    """A repeater's enrolment is suspended last year, active again by the reset; then last year's comes back, or not."""
    code, ours = "LI3INF01", "ue.enrolid = 25 AND u.username IN ('22300003', '22300009')"
    restore(world.open("first"), everything(code))
    world.execute(
        f"UPDATE mdl_user_enrolments ue JOIN mdl_user u ON u.id = ue.userid SET status = 1, timeend = 1800000000"
        f" WHERE {ours}"
    )
    query = f"SELECT ue.* FROM mdl_user_enrolments ue JOIN mdl_user u ON u.id = ue.userid WHERE {ours} ORDER BY ue.id"
    last_year = world.execute(query)
    run_chain(world.open("second", courses=(code,)))
    one, other = this_year = world.execute(query)
    assert [(row.status, row.timeend) for row in this_year] == [(0, 0), (0, 0)]

    # Somebody changes one of them; a later campaign, which finds nothing to write, relies on the other.
    world.execute(f"UPDATE mdl_user_enrolments SET timeend = 1900000000 WHERE id = {one.id}")
    world.execute(
        f"INSERT INTO {STATE}.run (run_id, year, dry_run, courses, started_at, frozen_at)"
        " VALUES ('next year', 2027, 0, '[]', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))"
    )
    later = f"{STATE}.arrival WHERE run = (SELECT number FROM {STATE}.run WHERE year = 2027)"
    world.execute(
        f"INSERT INTO {STATE}.arrival SELECT number, 2, {other.userid}, 0, 0 FROM {STATE}.run WHERE year = 2027"
    )
    worked = world.dump()
    assert _listed(world) == {
        "user_enrolments": "user_enrolments : 2 inscriptions de redoublants, changées ou renouvelées depuis la"
        " réinitialisation"
    }  # fmt: skip
    assert compare(worked, world.dump()) == {}
    assert "2 lignes laissées de côté." in restore(world.open("skip"), everything(code, conflicts="skip"))
    assert [(row.status, row.timeend) for row in world.execute(query)] == [(0, 1900000000), (0, 0)]

    world.execute(f"UPDATE mdl_user_enrolments SET timeend = 0 WHERE id = {one.id}")
    world.execute(f"DELETE FROM {later}")
    assert "2 inscriptions rendues à leur état" in restore(world.open("as left"), everything(code))
    assert world.execute(query) == last_year


# A repeater has worked in the space since: the same submission, the same grade; a message took an old id; and a
# teacher has deleted an activity.
def work_in(world: World) -> dict[str, Any]:
    submission = next(row for id_, row in world.before["assign_submission"].items() if _course(world, id_) == 2)
    grade = next(
        row for row in world.before["grade_grades"].values()
        if world.before["grade_items"][row["itemid"]]["courseid"] == 2
    )  # fmt: skip
    post = world.before["forum_posts"][min(_moved_of(world, "forum_posts", 2))]
    choice = next(id_ for id_, row in world.before["choice"].items() if row["course"] == 2)
    _insert(world, "assign_submission", {**submission, "id": None, "status": "submitted", "timecreated": 1})
    _insert(world, "grade_grades", {**grade, "id": None, "finalgrade": 1})
    _insert(world, "forum_posts", {**post, "subject": "Bonjour"})
    world.execute(f"DELETE FROM mdl_choice WHERE id = {choice}")
    return {
        "work": submission,
        "submission": submission["id"],
        "grade": grade["id"],
        "post": post["id"],
        "choice": choice,
    }


@pytest.mark.parametrize("source", ["archive", "backup"])
def test_old_work_does_not_come_back_beside_new_work_of_the_same_person(world: World, source: str) -> None:
    """Moodle would show an old grade on a new submission, two answers of one voter, answers without their attempt."""
    before = world.before
    grade = next(row for row in before["assign_grades"].values() if before["assign"][row["assignment"]]["course"] == 2)
    work = (grade["assignment"], grade["userid"])
    submission = next(row for row in before["assign_submission"].values() if (row["assignment"], row["userid"]) == work)
    answer = next(row for row in before["choice_answers"].values() if before["choice"][row["choiceid"]]["course"] == 2)
    attempt = next(row for row in before["quiz_attempts"].values() if before["quiz"][row["quiz"]]["course"] == 2)
    new = {
        "assign_submission": {**submission, "attemptnumber": 7},
        "choice_answers": answer,
        "quiz_attempts": {**attempt, "attempt": 9, "uniqueid": 987_654_321},
    }
    ids = {table: _insert(world, table, {**row, "id": None}) for table, row in new.items()}
    if source == "backup":
        world.execute(f"DROP DATABASE {ARCHIVE}")
    listed = _listed(world)
    assert "travail de quelqu'un qui a retravaillé depuis dans cette activité" in listed["assign_grades"]
    restore(world.open("skip"), everything("LI3INF01", conflicts="skip"))
    after = world.dump()

    def of(table: str, activity: str, userid: int, instance: int) -> set[int]:
        return {i for i, row in after[table].items() if (row[activity], row["userid"]) == (instance, userid)}

    assert of("assign_submission", "assignment", work[1], work[0]) == {ids["assign_submission"]}
    assert of("assign_grades", "assignment", work[1], work[0]) == set()
    assert grade["id"] not in {row["grade"] for row in after["assignfeedback_comments"].values()}
    assert of("choice_answers", "choiceid", answer["userid"], answer["choiceid"]) == {ids["choice_answers"]}
    assert of("quiz_attempts", "quiz", attempt["userid"], attempt["quiz"]) == {ids["quiz_attempts"]}
    assert attempt["uniqueid"] not in after["question_usages"]
    # What others had done is back, and what these people had done elsewhere in the space.
    for table, activity in (("assign_submission", "assign"), ("choice_answers", "choice"), ("quiz_attempts", "quiz")):
        column = {"assign_submission": "assignment", "choice_answers": "choiceid", "quiz_attempts": "quiz"}[table]
        aside = (new[table][column], new[table]["userid"])
        for id_, row in before[table].items():
            if before[activity][row[column]]["course"] == 2 and (row[column], row["userid"]) != aside:
                assert after[table][id_] == row
    if source == "backup":
        return
    for table, id_ in ids.items():
        world.execute(f"DELETE FROM mdl_{table} WHERE id = {id_}")
    world.execute("UPDATE mdl_grade_items SET needsupdate = 0")  # Moodle has recalculated the totals
    restore_all(world, "rest")
    assert differences(restored(world), world.dump()) == {}
    assert world.files() == world.contents


def _course(world: World, submission: int) -> int:
    return int(world.before["assign"][world.before["assign_submission"][submission]["assignment"]]["course"])


def _insert(world: World, table: str, row: dict[str, Any]) -> int:
    """Insert a row; returns its id."""
    names = ", ".join(f"`{column}`" for column in row)
    world.execute(f"INSERT INTO mdl_{table} ({names}) VALUES ({', '.join(f':{column}' for column in row)})", **row)
    return int(world.execute(f"SELECT MAX(id) FROM mdl_{table}")[0][0])


@pytest.mark.parametrize("source", ["archive", "backup"])
def test_conflicts(either_world: World, source: str) -> None:
    world = either_world
    moved = {t: _moved_of(world, t, 2) for t in ("assign_submission", "forum_posts", "choice_answers")}
    ids = work_in(world)
    if source == "backup":
        world.execute(f"DROP DATABASE {ARCHIVE}")
        moved.pop("choice_answers")  # their path is gone with their activity: they are counted, not found
    worked = world.dump()
    listed = _listed(world)
    assert f"(assignment, userid, groupid, attemptnumber) (id {ids['submission']})" in listed["assign_submission"]
    assert f"(userid, itemid) (id {ids['grade']})" in listed["grade_grades"]
    assert f"identifiant déjà pris par une autre ligne (id {ids['post']})" in listed["forum_posts"]
    answers = {row["id"] for row in world.before["choice_answers"].values() if row["choiceid"] == ids["choice"]}
    assert listed["choice_answers"].startswith(f"choice_answers : {len(answers)} lignes, ")
    assert [t for t in listed if t.startswith("assignsubmission_")], "what hangs from a row that stays, stays"
    assert compare(worked, world.dump()) == {}, "stop: nothing is written"

    sentence = restore(world.open("scratch"), everything("LI3INF01", conflicts="scratch"))
    assert f"copiées dans le schéma {ARCHIVE}_scratch" in sentence
    assert compare(worked, world.dump()) == {}, "scratch: nothing is written in Moodle"
    for table, moved_ids in moved.items():
        assert _scratch(world, table) == {id_: world.before[table][id_] for id_ in moved_ids}, table

    done = f"SELECT COUNT(*) FROM {STATE}.space_reset WHERE courseid = 2"
    assert "laissées de côté" in restore(world.open("skip"), everything("LI3INF01", conflicts="skip"))
    assert world.execute(done) == [(1,)], "back in part only: it must not be reset again"
    after = world.dump()
    for table, rows in worked.items():
        if table not in {"course", "user_enrolments", "grade_items"}:
            assert {id_: after[table].get(id_) for id_ in rows} == rows, f"{table}: what is there stays"
    items = [row for row in worked["grade_items"].values() if row["courseid"] == 2]
    sums = {row["id"] for row in items if row["itemtype"] in ("course", "category")}
    assert compare(worked, after)["grade_items"].changed == dict.fromkeys(sums, frozenset({"needsupdate"}))
    missing = compare(world.before, after)
    assert {i for i in missing["assign_submission"].gone if _course(world, i) == 2} == {
        i for i, row in world.before["assign_submission"].items()
        if all(row[column] == ids["work"][column] for column in ("assignment", "userid"))
    }  # fmt: skip
    assert ids["grade"] in missing["grade_grades"].gone
    # The causes are gone: the rest comes back, and with the other spaces all is as it was.
    for table in ("assign_submission", "grade_grades"):
        world.execute(f"DELETE FROM mdl_{table} WHERE id > {max(world.before[table])}")
    world.execute(f"DELETE FROM mdl_forum_posts WHERE id = {ids['post']}")
    _insert(world, "choice", world.before["choice"][ids["choice"]])
    world.execute("UPDATE mdl_grade_items SET needsupdate = 0")  # Moodle has recalculated the totals
    restore_all(world, "rest")
    assert differences(restored(world), world.dump()) == {}
    assert world.files() == world.contents
    assert world.execute(done) == [(0,)]


def _listed(world: World) -> dict[str, str]:
    """The refusal's lines, by table."""
    with pytest.raises(TransitionError) as refusal:
        restore(world.open("stop"), everything("LI3INF01"))
    lines = str(refusal.value).splitlines()
    assert lines[0].startswith("Rien n'a été écrit : l'espace LI3INF01 ne peut pas revenir")
    return {line.split(" : ")[0].removeprefix("  - "): line.removeprefix("  - ") for line in lines[1:]}


def _scratch(world: World, table: str) -> Rows:
    names = list(next(iter(world.before[table].values())))
    columns = ", ".join(f"`{name}`" for name in names)
    rows = world.execute(f"SELECT {columns} FROM {ARCHIVE}_scratch.mdl_{table}")
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def alter(path: Path) -> None:
    """Another value in one column of every row: a file that opens, whose groups are where they were."""
    with pq.ParquetFile(path) as file:
        groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
    with pq.ParquetWriter(path, groups[0].schema) as writer:
        for group in groups:
            place = group.schema.get_field_index("sumgrades")
            value = pa.array([None] * len(group), group.schema.field(place).type)
            writer.write_table(group.set_column(place, group.schema.field(place), value))


def test_a_code_that_cannot_be_restored(still_world: World) -> None:
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
