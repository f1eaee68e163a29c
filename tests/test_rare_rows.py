"""Rows that Moodle seldom has: a transition takes those of the students, leaves the others, and refuses nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.support.campaign import new_campaign, run_chain
from transition.campaign import Campaign
from transition.move import archive_table

SPACE = "LI3INF01"  # course 2, which holds every activity of the policy
STUDENT = "(SELECT id FROM mdl_user WHERE username = '22300001')"  # who leaves the space
FIRST = 900_001  # the id of each table's first row below

# Where those who teach leave files.
TEACHING = (
    "mod_folder/content", "mod_resource/content", "mod_book/chapter", "mod_page/content", "mod_label/intro",
    "mod_url/intro", "mod_imscp/content", "course/summary", "course/section", "contentbank/public",
    "block_html/content", "question/questiontext", "qtype_ddmarker/bgimage", "mod_assign/introattachment",
    "mod_forum/intro", "mod_h5pactivity/package", "mod_lesson/page_contents", "mod_scheduler/slotnote",
)  # fmt: skip
_FILE = "INSERT INTO mdl_files (id, contextid, component, filearea, userid, contenthash, pathnamehash) VALUES "

ROWS = [
    # The last BBB activity of the space was deleted: what it leaves, and what the deletion itself writes.
    "DELETE FROM mdl_bigbluebuttonbn WHERE course = 2",
    f"""INSERT INTO mdl_bigbluebuttonbn_logs (id, courseid, bigbluebuttonbnid, userid, log)
        VALUES ({FIRST}, 2, 77, {STUDENT}, 'Join'), ({FIRST + 1}, 2, 77, 3, 'Delete')""",
    # What a person made who has been enrolled as a student since.
    *(
        f"{_FILE}({FIRST + rank}, 50, '{component}', '{area}', {STUDENT}, 'content', 'teaching {rank}')"
        for rank, (component, area) in enumerate((name.split("/") for name in TEACHING), 10)
    ),
    f"""UPDATE mdl_question_attempt_steps s JOIN mdl_question_attempts a ON a.id = s.questionattemptid
        JOIN mdl_offlinequiz_groups g ON g.templateusageid = a.questionusageid SET s.userid = {STUDENT}""",
    # A feedback of the site's front page, which the space shows as well.
    f"INSERT INTO mdl_feedback (id, course) VALUES ({FIRST}, 1)",
    *(
        f"INSERT INTO mdl_feedback_completed{kind} (id, feedback, userid, courseid) VALUES ({FIRST}, {FIRST}, 6, 2)"
        for kind in ("", "tmp")
    ),
    *(
        f"INSERT INTO mdl_feedback_value{kind} (id, completed, course_id) VALUES ({FIRST}, {FIRST}, 2)"
        for kind in ("", "tmp")
    ),
    # A public questionnaire: its questions are another space's.
    "UPDATE mdl_questionnaire_survey SET realm = 'public', courseid = 3 WHERE id = 1",
    # The space as a tool of another platform; the tool's number is that of a file activity of another space.
    "SET @tool = (SELECT MIN(id) FROM mdl_resource WHERE course <> 2)",
    f"INSERT INTO mdl_enrol (id, enrol, courseid) VALUES ({FIRST}, 'lti', 2)",
    f"INSERT INTO mdl_enrol_lti_tools (id, enrolid, contextid) VALUES (@tool, {FIRST}, 50)",
    f"INSERT INTO mdl_enrol_lti_resource_link (id, resourceid) VALUES ({FIRST}, @tool)",
    *(
        f"INSERT INTO mdl_enrol_lti_users (id, toolid, userid) VALUES ({FIRST + rank}, @tool, {user})"
        for rank, user in enumerate((STUDENT, 3))
    ),
    f"""INSERT INTO mdl_enrol_lti_user_resource_link (id, ltiuserid, resourcelinkid)
        VALUES ({FIRST}, {FIRST}, {FIRST}), ({FIRST + 1}, {FIRST + 1}, {FIRST})""",
    # The same work handed in in two spaces, as a text and as a file, made into one PDF.
    """SET @other = (SELECT x.id FROM mdl_context x JOIN mdl_course_modules m ON m.id = x.instanceid
        AND x.contextlevel = 70 WHERE m.course = 3 AND m.module = 1 LIMIT 1)""",
    f"""{_FILE}({FIRST}, 58, 'assignfeedback_editpdf', 'importhtml', 6, 'text', 'conversion 0'),
        ({FIRST + 1}, 58, 'assignsubmission_file', 'submission_files', 6, 'text', 'conversion 1'),
        ({FIRST + 2}, @other, 'assignfeedback_editpdf', 'importhtml', 6, 'text', 'conversion 2'),
        ({FIRST + 3}, 1, 'core', 'documentconversion', NULL, 'pdf', 'conversion 3')""",
    f"""INSERT INTO mdl_file_conversion (id, sourcefileid, destfileid)
        VALUES ({FIRST}, {FIRST}, {FIRST + 3}), ({FIRST + 1}, {FIRST + 1}, {FIRST + 3}),
        ({FIRST + 2}, {FIRST + 2}, {FIRST + 3})""",
]


@pytest.fixture(scope="module")
def done(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """The space with such rows, after its transition: the verification found nothing."""
    folder = tmp_path_factory.mktemp("rares")
    with new_campaign(server, reference, folder, "rares", courses=(SPACE,)) as campaign:
        with campaign.server.begin() as connection:
            connection.exec_driver_sql("SET SESSION sql_mode = ''")  # columns that are not given take their type's zero
            for statement in ROWS:
                connection.exec_driver_sql(statement)
        run_chain(campaign)
        yield campaign


def kept(campaign: Campaign, table: str) -> set[int]:
    """Which of a table's rows above, by their rank, are still in Moodle."""
    return ranks(campaign, campaign.moodle[table])


def moved(campaign: Campaign, table: str) -> set[int]:
    """Which of a table's rows above, by their rank, are in the archive."""
    return ranks(campaign, archive_table(campaign, table))


def ranks(campaign: Campaign, table: sa.Table) -> set[int]:
    with campaign.engine.connect() as connection:
        return set(connection.execute(sa.select(table.c.id - FIRST).where(table.c.id >= FIRST)).scalars())


def test_what_a_deleted_bbb_activity_left_goes(done: Campaign) -> None:
    assert moved(done, "bigbluebuttonbn_logs") == {0, 1}
    assert kept(done, "bigbluebuttonbn_logs") == set()


def test_files_of_teaching_stay_whoever_sent_them(done: Campaign) -> None:
    assert kept(done, "files") >= set(range(10, 10 + len(TEACHING)))


def test_templates_of_offline_quizzes_stay_whoever_made_them(done: Campaign) -> None:
    query = f"""SELECT COUNT(*) FROM mdl_question_attempt_steps s JOIN mdl_question_attempts a
        ON a.id = s.questionattemptid JOIN mdl_offlinequiz_groups g ON g.templateusageid = a.questionusageid
        WHERE g.offlinequizid = 1 AND s.userid = {STUDENT}"""
    with done.engine.connect() as connection:
        assert connection.exec_driver_sql(query).scalar_one() == 8


def test_answers_to_a_feedback_of_the_front_page_stay(done: Campaign) -> None:
    for table in ("completed", "completedtmp", "value", "valuetmp"):
        assert kept(done, f"feedback_{table}") == {0}, table


def test_answers_to_a_public_questionnaire_are_of_the_space(done: Campaign) -> None:
    with done.engine.connect() as connection:
        for answers in ("SELECT COUNT(*) FROM mdl_questionnaire_response_bool WHERE question_id = 1",
                        "SELECT COUNT(*) FROM mdl_questionnaire_response WHERE questionnaireid = 1"):  # fmt: skip
            assert connection.exec_driver_sql(answers).scalar_one() == 0


def test_a_tool_keeps_the_people_who_stay(done: Campaign) -> None:
    for table in ("enrol_lti_users", "enrol_lti_user_resource_link"):
        assert (moved(done, table), kept(done, table)) == ({0}, {1}), table


def test_a_pdf_that_another_space_uses_stays(done: Campaign) -> None:
    """Moodle deletes it when no file of that content is left."""
    assert (moved(done, "file_conversion"), kept(done, "file_conversion")) == ({0, 1}, {2})
    assert moved(done, "files") == {0, 1}
    assert kept(done, "files") >= {2, 3}
