"""The graph of the annual transition, and what its runs come to."""

import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest

from tests.conftest import PROJECT
from tests.dags.conftest import Run
from transition.caps import Crossing
from transition.errors import TransitionError
from transition.platforms import platform_names
from transition.rules.model import load_rules

CHAIN = [
    "preflight", "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan", "approval.decide",
    "approval.exceed", "approval.create_spaces", "approval.maintenance_on", "approval.freeze", "ex_rename", "purge",
    "purge.file_contents", "enrolment", "verify", "report",
]  # fmt: skip

# What follows a task besides the next link of the chain.
BESIDE = {"verify": {"maintenance_off", "watcher"}, "approval.maintenance_on": {"maintenance_off"}}


def refuse(*_: object) -> None:
    raise TransitionError("Étape refusée par le test : corrigez le test.")


def test_one_dag_a_platform(dags: dict[str, Any]) -> None:
    assert {dag for dag in dags if dag.startswith("annual_transition_")} == {
        f"annual_transition_{name}" for name in platform_names()
    }


@pytest.mark.parametrize("platform", platform_names())
def test_the_graph_reads_as_the_chain(dags: dict[str, Any], platform: str) -> None:
    dag = dags[f"annual_transition_{platform}"]
    purge = {f"purge.{rule.rule}" for rule in load_rules() if rule.rule != "enrolment"}
    for here, after in pairwise(CHAIN):
        heres = purge if here == "purge" else {here}
        afters = purge if after == "purge" else {after}
        afters |= BESIDE.get(here, set())
        assert {frozenset(dag.get_task(task).downstream_task_ids) for task in heres} == {frozenset(afters)}
    assert set(dag.task_ids) == {*CHAIN, *purge, *BESIDE["verify"]} - {"purge"}


@pytest.mark.parametrize("platform", platform_names())
def test_moodle_is_closed_around_every_writing_stage(dags: dict[str, Any], platform: str) -> None:
    dag = dags[f"annual_transition_{platform}"]
    assert dag.get_task("approval.maintenance_on").is_setup
    assert dag.get_task("maintenance_off").is_teardown
    writing = {"approval.freeze", "ex_rename", "purge.quiz", "purge.file_contents", "enrolment", "verify"}
    for task in writing:
        assert "approval.maintenance_on" in dag.get_task(task).get_flat_relative_ids(upstream=True)
        assert "maintenance_off" in dag.get_task(task).get_flat_relative_ids(upstream=False)
    # A report written while it runs would call the run unfinished.
    assert dag.get_task("maintenance_off").downstream_task_ids == {"watcher", "report"}


def test_every_stage_has_retries_and_a_timeout(dags: dict[str, Any]) -> None:
    for task in dags["annual_transition_ecampus"].tasks:
        if task.task_id == "watcher":
            continue
        assert task.retries == 3
        assert task.retry_exponential_backoff == 2.0
        # The person who approves may take days: only the stages are limited.
        assert (task.execution_timeout is None) == (task.task_id in ("approval.decide", "approval.exceed"))


def test_every_stage_names_a_function_of_the_library(dags: dict[str, Any]) -> None:
    from transition_airflow.tasks import StageOperator, stage_function

    stages = [task for task in dags["annual_transition_ecampus"].tasks if isinstance(task, StageOperator)]
    assert len(stages) > len(CHAIN)
    for task in stages:
        assert callable(stage_function(task.function))


def test_the_form(dags: dict[str, Any]) -> None:
    params = dags["annual_transition_ecampus"].params
    assert set(params) == {"year", "dry_run", "courses"}
    assert params["dry_run"] is True
    assert params["courses"] == []
    for name in params:
        assert params.get_param(name).description.endswith(".")
    for dag in ("annual_transition_ecampus", "july_backup_ecampus"):  # null: a list that was typed and erased
        assert dags[dag].params.get_param("courses").resolve(None) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("year", "2026"),
        ("year", 26),
        ("dry_run", "non"),
        ("courses", ["LI3 INF01"]),
        ("courses", ["A", "A"]),
        ("courses", "A"),
    ],
)
def test_the_form_refuses(dags: dict[str, Any], name: str, value: object) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        dags["annual_transition_ecampus"].params.get_param(name).resolve(value)


def test_the_page(dags: dict[str, Any]) -> None:
    page = dags["annual_transition_ecampus"].doc_md
    for title in ("Ce qu'elle change", "Ce qu'elle ne change jamais", "Lancer", "Arrêter", "Reprendre", "Annuler"):
        assert f"## {title}\n" in page
    assert "https://ecampus.unicaen.fr" in page
    for left in ("{label}", "{site}", "{name}", "{storage}"):
        assert left not in page


def test_one_run_at_a_time_never_caught_up(dags: dict[str, Any]) -> None:
    dag = dags["annual_transition_ecampus"]
    assert (dag.max_active_runs, dag.max_active_tasks, dag.catchup) == (1, 4, False)


def test_parsing_imports_nothing_heavy() -> None:
    """Airflow parses the file again and again: what only a task needs is imported by the task."""
    code = (
        "import sys, airflow.sdk, airflow.providers.standard.operators.hitl, airflow.timetables.trigger\n"
        "before = set(sys.modules)\n"
        "import annual_transition_dag\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    paths = [str(PROJECT / "dags" / "annual_transition"), *sys.path]
    output = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not set(output.stdout.split()) & {
        "pandas",
        "pyarrow",
        "numpy",
        "openpyxl",
        "xlsxwriter",
        "requests",
        "alembic",
    }


@pytest.mark.usefixtures("moodle_connection")
def test_a_dry_run_ends_with_the_plan(run: Run) -> None:
    states = run(year=2026, dry_run=True, courses=[])
    assert states[""] == "success"
    assert states["plan"] == "success"
    after = [task for task in states if task and task not in CHAIN[: CHAIN.index("plan") + 1]]
    assert {states[task] for task in after} == {"skipped"}


@pytest.mark.usefixtures("moodle_connection")
def test_a_stage_gets_the_form(run: Run) -> None:
    seen: list[Any] = []
    run({"transition.preflight:preflight": seen.append}, year=2031, dry_run=True, courses=["LI3INF01"])
    [campaign] = seen
    assert (campaign.year, campaign.dry_run, campaign.courses, campaign.attempt) == (2031, True, ("LI3INF01",), 1)
    assert campaign.platform.name == "ecampus"
    assert campaign.run_id.startswith("annual_transition_ecampus/manual__")


@pytest.mark.usefixtures("moodle_connection")
def test_an_executing_run_purges_each_rule(run: Run) -> None:
    rules: list[str] = []
    states = run({"transition.purge:purge": lambda _, rule: rules.append(rule)}, approved="Nadia", dry_run=False)
    assert sorted(rules) == sorted(rule.rule for rule in load_rules() if rule.rule != "enrolment")
    assert set(states.values()) == {"success"}


def test_what_writes_in_moodle_checks_that_it_is_closed(dags: dict[str, Any]) -> None:
    from transition_airflow.tasks import WritingOperator

    for name in ("annual_transition_ecampus", "deferred_resets_ecampus"):
        writing = {task.task_id for task in dags[name].tasks if isinstance(task, WritingOperator)}
        purge = {task.task_id for task in dags[name].tasks if task.task_id.startswith("purge.")}
        assert writing == {"approval.freeze", "ex_rename", "enrolment", *purge}


@pytest.mark.usefixtures("moodle_connection")
def test_no_stage_writes_in_a_moodle_that_the_run_does_not_keep_closed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr("transition.campaign.Campaign.check_closed", refuse)
    states = run({"transition.freeze:freeze": begun.append}, approved="Nadia", dry_run=False)
    assert begun == []
    assert (states["approval.freeze"], states["maintenance_off"], states[""]) == ("failed", "success", "failed")


@pytest.mark.usefixtures("moodle_connection")
@pytest.mark.parametrize("stage", ["maintenance:close", "purge:purge", "apogee.stage:apogee_sync"])
def test_a_run_that_a_person_marks_as_failed_opens_moodle_and_is_failed(
    run: Run, dags: dict[str, Any], stage: str
) -> None:
    from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import DagSerialization

    opened: list[Any] = []

    def mark(campaign: Any, *_: object) -> None:
        dag = DagSerialization.from_dict(DagSerialization.to_dict(dags["annual_transition_ecampus"]))
        assert isinstance(dag, SerializedDAG)
        set_dag_run_state_to_failed(dag=dag, run_id=campaign.run_id.partition("/")[2], commit=True)
        refuse()  # Airflow kills the task, whose state is set already

    states = run(
        {f"transition.{stage}": mark, "transition.maintenance:reopen": opened.append}, approved="Nadia", dry_run=False
    )
    assert len(opened) == 1
    assert (states["maintenance_off"], states["verify"], states["watcher"]) == ("success", "skipped", "failed")
    assert states[""] == "failed"


@pytest.mark.usefixtures("moodle_connection")
def test_a_failed_stage_fails_the_run_though_moodle_opens_and_the_report_succeeds(run: Run) -> None:
    opened: list[Any] = []
    stages = {"transition.ex_rename:ex_rename": refuse, "transition.maintenance:reopen": opened.append}
    states = run(stages, approved="Nadia", dry_run=False)
    assert states["maintenance_off"] == "success"
    assert len(opened) == 1
    assert states["ex_rename"] == "failed"
    assert states["verify"] == "upstream_failed"
    assert states["report"] == "success"
    assert states["watcher"] == "failed"
    assert states[""] == "failed"


@pytest.mark.usefixtures("moodle_connection")
def test_a_moodle_that_stays_closed_fails_the_run(run: Run) -> None:
    states = run({"transition.maintenance:reopen": refuse}, approved="Nadia", dry_run=False)
    assert (states["verify"], states["watcher"], states[""]) == ("success", "failed", "failed")


@pytest.mark.usefixtures("moodle_connection")
def test_a_refusal_is_one_sentence_and_is_not_tried_again(
    run: Run, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    tries: list[int] = []

    def stage(campaign: Any) -> None:
        tries.append(campaign.attempt)
        refuse()

    states = run({"transition.apogee.stage:apogee_sync": stage}, dry_run=True)
    assert (states["apogee_sync"], states["detect_missing"], states[""]) == ("failed", "upstream_failed", "failed")
    assert tries == [1]
    assert caplog.text.count("Étape refusée par le test : corrigez le test.") == 1
    assert_no_traceback(caplog, capfd)


def test_a_missing_connection_stops_the_first_task(
    run: Run, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    states = run(dry_run=True)
    assert (states["preflight"], states["july_backup"]) == ("failed", "upstream_failed")
    assert "La connexion Airflow « moodle_ecampus » n'existe pas" in caplog.text
    assert_no_traceback(caplog, capfd)


@pytest.mark.usefixtures("moodle_connection")
def test_the_command_never_waits_for_a_person(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    states = run(approved=None, dry_run=False)
    assert states["approval.decide"] == "failed"
    assert states["approval.freeze"] == "upstream_failed"
    assert "Le plan a changé depuis son approbation" in caplog.text


@pytest.mark.usefixtures("moodle_connection")
def test_the_command_never_exceeds_a_cap_alone(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    crossed = [Crossing("archived", "archived_share", "SCI", 12, 30, 0.3)]
    states = run(approved="Nadia", crossed=crossed, dry_run=False)
    assert (states["approval.decide"], states["approval.exceed"]) == ("success", "failed")
    assert states["approval.maintenance_on"] == states["approval.freeze"] == "upstream_failed"
    assert "espaces archivés (composante SCI) : 12 sur 30 (40,0 %), seuil 30 %" in caplog.text


def assert_no_traceback(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    shown = caplog.text + "".join(capfd.readouterr())
    assert "Task exited" in shown, "the output of Airflow's task runner is not captured"
    assert "Traceback" not in shown
    assert "TransitionError" not in shown
