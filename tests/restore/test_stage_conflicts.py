"""What stands in the way of a restore, or came after the reset: listed before anything is written, then left aside."""

from dataclasses import replace
from typing import Any

import pytest

from tests.restore.conftest import World
from tests.restore.helpers import (
    ARCHIVE,
    STATE,
    course_of,
    differences,
    everything,
    insert,
    moved_of,
    restore_all,
    restored,
    scratch_rows,
)
from tests.support.campaign import run_chain
from tests.support.dump import compare
from transition.errors import TransitionError
from transition.restore.drill import restore_drill
from transition.restore.stage import restore


@pytest.mark.parametrize("source", ["archive", "backup"])
def test_of_two_rows_that_two_resets_moved_from_one_place_the_last_comes_back(world: World, source: str) -> None:
    """A run that did not end well, a student who comes by in between, another run."""
    access = next(row for row in world.before["user_lastaccess"].values() if row["courseid"] == 4)
    submission = next(row for id_, row in world.before["assign_submission"].items() if course_of(world, id_) == 4)
    world.execute(f"DELETE FROM {STATE}.space_reset WHERE courseid = 4")
    newer = {
        "user_lastaccess": {**access, "timeaccess": 1_790_000_000},
        "assign_submission": {**submission, "status": "new"},
    }
    for table, row in newer.items():
        row["id"] = max(world.dump()[table].keys() | world.before[table].keys()) + 1
        insert(world, table, row)
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


@pytest.mark.parametrize("source", ["archive", "backup"])
def test_a_folder_that_moodle_has_made_again_is_no_conflict(world: World, source: str) -> None:
    """Each of Moodle's own backups leaves an entry of its folder: the reset moved one, another one is there since."""
    folders = {i for i in moved_of(world, "files", 2) if world.before["files"][i]["filename"] == "."}
    made = {id_: insert(world, "files", {**world.before["files"][id_], "id": None}) for id_ in folders}
    assert made
    if source == "backup":
        world.execute(f"DROP DATABASE {ARCHIVE}")
    assert "de côté" not in restore(world.open("restore"), everything("LI3INF01"))
    after = world.dump()["files"]
    assert set(made.values()) <= after.keys()
    assert not folders & after.keys()
    assert world.execute(f"SELECT COUNT(*) FROM {STATE}.space_reset WHERE courseid = 2") == [(0,)], "it is back whole"
    if source == "archive":
        assert moved_of(world, "files", 2) == set()
        assert world.execute(f"SELECT id FROM {ARCHIVE}.mdl_files WHERE id IN ({str(sorted(folders))[1:-1]})") == []


def test_of_two_folders_that_two_resets_moved_from_one_place_one_comes_back(world: World) -> None:
    older, newer = max(i for i in moved_of(world, "files", 2) if world.before["files"][i]["filename"] == "."), 9_000_000
    columns = ", ".join(f"`{column}`" for column in world.before["files"][older] if column != "id")
    world.execute(
        f"INSERT INTO {ARCHIVE}.mdl_files (id, {columns}) SELECT {newer}, {columns} FROM {ARCHIVE}.mdl_files"
        f" WHERE id = {older}"
    )
    world.execute(
        f"INSERT INTO {ARCHIVE}.key_files (run, id, courseid, `rule`) SELECT run, {newer}, courseid, `rule`"
        f" FROM {ARCHIVE}.key_files WHERE id = {older}"
    )
    assert "de côté" not in restore(world.open("restore"), everything("LI3INF01"))
    assert {older, newer} & world.dump()["files"].keys() == {newer}
    assert moved_of(world, "files", 2) == set()


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
    lost = moved_of(world, table, 2)
    world.execute(change)
    if source == "backup":
        world.execute(f"DROP DATABASE {ARCHIVE}")
    world = replace(world, campaign=replace(world.campaign))  # another task: it reads Moodle's tables anew
    with pytest.raises(TransitionError, match=f"{table} : .*Moodle n'a plus"):
        restore(world.open("stop"), everything("LI3INF01"))
    assert "dans le schéma" in restore(world.open("look"), everything("LI3INF01", conflicts="scratch"))
    if source == "archive" or table == "forum_posts":
        assert scratch_rows(world, table) == {id_: world.before[table][id_] for id_ in lost}
    assert restore_drill(world.open("drill"), 100, seed=1)
    restore(world.open("skip"), everything("LI3INF01", conflicts="skip"))
    after = world.dump()
    assert not lost & after.get(table, {}).keys()
    assert {id_ for id_, row in after["quiz_attempts"].items() if world.before["quiz"][row["quiz"]]["course"] == 2} == {
        id_ for id_, row in world.before["quiz_attempts"].items() if world.before["quiz"][row["quiz"]]["course"] == 2
    }


def test_what_only_one_of_two_resets_misses_is_listed(world: World) -> None:
    """What a reset moved is not held against the plan of another."""
    assign = max(id_ for id_, row in world.before["assign"].items() if row["course"] == 2)
    moved = moved_of(world, "assign_submission", 2)
    gone = {id_ for id_ in moved if world.before["assign_submission"][id_]["assignment"] == assign}
    assert 0 < 2 * len(gone) < len(moved)
    world.execute(f"DELETE FROM {STATE}.space_reset WHERE courseid = 2")
    insert(world, "assign_submission", {**world.before["assign_submission"][min(moved)], "id": None})
    run_chain(world.open("second", courses=("LI3INF01",)))
    world.execute(f"DROP DATABASE {ARCHIVE}")
    world.execute(f"DELETE FROM mdl_assign WHERE id = {assign}")
    assert f" {len(gone)} lignes, dont l'activité a été supprimée" in _listed(world)["assign_submission"]


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
    submission = next(row for id_, row in world.before["assign_submission"].items() if course_of(world, id_) == 2)
    grade = next(
        row for row in world.before["grade_grades"].values()
        if world.before["grade_items"][row["itemid"]]["courseid"] == 2
    )  # fmt: skip
    post = world.before["forum_posts"][min(moved_of(world, "forum_posts", 2))]
    choice = next(id_ for id_, row in world.before["choice"].items() if row["course"] == 2)
    insert(world, "assign_submission", {**submission, "id": None, "status": "submitted", "timecreated": 1})
    insert(world, "grade_grades", {**grade, "id": None, "finalgrade": 1})
    insert(world, "forum_posts", {**post, "subject": "Bonjour"})
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
    ids = {table: insert(world, table, {**row, "id": None}) for table, row in new.items()}
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


def test_a_run_that_was_refused_at_its_freeze_makes_no_work_newer(world: World) -> None:
    """It left keys: what a stopped restore has put back already is older than the reset all the same."""
    of_people: dict[tuple[int, int], list[int]] = {}
    for id_ in moved_of(world, "survey_answers", 2):
        row = world.before["survey_answers"][id_]
        of_people.setdefault((row["survey"], row["userid"]), []).append(id_)
    back, *others = next(ids for ids in of_people.values() if len(ids) > 1)
    insert(world, "survey_answers", world.before["survey_answers"][back])
    for table in ("mdl_survey_answers", "key_survey_answers"):
        world.execute(f"DELETE FROM {ARCHIVE}.{table} WHERE id = {back}")
    world.execute(
        f"INSERT INTO {ARCHIVE}.key_survey_answers (run, id, courseid, `rule`)"
        f" SELECT run + 100, id, courseid, `rule` FROM {ARCHIVE}.key_survey_answers WHERE courseid = 2"
    )
    assert "de côté" not in restore(world.open("restore"), everything("LI3INF01"))
    assert {back, *others} <= world.dump()["survey_answers"].keys()


@pytest.mark.parametrize("source", ["archive", "backup"])
def test_conflicts(either_world: World, source: str) -> None:
    world = either_world
    moved = {t: moved_of(world, t, 2) for t in ("assign_submission", "forum_posts", "choice_answers")}
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
        assert scratch_rows(world, table) == {id_: world.before[table][id_] for id_ in moved_ids}, table

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
    assert {i for i in missing["assign_submission"].gone if course_of(world, i) == 2} == {
        i for i, row in world.before["assign_submission"].items()
        if all(row[column] == ids["work"][column] for column in ("assignment", "userid"))
    }  # fmt: skip
    assert ids["grade"] in missing["grade_grades"].gone
    # The causes are gone: the rest comes back, and with the other spaces all is as it was.
    for table in ("assign_submission", "grade_grades"):
        world.execute(f"DELETE FROM mdl_{table} WHERE id > {max(world.before[table])}")
    world.execute(f"DELETE FROM mdl_forum_posts WHERE id = {ids['post']}")
    insert(world, "choice", world.before["choice"][ids["choice"]])
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
