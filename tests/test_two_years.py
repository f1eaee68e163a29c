"""Two years in a row: a space is archived, its code comes back to the model, and a new element gets its space."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.support.campaign import MODELLED, NEWCOMERS, add_newcomers, reference_feed, reference_platform, run_chain
from tests.support.dump import Rows, compare, dump
from tests.support.feed import element, registrations, write_year
from tests.support.moodle_rest import FUNCTIONS, MoodleRest, moodle_rest
from transition import create_spaces, missing, storage
from transition.campaign import Campaign
from transition.errors import TransitionError, UnreachableError
from transition.ex_changes import last_changes
from transition.ex_return import bring_back
from transition.expiry import spaces as expiry
from transition.expiry.item import Item
from transition.moodle.database import open_engine
from transition.moodle.web_service import WebService
from transition.plan import approved_by
from transition.report.space_lines import SpaceLine, read_lines, read_people
from transition.restore.history import find_space
from transition.restore.names import put_name_back
from transition.state import tables

NAME, SPACE, SIBLING, CODE, NEW = "annees", 3, 2, "LI3INF02", "NOUVEAU1"
# Without the backup of every space: the freeze backs up those that change.
TO_THE_PLAN = ["preflight", "grade_exports", "apogee_sync", "detect_missing", "plan"]
FROM_THE_FREEZE = [
    "maintenance_on", "freeze", "ex_rename", "purge", "file_contents", "enrolment", "verify", "maintenance_off",
    "report",
]  # fmt: skip


@dataclass
class Years:
    """Moodle at first, with the space archived, with the space back; the campaigns and what they went through."""

    campaign: Campaign
    service: MoodleRest
    dumps: list[dict[str, Rows]] = field(default_factory=list)
    held: dict[str, dict[int, tuple[str, str]]] = field(default_factory=dict)
    sentence: str = ""
    foreseen: dict[int, SpaceLine] = field(default_factory=dict)

    def dump(self) -> dict[str, Rows]:
        return dump(self.campaign.server, f"{NAME}_moodle")

    def execute(self, statement: str) -> Any:
        with self.campaign.engine.begin() as connection:
            result = connection.execute(sa.text(statement))
            return result.all() if result.returns_rows else result.lastrowid

    def decisions(self, campaign: Campaign) -> dict[int, tuple[str, str]]:
        run_chain(campaign, ["detect_missing"])
        columns = tables.decision.c
        query = sa.select(columns.courseid, columns.decision, columns.reason).where(columns.run == campaign.run)
        with campaign.engine.connect() as connection:
            return {row.courseid: (row.decision, row.reason) for row in connection.execute(query)}


@pytest.fixture(scope="module")
def years(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Years]:
    folder = tmp_path_factory.mktemp(NAME)
    load_dump(server, reference / DUMP, f"{NAME}_moodle")
    engine = open_engine(server.url(f"{NAME}_moodle"))
    add_newcomers(engine)
    reference_feed(folder)
    platform = reference_platform(folder / "storage", name=NAME, archived_idnumber="apart")
    with moodle_rest(engine, platform.site) as service:
        first = Campaign(platform, 2026, "2026", engine, dry_run=False, feed=folder, courses=(CODE,))
        years = Years(first, service)
        years.dumps.append(years.dump())
        run_chain(first)
        years.dumps.append(years.dump())
        years.campaign = _next_year(first, folder, service)
        _look_around(years)
        _carry_out(years)
        years.dumps.append(years.dump())
        yield years
    engine.dispose()
    drop_databases(server, {f"{NAME}_{what}" for what in ("moodle", "transition", "2026", "2027")})


def _next_year(first: Campaign, folder: Path, service: MoodleRest) -> Campaign:
    """The campaign of 2027, whose model has the code again and a new element; the other spaces are excluded."""
    codes = [element(code) for code in (*MODELLED, NEW)]
    excluded = [{"cible_type": "cours", "cible": code, "type": "exclu"} for code in MODELLED if code != CODE]
    registered = {**dict.fromkeys(MODELLED, NEWCOMERS), NEW: NEWCOMERS[:2]}
    teachers = [{"code": code, "identifiant": "enseignant1"} for code in registered]
    people = {"enseignant_affectation": teachers, **registrations(registered)}
    write_year(folder, 2027, {"element": codes, "exception_calendrier": excluded, **people})
    more = {
        "connections": first.platform.connections.model_copy(update={"moodle_ws": "moodle_ws"}),
        "categories": first.platform.categories.model_copy(update={"new_spaces": "UFR-SCI"}), "create_missing": True,
    }  # fmt: skip
    return replace(
        first, platform=first.platform.model_copy(update=more), year=2027, run_id="2027", courses=(),
        web_service=WebService(service.url, service.token),
    )  # fmt: skip


def _look_around(years: Years) -> None:
    """What would be decided if the code had got a twin, or the category were gone; a run of this code alone."""
    dry = replace(years.campaign, run_id="2027-essai", dry_run=True, courses=(CODE,))
    run_chain(dry, ["preflight", "apogee_sync"])
    years.held["back"] = years.decisions(dry)
    columns = "category, sortorder, fullname, shortname, idnumber, visible"
    twin = years.execute(f"INSERT INTO mdl_course ({columns}) VALUES (3, 30001, 'Jumeau', '{CODE}', '{CODE}', 1)")
    years.held["twin"] = {**years.decisions(dry), SIBLING: years.decisions(dry)[twin]}
    years.execute(f"DELETE FROM mdl_course WHERE id = {twin}")
    years.execute("UPDATE mdl_course_categories SET id = 400 WHERE id = 4")
    years.held["no category"] = years.decisions(dry)
    years.execute("UPDATE mdl_course_categories SET id = 4 WHERE id = 400")
    years.execute(f"UPDATE mdl_course SET visible = 0 WHERE id = {SPACE}")
    years.held["hidden"] = years.decisions(dry)
    years.execute(f"UPDATE mdl_course SET visible = 1 WHERE id = {SPACE}")
    with years.campaign.engine.begin() as connection:
        expiry.hide(connection, dry, Item("space", 2026, str(SPACE), "hide", "", None, CODE))
    years.held["hidden by the expiry"] = years.decisions(dry)


def _carry_out(years: Years) -> None:
    """The chain; the answer to the creation gets lost, and the stage is run again."""
    campaign, service = years.campaign, years.service
    run_chain(campaign, TO_THE_PLAN)
    years.sentence = missing.sentence(campaign)
    years.foreseen = {line.courseid: line for line in read_lines(campaign, read_people(campaign))}
    with pytest.raises(TransitionError, match="n'est pas approuvé"):
        run_chain(campaign, ["create_spaces"])
    run_chain(campaign, ["approval"])
    assert FUNCTIONS[2] not in service.calls
    service.lose = 1
    with pytest.raises(UnreachableError, match="ne répond pas à core_course_create_courses"):
        run_chain(campaign, ["create_spaces"])
    run_chain(campaign, ["create_spaces"])
    assert approved_by(campaign) == "test"
    run_chain(campaign, FROM_THE_FREEZE)


def test_the_code_of_an_archived_space_still_names_it(years: Years) -> None:
    first, archived, _ = years.dumps
    assert first["course"][SPACE]["idnumber"] == CODE
    assert archived["course"][SPACE]["idnumber"] == f"ex_2025_{CODE}"
    of_2026 = replace(years.campaign, year=2026)
    assert find_space(of_2026, CODE).courseid == SPACE
    (year,) = compare(first, archived)["course_categories"].added
    assert archived["course"][SPACE]["category"] == year
    with years.campaign.engine.connect() as connection:
        space = tables.space_context.c
        limited = (
            sa.select(sa.func.count()).where(space.courseid == SPACE).join(tables.run, tables.run.c.number == space.run)
        )
        assert connection.execute(limited.where(tables.run.c.run_id == "2027-essai")).scalar_one() > 40


def test_what_is_decided_of_an_archived_space_whose_code_is_back(years: Years) -> None:
    decision, reason = years.held["back"][SPACE]
    assert decision == "reset"
    assert reason.startswith("retour dans la maquette après archivage, nom et catégorie lui sont rendus : dans la maqu")
    assert {years.held["twin"][id_][0] for id_ in (SPACE, SIBLING)} == {"hold"}
    assert "un autre espace le porte aussi" in years.held["twin"][SPACE][1]
    assert f"le code {CODE} est porté par 2 espaces" in years.held["twin"][SIBLING][1]
    decision, reason = years.held["no category"][SPACE]
    assert (decision, reason[-60:]) == ("hold", "course_categories : la catégorie 4 de l'espace n'existe plus")
    assert years.held["hidden"][SPACE][0] == "hold"
    assert years.held["hidden by the expiry"] == years.held["back"]


def test_it_leaves_archives_as_it_had_been(years: Years) -> None:
    first, archived, back = years.dumps
    foreseen = years.foreseen[SPACE]
    assert (foreseen.before.name, foreseen.after.name) == (archived["course"][SPACE]["fullname"], "Bases de données")
    assert foreseen.before.category == "Archives / Archives 2025-2026"
    assert foreseen.after.category == "Ecampus / UFR des Sciences / Licence Informatique"
    moments = {"timemodified", "cacherev"}
    changed = compare(first, back)["course"].changed
    assert changed[SPACE] == moments
    new_neighbours = {id_: frozenset({"sortorder"}) for id_, row in back["course"].items() if row["category"] == 3}
    assert {id_: columns - moments for id_, columns in changed.items() if columns - moments} == {
        id_: columns for id_, columns in new_neighbours.items() if id_ in first["course"]
    }
    assert compare(first, back)["context"].changed == {}
    assert {row["contextlevel"] for row in map(back["context"].get, compare(first, back)["context"].added) if row} == {
        40,
        50,
    }
    since = compare(archived, back)
    assert {name for name, difference in since.items() if difference.gone} == set()
    assert set(since) == {
        "course", "course_categories", "context", "course_sections", "enrol", "user_enrolments", "role_assignments",
    }  # fmt: skip
    for table in ("user_enrolments", "role_assignments", "enrol"):
        assert since[table].changed == {}
    assert set(since["course"].changed) == {SPACE, SIBLING, 4, 7}
    assert since["course"].changed[SIBLING] == {"sortorder"}
    assert set(since["course_categories"].changed.values()) == {frozenset({"coursecount"})}


def enrolled(years: Years, courseid: int) -> set[tuple[str, str]]:
    return set(
        years.execute(
            "SELECT u.username, e.enrol FROM mdl_user_enrolments ue JOIN mdl_enrol e ON e.id = ue.enrolid"
            f" JOIN mdl_user u ON u.id = ue.userid WHERE e.courseid = {courseid} AND ue.status = 0"
        )
    )


def test_its_teachers_stay_and_the_new_students_come(years: Years) -> None:
    teachers = {"enseignant1", "enseignant2", "enseignant3", "charge.td"}
    found = enrolled(years, SPACE)
    assert {name for name, method in found if method == "manual"} == teachers
    assert {name for name, method in found if method == "database"} - teachers == set(NEWCOMERS)


def test_the_new_element_has_one_space_and_its_students(years: Years) -> None:
    assert years.sentence == (
        "Éléments de la maquette sans espace : 1, dont 1 sera créé après l'approbation ; liste :"
        " reports/espaces-a-creer.csv."
    )
    ((courseid, fullname, category),) = years.execute(
        f"SELECT id, fullname, category FROM mdl_course WHERE idnumber = '{NEW}'"
    )
    assert (fullname, category) == (f"{NEW} - Élément {NEW}", 3)
    assert enrolled(years, courseid) == {(name, "database") for name in NEWCOMERS[:2]}
    assert [line["courseid"] for line in missing.listed(years.campaign)] == [courseid]
    reports = storage.folder(years.campaign, "reports")
    with (reports / missing.CSV_NAME).open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == 1, "nothing is left to create"
    page = (reports / "2027.html").read_text(encoding="utf-8")
    assert f"espace {courseid} créé" in page
    kept = "SELECT COUNT(*) FROM annees_transition.space_reset WHERE year = 2027 AND courseid"
    assert years.execute(f"{kept} IN ({SPACE}, {courseid})") == [(2,)], "the new year's own from now on"


def test_a_second_run_changes_nothing(years: Years) -> None:
    again = replace(years.campaign, run_id="2027-encore")
    stages = ["preflight", "apogee_sync", "detect_missing", "plan", "approval", "create_spaces", "freeze", "ex_rename"]
    run_chain(again, [*stages, "enrolment", "verify"])
    assert compare(years.dumps[2], years.dump()) == {}


def test_what_may_be_wrong_with_the_web_service(years: Years) -> None:
    service, campaign = years.service, years.campaign
    assert list(create_spaces.check_web_service(campaign)) == []
    service.site, service.functions = "https://autre.example", FUNCTIONS[:2]
    findings = list(create_spaces.check_web_service(campaign))
    assert "est celui de https://autre.example" in findings[0]
    assert "n'offre pas core_course_create_courses" in findings[1]
    right = WebService(service.url, "jeton")
    calls = {
        "refuse core_course_create_courses (accessexception : Exception de contrôle d'accès)": right,
        "(invalidtoken : Jeton invalide": WebService(service.url, "autre"),
        "ne répond pas comme le service web d'un Moodle (HTTP 404)": WebService(f"{service.url}/ailleurs", "jeton"),
        "ne répond pas à core_course_create_courses (ConnectionError)": WebService("http://127.0.0.1:9", "jeton"),
    }  # fmt: skip
    for expected, wrong in calls.items():
        with pytest.raises((TransitionError, UnreachableError), match=re.escape(expected)) as refusal:
            wrong.call(FUNCTIONS[2], courses=[{"shortname": "X"}])
        assert "SECRET" not in str(refusal.value)
    service.status = 503
    with pytest.raises(UnreachableError, match=r"HTTP 503.*maintenance"):
        right.call(FUNCTIONS[2])
    service.status, service.site, service.functions = 200, campaign.platform.site, list(FUNCTIONS)


def test_the_return_can_be_undone_and_done_again(years: Years) -> None:
    """A restore of 2027 puts it into Archives again, hidden, known as what 2026 archived and the expiry hid."""
    _, archived, back = years.dumps
    put_name_back(years.campaign, SPACE)
    changed = compare(archived, years.dump())
    hidden = frozenset({"cacherev", "timemodified", "visible", "visibleold"})
    assert changed["course"].changed == {SPACE: hidden, **dict.fromkeys((4, 7), frozenset({"sortorder"}))}
    assert changed["context"].changed == {}
    change = last_changes(years.campaign)[SPACE]
    assert (change.year, change.archived_in, change.idnumber) == (2026, None, CODE)
    assert (change.visible, change.new_visible) == (1, 0)
    years.execute(f"DELETE FROM annees_transition.space_reset WHERE year = 2027 AND courseid = {SPACE}")
    again = replace(years.campaign, run_id="2027-de-nouveau", dry_run=True, courses=(CODE,))
    run_chain(again, ["preflight", "apogee_sync"])
    assert years.decisions(again)[SPACE] == years.held["back"][SPACE]
    with again.engine.begin() as connection:
        bring_back(connection, again, "essai", SPACE)
        bring_back(connection, again, "essai", SPACE)
    assert compare(back, years.dump())["course"].changed == {SPACE: frozenset({"cacherev", "timemodified"})}
