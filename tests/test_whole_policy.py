"""What a transition does outside Moodle's tables, and to the gradebook: pads, contents of files, dates, grades."""

import io
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import openpyxl
import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.support.campaign import add_newcomers, reference_feed, reference_platform, run_chain
from tests.support.dump import Rows, compare, dump
from tests.support.etherpad_server import PadServer, pad_server
from transition.campaign import Campaign
from transition.etherpad.client import Etherpad
from transition.filedir import EMPTY
from transition.moodle.database import open_engine
from transition.report.teachers import FIELDS, HEADINGS, past_dates
from transition.rules.model import load_rules

MOODLE, NAME = "moodle_policy", "policy"
SCHEMAS = {MOODLE, f"{NAME}_transition", f"{NAME}_2026"}
FILEDIR = "ecampus-4.5.6-filedir.tar.zst"
RESET, ARCHIVED, UNTOUCHED = (2, 4, 5, 6, 7), 3, (8, 9)
IN = "IN (2, 3, 4, 5, 6, 7)"

# Where each module keeps the results that `<mod>_get_user_grades` or `<mod>_update_grades` reads, and `rating`, which
# serves forum, glossary and data: known from the modules, not from the rules. A condition on the rows in scope.
_OF = "{column} IN (SELECT id FROM mdl_{module} WHERE course " + IN + ")"
_RATED = f"""contextid IN (SELECT x.id FROM mdl_context x JOIN mdl_course_modules cm ON cm.id = x.instanceid
    WHERE x.contextlevel = 70 AND cm.course {IN})"""
RESULTS = {
    "assign_grades": _OF.format(column="assignment", module="assign"),
    "quiz_grades": _OF.format(column="quiz", module="quiz"),
    "quiz_attempts": _OF.format(column="quiz", module="quiz"),
    "offlinequiz_results": _OF.format(column="offlinequizid", module="offlinequiz"),
    "workshop_aggregations": _OF.format(column="workshopid", module="workshop"),
    "workshop_submissions": _OF.format(column="workshopid", module="workshop") + " AND example = 0",
    "h5pactivity_attempts": _OF.format(column="h5pactivityid", module="h5pactivity"),
    "hvp_xapi_results": _OF.format(column="content_id", module="hvp"),
    "hotpot_attempts": _OF.format(column="hotpotid", module="hotpot"),
    "lesson_grades": _OF.format(column="lessonid", module="lesson"),
    "forum_grades": _OF.format(column="forum", module="forum"),
    "scorm_attempt": _OF.format(column="scormid", module="scorm"),
    "lti_submission": _OF.format(column="ltiid", module="lti"),
    "questionnaire_response": _OF.format(column="questionnaireid", module="questionnaire"),
    "scheduler_appointment": f"""slotid IN (SELECT s.id FROM mdl_scheduler_slots s
        JOIN mdl_scheduler a ON a.id = s.schedulerid WHERE a.course {IN})""",
    "checklist_check": f"""item IN (SELECT i.id FROM mdl_checklist_item i
        JOIN mdl_checklist a ON a.id = i.checklist WHERE a.course {IN})""",
    "wooclap_completion": _OF.format(column="wooclapid", module="wooclap"),
    "rating": _RATED,
    "grade_grades": f"itemid IN (SELECT id FROM mdl_grade_items WHERE courseid {IN})",
    "grade_grades_history": f"itemid IN (SELECT id FROM mdl_grade_items WHERE courseid {IN})",
}
STRUCTURE = ("grade_items", "grade_categories", "scale", "grade_outcomes", "grade_outcomes_courses", "grade_settings",
             "grade_letters", "grading_areas", "grading_definitions")  # fmt: skip


@dataclass(frozen=True)
class Done:
    """The site after the chain, and what was there before."""

    campaign: Campaign
    folder: Path
    pads: PadServer
    before: dict[str, Rows]
    after: dict[str, Rows]
    contents_before: frozenset[str]
    results_before: dict[str, int]

    def count(self, statement: str) -> int:
        with self.campaign.engine.connect() as connection:
            return int(connection.execute(sa.text(statement)).scalar() or 0)


@pytest.fixture(scope="module")
def done(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("policy")
    (folder / "moodledata").mkdir()
    subprocess.run(["tar", "--zstd", "-xf", reference / FILEDIR, "-C", folder / "moodledata"], check=True)
    drop_databases(server, SCHEMAS)
    load_dump(server, reference / DUMP, MOODLE)
    engine = open_engine(server.url(MOODLE), poolclass=sa.NullPool)
    add_newcomers(engine)
    reference_feed(folder / "feed")
    connections = {"moodle": "m", "apogee": "a", "etherpad": "e"}
    platform = reference_platform(
        folder / "storage", name=NAME, dataroot=str(folder / "moodledata"), connections=connections
    )
    with pad_server() as pads, engine.connect() as connection:
        uris = connection.execute(sa.text("SELECT uri FROM mdl_etherpadlite")).scalars().all()
        for uri in uris:
            pads.write(uri, "réponse")
        etherpad = Etherpad(pads.url, pads.key)
        campaign = Campaign(platform, 2026, "essai", engine, feed=folder / "feed", etherpad=etherpad, dry_run=False)
        before = dump(engine, MOODLE)
        held = contents(folder / "moodledata" / "filedir")
        results = {
            table: connection.execute(sa.text(f"SELECT COUNT(*) FROM mdl_{table} WHERE {where}")).scalar_one()
            for table, where in RESULTS.items()
        }
        connection.rollback()
        run_chain(campaign)
        yield Done(campaign, folder, pads, before, dump(engine, MOODLE), held, results)
    drop_databases(server, SCHEMAS)


def contents(filedir: Path) -> frozenset[str]:
    return frozenset(path.name for path in filedir.rglob("*") if path.is_file())


def test_pads_of_the_spaces_are_empty_and_saved(done: Done) -> None:
    uris = {row["uri"] for row in done.before["etherpadlite"].values()}
    assert uris
    assert {done.pads.pads[uri].text for uri in uris} == {"\n"}
    saved = list((done.folder / "storage" / NAME / "2026" / "pads").rglob("texte.txt"))
    assert [path.read_text(encoding="utf-8") for path in saved] == ["réponse\n"] * len(uris)
    groups = len(done.before["etherpadlite_mgroups"])
    assert done.count(f"SELECT SUM(rows_moved) FROM {NAME}_transition.journal WHERE action = 'emptied'") == (
        len(uris) + groups
    )


def test_contents_go_with_their_last_row_and_only_then(done: Done) -> None:
    named = {row["contenthash"] for row in done.after["files"].values()}
    once = {row["contenthash"] for row in done.before["files"].values()}
    here = contents(done.folder / "moodledata" / "filedir")
    archived = contents(done.folder / "storage" / NAME / "2026" / "filedir")
    gone = (once - named - {EMPTY}) & done.contents_before
    assert len(gone) > 100
    assert here == done.contents_before - gone
    assert gone <= archived <= done.contents_before, "what went, and what the backup holds"
    shared = {row["contenthash"] for id_, row in done.before["files"].items() if id_ not in done.after["files"]} & named
    assert shared - {EMPTY}, "no content is shared: the test proves nothing"
    assert shared <= here


@pytest.mark.parametrize("table", RESULTS)
def test_nothing_is_left_that_moodle_would_push_into_the_gradebook(done: Done, table: str) -> None:
    assert done.results_before[table], "the real database has none: the test proves nothing"
    assert done.count(f"SELECT COUNT(*) FROM mdl_{table} WHERE {RESULTS[table]}") == 0


def test_the_gradebook_s_structure_is_unchanged_and_asks_for_no_recalculation(done: Done) -> None:
    changed = compare(done.before, done.after)
    assert set(STRUCTURE) <= set(done.after)
    assert set(STRUCTURE) & set(changed) == set()
    assert any(row["courseid"] in RESET for row in done.after["grade_items"].values())
    assert {row["needsupdate"] for row in done.after["grade_items"].values()} == {0}


def test_no_result_table_is_missing_from_the_list(done: Done) -> None:
    """Every kind of activity that has an item in the gradebook has its results in the list above."""
    graded = {row["itemmodule"] for row in done.before["grade_items"].values() if row["itemtype"] == "mod"}
    covered = {module for module in graded if any(table.startswith(module) for table in RESULTS)}
    by_rating = {"glossary", "data"}
    assert graded - covered - by_rating == set()


def test_teachers_get_the_past_dates_of_the_spaces_reset(done: Done) -> None:
    reports = done.folder / "storage" / NAME / "2026" / "reports"
    book = openpyxl.load_workbook(io.BytesIO((reports / "essai-dates.xlsx").read_bytes()))
    head, *rows = book.active.iter_rows(values_only=True)
    assert head == tuple(HEADINGS)
    assert {row[0] for row in rows} <= {"LI3INF01", "L1MAT101", "M1DRO201", "LETL2H03", "M2CHI305"}
    chat = next(row for row in done.after["chat"].values() if row["course"] == 2)
    moment = datetime.fromtimestamp(chat["chattime"], done.campaign.platform.zone).replace(tzinfo=None)
    [found] = [row for row in rows if row[0] == "LI3INF01" and row[2] == "Tchat"]
    assert found[3:6] == (chat["name"], "Date de la prochaine session", moment)
    assert "essai-dates.xlsx" in (reports / "essai.html").read_text(encoding="utf-8")


def test_every_date_of_every_activity_is_looked_at(done: Done) -> None:
    """In the year 2100 every date that is set is past: as many lines as dates set in the spaces reset."""
    listed = list(past_dates(done.campaign, datetime(2100, 1, 1, tzinfo=UTC)))
    expected = sum(
        done.count(f"SELECT COUNT(*) FROM mdl_{rule.activity} WHERE {date} > 0 AND course IN {RESET}")
        for rule in load_rules()
        if rule.activity
        for date in rule.dates
    )
    assert len(listed) == expected > 10
    assert listed == sorted(listed)
    assert {date for rule in load_rules() for date in rule.dates} == set(FIELDS)
