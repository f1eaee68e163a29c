"""The DAG that lets old remains go: its form, its gate, and what its runs come to."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.dags.test_annual_transition import refuse
from transition.campaign import Campaign
from transition.platforms import platform_names
from transition_airflow import approval, tasks
from transition_airflow.tasks import StageOperator, stage_function
from transition_airflow.timetable import PunctualCronTimetable

Run = Callable[..., dict[str, str]]


@pytest.fixture
def run(dags: dict[str, Any], moodle_connection: None, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the DAG of Ecampus with stages that only note the campaign they get; gives the state of every task."""

    def run_dag(got: list[tuple[str, Campaign]], due: int, approved: str | None, dry_run: bool) -> dict[str, str]:
        monkeypatch.setattr(tasks, "stage_function", lambda path: lambda given: got.append((path, given)))
        monkeypatch.setattr("transition.plan.approved_by", lambda _: approved)
        monkeypatch.setattr("transition.expiry.stage.due_items", lambda _: ["x"] * due)
        monkeypatch.setattr("transition.plan.approve", refuse)  # nobody but a person
        dag_run = dags["archive_expiry_ecampus"].test(run_conf={"dry_run": dry_run})
        return {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()} | {"": str(dag_run.state)}

    return run_dag


@pytest.mark.parametrize("platform", platform_names())
def test_the_graph_and_the_form(dags: dict[str, Any], platform: str) -> None:
    dag = dags[f"archive_expiry_{platform}"]
    assert [task.task_id for task in dag.topological_sort()] == ["list_due", "approve", "expire"]
    assert dag.get_task("expire").upstream_task_ids == {"approve"}
    assert dag.get_task("approve").upstream_task_ids == {"list_due"}
    assert isinstance(dag.schedule, PunctualCronTimetable)
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    assert dict(dag.params) == {"dry_run": True}
    assert "{" not in dag.doc_md
    for task in dag.tasks:
        assert task.retries == 3
        assert (task.execution_timeout is None) == (task.task_id == "approve")
        if isinstance(task, StageOperator):
            assert callable(stage_function(task.function))


def test_a_dry_run_ends_with_the_list(run: Run) -> None:
    got: list[tuple[str, Campaign]] = []
    states = run(got, due=3, approved="Nadia", dry_run=True)
    assert states == {"list_due": "success", "approve": "skipped", "expire": "skipped", "": "success"}
    [(path, campaign)] = got
    assert path == "transition.expiry.stage:list_due"
    assert (campaign.platform.name, campaign.dry_run, campaign.feed) == ("ecampus", True, None)


def test_nothing_due_asks_nobody_and_says_so(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    states = run([], due=0, approved=None, dry_run=False)
    assert states == {"list_due": "success", "approve": "skipped", "expire": "skipped", "": "success"}
    assert "Rien n'est à l'échéance" in "".join(capfd.readouterr())


def test_what_a_person_approved_expires(run: Run) -> None:
    got: list[tuple[str, Campaign]] = []
    states = run(got, due=1, approved="Nadia", dry_run=False)
    assert set(states.values()) == {"success"}
    assert [path.partition(":")[2] for path, _ in got] == ["list_due", "expire"]
    assert not any(campaign.dry_run for _, campaign in got)


def test_no_platform_approves_by_itself(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from transition import platforms

    automatic = platforms.load_platform("ecampus").model_copy(update={"approval": "automatic"})
    monkeypatch.setattr(platforms, "load_platform", lambda _: automatic)
    monkeypatch.setattr(approval, "in_one_process", lambda _: True)
    states = run([], due=1, approved=None, dry_run=False)
    assert (states["approve"], states["expire"], states[""]) == ("failed", "upstream_failed", "failed")
    assert "Une suppression s'approuve dans Airflow, par une personne" in caplog.text
