"""The demonstration university is what the campaign expects of a Moodle, and holds all that the rules are about."""

from collections import Counter
from functools import cache
from typing import Any

import pytest
import sqlalchemy as sa

from demo.catalogue import read_catalogue
from demo.plan import FATES, plan
from demo.server import PrivateMariaDB
from demo.site import Site
from demo.university import PLATFORMS, build, create
from transition.caps import Figure, crossings
from transition.files import read_yaml, rules_folder
from transition.platforms import load_platform

# What only one version or one setting of Moodle has, and the demonstration has not.
ABSENT = {
    "log", "ai_action_generate_image", "ai_action_summarise_text", "file_conversion", "enrol_lti_tools",
    "enrol_lti_users", "enrol_lti_user_resource_link", "scorm_scoes_track",
}  # fmt: skip


@cache
def site(platform: str) -> Site:
    return build(platform)


def rows(platform: str, table: str) -> list[dict[str, Any]]:
    return list(site(platform).rows.each(table))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_contexts_are_a_tree(platform: str) -> None:
    contexts = {row["id"]: row for row in rows(platform, "context")}
    assert contexts[1]["contextlevel"] == 10
    for row in contexts.values():
        above = [int(part) for part in row["path"].split("/")[1:]]
        assert above[-1] == row["id"]
        assert row["depth"] == len(above)
        assert [contexts[part]["path"] for part in above[:-1]] == [
            "/" + "/".join(map(str, above[:end])) for end in range(1, len(above))
        ]
    assert Counter(row["contextlevel"] for row in contexts.values())[50] == len(rows(platform, "course"))
    assert Counter(row["contextlevel"] for row in contexts.values())[70] == len(rows(platform, "course_modules"))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_activity_is_in_its_section(platform: str) -> None:
    listed = {int(cmid) for row in rows(platform, "course_sections") if row["sequence"]
              for cmid in row["sequence"].split(",")}  # fmt: skip
    assert listed == {row["id"] for row in rows(platform, "course_modules")}
    names = {row["id"]: row["name"] for row in rows(platform, "modules")}
    for row in rows(platform, "course_modules"):
        assert site(platform).rows.get(names[row["module"]], row["instance"], "course") == row["course"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_categories_count_their_courses(platform: str) -> None:
    held = Counter(row["category"] for row in rows(platform, "course"))
    for row in rows(platform, "course_categories"):
        assert (row["coursecount"] or 0) == held[row["id"]]
    idnumbers = {row["idnumber"] for row in rows(platform, "course_categories")}
    assert {"ESP-COMP", "ARCHIVES", "ESP-COMP-VE"} <= idnumbers


def test_every_fate_and_size() -> None:
    university = plan("ecampus")
    assert {space.fate for space in university.spaces} == set(FATES)
    assert {FATES[space.fate] for space in university.spaces if space.full} == set(FATES.values())
    assert len(university.spaces) == 57
    assert len(university.students) + len(university.newcomers) == 600
    assert len(university.teachers) == 40


def test_archived_spaces_stay_below_the_caps_of_the_platform_files() -> None:
    """Else the demonstration would wait for a second person."""
    for platform in PLATFORMS:
        modelled = [(space.programme.component, space.fate) for space in plan(platform).modelled() if space.programme]
        figures = []
        for component in ("", *{component for component, _ in modelled}):
            fates = Counter(fate for where, fate in modelled if component in ("", where))
            figures.append(Figure("archived", component, fates["left"], fates.total(), fates.total()))
        assert figures[0].count > 0
        assert crossings(figures, load_platform(platform).limits) == []


def rule_tables() -> set[str]:
    def below(traces: list[dict[str, Any]]) -> set[str]:
        return {name for trace in traces for name in (trace["table"], *below(trace.get("with", [])))}

    files = rules_folder().glob("*.yaml")
    return set().union(*(below(read_yaml(path).get("traces", [])) for path in files))


def test_every_table_of_the_rules_holds_rows_in_a_full_space() -> None:
    wanted = (rule_tables() & set(read_catalogue())) - ABSENT
    assert {table for table in wanted if not rows("ecampus", table)} == set()


def test_every_file_area_of_the_rules_holds_files() -> None:
    held = {f"{row['component']}/{row['filearea']}" for row in rows("ecampus", "files")}
    wanted = {area for path in rules_folder().glob("*.yaml") for area in read_yaml(path).get("files", [])}
    for area in wanted:
        assert any(name.startswith(area.rstrip("*")) for name in held), area


@pytest.mark.parametrize(
    ("table", "kept"),
    [
        ("workshop_submissions", {"example": 1}), ("workshop_assessments", {"weight": 0}),
        ("forum", {"type": "single"}),
        ("checklist_item", {"userid": 0}), ("quiz_overrides", {"userid": None}), ("lesson_overrides", {"userid": None}),
        ("assign_overrides", {"userid": None}), ("glossary_entries", {"teacherentry": 0}), ("wiki_versions", {}),
        ("question_usages", {"component": "core_question_preview"}), ("bigbluebuttonbn_recordings", {}),
        ("badge_issued", {}), ("scheduler_slots", {}), ("user", {"deleted": 1}), ("user", {"suspended": 1}),
        ("user_enrolments", {"status": 1}),
    ],
)  # fmt: skip
def test_what_the_policy_treats_apart_is_there(table: str, kept: dict[str, Any]) -> None:
    assert any(all(row[name] == value for name, value in kept.items()) for row in rows("ecampus", table))


def test_templates_of_offline_quizzes_are_usages_of_their_own() -> None:
    templates = {row["templateusageid"] for row in rows("ecampus", "offlinequiz_groups")}
    usages = {row["id"] for row in rows("ecampus", "question_usages") if row["component"] == "mod_offlinequiz"}
    assert templates
    assert templates <= usages
    assert not templates & {row["usageid"] for row in rows("ecampus", "offlinequiz_results")}


def test_enrolments_of_each_platform() -> None:
    methods = {platform: {row["enrol"] for row in rows(platform, "enrol")} for platform in PLATFORMS}
    assert methods == {
        "ecampus": {"manual", "guest", "self", "database"}, "collegium_sante": {"manual", "guest", "self", "cohort"},
    }  # fmt: skip
    for platform in PLATFORMS:
        instances = {row["id"]: row for row in rows(platform, "enrol")}
        for row in rows(platform, "role_assignments"):
            if row["component"]:
                assert row["component"] == f"enrol_{instances[row['itemid']]['enrol']}"
        gone = {row["id"] for row in rows(platform, "user") if row["deleted"]}
        assert gone
        assert not gone & {row["userid"] for row in rows(platform, "user_enrolments")}


def test_the_same_rows_every_time() -> None:
    again = build("collegium_sante").rows
    for table in ("user", "context", "logstore_standard_log", "grade_grades", "files"):
        assert list(again.each(table)) == rows("collegium_sante", table)


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(KeyError, match="user has no column 'nickname'"):
        site("ecampus").rows.add("user", nickname="x")


def test_a_platform_is_written_and_written_anew(server: PrivateMariaDB) -> None:
    url = server.url("university_try")
    expected = site("collegium_sante").rows
    with sa.create_engine(server.url(), poolclass=sa.NullPool).connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE university_try")
        connection.exec_driver_sql("CREATE TABLE university_try.mdl_course (id INT)")
    try:
        assert create(url, "collegium_sante") == expected.count()
        with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
            for table in ("course", "logstore_standard_log", "files", "user"):
                count, last = connection.exec_driver_sql(f"SELECT COUNT(*), MAX(id) FROM mdl_{table}").one()
                assert count == last == sum(1 for _ in expected.each(table))
            settings: dict[str, str] = dict(connection.exec_driver_sql("SELECT name, value FROM mdl_config").all())
            host = connection.exec_driver_sql("SELECT wwwroot FROM mdl_mnet_host WHERE id = 1").scalar()
        assert settings["version"] == "2024100706"
        assert settings["release"].startswith("4.5.6")
        assert host == "https://collegium-sante.unicaen.fr"
    finally:
        with sa.create_engine(server.url(), poolclass=sa.NullPool).connect() as connection:
            connection.exec_driver_sql("DROP DATABASE IF EXISTS university_try")
