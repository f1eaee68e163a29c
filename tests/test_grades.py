"""Grade exports on the real Moodle database: the workbook a teacher would get, and whether it is still true."""

import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.support.campaign import reference_platform
from transition import grades, storage, workbook
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.gradebook import Item
from transition.grades import exported, grade_exports, missing_exports
from transition.moodle.database import open_engine
from transition.spaces import record_contexts
from transition.state import schema, tables

MOODLE, NAME = "moodle_grades", "carnets"
LI3INF01, L1MAT101 = 2, 4
SPACES = {2, 3, 4, 5, 6, 7, 8, 9}
Open = Callable[..., Campaign]


@pytest.fixture(scope="module")
def moodle(server: PrivateMariaDB, reference: Path) -> Iterator[sa.Engine]:
    load_dump(server, reference / DUMP, MOODLE)
    engine = open_engine(server.url(MOODLE))
    yield engine
    engine.dispose()
    drop_databases(server, {MOODLE, f"{NAME}_transition"})


@pytest.fixture
def open_campaign(moodle: sa.Engine, server: PrivateMariaDB, tmp_path: Path) -> Open:
    drop_databases(server, {f"{NAME}_transition"})

    def build(run_id: str = "essai", **fields: Any) -> Campaign:
        campaign = Campaign(reference_platform(tmp_path / "stockage", name=NAME), 2026, run_id, moodle, **fields)
        schema.upgrade(campaign)
        record_contexts(campaign)
        return campaign

    return build


@pytest.fixture
def edit(moodle: sa.Engine) -> Callable[..., AbstractContextManager[None]]:
    """Write in Moodle for the time of a block: statements; the tables that they write are put back after it."""

    @contextmanager
    def edited(*statements: str, writes: tuple[str, ...] = ("grade_grades",)) -> Iterator[None]:
        with moodle.connect() as connection:
            for table in writes:
                connection.exec_driver_sql(f"CREATE TEMPORARY TABLE kept_{table} SELECT * FROM mdl_{table}")
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.commit()
            try:
                yield
            finally:
                for table in writes:
                    connection.exec_driver_sql(f"DELETE FROM mdl_{table}")
                    connection.exec_driver_sql(f"INSERT INTO mdl_{table} SELECT * FROM kept_{table}")
                    connection.exec_driver_sql(f"DROP TEMPORARY TABLE kept_{table}")
                connection.commit()

    return edited


def folder_of(campaign: Campaign) -> Path:
    return Path(campaign.platform.storage) / campaign.platform.name / str(campaign.year) / "exports"


def sheet(path: Path) -> list[dict[str, Any]]:
    """The rows of an export, each by its headings, which must all differ."""
    headings, *rows = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
    assert len(set(headings)) == len(headings)
    return [dict(zip(headings, row, strict=True)) for row in rows]


def contents(campaign: Campaign) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder_of(campaign).glob("*.xlsx")}


def details(campaign: Campaign, action: str) -> list[Any]:
    journal = tables.journal
    query = sa.select(journal).where(journal.c.stage == "grade_exports", journal.c.action == action)
    with campaign.engine.connect() as connection:
        return list(connection.execute(query.order_by(journal.c.id)))


def test_a_workbook_holds_every_grade_and_feedback_of_the_space(open_campaign: Open) -> None:
    campaign = open_campaign()
    grade_exports(campaign)
    assert {path.stem for path in folder_of(campaign).glob("*.xlsx")} == {
        "LI3INF01", "LI3INF02", "L1MAT101", "M1DRO201", "LETL2H03", "M2CHI305", "ESPCOMP01", "LI3INF01-2024",
    }  # fmt: skip
    query = (
        "SELECT u.email, gi.itemtype, gi.itemmodule, gi.itemname, gg.finalgrade, gg.feedback FROM mdl_grade_grades gg"
        " JOIN mdl_grade_items gi ON gi.id = gg.itemid JOIN mdl_user u ON u.id = gg.userid JOIN mdl_course c"
        " ON c.id = gi.courseid WHERE c.idnumber = %s AND (gg.finalgrade IS NOT NULL OR gg.feedback IS NOT NULL)"
    )
    for code in ("LI3INF01", "LETL2H03", "LI3INF01-2024"):
        rows = {row["Adresse de courriel"]: row for row in sheet(folder_of(campaign) / f"{code}.xlsx")}
        with campaign.server.connect() as connection:
            expected = list(connection.exec_driver_sql(query, (code,)))
        assert len(expected) > 50
        for email, kind, _, name, value, feedback in expected:
            wanted = {"course": "Total du cours", "category": "Total de Contrôle continu", "manual": name}.get(kind)
            (heading,) = [
                h for h in rows[email] if h == f"{wanted} (Brut)" or (not wanted and h.endswith(f" : {name} (Brut)"))
            ]
            assert rows[email][heading] == ("-" if value is None else pytest.approx(float(value), abs=1e-9)), heading
            said = rows[email][heading.replace("(Brut)", "(Feedback)")] or ""
            assert said == (feedback or "").removeprefix("<p>").removesuffix("</p>")
        numbers = sum(isinstance(value, int | float) for row in rows.values() for value in row.values())
        assert numbers == sum(value is not None for *_, value, _ in expected)


def test_headings_are_those_of_moodle_in_the_order_of_the_gradebook(open_campaign: Open) -> None:
    campaign = open_campaign(courses=("LI3INF01",))
    grade_exports(campaign)
    headings = list(sheet(folder_of(campaign) / "LI3INF01.xlsx")[0])
    assert headings[:9] == [
        "Prénom", "Nom de famille", "Numéro d'identification", "Institution", "Département", "Adresse de courriel",
        "Situation", "Devoir : TP noté 1 (Brut)", "Devoir : TP noté 1 (Feedback)",
    ]  # fmt: skip
    assert headings[-7:] == [
        "Oral (Brut)", "Oral (Feedback)", "Total de Contrôle continu (Brut)", "Total de Contrôle continu (Feedback)",
        "Total du cours (Brut)", "Total du cours (Feedback)", "Dernier téléchargement depuis ce cours",
    ]  # fmt: skip
    assert "Test hors ligne : QCM papier (Brut)" in headings  # hidden


def test_totals_come_first_where_the_course_says_so(
    open_campaign: Open, edit: Callable[..., AbstractContextManager[None]]
) -> None:
    first = "INSERT INTO mdl_grade_settings (courseid, name, value) VALUES (2, 'aggregationposition', '0')"
    with edit(first, writes=("grade_settings",)):
        campaign = open_campaign(courses=("LI3INF01",))
        grade_exports(campaign)
    headings = list(sheet(folder_of(campaign) / "LI3INF01.xlsx")[0])
    assert headings[7] == "Total du cours (Brut)"
    assert headings.index("Total de Contrôle continu (Brut)") == headings.index("Oral (Brut)") - 2


def test_people_who_left_are_marked_and_teachers_without_grades_are_left_out(
    open_campaign: Open, edit: Callable[..., AbstractContextManager[None]]
) -> None:
    gone = (
        "UPDATE mdl_user SET deleted = 1 WHERE username = '22300007'",
        "DELETE ue FROM mdl_user_enrolments ue JOIN mdl_enrol e ON e.id = ue.enrolid"
        " WHERE e.courseid = 2 AND ue.userid = (SELECT id FROM mdl_user WHERE username = '22300008')",
    )
    with edit(*gone, writes=("user", "user_enrolments")):
        campaign = open_campaign(courses=("LI3INF01", "M1DRO201"))
        grade_exports(campaign)
    situation = {
        row["Adresse de courriel"].split("@")[0]: row["Situation"]
        for row in sheet(folder_of(campaign) / "LI3INF01.xlsx")
    }
    assert situation["22300007"] == "Compte supprimé"
    assert situation["22300008"] == "Désinscrit"
    assert situation["22300020"] == "Suspendu"
    assert situation["22300001"] is None
    assert "visiteur1" in situation  # enrolled by hand, without any role
    assert not {"enseignant1", "enseignant2", "enseignant3"} & {
        row["Adresse de courriel"].split("@")[0] for row in sheet(folder_of(campaign) / "M1DRO201.xlsx")
        if all(value in (None, "-") for key, value in row.items() if "(Brut)" in key)
    }  # fmt: skip


def test_nothing_is_written_twice(open_campaign: Open) -> None:
    campaign = open_campaign()
    assert missing_exports(campaign) == dict.fromkeys(SPACES, "des notes, et aucun export")
    grade_exports(campaign)
    before = {path: path.stat().st_mtime_ns for path in folder_of(campaign).iterdir()}
    assert missing_exports(campaign) == {}
    grade_exports(open_campaign("autre"))
    assert {path: path.stat().st_mtime_ns for path in folder_of(campaign).iterdir()} == before
    assert "0 classeur écrit et relu, 8 déjà à jour" in details(campaign, "done")[1].detail


def test_a_changed_grade_asks_for_a_new_export_and_the_old_one_stays(
    open_campaign: Open, edit: Callable[..., AbstractContextManager[None]]
) -> None:
    campaign = open_campaign()
    grade_exports(campaign)
    before = contents(campaign)
    with edit(
        "UPDATE mdl_grade_grades SET finalgrade = finalgrade + 0.00001 WHERE id = (SELECT MIN(gg.id)"
        " FROM mdl_grade_grades gg JOIN mdl_grade_items gi ON gi.id = gg.itemid"
        " WHERE gi.courseid = 4 AND gg.finalgrade IS NOT NULL)"
    ):
        missing = missing_exports(campaign)
        assert missing.keys() == {L1MAT101}
        assert "notes modifiées depuis l'export du" in missing[L1MAT101]
        grade_exports(campaign)
        assert missing_exports(campaign) == {}
    after = contents(campaign)
    assert {name for name in before if before[name] != after[name]} == {"L1MAT101.xlsx"}
    (kept,) = after.keys() - before.keys()
    assert kept.startswith("L1MAT101_")
    assert after[kept] == before["L1MAT101.xlsx"]


def test_an_emptied_gradebook_replaces_nothing(
    open_campaign: Open, edit: Callable[..., AbstractContextManager[None]]
) -> None:
    campaign = open_campaign()
    grade_exports(campaign)
    before = contents(campaign)
    with edit("UPDATE mdl_grade_grades SET finalgrade = NULL, rawgrade = NULL, feedback = NULL"):
        assert missing_exports(campaign) == {}
        grade_exports(campaign)
    with edit("DELETE FROM mdl_grade_grades"):
        grade_exports(campaign)
    assert contents(campaign) == before


def test_a_feedback_without_a_grade_is_exported(
    open_campaign: Open, edit: Callable[..., AbstractContextManager[None]]
) -> None:
    only_said = "UPDATE mdl_grade_grades SET finalgrade = NULL, rawgrade = NULL, feedbackformat = 1, feedback = "
    with edit(f"{only_said} NULL", f"{only_said} '<p>Vu</p>' WHERE id = (SELECT MAX(id) FROM mdl_grade_grades)"):
        campaign = open_campaign()
        (courseid,) = missing_exports(campaign)
        grade_exports(campaign)
        assert missing_exports(campaign) == {}
    said = [value for path in folder_of(campaign).glob("*.xlsx") for row in sheet(path) for value in row.values()]
    assert said.count("Vu") == 1
    assert courseid in SPACES


@pytest.mark.parametrize(
    ("damage", "said"), [(Path.unlink, "est absent"), (lambda path: path.write_bytes(b"x"), "a été altéré")]
)
def test_a_damaged_export_is_told_and_made_again(open_campaign: Open, damage: Any, said: str) -> None:
    campaign = open_campaign()
    grade_exports(campaign)
    damage(folder_of(campaign) / "L1MAT101.xlsx")
    missing = missing_exports(campaign)
    assert missing.keys() == {L1MAT101}
    assert said in missing[L1MAT101]
    grade_exports(campaign)
    assert missing_exports(campaign) == {}


def test_the_exports_of_another_site_are_refused(
    open_campaign: Open, edit: Callable[..., AbstractContextManager[None]]
) -> None:
    grade_exports(open_campaign())
    with edit("UPDATE mdl_config SET value = 'ailleurs' WHERE name = 'siteidentifier'", writes=("config",)):
        other = open_campaign("ailleurs")
        for function in (grade_exports, missing_exports):
            with pytest.raises(TransitionError, match="autre site"):
                function(other)


def test_a_space_that_fails_does_not_stop_the_others(open_campaign: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(items: list[Item], *rest: Any) -> Any:
        if any("Oral" in item.name for item in items) and len(items) == 7:
            raise ValueError("illisible")
        return built(items, *rest)

    campaign, built = open_campaign(), workbook.build
    with monkeypatch.context() as patch:
        patch.setattr(workbook, "build", broken)
        grade_exports(campaign)
    failed = {entry.courseid for entry in details(campaign, "failed")}
    assert set() < failed < SPACES
    assert missing_exports(campaign).keys() == failed
    assert f"{len(failed)} en échec" in details(campaign, "done")[0].detail


def test_a_killed_stage_is_taken_up_again(open_campaign: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def killed(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return export(*arguments)

    campaign, export = open_campaign(), grades._export
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(grades, "_export", killed)
        grade_exports(campaign)
    assert len(missing_exports(campaign)) == 5
    grade_exports(campaign)
    assert missing_exports(campaign) == {}
    assert len(contents(campaign)) == 8


ONE_GRADE = """UPDATE mdl_grade_grades SET finalgrade = finalgrade + 0.5 WHERE id = (SELECT MIN(gg.id)
 FROM mdl_grade_grades gg JOIN mdl_grade_items gi ON gi.id = gg.itemid
 WHERE gi.courseid = 4 AND gg.finalgrade IS NOT NULL)"""


@pytest.mark.parametrize("moment", ["write", "_save"])
def test_an_export_that_is_replaced_outlives_every_kill(
    open_campaign: Open, edit: Callable[..., AbstractContextManager[None]], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    campaign = open_campaign()
    grade_exports(campaign)
    first = contents(campaign)["L1MAT101.xlsx"]
    with edit(ONE_GRADE):
        for _ in range(3):
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                if moment == "write":  # renamed, not yet written
                    patch.setattr(storage, "write", killed)
                patch.setattr(grades, "_save", killed)  # written, not yet noted
                grade_exports(campaign)
        grade_exports(campaign)
        assert missing_exports(campaign) == {}
    found = contents(campaign)
    [kept] = [name for name, content in found.items() if content == first]
    export = exported(campaign)[L1MAT101]
    assert kept in export.previous
    assert export.file == "L1MAT101.xlsx" != kept


NEW_SPACE = """INSERT INTO mdl_course (id, category, fullname, shortname, idnumber)
 VALUES (99999, 1, 'Neuf', 'L1MAT101n', 'L1MAT101');
INSERT INTO mdl_context (contextlevel, instanceid, depth, path) VALUES (50, 99999, 3, '/1/999/99999');
INSERT INTO mdl_grade_categories (id, courseid, depth, fullname, timecreated, timemodified)
 VALUES (99999, 99999, 1, '?', 0, 0);
INSERT INTO mdl_grade_items (courseid, itemtype, iteminstance) VALUES (99999, 'course', 99999)"""


def test_a_space_that_gets_the_code_of_another_leaves_its_export(
    open_campaign: Open, edit: Callable[..., AbstractContextManager[None]]
) -> None:
    campaign = open_campaign()
    grade_exports(campaign)
    before = contents(campaign)
    archived = "UPDATE mdl_course SET idnumber = 'ex_2025_L1MAT101' WHERE id = 4"
    writes = ("grade_grades", "course", "context", "grade_categories", "grade_items")
    with edit("DELETE FROM mdl_grade_grades", archived, *NEW_SPACE.split(";"), writes=writes):
        later = open_campaign("later")
        grade_exports(later)
        grade_exports(later)
        assert exported(later)[99999].file == "L1MAT101 (99999).xlsx"
        assert missing_exports(later) == {}
    after = contents(campaign)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"L1MAT101 (99999).xlsx"}


def test_two_spaces_never_share_a_file_name(
    open_campaign: Open, edit: Callable[..., AbstractContextManager[None]]
) -> None:
    codes = {4: "A/B", 5: "a_b", 6: "../M", 7: "", 8: "A_B-4"}
    statements = [
        f"UPDATE mdl_course SET idnumber = '{code}' WHERE id = {courseid}" for courseid, code in codes.items()
    ]
    with edit(*statements, writes=("course",)):
        campaign = open_campaign()
        grade_exports(campaign)
        assert missing_exports(campaign) == {}
    named = {"A_B (4).xlsx", "a_b (5).xlsx", "_M.xlsx", "7.xlsx", "A_B-4.xlsx"}
    assert named < contents(campaign).keys()
    assert len(contents(campaign)) == 8


def test_a_feedback_that_no_workbook_can_hold_leaves_its_cell_empty(
    open_campaign: Open, edit: Callable[..., AbstractContextManager[None]]
) -> None:
    unprintable = ONE_GRADE.replace("finalgrade = finalgrade + 0.5", "feedback = CHAR(11), feedbackformat = 2")
    with edit(unprintable):
        campaign = open_campaign()
        grade_exports(campaign)
        assert missing_exports(campaign) == {}


def test_only_the_owner_can_read_and_the_manifest_names_nobody(open_campaign: Open) -> None:
    campaign = open_campaign()
    grade_exports(campaign)
    assert stat.S_IMODE(folder_of(campaign).stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder_of(campaign).iterdir()} == {0o600}
    assert "22300001" not in (folder_of(campaign) / "manifest.json").read_text()
