"""One activity, one student: what comes back is theirs, and only that."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from tests.restore.conftest import NAME, World
from tests.support.dump import compare
from transition.errors import TransitionError
from transition.restore import put_back
from transition.restore.held import Held
from transition.restore.stage import Request, restore
from transition.rules.model import load_rules

ARCHIVE, STUDENT = f"{NAME}_2026", "22300003"


def left(world: World, courseid: int) -> dict[str, set[str]]:
    """Rules by table of the rows of a space that are still in the archive."""
    tables = world.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = :s AND table_name LIKE 'key\\_%'"
        " AND table_name <> 'key_of_spaces'", s=ARCHIVE
    )  # fmt: skip
    found: dict[str, set[str]] = {}
    for (key,) in tables:
        name = key.removeprefix("key_")
        rows = world.execute(
            f"SELECT DISTINCT k.`rule` FROM {ARCHIVE}.{key} k JOIN {ARCHIVE}.mdl_{name} t ON t.id = k.id"
            f" WHERE k.courseid = {courseid}"
        )
        if rows:
            found[name] = {rule for (rule,) in rows}
    return found


# What is of a group, of a deleted activity, of a sheet with several names, of all the answers together.
NOBODYS = {
    "assign_submission", "assignsubmission_file", "assignsubmission_onlinetext", "files", "task_adhoc",
    "tool_recyclebin_course", "offlinequiz_scanned_p_pages", "offlinequiz_p_choices", "offlinequiz_queue",
    "offlinequiz_queue_data", "quiz_statistics", "question_statistics", "question_response_analysis",
}  # fmt: skip


def totals(world: World, courseid: int) -> set[int]:
    """The items of a space's gradebook that sum up others."""
    items = world.before["grade_items"].values()
    return {row["id"] for row in items if row["courseid"] == courseid and row["itemtype"] in ("course", "category")}


def left_rows(world: World, courseid: int) -> dict[str, set[int]]:
    """The rows of a space that are still in the archive, enrolments aside, by table."""
    found: dict[str, set[int]] = {}
    for name in left(world, courseid):
        rows = world.execute(
            f"SELECT k.id FROM {ARCHIVE}.key_{name} k JOIN {ARCHIVE}.mdl_{name} t ON t.id = k.id"
            " WHERE k.courseid = :courseid AND k.`rule` <> 'enrolment'", courseid=courseid
        )  # fmt: skip
        if rows:
            found[name] = {id_ for (id_,) in rows}
    return found


def test_activities_one_by_one_leave_only_what_is_the_courses(world: World) -> None:
    modules = {id_ for (id_,) in world.execute("SELECT id FROM mdl_course_modules WHERE course = 4")}
    quiz = next(row["name"] for row in world.before["quiz"].values() if row["course"] == 4)
    restore(world.open("by name"), Request("L1MAT101", activity=quiz))
    back = compare(world.reset, world.dump())
    attempts = {id_ for id_, row in world.before["quiz_attempts"].items() if _name(world, row["quiz"]) == (4, quiz)}
    assert back["quiz_attempts"].added == attempts
    assert attempts
    items = [row["id"] for row in world.before["grade_items"].values()
             if (row["courseid"], row["itemmodule"]) == (4, "quiz")]  # fmt: skip
    assert {world.before["grade_grades"][id_]["itemid"] for id_ in back["grade_grades"].added} <= set(items)
    assert not {"assign_submission", "forum_posts", "groups_members"} & back.keys()
    assert back["grade_items"].changed == dict.fromkeys(totals(world, 4), frozenset({"needsupdate"}))
    for number in sorted(modules):
        restore(world.open(f"activity-{number}"), Request("L1MAT101", activity=str(number)))
    activities = {rule.rule for rule in load_rules() if rule.activity}
    assert not {table: rules & activities for table, rules in left(world, 4).items() if rules & activities}
    assert world.execute(f"SELECT COUNT(*) FROM {NAME}_transition.space_reset WHERE courseid = 4") == [(1,)]


def test_an_activity_comes_back_from_the_backup_though_another_one_was_deleted(world: World) -> None:
    choice = next(id_ for id_, row in world.before["choice"].items() if row["course"] == 2)
    quiz = next(id_ for id_, row in world.before["quiz"].items() if row["course"] == 2)
    world.execute(f"DROP DATABASE {ARCHIVE}")
    world.execute(f"DELETE FROM mdl_choice WHERE id = {choice}")
    restore(world.open("quiz"), Request("LI3INF01", activity=world.before["quiz"][quiz]["name"]))
    back = compare(world.reset, world.dump())
    attempts = {id_ for id_, row in world.before["quiz_attempts"].items() if row["quiz"] == quiz}
    assert attempts
    assert back["quiz_attempts"].added == attempts
    assert not {"assign_submission", "choice_answers", "forum_posts"} & back.keys()


def _name(world: World, quiz: int) -> tuple[int, str]:
    row = world.before["quiz"][quiz]
    return row["course"], row["name"]


def test_one_student(world: World) -> None:
    student = next(
        row["userid"] for row in world.before["quiz_attempts"].values()
        if world.before["quiz"][row["quiz"]]["course"] == 2
    )  # fmt: skip
    username = world.before["user"][student]["username"]
    restore(world.open("student"), Request("LI3INF01", student=username, conflicts="skip"))
    back = compare(world.reset, world.dump())
    for table in ("quiz_attempts", "assign_submission", "grade_grades", "logstore_standard_log", "choice_answers"):
        people = {world.before[table][id_]["userid"] for id_ in back[table].added}
        assert people <= {student} or table == "logstore_standard_log", table
    usages = {world.before["quiz_attempts"][id_]["uniqueid"] for id_ in back["quiz_attempts"].added}
    assert usages
    assert usages <= back["question_usages"].added
    attempts = {id_ for id_, row in world.before["question_attempts"].items() if row["questionusageid"] in usages}
    assert attempts <= back["question_attempts"].added
    steps = {id_ for id_, row in world.before["question_attempt_steps"].items() if row["questionattemptid"] in attempts}
    assert steps <= back["question_attempt_steps"].added


def test_people_one_by_one_leave_only_what_is_nobody_s(world: World) -> None:
    people = [row["username"] for row in world.before["user"].values()]
    for turn in range(2):  # what a person did in the work of another waits for that work
        people = [name for name in people if "de côté" in _restore(world, f"{turn}-{name}", name) or not turn]
    assert left_rows(world, 2).keys() == NOBODYS
    submissions, files = left_rows(world, 2)["assign_submission"], left_rows(world, 2)["files"]
    assert {world.before["assign_submission"][id_]["userid"] for id_ in submissions} == {0}, "of a group"
    assert {world.before["files"][id_]["itemid"] for id_ in files} <= submissions
    back = compare(world.before, world.dump())
    assert back.pop("grade_items").changed == dict.fromkeys(totals(world, 2), frozenset({"needsupdate"}))
    for table in ("course", "course_categories", "context", "user_enrolments", "role_assignments"):  # not asked for
        del back[table]
    assert not {table for table, difference in back.items() if difference.added or difference.changed}


def test_a_part_that_was_killed_comes_back_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    instances = {
        id_ for id_, row in world.before["grading_instances"].items()
        if row["itemid"] in _grades_of(world, STUDENT) and id_ not in world.reset["grading_instances"]
    }  # fmt: skip
    put_rows = put_back._put_rows

    def killed(connection: sa.Connection, held: Held, name: str, *more: Any) -> Any:
        if name.startswith("gradingform_"):
            raise KeyError("killed")
        return put_rows(connection, held, name, *more)

    with monkeypatch.context() as patch:
        patch.setattr(put_back, "CHUNK", 1)  # each row a transaction
        patch.setattr(put_back, "_put_rows", killed)
        with pytest.raises(KeyError, match="killed"):
            _restore(world, "killed", STUDENT)
    assert instances & world.dump()["grading_instances"].keys(), "grids are back, what fills them is not"
    _restore(world, "again", STUDENT)
    after = world.dump()
    fillings = [
        (table, id_, row)
        for table in ("gradingform_rubric_fillings", "gradingform_guide_fillings")
        for id_, row in world.before[table].items()
        if row["instanceid"] in instances
    ]
    assert fillings
    assert [after[table].get(id_) for table, id_, _ in fillings] == [row for *_, row in fillings]


def _grades_of(world: World, username: str) -> set[int]:
    """The person's grades for the assignments of LI3INF01."""
    [student] = [id_ for id_, row in world.before["user"].items() if row["username"] == username]
    grades = world.before["assign_grades"]
    return {
        id_ for id_, row in grades.items()
        if row["userid"] == student and world.before["assign"][row["assignment"]]["course"] == 2
    }  # fmt: skip


def _restore(world: World, run_id: str, username: str) -> str:
    return restore(world.open(run_id), Request("LI3INF01", student=username, conflicts="skip"))


@pytest.mark.parametrize(("part", "sentence"), [
    ({"activity": "Quizz de révision introuvable"}, "n'a pas, ou plus, d'activité"),
    ({"student": "personne"}, "Aucun compte de Moodle n'a l'identifiant demandé"),
])  # fmt: skip
def test_a_part_that_is_not_there(world: World, part: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TransitionError, match=sentence):
        restore(world.open("restore"), replace(Request("LI3INF01"), **part))
