"""Activities that teachers add while a plan waits for its approval: what students leave in them goes as well."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.support.campaign import NEWCOMERS, new_campaign, run_chain
from transition import maintenance, plan
from transition.backup import manifest as sets
from transition.backup.read import read_space
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.move import archive_table
from transition.purge import purge
from transition.reopened import refuse_changes
from transition.rules.model import rule_names

NAME, SPACE = "entretemps", 2  # LI3INF01, which is reset
TO_THE_PLAN = ["preflight", "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan", "approval"]
FROM_THE_FREEZE = ["freeze", "ex_rename", "purge", "file_contents", "enrolment", "verify"]
Rows = set[tuple[str, int]]  # table, id


@pytest.fixture
def campaign(server: PrivateMariaDB, reference: Path, tmp_path: Path) -> Iterator[Campaign]:
    with new_campaign(server, reference, tmp_path, NAME) as campaign:
        yield campaign


def copy_row(connection: sa.Connection, table: str, id_: int, **changed: Any) -> int:
    """A copy of a row of Moodle, with some values of its own; returns its id."""
    columns = [row[0] for row in connection.exec_driver_sql(f"SHOW COLUMNS FROM mdl_{table}") if row[0] != "id"]
    values = ", ".join(f":{column}" if column in changed else f"`{column}`" for column in columns)
    names = ", ".join(f"`{column}`" for column in columns)
    statement = f"INSERT INTO mdl_{table} ({names}) SELECT {values} FROM mdl_{table} WHERE id = :id_"
    result: sa.CursorResult[Any] = connection.execute(sa.text(statement), {**changed, "id_": id_})
    return int(result.lastrowid)


def add_quiz(connection: sa.Connection) -> tuple[int, int]:
    """A teacher copies a quiz of the space; returns its id and its context's."""
    first = """SELECT m.id, m.instance, x.id, s.path FROM mdl_course_modules m JOIN mdl_modules k
        ON k.id = m.module JOIN mdl_context x ON x.contextlevel = 70 AND x.instanceid = m.id JOIN mdl_context s
        ON s.contextlevel = 50 AND s.instanceid = m.course WHERE k.name = 'quiz' AND m.course = 2 LIMIT 1"""
    cm, quiz, context, path = connection.exec_driver_sql(first).one()
    quiz = copy_row(connection, "quiz", quiz, name="Ajouté entre-temps")
    cm = copy_row(connection, "course_modules", cm, instance=quiz, idnumber="entretemps")
    context = copy_row(connection, "context", context, instanceid=cm)
    connection.exec_driver_sql(f"UPDATE mdl_context SET path = '{path}/{context}' WHERE id = {context}")
    return quiz, context


def answer(connection: sa.Connection, quiz: int, context: int) -> Rows:
    """A student's attempt in a quiz, copied from another one: its answers, and a file in one of them."""
    attempt, usage = connection.exec_driver_sql(
        "SELECT a.id, a.uniqueid FROM mdl_quiz_attempts a JOIN mdl_quiz q ON q.id = a.quiz WHERE q.course = 2 LIMIT 1"
    ).one()
    new_usage = copy_row(connection, "question_usages", usage, contextid=context)
    rows = {("question_usages", new_usage)}
    rows.add(("quiz_attempts", copy_row(connection, "quiz_attempts", attempt, quiz=quiz, uniqueid=new_usage)))
    below = (
        ("question_attempts", "questionusageid"), ("question_attempt_steps", "questionattemptid"),
        ("question_attempt_step_data", "attemptstepid"),
    )  # fmt: skip
    copies = {usage: new_usage}
    for table, by in below:
        named = ", ".join(map(str, copies))
        query = f"SELECT id, {by} FROM mdl_{table} WHERE {by} IN ({named}) ORDER BY id"
        found = connection.exec_driver_sql(query).all()
        assert found, table
        copies = {id_: copy_row(connection, table, id_, **{by: copies[above]}) for id_, above in found}
        rows |= {(table, id_) for id_ in copies.values()}
    step = next(id_ for table, id_ in sorted(rows) if table == "question_attempt_steps")
    file = connection.exec_driver_sql("SELECT MIN(id) FROM mdl_files WHERE component = 'assignsubmission_file'")
    place = {"component": "question", "filearea": "response_attachments", "itemid": step}
    file_id = copy_row(connection, "files", file.scalar_one(), contextid=context, pathnamehash="f" * 40, **place)
    return {*rows, ("files", file_id)}


def comment(connection: sa.Connection, context: int) -> Rows:
    """A student's comment in an activity: only its context tells where it is."""
    statement = """INSERT INTO mdl_comments (contextid, component, commentarea, itemid, userid, content, timecreated)
        SELECT :context, 'mod_quiz', 'essai', 1, id, 'Bravo', 1 FROM mdl_user WHERE username = '22300001'"""
    result: sa.CursorResult[Any] = connection.execute(sa.text(statement), {"context": context})
    return {("comments", int(result.lastrowid))}


def among(campaign: Campaign, rows: Rows, place: Callable[[str], sa.Table]) -> Rows:
    """Those of the rows that are in the tables of a place."""
    with campaign.engine.connect() as connection:
        return {
            (name, id_) for name, id_ in rows
            if connection.execute(sa.select(place(name).c.id).where(place(name).c.id == id_)).first()
        }  # fmt: skip


def backed_up(campaign: Campaign) -> Rows:
    """The rows of the space in the latest set that holds it."""
    backup = next(found for found in sets.verified_sets(campaign, []) if SPACE in found.manifest.spaces)
    tables = [name for name, file in backup.manifest.tables.items() if SPACE in file.spaces]
    return {(name, id_) for name in tables for id_ in read_space(backup, name, SPACE)["id"].to_pylist()}


def test_what_students_leave_in_an_activity_added_since_preflight_goes_and_is_backed_up(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also since the approval: Moodle stays open until then, and what is left in a space to be reset is to go."""
    run_chain(campaign, TO_THE_PLAN)
    with campaign.engine.begin() as connection:
        rows = answer(connection, *add_quiz(connection))
        rows |= comment(connection, add_quiz(connection)[1])
        given = connection.exec_driver_sql(
            "UPDATE mdl_grade_grades g JOIN mdl_grade_items i ON i.id = g.itemid SET g.finalgrade = 11.25"
            " WHERE i.courseid = 2 AND g.finalgrade IS NOT NULL AND g.finalgrade <> 11.25"
        ).rowcount
    assert given
    with monkeypatch.context() as patch, pytest.raises(TransitionError) as stale:
        patch.setattr(plan, "_MANY", 0)
        patch.setattr(plan, "_TENTH", 10**9)
        run_chain(campaign, ["freeze"])
    assert "périmé" in str(stale.value)
    assert re.search(r"\(comments : \S+ lignes au plan, \S+ maintenant ; quiz : ", str(stale.value))
    run_chain(campaign, FROM_THE_FREEZE)
    assert among(campaign, rows, campaign.moodle.__getitem__) == set()
    assert among(campaign, rows, partial(archive_table, campaign)) == rows
    assert rows <= backed_up(campaign)


def test_how_many_rows_more_or_fewer_are_another_plan() -> None:
    def lines(**rows: int) -> plan.Lines:
        return {(rule, "table", courseid): count for rule, count in rows.items() for courseid in (2, 3)}

    assert plan.unlike(lines(forum=500, quiz=50_000), lines(forum=1_000, quiz=55_000)) == []
    assert plan.unlike(lines(logs=0), lines(logs=10**9)) == [], "a live rule's"
    assert plan.unlike(lines(forum=500, quiz=50_000), lines(forum=1_001, quiz=44_999)) == [
        "forum : 1\u00a0000 lignes au plan, 2\u00a0002 maintenant",
        "quiz : 100\u00a0000 lignes au plan, 89\u00a0998 maintenant",
    ]
    assert plan.unlike({}, lines(forum=501)) == ["forum : 0 ligne au plan, 1\u00a0002 maintenant"]


def test_an_approval_of_a_dry_run_does_not_serve_a_plan_of_many_more_rows(campaign: Campaign) -> None:
    dry = replace(campaign, run_id="à blanc", dry_run=True)
    run_chain(dry, TO_THE_PLAN[:-1])
    plan.approve(dry, plan.stored_fingerprint(dry), by="Ada")
    few = plan.load_lines(dry)
    many = {line: rows + 1_001 * (line[0] == "forum") for line, rows in few.items()}
    run_chain(campaign, TO_THE_PLAN[:-1])
    assert plan.stored_fingerprint(campaign) == plan.stored_fingerprint(dry)
    plan.store_lines(campaign, many)
    assert plan.approved_by(campaign) is None
    plan.store_lines(campaign, few)
    assert plan.approved_by(campaign) == "Ada"


def test_a_registered_student_who_logs_in_since_the_plan_is_enrolled_by_the_plan_that_was_approved(
    campaign: Campaign,
) -> None:
    new = NEWCOMERS[0]
    with campaign.server.begin() as connection:
        rename = sa.text("UPDATE mdl_user SET username = :to, idnumber = :to WHERE username = :name")
        connection.execute(rename, {"name": new, "to": "pas-encore"})
    run_chain(campaign, TO_THE_PLAN)
    with campaign.server.begin() as connection:
        connection.execute(rename, {"name": "pas-encore", "to": new})
    run_chain(campaign, FROM_THE_FREEZE)
    enrolled = sa.text(
        "SELECT COUNT(DISTINCT e.courseid) FROM mdl_user_enrolments ue JOIN mdl_enrol e ON e.id = ue.enrolid"
        " JOIN mdl_user u ON u.id = ue.userid WHERE u.username = :name"
    )
    with campaign.server.connect() as connection:
        assert [connection.execute(enrolled, {"name": name}).scalar() for name in NEWCOMERS] == [5, 5, 5]


def test_a_run_that_goes_on_after_moodle_was_open_moves_nothing_that_its_backup_has_not(campaign: Campaign) -> None:
    run_chain(campaign, [*TO_THE_PLAN, "maintenance_on", "freeze", "ex_rename"])
    for rule in ("chat", "logs"):
        purge(campaign, rule)
    maintenance.reopen(campaign)
    grade = f"SELECT g.id FROM mdl_assign_grades g JOIN mdl_assign a ON a.id = g.assignment WHERE a.course = {SPACE}"
    change = "UPDATE mdl_assign_grades SET grade = grade {} 1 WHERE id = {}"

    def write(*statements: str) -> None:
        with campaign.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    with campaign.engine.connect() as connection:
        graded = connection.exec_driver_sql(grade).scalar()
    maintenance.close(campaign)  # nobody has changed what is still to be moved
    maintenance.reopen(campaign)
    write(change.format("+", graded))
    with pytest.raises(TransitionError) as refused:
        maintenance.close(campaign)
    intro, *spaces = str(refused.value).splitlines()
    assert intro.startswith("Moodle a été ouvert depuis le gel (Ecampus), et des traces à déplacer ne sont plus celles")
    assert spaces == ["  - espace LI3INF01 : assign_grades"]
    with campaign.engine.connect() as connection:
        closed = "SELECT COUNT(*) FROM mdl_config WHERE name = 'maintenance_enabled' AND value = '1'"
        assert connection.exec_driver_sql(closed).scalar() == 0, "Moodle is open, as it was"
    write(change.format("-", graded))
    run_chain(campaign, ["maintenance_on", "purge", "file_contents", "enrolment", "verify", "maintenance_off"])


def test_whatever_is_moved_already_what_nobody_changed_is_no_change(campaign: Campaign) -> None:
    run_chain(campaign, [*TO_THE_PLAN, "maintenance_on", "freeze", "ex_rename"])
    for rule in rule_names():
        if rule != "enrolment":
            purge(campaign, rule)
            refuse_changes(campaign)
