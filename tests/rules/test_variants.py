"""Other versions of Moodle, derived from the real 4.5 database: 4.1 with few contributed modules, and 5.1."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.support.campaign import new_campaign, run_chain
from transition.campaign import Campaign
from transition.move import archive_table
from transition.plan import load_lines
from transition.state import tables

PLANNED = ("preflight", "apogee_sync", "detect_missing", "plan")
# Before 4.3 a SCORM attempt was a number, and each value a row that named the student (db/install.xml of mod_scorm).
OLD_SCORM = [
    """CREATE TABLE mdl_scorm_scoes_track (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, userid bigint NOT NULL,
        scormid bigint NOT NULL, scoid bigint NOT NULL, attempt bigint NOT NULL, element varchar(255) NOT NULL,
        value longtext NOT NULL, timemodified bigint NOT NULL, KEY (userid), KEY (scormid), KEY (scoid))""",
    """INSERT INTO mdl_scorm_scoes_track (userid, scormid, scoid, attempt, element, value, timemodified)
        SELECT a.userid, a.scormid, v.scoid, a.attempt, e.element, v.value, v.timemodified
        FROM mdl_scorm_scoes_value v JOIN mdl_scorm_attempt a ON a.id = v.attemptid
        JOIN mdl_scorm_element e ON e.id = v.elementid""",
    "DROP TABLE mdl_scorm_attempt, mdl_scorm_scoes_value, mdl_scorm_element",
]
SINCE_4_2 = [  # tables that 4.1 does not have
    "DROP TABLE mdl_xapi_states, mdl_ai_action_register, mdl_ai_action_generate_text, mdl_ai_action_generate_image,"
    " mdl_ai_action_summarise_text, mdl_ai_policy_register",
]


def without_module(campaign: Campaign, *activities: str) -> None:
    """Uninstall activity plugins as Moodle does: their tables, their course modules, their row in ``modules``."""
    with campaign.server.begin() as connection:
        for activity in activities:
            for name in campaign.moodle.tables:
                if name == activity or name.startswith(f"{activity}_"):
                    connection.exec_driver_sql(f"DROP TABLE mdl_{name}")
            number = f"(SELECT id FROM mdl_modules WHERE name = '{activity}')"
            cm = f"(SELECT id FROM mdl_course_modules WHERE module = {number})"
            connection.exec_driver_sql(f"DELETE FROM mdl_context WHERE contextlevel = 70 AND instanceid IN {cm}")
            connection.exec_driver_sql(f"DELETE FROM mdl_course_modules WHERE module = {number}")
            connection.exec_driver_sql(f"DELETE FROM mdl_modules WHERE name = '{activity}'")


def change(campaign: Campaign, version: str, *statements: str) -> Campaign:
    """Apply statements, set Moodle's version, and forget what was read of the schema."""
    with campaign.server.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"UPDATE mdl_config SET value = '{version}' WHERE name = 'version'")
    vars(campaign).pop("moodle")
    return campaign


def skipped(campaign: Campaign) -> set[tuple[str, str]]:
    entry = tables.journal.c
    query = sa.select(entry.rule, entry.table_name).where(entry.stage == "preflight", entry.action == "skipped")
    with campaign.engine.connect() as connection:
        return {(rule, table) for rule, table in connection.execute(query)}


@pytest.fixture
def moodle_41(server: PrivateMariaDB, reference: Path, tmp_path: Path) -> Iterator[Campaign]:
    with new_campaign(server, reference, tmp_path, "ancienne", courses=("LI3INF01",)) as campaign:
        without_module(campaign, "wooclap", "hotpot")
        yield change(campaign, "2022112800.00", *OLD_SCORM, *SINCE_4_2)


@pytest.fixture
def moodle_51(server: PrivateMariaDB, reference: Path, tmp_path: Path) -> Iterator[Campaign]:
    with new_campaign(server, reference, tmp_path, "nouvelle", courses=("LI3INF01",)) as campaign:
        without_module(campaign, "chat", "survey", "offlinequiz", "questionnaire", "choicegroup", "checklist")
        yield change(campaign, "2025100600.00", "DROP TABLE mdl_editor_atto_autosave")


def test_moodle_41_before_scorm_changed(moodle_41: Campaign) -> None:
    run_chain(moodle_41)
    assert {("scorm", "scorm_attempt"), ("scorm", "scorm_scoes_value"), ("wooclap", ""), ("hotpot", ""),
            ("h5pactivity", "xapi_states"), ("personal", "ai_action_register")} <= skipped(moodle_41)  # fmt: skip
    assert ("scorm", "scorm_scoes_track") not in skipped(moodle_41)
    moved = sum(rows for (_, table, _), rows in load_lines(moodle_41).items() if table == "scorm_scoes_track")
    with moodle_41.engine.connect() as connection:
        gone = connection.execute(sa.select(sa.func.count()).select_from(archive_table(moodle_41, "scorm_scoes_track")))
        left = sa.text(
            "SELECT COUNT(*) FROM mdl_scorm_scoes_track WHERE scormid IN (SELECT id FROM mdl_scorm WHERE course = 2)"
        )
        assert gone.scalar_one() == moved > 0
        assert connection.execute(left).scalar_one() == 0


def test_moodle_51_without_chat_survey_atto_and_contributed_modules(moodle_51: Campaign) -> None:
    run_chain(moodle_51, PLANNED)
    assert skipped(moodle_51) >= {
        *((name, "") for name in ("chat", "survey", "offlinequiz", "questionnaire", "choicegroup", "checklist")),
        ("personal", "editor_atto_autosave"),
    }  # fmt: skip
    planned = {table for _, table, _ in load_lines(moodle_51)}
    assert "quiz_attempts" in planned
    assert not {table for table in planned if table.startswith(("chat", "survey", "offlinequiz", "checklist"))}
