"""The whole transition, through Airflow, on the real Moodle database: what goes, what stays, twice, after a kill."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.rules.expected_rows import EXPECTED, IN, TEACHERS
from tests.support.campaign import GROUPS, NEWCOMERS, REPEATERS, reference_feed
from tests.support.dump import Rows, compare
from tests.support.site import YEAR, Site, make_folder, new_site

ARCHIVED, ESPCOMP, OLD_ARCHIVE = 3, 8, 9  # course ids: LI3INF02, ESPCOMP01, LI3INF01-2024
_REPEATERS = f"(SELECT id FROM mdl_user WHERE username IN {REPEATERS})"
# Repeaters are registered in LI3INF01 (course 2) only, and enrolled there by enrol_database.
LEAVING = {
    "user_enrolments": f"""enrolid IN (SELECT id FROM mdl_enrol WHERE courseid {IN}) AND userid NOT IN {TEACHERS}
        AND NOT (userid IN {_REPEATERS} AND enrolid IN
            (SELECT id FROM mdl_enrol WHERE courseid = 2 AND enrol = 'database'))""",
    "role_assignments": f"""userid NOT IN {TEACHERS} AND contextid IN
        (SELECT x.id FROM mdl_context s JOIN mdl_context x ON x.id = s.id OR x.path LIKE CONCAT(s.path, '/%')
        WHERE s.contextlevel = 50 AND s.instanceid {IN})
        AND NOT (userid IN {_REPEATERS} AND component = 'enrol_database' AND contextid IN
            (SELECT id FROM mdl_context WHERE contextlevel = 50 AND instanceid = 2))""",
}
# The only columns that may change in rows that stay.
MAY_CHANGE = {
    "course": {"fullname", "shortname", "category", "sortorder", "timemodified", "cacherev"},
    "course_categories": {"sortorder", "coursecount", "timemodified"},
    "context": {"path", "depth"},
}
MAY_GROW = {
    "user_enrolments", "role_assignments", "groups", "groups_members", "message_conversation_members",
    "course_categories", "context",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a platform whose plan crosses a cap (one space of six is archived), with Apogée's groups."""
    limits = {"archived_share": 0.1, "free_space_gib": 0.1}
    folder = make_folder(tmp_path_factory.mktemp("site"), limits=limits)
    reference_feed(folder / "feed", groups=True)
    return folder


@dataclass(frozen=True)
class Outcome:
    """The site after a transition, the whole database before it, what had to go, and what the command printed."""

    site: Site
    before: dict[str, Rows]
    expected: dict[str, frozenset[int]]
    after: dict[str, Rows]
    status: int
    output: str


@pytest.fixture(scope="module")
def outcome(server: PrivateMariaDB, reference: Path, folder: Path, request: pytest.FixtureRequest) -> Iterator[Outcome]:
    for site in new_site(server, reference, folder):
        before = site.dump()
        expected = {table: site.ids(table, where) for table, where in {**EXPECTED, **LEAVING}.items()}
        status, output = site.execute(EXCEED="Bruno Directeur")
        yield Outcome(site, before, expected, site.dump(), status, output)


def test_it_succeeds_and_says_so(outcome: Outcome) -> None:
    assert outcome.status == 0, outcome.output
    assert "Transition terminée et vérifiée" in outcome.output
    assert "Traceback" not in outcome.output
    assert max(map(len, outcome.output.splitlines())) <= 120
    [line] = [line for line in outcome.output.splitlines() if line.split()[:1] == ["LI3INF02"]]
    assert "à archiver (ex_)" in line


def test_exactly_the_traces_go(outcome: Outcome) -> None:
    gone = {table: difference.gone for table, difference in compare(outcome.before, outcome.after).items()}
    assert {table: ids for table, ids in gone.items() if ids} == {t: ids for t, ids in outcome.expected.items() if ids}


def test_every_other_row_is_unchanged(outcome: Outcome) -> None:
    allowed: dict[str, set[str]] = {}
    for table, difference in compare(outcome.before, outcome.after).items():
        columns = frozenset().union(*difference.changed.values())
        if columns - MAY_CHANGE.get(table, set()):
            allowed[table] = set(columns)
        if difference.added and table not in MAY_GROW:
            allowed[f"{table} added"] = set()
    assert not allowed


def test_only_the_archived_space_is_renamed_and_moved(outcome: Outcome) -> None:
    changed = compare(outcome.before, outcome.after)["course"].changed
    moving = {"fullname", "shortname", "category"}
    assert {id_ for id_, columns in changed.items() if columns & moving} == {ARCHIVED}
    space = outcome.after["course"][ARCHIVED]
    assert (space["shortname"], space["fullname"]) == ("ex_LI3INF02", "ex_Bases de données")
    (year,) = compare(outcome.before, outcome.after)["course_categories"].added
    archives = outcome.after["course_categories"][year]
    assert (archives["name"], archives["path"]) == ("Archives 2025-2026", f"/9/{year}")
    (own,) = compare(outcome.before, outcome.after)["context"].added
    assert (outcome.after["context"][own]["contextlevel"], outcome.after["context"][own]["instanceid"]) == (40, year)
    context = {row["instanceid"]: row for row in outcome.after["context"].values() if row["contextlevel"] == 50}
    category = {row["instanceid"]: row for row in outcome.after["context"].values() if row["contextlevel"] == 40}
    assert space["category"] == archives["id"]
    assert context[ARCHIVED]["path"] == f"{category[archives['id']]['path']}/{context[ARCHIVED]['id']}"
    for row in outcome.after["context"].values():
        assert row["path"] is None or row["depth"] == row["path"].count("/")
    assert not set(compare(outcome.before, outcome.after)["course"].changed) & {ESPCOMP, OLD_ARCHIVE}
    changed_contexts = compare(outcome.before, outcome.after)["context"].changed
    moved = {outcome.before["context"][id_]["path"] for id_ in changed_contexts}
    old = outcome.before["context"][context[ARCHIVED]["id"]]["path"]
    assert all(f"{path}/".startswith(f"{old}/") for path in moved)


def test_archived_rows_are_the_rows_that_went(outcome: Outcome) -> None:
    archive = outcome.site.dump(f"ecampus_{YEAR}")
    for table, ids in outcome.expected.items():
        if ids:
            assert archive[table] == {id_: outcome.before[table][id_] for id_ in ids}, table


def enrolled(outcome: Outcome, courseid: int) -> set[tuple[str, str, int]]:
    """Who is enrolled in a space: user name, method, status."""
    methods = {row["id"]: row for row in outcome.after["enrol"].values()}
    users = outcome.after["user"]
    return {
        (users[row["userid"]]["username"], methods[row["enrolid"]]["enrol"], row["status"])
        for row in outcome.after["user_enrolments"].values()
        if methods[row["enrolid"]]["courseid"] == courseid
    }


def test_repeaters_and_newcomers_are_enrolled_and_teachers_stay(outcome: Outcome) -> None:
    by_hand = {("enseignant2", "manual", 0), ("charge.td", "manual", 0)}
    newcomers = {(name, "database", 0) for name in NEWCOMERS}
    repeaters = {(name, "database", 0) for name in REPEATERS}
    teachers = {("enseignant1", "database", 0)}
    for courseid in (4, 5, 6, 7):
        assert enrolled(outcome, courseid) == by_hand | teachers | newcomers
    assert enrolled(outcome, 2) == by_hand | teachers | {("enseignant3", "database", 0)} | newcomers | repeaters


def test_the_archived_space_keeps_its_teachers_enrolled_by_hand_and_nobody_else(outcome: Outcome) -> None:
    teachers = {"enseignant1", "enseignant2", "enseignant3", "charge.td"}
    present = enrolled(outcome, ARCHIVED)
    assert {name for name, *_ in present} == teachers
    assert {name for name, method, _ in present if method == "manual"} == teachers


def test_newcomers_have_the_role_and_rows_that_enrol_database_writes(outcome: Outcome) -> None:
    users = {row["username"]: row["id"] for row in outcome.after["user"].values()}
    added = compare(outcome.before, outcome.after)["role_assignments"].added
    roles = [outcome.after["role_assignments"][id_] for id_ in added]
    students = [row for row in roles if row["userid"] in {users[name] for name in NEWCOMERS}]
    enrol = outcome.after["enrol"]
    assert len(students) == 5 * len(NEWCOMERS)
    for row in students:
        assert (row["component"], row["roleid"]) == ("enrol_database", 5)
        assert enrol[row["itemid"]]["enrol"] == "database"


def test_groups_are_emptied_then_filled_from_apogee(outcome: Outcome) -> None:
    users, groups = outcome.after["user"], outcome.after["groups"]
    members = {
        (groups[row["groupid"]]["courseid"], groups[row["groupid"]]["name"], users[row["userid"]]["username"])
        for row in outcome.after["groups_members"].values()
        if groups[row["groupid"]]["courseid"] not in (ESPCOMP, OLD_ARCHIVE)
    }
    assert members == {(2, label, student) for label, students in GROUPS.values() for student in students}
    [new] = compare(outcome.before, outcome.after)["groups"].added
    assert (groups[new]["courseid"], groups[new]["idnumber"], groups[new]["name"]) == (2, "A-TD9", "TD 9")


def test_journal_and_plan_and_archive_say_the_same(outcome: Outcome) -> None:
    site = outcome.site
    moved = sum(len(ids) for ids in outcome.expected.values())
    run = "(SELECT MAX(number) FROM ecampus_transition.run)"
    assert site.scalar(f"SELECT SUM(`rows`) FROM ecampus_transition.plan_line WHERE run = {run}") == moved
    assert (
        site.scalar(f"SELECT SUM(rows_moved) FROM ecampus_transition.journal WHERE run = {run} AND action = 'moved'")
        == moved
    )
    for exceeding, person in enumerate(("Ada Administratrice", "Bruno Directeur")):
        where = f"run = {run} AND exceeding = {exceeding}"
        assert site.scalar(f"SELECT approved_by FROM ecampus_transition.approval WHERE {where}") == person


def test_the_report_is_written(outcome: Outcome) -> None:
    folder = outcome.site.folder / "storage" / "ecampus" / YEAR / "reports"
    assert len(list(folder.glob("differences-*.xlsx"))) == 2  # of the dry run, and of the one that followed
    reports = sorted(folder.glob("*.json"))
    facts = json.loads(reports[-1].read_text(encoding="utf-8"))
    assert facts["success"] is True
    assert facts["moved"] == facts["rows"] == sum(len(ids) for ids in outcome.expected.values())
    assert facts["feed"] == "Données d'Apogée extraites le 14/08/2026 à 01:00."
    assert facts["crossed"] == ["espaces archivés (toute la plateforme) : 1 sur 6 (16,7 %), seuil 10 %"]
    assert (facts["approved_by"], facts["exceeded_by"]) == ("Ada Administratrice", "Bruno Directeur")
    decisions = {space["code"]: space["decision"] for space in facts["spaces"]}
    assert (decisions["LI3INF02"], decisions["ESPCOMP01"]) == ("à archiver (ex_)", "exclu")
    page = reports[-1].with_suffix(".html").read_text(encoding="utf-8")
    assert {line["code"] for line in facts["successions"]} == {"LI3INF02"}
    assert "Successions possibles, à confirmer" in page and facts["successions_file"] in page
    table = (reports[-1].parent / facts["successions_file"]).read_text(encoding="utf-8-sig").splitlines()
    assert len(table) == 1 + len(facts["successions"])
    students = [row for row in outcome.before["user"].values() if row["username"].startswith("223")]
    assert not any(row["username"] in page or row["lastname"] in page for row in students)


def test_a_second_transition_changes_nothing(outcome: Outcome) -> None:
    status, output = outcome.site.execute()
    assert status == 0, output
    assert compare(outcome.after, outcome.site.dump()) == {}


# Columns that hold the moment of the transition.
MOMENTS = {"timecreated", "timemodified", "timeadded", "cacherev"}


def test_killed_in_the_middle_of_a_purge_and_started_again_it_ends_in_the_same_state(
    outcome: Outcome, server: PrivateMariaDB, reference: Path, tmp_path: Path
) -> None:
    _untimed = _without_moments(outcome.after)
    expected, before = outcome.expected, outcome.before
    for site in new_site(server, reference, outcome.site.folder):
        process = site.start(EXECUTE="1", APPROVED_BY="Ada Administratrice", EXCEED="Bruno Directeur")
        _wait_for_purge(site, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        there = site.dump()
        left = sum(len(ids & before[table].keys() & there[table].keys()) for table, ids in expected.items())
        assert 0 < left < sum(map(len, expected.values())), "the kill missed the purge"
        status, output = site.execute(EXCEED="Bruno Directeur")
        assert status == 0, output
        assert compare(_untimed, _without_moments(site.dump())) == {}
        moved = site.scalar("SELECT SUM(rows_moved) FROM ecampus_transition.journal WHERE action = 'moved'")
        assert moved == sum(map(len, expected.values())), "the journal must also hold what the killed run moved"


def _wait_for_purge(site: Site, process: subprocess.Popen[str]) -> None:
    """Until a purge task has moved some of its rows."""
    query = "SELECT COUNT(*) FROM ecampus_transition.progress WHERE moved > 0"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if site.scalar(query):
                return
        except sa.exc.DBAPIError:
            pass  # the state schema is not there yet
        time.sleep(0.05)
    raise AssertionError("no purge began")


def _without_moments(tables: dict[str, Rows]) -> dict[str, Rows]:
    return {
        table: {
            id_: {column: value for column, value in row.items() if column not in MOMENTS} for id_, row in rows.items()
        }
        for table, rows in tables.items()
    }
