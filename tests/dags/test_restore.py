"""The DAGs that restore and that practise: their forms, and what reaches the library."""

from datetime import datetime
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any
from unittest.mock import Mock

import pytest

from tests.conftest import PROJECT
from transition.campaign import Campaign
from transition.platforms import platform_names
from transition.restore.stage import Request
from transition_airflow.timetable import PunctualCronTimetable

FORM = {"code", "year", "name", "enrolments", "conflicts", "activity", "student"}


@pytest.mark.parametrize("platform", platform_names())
def test_one_of_each_a_platform(dags: dict[str, Any], platform: str) -> None:
    course, drill = dags[f"restore_course_{platform}"], dags[f"restore_drill_{platform}"]
    assert set(course.params) == FORM
    assert set(drill.params) == {"number", "seed", "year"}
    assert course.schedule is None, "a person starts it"
    assert isinstance(drill.schedule, PunctualCronTimetable)
    for dag in (course, drill):
        assert "{" not in dag.doc_md.replace('{"', "")
        for task in dag.tasks:
            assert task.retries == 3
            assert task.execution_timeout


def test_the_form_reaches_the_library(
    dags: dict[str, Any], moodle_connection: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Campaign, Request]] = []
    monkeypatch.setattr("transition.restore.stage.restore", lambda *given: asked.append(given))
    form = {"code": "LI3INF01", "year": 2026, "name": True, "conflicts": "skip"}
    run = dags["restore_course_ecampus"].test(run_conf=form)
    assert str(run.state) == "success"
    [(campaign, request)] = asked
    assert request == Request("LI3INF01", name=True, conflicts="skip")
    dags["restore_course_ecampus"].test(run_conf={**form, "activity": None, "student": "e.un"})  # null: erased
    assert asked[1][1] == Request("LI3INF01", name=True, conflicts="skip", student="e.un")
    assert (campaign.platform.name, campaign.year, campaign.dry_run) == ("ecampus", 2026, False)


@pytest.mark.parametrize(("day", "year"), [((2027, 1, 2), 2026), ((2027, 7, 31), 2026), ((2027, 8, 1), 2027)])
def test_the_year_of_the_form_is_that_of_the_latest_transition(
    airflow: None, monkeypatch: pytest.MonkeyPatch, day: tuple[int, int, int], year: int
) -> None:
    file = PROJECT / "dags" / "restore_course" / "restore_course_dag.py"
    specification = spec_from_file_location("restore_course_form", file)
    assert specification
    assert specification.loader
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "datetime", Mock(now=lambda zone: datetime(*day, tzinfo=zone)))
    assert module.form()["year"].value == year


def test_the_drill_of_a_day_has_the_day_as_its_seed(
    dags: dict[str, Any], moodle_connection: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, int]] = []
    monkeypatch.setattr(
        "transition.restore.drill.restore_drill",
        lambda campaign, number, seed: asked.append({"number": number, "seed": seed, "year": campaign.year}),
    )
    run = dags["restore_drill_ecampus"].test(run_conf={"number": 3})
    day = int(f"{run.run_after:%Y%m%d}")
    assert asked == [{"number": 3, "seed": day, "year": day // 10_000}], "no backup at all: the year of the day"
    dags["restore_drill_ecampus"].test(run_conf={"number": 5, "seed": 12, "year": 2025})
    assert asked[1] == {"number": 5, "seed": 12, "year": 2025}
