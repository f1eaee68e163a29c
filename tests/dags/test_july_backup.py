"""July's backup: its night, its graph, and one run of it on the real database, component by component."""

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.sdk import timezone

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.support.campaign import reference_platform, write_platform
from transition import platforms
from transition.backup import components
from transition.backup.manifest import verified_sets
from transition.backup.stage import july_backup
from transition.campaign import Campaign
from transition.moodle.database import open_engine
from transition.platforms import Dates, platform_names
from transition.spaces import record_contexts
from transition_airflow.tasks import stage_function
from transition_airflow.timetable import PunctualCronTimetable

SCHEMAS = {"ecampus_moodle", "ecampus_transition"}


def test_the_third_monday_of_july_at_two_in_paris(airflow: None) -> None:
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable

    stored = decode_timetable(
        encode_timetable(PunctualCronTimetable(Dates(transition="0 2 16 8 *").backup, timezone="Europe/Paris"))
    )
    nights, moment = list[datetime](), timezone.datetime(2026, 1, 1)
    for _ in range(12):
        moment = stored._align_to_next(moment)
        nights.append(moment.astimezone(UTC))
        moment = moment.add(minutes=1)
    for night in nights:
        local = night.astimezone(stored._timezone)
        assert (local.month, local.weekday(), local.hour, local.minute) == (7, 0, 2, 0)
        assert 15 <= local.day <= 21, "the third one"
    assert all(later.year == earlier.year + 1 for earlier, later in pairwise(nights))


@pytest.mark.parametrize("platform", platform_names())
def test_one_a_platform(dags: dict[str, Any], platform: str) -> None:
    dag = dags[f"july_backup_{platform}"]
    assert isinstance(dag.schedule, PunctualCronTimetable)
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    assert set(dag.params) == {"year", "courses"}
    assert "{" not in dag.doc_md.replace('{"', "")
    assert dag.task_dict.keys() == {"components", "component", "close"}
    assert dag.get_task("component").downstream_task_ids == {"close"}
    assert dag.get_task("close").trigger_rule == "all_done_min_one_success"
    component = dag.get_task("component")
    assert component.max_active_tis_per_dag == 1, "one after another: they share a lock, and spare the server"
    for task in dag.tasks:
        assert task.retries == 3
        assert task.execution_timeout
    for task in (dag.get_task("components"), dag.get_task("close")):
        assert callable(stage_function(task.function))
    assert callable(stage_function(component.partial_kwargs["function"]))


@pytest.fixture
def moodle(server: PrivateMariaDB, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real database as the platform ecampus, whose file is the test's own; without any Apogée connection."""
    drop_databases(server, SCHEMAS)
    load_dump(server, reference / DUMP, "ecampus_moodle")
    monkeypatch.setenv("AIRFLOW_CONN_MOODLE_ECAMPUS", json.dumps(server.airflow_connection("ecampus_moodle")))
    monkeypatch.setenv("TRANSITION_PLATFORMS", str(write_platform(reference_platform(tmp_path / "storage"), tmp_path)))
    engine = open_engine(server.url("ecampus_moodle"), poolclass=sa.NullPool)
    with engine.begin() as connection:  # a component of two words, and a space in it
        connection.execute(sa.text("UPDATE mdl_course_categories SET name = 'UFR Sciences' WHERE name = 'Ecampus'"))
    yield engine
    engine.dispose()
    drop_databases(server, SCHEMAS)


def test_a_run_backs_up_each_component_and_august_finds_it_done(
    dags: dict[str, Any], moodle: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing: list[str] = []

    def staged(path: str) -> Any:
        function = stage_function(path)
        if not path.endswith("back_up_component"):
            return function

        def one(campaign: Campaign, component: Any) -> None:
            if not failing:  # the first one is killed half-way
                failing.append(component["name"])
                raise SystemExit(1)
            function(campaign, component)

        return one

    monkeypatch.setattr("transition_airflow.july_backup.stage_function", staged)
    dag = dags["july_backup_ecampus"]
    monkeypatch.setattr(
        dag.get_task("component"), "partial_kwargs", {**dag.get_task("component").partial_kwargs, "retries": 0}
    )
    run = dag.test(run_conf={"year": 2026, "courses": []})
    states = {(ti.task_id, ti.map_index): (str(ti.state), ti.rendered_map_index) for ti in run.get_task_instances()}
    names = {label: state for (task, _), (state, label) in states.items() if task == "component"}
    with moodle.connect() as connection:
        query = sa.text(
            "SELECT DISTINCT t.name FROM mdl_course c JOIN mdl_course_categories k ON k.id = c.category"
            " JOIN mdl_course_categories t ON t.id = SUBSTRING_INDEX(SUBSTRING_INDEX(k.path, '/', 2), '/', -1)"
        )
        assert names.keys() == set(connection.execute(query).scalars()) >= {"UFR Sciences"}
    assert [name for name, state in names.items() if state == "failed"] == failing
    assert states["close", -1][0] == "success", "it made up for the component that was killed"
    campaign = Campaign(platforms.load_platform("ecampus"), 2026, "août", moodle, dry_run=False)
    held = {courseid for backup in verified_sets(campaign, []) for courseid in backup.manifest.spaces}
    with moodle.connect() as connection:
        courses = set(connection.execute(sa.text("SELECT id FROM mdl_course WHERE id <> 1")).scalars())
    assert held == courses, "excluded ones too"
    before = {backup.manifest.name for backup in verified_sets(campaign, [])}
    assert len(before) == len(names)
    record_contexts(campaign)
    july_backup(campaign)
    assert {backup.manifest.name for backup in verified_sets(campaign, [])} == before, "August writes nothing again"


def test_no_more_tasks_than_airflow_bears() -> None:
    many = [components.Component(name=f"C{number:03}", categories=[number]) for number in range(450)]
    bounded = components._bounded(many)
    assert len(bounded) == components.MOST
    assert [top for component in bounded for top in component["categories"]] == list(range(450))
    assert bounded[-1]["name"] == "251 autres composantes"
    assert components._bounded(many[:200]) == many[:200]
