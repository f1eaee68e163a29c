"""The search that does not trust the rules: after a real purge, whatever is put back or was taken elsewhere is seen."""

import re
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.support.campaign import new_campaign, run_chain
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.files import INCLUDE
from transition.keys import frozen_keys
from transition.leftovers import Search, left_in, prepare, strayed
from transition.move import archive_table
from transition.verify import verify

NAME = "restes"
SPACE = "LI3INF01"  # holds every activity of the policy
# Rows that no column places in a space: only a text, a hash or a question leads there. The rules alone see them.
UNPLACED = {
    "question_response_analysis", "question_statistics", "quiz_statistics", "task_adhoc", "user_preferences",
}  # fmt: skip


BROKEN = {
    "assign": ("  - table: assign_submission\n    by: assignment", "  - table: assign_submission\n    by: groupid"),
    "quiz": ("{table: quiz_grades, by: quiz}", "{table: quiz_grades, by: quiz, where: {grade: {above: 1000}}}"),
    "workshop": ("{table: workshop_aggregations, by: workshopid}", "{table: workshop_aggregations, by: userid}"),
    "lesson": ("{table: lesson_timer, by: lessonid}", "{table: lesson_timer, by: lessonid, where: {completed: 7}}"),
    "questionnaire": ("  - mod_questionnaire/file ", "  - mod_questionnaire/answer "),
}
# What somebody who has left the space since gave as an answer.
ANSWER = f"""INSERT INTO mdl_files (contenthash, pathnamehash, contextid, component, filearea, itemid, filepath,
    filename, userid, filesize, timecreated, timemodified)
    SELECT REPEAT('a', 40), REPEAT('b', 40), x.id, 'mod_questionnaire', 'file', 77, '/', 'cv.pdf', 1, 10, 1, 1
    FROM mdl_context x JOIN mdl_course_modules m ON m.id = x.instanceid AND x.contextlevel = 70
    JOIN mdl_modules k ON k.id = m.module AND k.name = 'questionnaire'
    JOIN mdl_course c ON c.id = m.course AND c.idnumber = '{SPACE}' LIMIT 1"""


PLANNED = ("preflight", "apogee_sync", "detect_missing", "plan")


@pytest.fixture(scope="module")
def campaign(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    with new_campaign(server, reference, tmp_path_factory.mktemp(NAME), NAME, courses=(SPACE,)) as campaign:
        yield campaign


@pytest.fixture(scope="module")
def refusal(campaign: Campaign, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a plan by wrong rules is refused for."""
    folder = tmp_path_factory.mktemp("cassees") / "rules"
    copytree(INCLUDE / "rules", folder)
    for name, (right, wrong) in BROKEN.items():
        path = folder / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        assert right in text
        path.write_text(text.replace(right, wrong), encoding="utf-8")
    with campaign.server.begin() as connection:
        connection.exec_driver_sql(ANSWER)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(TransitionError) as caught:
        patch.setenv("TRANSITION_RULES", str(folder))
        run_chain(campaign, PLANNED)
    return str(caught.value)


@pytest.fixture(scope="module")
def purged(campaign: Campaign, refusal: str) -> Search:
    """The space after its transition, by the right rules."""
    assert refusal
    run_chain(campaign)
    return prepare(campaign)


def test_wrong_rules_are_seen_before_anything_moves(refusal: str) -> None:
    """Plan, move and the rules' own check would all follow the wrong path and agree; the search does not."""
    _, *findings = refusal.splitlines()
    left = {
        f"  - espace {SPACE} : {{}} lignes resteraient dans {table} (dont l'id {{}}), sans motif pour les garder"
        for table in (
            "assign_submission", "assignsubmission_file", "assignsubmission_onlinetext", "quiz_grades",
            "workshop_aggregations", "lesson_timer",
        )
    }  # fmt: skip
    left.add(f"  - espace {SPACE} : 1 ligne resterait dans files (id {{}}), sans motif pour la garder")
    assert {re.sub(r"\d+ lignes|\bid \d+", _unnumbered, finding) for finding in findings} == left


def _unnumbered(found: re.Match[str]) -> str:
    return re.sub(r"\d+", "{}", found[0])


def test_one_row_is_seen_however_many_declared_ones_go(campaign: Campaign, refusal: str) -> None:
    """Hundreds of files that an entry would keep go by a rule: one that nothing explains is no more hidden by them."""
    assert refusal
    query = (
        "SELECT MIN(f.id), MIN(s.userid) FROM mdl_files f"
        " JOIN mdl_context x ON x.id = f.contextid AND x.contextlevel = 70"
        " JOIN mdl_course_modules m ON m.id = x.instanceid"
        f" JOIN {campaign.state_name('standing')} s ON s.courseid = m.course AND s.standing = 'leaving'"
        f" WHERE f.filearea = 'singletemplate' AND s.run = {campaign.run}"
    )
    with campaign.engine.begin() as connection:
        file, student = connection.exec_driver_sql(query).one()
        owner = connection.exec_driver_sql(f"SELECT userid FROM mdl_files WHERE id = {file}").scalar()
        connection.exec_driver_sql(f"UPDATE mdl_files SET userid = {student} WHERE id = {file}")
    try:
        with pytest.raises(TransitionError) as caught:
            run_chain(campaign, ["plan"])
    finally:
        with campaign.engine.begin() as connection:
            connection.execute(sa.text("UPDATE mdl_files SET userid = :u WHERE id = :f"), {"u": owner, "f": file})
    _, *findings = str(caught.value).splitlines()
    assert findings == [f"  - espace {SPACE} : 1 ligne resterait dans files (id {file}), sans motif pour la garder"]


def test_the_verification_refuses_what_is_left(purged: Search) -> None:
    campaign = purged.campaign
    source, gone = campaign.moodle["quiz_grades"], archive_table(campaign, "quiz_grades")
    with campaign.engine.begin() as connection:
        rows = sa.select(*gone.c).order_by(gone.c.id).limit(1)
        back = connection.execute(sa.insert(source).from_select([column.name for column in source.c], rows))
    try:
        with pytest.raises(TransitionError, match=r"1 ligne reste dans quiz_grades \(id \d+\), sans motif"):
            verify(campaign)
    finally:
        with campaign.engine.begin() as connection:
            connection.execute(sa.delete(source).where(source.c.id.in_(sa.select(gone.c.id))))
    assert back.rowcount == 1


def test_rows_of_any_table_put_back_are_seen(purged: Search) -> None:
    """Whatever a rule misses in a table, wrong column or too narrow a condition: its rows are still there."""
    campaign, unseen = purged.campaign, set()
    with campaign.engine.connect() as connection:
        for name in sorted(purged.moved):
            source, gone, keys = campaign.moodle[name], archive_table(campaign, name), frozen_keys(campaign, name)
            rules = connection.execute(sa.select(keys.c.rule).distinct()).scalars().all()
            for rule in rules:
                rows = sa.select(*gone.c).join(keys, keys.c.id == gone.c.id).where(keys.c.rule == rule)
                connection.execute(sa.insert(source).from_select([column.name for column in source.c], rows))
                if not list(left_in(connection, purged, name)):
                    unseen.add(name)
                connection.rollback()
    assert len(purged.moved) > 100
    assert unseen == UNPLACED


def test_one_student_left_is_enough(purged: Search) -> None:
    campaign = purged.campaign
    with campaign.engine.connect() as connection:
        for name in ("quiz_attempts", "assign_grades", "logstore_standard_log", "question_attempt_steps"):
            source, gone = campaign.moodle[name], archive_table(campaign, name)
            one = sa.select(*gone.c).order_by(gone.c.id).limit(1)
            connection.execute(sa.insert(source).from_select([column.name for column in source.c], one))
            found = list(left_in(connection, purged, name))
            connection.rollback()
            assert found, name
            assert all("1 ligne " in finding.text for finding in found)


def test_rows_taken_from_another_space_are_seen(purged: Search) -> None:
    """As if the rule had said another space: the row's own columns, or the row above, contradict it."""
    campaign, blind = purged.campaign, set()
    with campaign.engine.connect() as connection:
        for name in sorted(purged.moved):
            keys = frozen_keys(campaign, name)
            connection.execute(sa.update(keys).values(courseid=8))
            if not list(strayed(connection, purged, name)):
                blind.add(name)
            connection.rollback()
    assert blind == UNPLACED
