"""Every decision through every stage of the chain, and the report of differences that tells it.

One campaign on the real database, in a world where each decision is present. What a stage did is looked up where it
leaves it (files, Moodle's rows, the archive), by other means than its own; what the workbook says, likewise.
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from demo.server import PrivateMariaDB
from tests.rules.expected_rows import TEACHERS
from tests.support.campaign import NEWCOMERS, REPEATERS
from tests.support.dump import compare
from tests.support.every_decision import ALL, NAME, SPACES, Done, carried_out
from transition.components import components

# What must happen to a space, by its decision; where it says no, it must not.
MATRIX = """
                 reset  archive  defer  exclude  hold
  july_backup    yes    yes      yes    yes      yes
  grade_exports  yes    yes      yes    yes      yes
  plan           yes    yes      no     no       no
  freeze         yes    yes      no     no       no
  ex_rename      no     yes      no     no       no
  purge          yes    yes      no     no       no
  unenrolment    yes    yes      no     no       no
  enrolment      yes    no       no     no       no
  verify         yes    yes      no     no       no
  report         yes    yes      no     no       no
"""
LABELS = {"reset": "à réinitialiser", "archive": "à archiver (ex_)", "defer": "différé", "exclude": "exclu",
          "hold": "en attente d'une décision"}  # fmt: skip
PLURALS = {"différé": "différés", "exclu": "exclus"}
_TEACHERS = {int(one) for one in TEACHERS.strip("()").split(",")}


def cells() -> list[tuple[str, str, bool]]:
    head, *rows = (line.split() for line in MATRIX.strip().splitlines())
    return [(stage, decision, cell == "yes") for stage, *row in rows for decision, cell in zip(head, row, strict=True)]


@pytest.fixture(scope="module")
def done(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    yield from carried_out(server, reference, tmp_path_factory.mktemp("every_decision"))


def gone(done: Done, table: str) -> frozenset[int]:
    return frozenset(done.before[table].keys() - done.after[table].keys())


def students(done: Done, when: str) -> dict[int, set[int]]:
    """Who is enrolled in each space or holds a role in it, teachers aside."""
    tables: Any = getattr(done, when)
    space = {row["id"]: row["courseid"] for row in tables["enrol"].values()}
    found: dict[int, set[int]] = {courseid: set() for courseid in ALL}
    for row in tables["user_enrolments"].values():
        found.setdefault(space[row["enrolid"]], set()).add(row["userid"])
    paths = {row["path"]: row["instanceid"] for row in tables["context"].values() if row["contextlevel"] == 50}
    courses = {
        row["id"]: courseid
        for row in tables["context"].values()
        for path, courseid in paths.items()
        if f"{row['path']}/".startswith(f"{path}/")
    }
    for row in tables["role_assignments"].values():
        if row["contextid"] in courses:
            found.setdefault(courses[row["contextid"]], set()).add(row["userid"])
    return {courseid: users - _TEACHERS for courseid, users in found.items() if courseid in ALL}


def backed_up(done: Done) -> set[int]:
    """Spaces whose rows are in a verified set on the disk."""
    sets = [path.parent for path in (done.storage / "backup").glob("*/verified.json")]
    return {int(one) for folder in sets for one in json.loads((folder / "manifest.json").read_text())["spaces"]}


def exported(done: Done) -> set[int]:
    spaces = json.loads((done.storage / "exports" / "manifest.json").read_text())["spaces"]
    return {int(one) for one, export in spaces.items() if (done.storage / "exports" / export["file"]).stat().st_size}


def frozen(done: Done) -> set[int]:
    schema = f"{NAME}_2026"
    names = done.column(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}'")
    keys = [name for name in map(str, names) if name.startswith("key_")]
    assert len(keys) > 50
    return set().union(*(done.column(f"SELECT DISTINCT courseid FROM {schema}.{name}") for name in keys))


def renamed(done: Done) -> set[int]:
    moved = {"fullname", "shortname", "category"}
    return {id_ for id_, columns in compare(done.before, done.after)["course"].changed.items() if columns & moved}


def purged(done: Done) -> set[int]:
    """Spaces of which any trace is gone."""
    return {
        courseid
        for courseid, tables in done.traces.items()
        if any(ids & gone(done, table) for table, ids in tables.items())
    }


def unenrolled(done: Done) -> set[int]:
    before, after = students(done, "before"), students(done, "after")
    return {courseid for courseid in ALL if before[courseid] - after[courseid]}


def enrolled(done: Done) -> set[int]:
    new = {id_ for id_, row in done.after["user"].items() if row["username"] in NEWCOMERS}
    return {courseid for courseid, users in students(done, "after").items() if users & new}


def reported(done: Done) -> set[int]:
    """Spaces of which the workbook says « fait »."""
    names = {row["idnumber"]: id_ for id_, row in done.after["course"].items()}
    return {names[row["Code"]] for row in sheet(report(done), "Espaces") if row["État"] == "fait"}


SEEN: dict[str, Callable[[Done], set[int]]] = {
    "july_backup": backed_up,
    "grade_exports": exported,
    "plan": lambda done: done.column(f"SELECT DISTINCT courseid FROM {NAME}_transition.plan_line"),
    "freeze": frozen,
    "ex_rename": renamed,
    "purge": purged,
    "unenrolment": unenrolled,
    "enrolment": enrolled,
    "verify": lambda done: done.column(f"SELECT courseid FROM {NAME}_transition.space_reset"),
    "report": reported,
}


@pytest.mark.parametrize(("stage", "decision", "happens"), cells())
def test_what_each_stage_does_to_each_decision(done: Done, stage: str, decision: str, happens: bool) -> None:
    assert SEEN[stage](done) & SPACES[decision] == (SPACES[decision] if happens else set())


def test_every_space_was_decided_as_the_world_was_made(done: Done) -> None:
    for decision, spaces in SPACES.items():
        query = f"SELECT courseid FROM {NAME}_transition.decision WHERE decision = '{decision}'"
        assert done.column(query) == spaces, decision


@pytest.mark.parametrize("courseid", sorted(ALL))
def test_all_traces_go_or_none(done: Done, courseid: int) -> None:
    assert sum(map(len, done.traces[courseid].values())) > 1_000, "the space has no traces: the test proves nothing"
    in_scope = courseid in SPACES["reset"] | SPACES["archive"]
    for table, ids in done.traces[courseid].items():
        assert ids & gone(done, table) == (ids if in_scope else frozenset()), table


def test_no_other_row_goes_and_protected_spaces_keep_their_people(done: Done) -> None:
    allowed = {
        table: frozenset().union(*(done.traces[courseid].get(table, frozenset()) for courseid in (2, 3)))
        for table in done.before
    }
    extra = {table: gone(done, table) - allowed[table] for table in done.before}
    assert {table for table, ids in extra.items() if ids} <= {"user_enrolments", "role_assignments", "user_preferences"}
    before, after = students(done, "before"), students(done, "after")
    for courseid in ALL - {2, 3}:
        assert before[courseid] == after[courseid] != set()
    changed = compare(done.before, done.after)
    assert set(changed["course"].changed) <= {2, 3}


def report(done: Done) -> bytes:
    return (done.storage / "reports" / "differences-essai.xlsx").read_bytes()


def sheet(content: bytes, name: str) -> list[dict[str, Any]]:
    """The rows of a sheet's table, by heading; what is above the table is left out."""
    rows = list(openpyxl.load_workbook(BytesIO(content))[name].iter_rows(values_only=True))
    head = next(number for number, row in enumerate(rows) if row[0] in ("Composante", "Changement"))
    return [dict(zip(rows[head], row, strict=True)) for row in rows[head + 1 :]]


def by_code(content: bytes, name: str) -> dict[str, dict[str, Any]]:
    return {row["Code"]: row for row in sheet(content, name)}


def test_the_sheets_are_for_reading(done: Done) -> None:
    book = openpyxl.load_workbook(BytesIO(report(done)))
    assert book.sheetnames == ["Synthèse", "Espaces", "Maquette", "À vérifier", "Inscriptions"]
    for one in book:
        head = int(one.freeze_panes.removeprefix("A")) - 1
        assert one.auto_filter.ref.startswith(f"A{head}:")
        assert all(cell.value and cell.font.bold for cell in one[head])
        assert all(one.column_dimensions[cell.column_letter].width >= 10 for cell in one[head])
        assert {cell.data_type for row in one.iter_rows() for cell in row} <= {"s", "n", "d"}
    assert book["Espaces"]["F4"].value == "=Programmation objet", "a name that begins with = is text"
    assert "differences-essai.xlsx" in (done.storage / "reports" / "essai.html").read_text(encoding="utf-8")


def test_no_student_is_named(done: Done) -> None:
    book = openpyxl.load_workbook(BytesIO(report(done)))
    said = " ".join(str(cell) for one in book for row in one.iter_rows(values_only=True) for cell in row if cell)
    people = [row for row in done.after["user"].values() if row["username"][:3] in ("223", "226")]
    assert people
    assert not any(row["username"] in said or row["lastname"] in said for row in people)


def test_each_space_before_and_after(done: Done) -> None:
    """Planned and done, against Moodle's own rows before and after."""
    before, after = students(done, "before"), students(done, "after")
    codes = {row["idnumber"]: id_ for id_, row in done.before["course"].items()}
    for content, state in ((done.planned, "prévu"), (report(done), "fait")):
        rows = by_code(content, "Espaces")
        assert {codes[code] for code in rows} == ALL
        for code, row in rows.items():
            courseid = codes[code]
            assert row["Décision"] == next(LABELS[name] for name, spaces in SPACES.items() if courseid in spaces)
            assert row["Nom avant"] == done.before["course"][courseid]["fullname"]
            assert row["Nom après"] == done.after["course"][courseid]["fullname"]
            assert row["Groupes"] == sum(g["courseid"] == courseid for g in done.after["groups"].values())
            assert (row["Sauvegarde"], type(row["Sauvegardé le"])) == ("oui", datetime)
            assert (done.storage / "exports" / row["Export des notes"]).is_file()
            touched = courseid in {2, 3}
            assert row["État"] == (state if touched else "non traité")
            people = (len(before[courseid]), len(before[courseid] - after[courseid]),
                      len(before[courseid] & after[courseid]), len(after[courseid] - before[courseid]),
                      len(after[courseid]), len(_TEACHERS))  # fmt: skip
            found = ("Étudiants avant", "Sortants", "Restants", "Entrants", "Étudiants après", "Enseignants")
            assert tuple(row[heading] for heading in found) == (people if touched else (None,) * 6)
            moved = done.column(f"SELECT COALESCE(SUM(n), 0) FROM ({_rows_moved(done)}) m WHERE courseid = {courseid}")
            assert {row["Lignes prévues"]} == moved
            assert row["Lignes déplacées"] == (row["Lignes prévues"] if state == "fait" else 0)
        archived = rows["LI3INF02"]
        assert archived["Catégorie avant"] == "Ecampus / UFR des Sciences / Licence Informatique"
        place = (archived["Nom après"], archived["Catégorie après"])
        assert place == ("ex_Bases de données", "Archives / Archives 2025-2026")


def _rows_moved(done: Done) -> str:
    """SQL: what the archive holds of each space, as its keys tell: (courseid, n)."""
    schema = f"{NAME}_2026"
    names = done.column(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}'")
    return " UNION ALL ".join(
        f"SELECT k.courseid, COUNT(*) AS n FROM {schema}.{key} k JOIN {schema}.mdl_{key.removeprefix('key_')} t"
        " ON t.id = k.id GROUP BY k.courseid"
        for key in sorted(map(str, names))
        if key.startswith("key_")
    )


def test_the_summary_adds_up_and_counts_people_once(done: Done) -> None:
    rows = {row["Composante"]: row for row in sheet(report(done), "Synthèse")}
    spaces = sheet(report(done), "Espaces")
    before, after = students(done, "before"), students(done, "after")
    assert list(rows) == ["Archives", "DRO", "SCI", "SHS", "VIE", "Total"]
    for component, row in rows.items():
        own = [space for space in spaces if component in (space["Composante"], "Total")]
        assert row["Espaces"] == len(own)
        for heading in ("Lignes prévues", "Lignes déplacées"):
            assert row[heading] == sum(space[heading] for space in own)
        for label in LABELS.values():
            heading = PLURALS.get(label, label)
            assert row[heading[0].upper() + heading[1:]] == sum(space["Décision"] == label for space in own)
        assert row["Concernés"] == sum(space["État"] == "fait" for space in own)
        assert row["Exports de notes"] == len(own)
    for component in ("SCI", "Total"):
        people = [len(when[2] | when[3]) for when in (before, after)]
        assert [rows[component]["Étudiants avant"], rows[component]["Étudiants après"]] == people
        assert people[0] < sum(space["Étudiants avant"] or 0 for space in spaces)
        assert rows[component]["Enseignants"] == len(_TEACHERS)
    first = openpyxl.load_workbook(BytesIO(done.planned))["Synthèse"]
    assert first["A2"].value == "Prévu : rien n'a encore été écrit dans Moodle."
    assert openpyxl.load_workbook(BytesIO(report(done)))["Synthèse"]["A2"].value == "Fait et vérifié."


def test_the_component_comes_from_the_year_then_from_the_last_then_from_the_category(done: Done) -> None:
    found = components(done.campaign)
    assert (found[6], found[3], found[9]) == ("SHS", "SCI", "Archives")
    assert found[4] == found[7] == "SCI", "codes are compared, not spelt alike"


def test_the_model_s_changes(done: Done) -> None:
    rows = {(row["Changement"], row["Code"]): (row["Avant"], row["Après"], row["Espace"])
            for row in sheet(report(done), "Maquette")}  # fmt: skip
    assert rows == {
        ("entré", "NEUF01"): ("absent en 2025", "ouvert en 2026", "=Programmation objet"),
        ("sorti", "PARTI01"): ("ouvert en 2025", "absent en 2026", None),
        ("sorti", "LI3INF02"): ("ouvert en 2025", "absent en 2026", "Bases de données"),
        ("sorti", "SUSPENDU1"): ("ouvert en 2025", "suspendu en 2026", None),
        ("revenu", "RETOUR01"): ("fermé en 2025", "ouvert en 2026", None),
        ("revenu", "ANCIEN01"): ("absent en 2025, ouvert en 2024", "ouvert en 2026", None),
        ("porteur changé", "PORTE01"): ("L1MAT101", "LI3INF01", "=Programmation objet"),
        ("composante changée", "LETL2H03"): ("LET", "SHS", "Littérature du XIXe siècle"),
        ("sans espace", "RETOUR01"): (None, "ouvert en 2026", None),
        ("sans espace", "ANCIEN01"): (None, "ouvert en 2026", None),
        ("sans espace", "L1MAT101"): (None, "ouvert en 2026", None),
    }


def test_what_to_check_and_who_is_enrolled(done: Done) -> None:
    dates = openpyxl.load_workbook(done.storage / "reports" / "essai-dates.xlsx").active
    listed = [tuple(row.values())[1:] for row in sheet(report(done), "À vérifier")]
    assert listed == list(dates.iter_rows(min_row=2, values_only=True)) != []
    assert {row["Composante"] for row in sheet(report(done), "À vérifier")} == {"SCI"}
    registered = len(NEWCOMERS) + len(REPEATERS) + 1
    for content, present in ((done.planned, len(REPEATERS)), (report(done), registered - 1)):
        [row] = sheet(content, "Inscriptions")
        assert tuple(row.values()) == (
            "SCI", "LI3INF01", "=Programmation objet", registered, registered - 1, 1, present, registered - 1 - present,
        )  # fmt: skip
