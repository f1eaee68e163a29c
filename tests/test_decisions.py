"""What the campaign decides about each space of the real database; the whole matrix is in test_decide.py."""

import csv
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.support.campaign import LEFT_THE_MODEL, MODELLED, reference_feed, reference_platform
from tests.support.feed import element, registrations, write_year
from tests.test_decide import COMPLEMENTARY
from transition import missing, storage
from transition.apogee import tables as apogee
from transition.apogee.model import load_model
from transition.apogee.stage import apogee_sync
from transition.campaign import Campaign, now
from transition.decisions import detect_missing, still_excluded
from transition.errors import TransitionError
from transition.ex_changes import remember
from transition.ex_return import coming_back
from transition.moodle.database import open_engine
from transition.spaces import check_categories
from transition.state import schema, tables


@pytest.fixture
def campaign(server: PrivateMariaDB, reference_moodle: sa.Engine, tmp_path: Path) -> Iterator[Campaign]:
    """What decisions read of the real platform, in a database of the test's own."""
    name = f"decisions_{secrets.token_hex(4)}"
    everything = sa.create_engine(server.url(), isolation_level="AUTOCOMMIT")
    with everything.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        for table in ("mdl_course", "mdl_course_categories", "mdl_forum", "mdl_forum_discussions"):
            origin = f"{reference_moodle.url.database}.{table}"
            connection.execute(sa.text(f"CREATE TABLE {name}.{table} LIKE {origin}"))
            connection.execute(sa.text(f"INSERT INTO {name}.{table} SELECT * FROM {origin}"))
    reference_feed(tmp_path / "feed")
    engine = open_engine(server.url(name))
    made = Campaign(reference_platform(tmp_path, name=name), 2026, "run", engine, feed=tmp_path / "feed")
    schema.upgrade(made)
    yield made
    engine.dispose()
    with everything.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {made.state_schema}"))
        connection.execute(sa.text(f"DROP DATABASE {name}"))
    everything.dispose()


def feed(campaign: Campaign, *, lot: Any = 0, **tables_: Any) -> None:
    """A feed of the reference's model with other tables; `lot` tells two lots of the same year apart."""
    assert isinstance(campaign.feed, Path)
    elements = [element(code) for code in MODELLED if code != LEFT_THE_MODEL]
    people = registrations({"LI3INF01": ["22600001"]})
    write_year(campaign.feed, 2026, {"element": elements, **people, **tables_})
    manifest = campaign.feed / "2026" / "lot.csv"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("apogee-2026", f"apogee-2026-{lot}"), "utf-8")


def decisions(campaign: Campaign) -> dict[str, tuple[str, str, bool]]:
    columns = tables.decision.c
    query = sa.select(columns.code, columns.decision, columns.reason, columns.in_scope)
    with campaign.engine.connect() as connection:
        rows = connection.execute(query.where(columns.run == campaign.run))
        return {row.code: (row.decision, row.reason, row.in_scope) for row in rows}


def words(campaign: Campaign) -> dict[str, str]:
    return {code: decision for code, (decision, _, _) in decisions(campaign).items()}


def moodle(campaign: Campaign, statement: str) -> None:
    with campaign.server.begin() as connection:
        connection.execute(sa.text(statement))


def test_every_course_of_the_real_platform_gets_its_decision(campaign: Campaign) -> None:
    apogee_sync(campaign)
    detect_missing(campaign)
    found = decisions(campaign)
    assert words(campaign) == {
        "LI3INF01": "reset", "LI3INF02": "archive", "L1MAT101": "reset", "M1DRO201": "reset", "LETL2H03": "reset",
        "M2CHI305": "reset", "ESPCOMP01": "exclude", "LI3INF01-2024": "exclude",
    }  # fmt: skip
    assert found["LI3INF02"][1] == (
        "absent de la maquette 2026, présent en 2025, sans inscription active (lot apogee-2026, lot apogee-2025)"
    )
    assert found["ESPCOMP01"][1].startswith("dans la catégorie « Espaces complémentaires / Vie étudiante »")
    assert {code for code, (_, _, in_scope) in found.items() if in_scope} == set(MODELLED)
    detect_missing(campaign)
    assert decisions(campaign) == found


def test_what_the_feed_changes(campaign: Campaign) -> None:
    """A host, a closed element with students, one never seen, no code, a code on two spaces, one written otherwise."""
    kept = [element("LI3INF01\u00a0"), element("MIROIR", code_porteur="L1MAT101"), element("M1DRO201", etat="ferme")]
    feed(
        campaign,
        element=[*kept, element("LETL2H03")],
        **registrations({"M1DRO201": ["22600001"], "LI3INF01\u00a0": ["22600002"]}),
    )
    moodle(campaign, "UPDATE mdl_course SET idnumber = 'JAMAISVU' WHERE shortname = 'LI3INF02'")
    moodle(campaign, "UPDATE mdl_course SET idnumber = '' WHERE shortname = 'M2CHI305'")
    moodle(campaign, "UPDATE mdl_course SET idnumber = 'letl2h03' WHERE shortname = 'ESPCOMP01'")
    apogee_sync(campaign)
    detect_missing(campaign)
    found = decisions(campaign)
    assert found["LI3INF01"][0] == "reset"
    assert found["L1MAT101"][:2] == ("reset", "porteur d'un élément de la maquette 2026 (lot apogee-2026-0)")
    assert found["M1DRO201"][0] == "reset"
    assert "fermé dans la maquette 2026, mais des inscriptions y sont actives" in found["M1DRO201"][1]
    assert found["JAMAISVU"][0] == "hold"
    assert "code inconnu d'Apogée" in found["JAMAISVU"][1]
    assert found[""][0] == "hold"
    assert "sans numéro d'identification" in found[""][1]
    assert found["LETL2H03"][0] == "hold"
    assert "est porté par 2 espaces" in found["LETL2H03"][1]
    assert found["letl2h03"][0] == "exclude"


def test_without_a_snapshot_nothing_is_archived(campaign: Campaign) -> None:
    assert isinstance(campaign.feed, Path)
    (campaign.feed / "2025").rename(campaign.feed / "autre")
    apogee_sync(campaign)
    detect_missing(campaign)
    decision, reason, in_scope = decisions(campaign)["LI3INF02"]
    assert (decision, in_scope) == ("hold", False)
    assert "aucune maquette 2025" in reason


def test_what_a_person_must_look_at(campaign: Campaign) -> None:
    """A hidden space, one named after another element (not after the one it hosts), one archived by hand, twins."""
    kept = [element(code) for code in (*MODELLED, "LI3INF01-2024", "AUTRE")]
    feed(campaign, element=[*kept, element("MIROIR", code_porteur="LETL2H03")])
    moodle(campaign, "UPDATE mdl_course SET visible = 0 WHERE idnumber = 'L1MAT101'")
    moodle(campaign, "UPDATE mdl_course SET fullname = 'autre - Droit' WHERE idnumber = 'M1DRO201'")
    moodle(campaign, "UPDATE mdl_course SET shortname = 'MIROIR' WHERE idnumber = 'LETL2H03'")
    apogee_sync(campaign)
    detect_missing(campaign)
    found = decisions(campaign)
    assert words(campaign) == {
        "LI3INF01": "reset", "LI3INF02": "reset", "L1MAT101": "hold", "M1DRO201": "hold", "LETL2H03": "reset",
        "M2CHI305": "reset", "ESPCOMP01": "exclude", "LI3INF01-2024": "hold",
    }  # fmt: skip
    assert "dans la maquette 2026, mais caché" in found["L1MAT101"][1]
    assert "le nom d'un élément, « autre », qui n'est pas celui de son numéro" in found["M1DRO201"][1]
    assert (
        "est archivé (dans la catégorie « Archives / Archives 2024-2025 ») par une personne"
        in (found["LI3INF01-2024"][1])
    )
    moodle(campaign, "UPDATE mdl_course SET idnumber = 'LI3INF01-2024' WHERE idnumber = 'LI3INF01'")
    detect_missing(campaign)
    with campaign.engine.connect() as connection:
        twins = sa.select(tables.decision.c.reason).where(tables.decision.c.code == "LI3INF01-2024")
        assert sorted(reason[:30] for reason in connection.execute(twins).scalars()) == [
            "le code LI3INF01-2024 est port", "son code LI3INF01-2024 revient",
        ]  # fmt: skip


def test_elements_without_a_space(campaign: Campaign) -> None:
    """Open ones and hosts, not those that are hosted; where they belong; what the upload tool gets."""
    changed = campaign.platform.categories.model_copy(update={"new_spaces": "UFR-SCI"})
    campaign = replace(campaign, platform=campaign.platform.model_copy(update={"categories": changed}))
    kept = [element(code) for code in MODELLED if code not in ("LI3INF01", LEFT_THE_MODEL)]
    feed(
        campaign,
        element=[
            *kept, element("li3inf01\u00a0"), element("NEUF1", "Calcul ; \"formel\"", composante="UFR-HSS"),
            element("NEUF2", "É" * 255), element("NEUF3", code_porteur="PORTEUR"), element("NEUF4", etat="ferme"),
            element("NEUF5", fictif=1), element("NEUF6"),
        ],
        **registrations({"NEUF1": ["22600001"]}),
    )  # fmt: skip
    moodle(campaign, "UPDATE mdl_course SET shortname = 'Neuf6' WHERE shortname = 'ESPCOMP01'")
    apogee_sync(campaign)
    detect_missing(campaign)
    detect_missing(campaign)
    assert [(line["code"], line["obstacle"]) for line in missing.listed(campaign)] == [
        ("NEUF1", ""), ("NEUF2", ""),
        ("NEUF6", "l'espace 8 (« Bureau de la vie étudiante ») en a le nom abrégé, avec le numéro"
         " d'identification « ESPCOMP01 » : à corriger"),
        ("PORTEUR", ""),
    ]  # fmt: skip
    assert missing.sentence(campaign) == (
        "Éléments de la maquette sans espace : 4, dont aucun ne sera créé ; liste : reports/espaces-a-creer.csv."
    )
    path = storage.folder(campaign, "reports") / "espaces-a-creer.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    assert rows == [
        ["shortname", "fullname", "idnumber", "category"], ["NEUF1", 'NEUF1 - Calcul ; "formel"', "NEUF1", "5"],
        ["NEUF2", ("NEUF2 - " + "É" * 255)[:254], "NEUF2", "3"], ["PORTEUR", "PORTEUR - Élément NEUF3", "PORTEUR", "3"],
    ]  # fmt: skip
    lost = campaign.platform.categories.model_copy(update={"new_spaces": "NULLE-PART"})
    elsewhere = replace(campaign, platform=campaign.platform.model_copy(update={"categories": lost}))
    assert list(missing.check_category(campaign)) == []
    assert "« NULLE-PART » n'est pas l'idnumber" in next(missing.check_category(elsewhere))


def test_last_years_host_has_no_registrations_and_is_archived(campaign: Campaign) -> None:
    """MIROIR passes from M1DRO201, which leaves the model, to L1MAT101: its students are in the latter."""
    assert isinstance(campaign.feed, Path)
    stay = [element(code) for code in MODELLED if code not in (LEFT_THE_MODEL, "M1DRO201", "L1MAT101")]
    last = [*stay, element("L1MAT101"), element("MIROIR", code_porteur="M1DRO201")]
    write_year(campaign.feed, 2025, {"element": last})
    people = registrations({"MIROIR": ["22600001"], "LI3INF01": ["22600001"]})
    feed(campaign, element=[*stay, element("MIROIR", code_porteur="L1MAT101", etat="suspendu")], **people)
    apogee_sync(campaign)
    assert load_model(campaign).registered == {"MIROIR", "L1MAT101", "LI3INF01"}
    detect_missing(campaign)
    found = decisions(campaign)
    assert found["M1DRO201"][0] == "archive"
    assert "présent en 2025, sans inscription active" in found["M1DRO201"][1]
    assert found["L1MAT101"][0] == "reset"
    assert "des inscriptions y sont actives" in found["L1MAT101"][1]


def test_exceptions_by_element_host_step_and_space(campaign: Campaign) -> None:
    campaign = replace(campaign, day=date(2026, 8, 28))
    end = date(2026, 9, 30)
    late = {"type": "fermeture_tardive", "fin": end}
    feed(
        campaign,
        element=[*(element(code) for code in MODELLED), element("PORTE", code_porteur="L1MAT101")],
        element_etape=[{"code": "M1DRO201", "etape": "M1DROI"}, {"code": "LETL2H03", "etape": "SL2LET"}],
        exception_calendrier=[
            {"cible_type": "element", "cible": "PORTE", **late},
            {"cible_type": "etape", "cible": "M1DROI-140", **late},
            {"cible_type": "etape", "cible": "SL2LET", "type": "exclu"},
            {"cible_type": "cours", "cible": "LI3INF01", "type": "decale", "fin": end},
            {"cible_type": "cours", "cible": "M2CHI305", "type": "ouverture_precoce", "debut": campaign.today},
        ],
    )
    apogee_sync(campaign)
    detect_missing(campaign)
    found = words(campaign)
    assert found["L1MAT101"] == found["M1DRO201"] == found["LI3INF01"] == "defer"
    assert (found["LETL2H03"], found["M2CHI305"], found["LI3INF02"]) == ("exclude", "hold", "reset")
    assert f"à partir du {end:%d/%m/%Y} (fermeture tardive, étape M1DROI-140" in decisions(campaign)["M1DRO201"][1]


def test_an_exception_that_names_nobody_stops_the_campaign(campaign: Campaign) -> None:
    mistyped = [
        {"cible_type": kind, "cible": "L1MAT1O1", "type": "exclu"} for kind in ("element", "etape", "cours")
    ]  # the letter O
    feed(campaign, exception_calendrier=mistyped)
    apogee_sync(campaign)
    with pytest.raises(TransitionError, match="cible est inconnue") as caught:
        detect_missing(campaign)
    assert [f"ligne {n}, colonne cible" in str(caught.value) for n in (2, 3, 4)] == [True] * 3
    assert decisions(campaign) == {}


def test_a_run_limited_to_some_codes_decides_all_and_applies_few(campaign: Campaign) -> None:
    apogee_sync(campaign)
    limited = replace(campaign, courses=("LI3INF02", "ESPCOMP01"))
    detect_missing(limited)
    assert len(decisions(limited)) == 8
    assert {code for code, (_, _, in_scope) in decisions(limited).items() if in_scope} == {"LI3INF02"}


def test_a_code_of_the_form_that_no_space_carries(campaign: Campaign) -> None:
    apogee_sync(campaign)
    with pytest.raises(TransitionError) as caught:
        detect_missing(replace(campaign, courses=("LI3INF01", "l1mat101", "INCONNU")))
    assert "« l1mat101 » (écrit « L1MAT101 » dans Moodle)" in str(caught.value)
    assert "« INCONNU »" in str(caught.value)
    assert "LI3INF01" not in str(caught.value)


def test_deciding_categories_by_id_and_missing(campaign: Campaign) -> None:
    def platform(**categories: str | int) -> Campaign:
        changed = campaign.platform.categories.model_copy(update=categories)
        return replace(campaign, platform=campaign.platform.model_copy(update={"categories": changed}))

    assert check_categories(platform(complementary=COMPLEMENTARY, archives="ARCHIVES")) == []
    (finding,) = check_categories(platform(complementary="ESPCOMP", archives=99))
    assert "categories.complementary : aucune catégorie de Moodle avec l'idnumber « ESPCOMP »" in finding
    assert "categories.archives : aucune catégorie de Moodle avec l'id « 99 »" in finding


def test_what_a_person_protects_after_the_plan_is_seen_when_applying(campaign: Campaign) -> None:
    apogee_sync(campaign)
    detect_missing(campaign)
    assert still_excluded(campaign) == set()
    moodle(campaign, "UPDATE mdl_course SET category = 8 WHERE shortname = 'L1MAT101'")
    moodle(campaign, "UPDATE mdl_course SET fullname = CONCAT('ex_', fullname) WHERE shortname = 'M2CHI305'")
    protected = [{"cible_type": "cours", "cible": "M1DRO201", "type": "exclu"}]
    feed(campaign, lot=1, exception_calendrier=protected)
    apogee_sync(replace(campaign, run_id="later"))
    assert still_excluded(campaign) == {4, 5, 7}
    limited = replace(campaign, run_id="limited", courses=("L1MAT101",))
    apogee_sync(limited)
    assert still_excluded(limited) == set()  # nothing is in scope yet


def test_the_spaces_that_a_killed_run_renamed_stay_archived(campaign: Campaign) -> None:
    executing = replace(campaign, dry_run=False)
    apogee_sync(executing)
    detect_missing(executing)
    rename = "UPDATE mdl_course SET fullname = CONCAT('ex_', fullname), category = 9 WHERE shortname = 'LI3INF02'"
    moodle(campaign, rename)
    again = replace(executing, run_id="again")
    apogee_sync(again)
    detect_missing(again)
    assert words(again)["LI3INF02"] == "exclude"  # the run was never let loose: a person renamed it
    with campaign.engine.begin() as connection:
        frozen = sa.update(tables.run).where(tables.run.c.number == executing.run).values(frozen_at=now())
        connection.execute(frozen)
    assert still_excluded(executing) == set()
    detect_missing(again)
    assert decisions(again)["LI3INF02"] == ("archive", "archivé par une exécution précédente de cette campagne", True)
    next_year = replace(executing, year=2027, run_id="next")
    with campaign.engine.begin() as connection:
        lots = [{"run": next_year.run, "annee": year, "lot_id": "apogee-2026"} for year in (2026, 2027)]
        connection.execute(sa.insert(apogee.run_lot), lots)
    detect_missing(next_year)
    assert words(next_year)["LI3INF02"] == "exclude"


def test_a_space_that_a_killed_run_renamed_comes_back_with_a_complete_lot(campaign: Campaign) -> None:
    """The first lot was cut short: nobody taught the space by it, and its students would not be enrolled."""
    executing = replace(campaign, dry_run=False)
    apogee_sync(executing)
    detect_missing(executing)
    with campaign.engine.begin() as connection:
        connection.execute(sa.update(tables.run).where(tables.run.c.number == executing.run).values(frozen_at=now()))
        course = connection.execute(
            sa.select(campaign.moodle["course"]).where(campaign.moodle["course"].c.idnumber == LEFT_THE_MODEL)
        ).one()
        new = {"fullname": f"ex_{course.fullname}", "shortname": f"ex_{course.shortname}", "idnumber": course.idnumber}
        remember(connection, executing, course, {**new, "visible": course.visible})
    renamed = ", ".join(f"{name} = '{value}'" for name, value in new.items())
    moodle(campaign, f"UPDATE mdl_course SET category = 9, {renamed} WHERE id = {course.id}")
    feed(campaign, lot=1, element=[element(code) for code in MODELLED])
    again = replace(executing, run_id="again")
    apogee_sync(again)
    detect_missing(again)
    assert decisions(again)[LEFT_THE_MODEL] == (
        "reset",
        "retour dans la maquette après archivage, nom et catégorie lui sont rendus : dans la maquette 2026"
        " (lot apogee-2026-1)",
        True,
    )
    assert coming_back(again) == [(course.id, LEFT_THE_MODEL)]
    assert still_excluded(again) == set()
    moodle(campaign, f"UPDATE mdl_course SET shortname = '{LEFT_THE_MODEL}' WHERE idnumber = 'ESPCOMP01'")
    detect_missing(again)
    decision, reason, _ = decisions(again)[LEFT_THE_MODEL]
    assert decision == "hold"
    assert reason.endswith(f"ne peut en sortir : course : le nom abrégé « {LEFT_THE_MODEL} » est celui de l'espace 8")


def test_a_forum_that_was_made_one_of_a_single_discussion_holds_its_space(campaign: Campaign) -> None:
    """Which of its first posts is the teacher's text, nothing says; the others are students' messages."""
    apogee_sync(campaign)
    detect_missing(campaign)
    before = decisions(campaign)
    with campaign.engine.connect() as connection:
        query = (
            "SELECT f.course, f.id, f.name, COUNT(*) FROM mdl_forum f JOIN mdl_forum_discussions d ON d.forum = f.id"
            " WHERE f.type = 'general' AND f.course IN (2, 3)"
            " GROUP BY f.course, f.id, f.name HAVING COUNT(*) > 1 ORDER BY f.id"
        )
        forums = {course: (id_, name, count) for course, id_, name, count in connection.exec_driver_sql(query)}
    assert forums.keys() == {2, 3}  # one that is reset, one that is archived
    ids = ", ".join(str(id_) for id_, _, _ in forums.values())
    moodle(campaign, f"UPDATE mdl_forum SET type = 'single' WHERE id IN ({ids})")
    assert still_excluded(campaign) == {2, 3}
    detect_missing(campaign)
    after = decisions(campaign)
    for code, (_, name, count) in zip(("LI3INF01", LEFT_THE_MODEL), forums.values(), strict=True):
        decision, reason, in_scope = after.pop(code)
        assert (decision, in_scope) == ("hold", False)
        assert reason.startswith(f"le forum « {name} », à discussion unique, en contient {count}, et rien ne dit")
    assert after == {code: row for code, row in before.items() if code in after}, "the others go on"
    moodle(campaign, f"DELETE FROM mdl_forum_discussions WHERE forum IN ({ids})")
    detect_missing(campaign)
    assert decisions(campaign) == before


def test_decisions_need_the_feed_first(campaign: Campaign) -> None:
    with pytest.raises(TransitionError, match="relancez d'abord la tâche apogee_sync"):
        detect_missing(campaign)


def test_the_model_is_read_by_compare_key(campaign: Campaign) -> None:
    feed(
        campaign,
        element=[
            element("LI3INF01\u00a0"),
            element("L1MAT101", fictif=1),
            element("MIROIR", code_porteur="letl2h03", etat="suspendu"),
        ],
        **registrations({"MIROIR": ["22600001"], "LI3INF01\u00a0": ["22600001"]}),
    )
    apogee_sync(campaign)
    model = load_model(campaign)
    assert model.taught == {"LI3INF01"}
    assert model.hosts == set()
    assert model.states == {"L1MAT101": "fictif", "MIROIR": "suspendu"}
    assert model.last == frozenset(MODELLED)
    assert model.registered == {"MIROIR", "LETL2H03", "LI3INF01"}
