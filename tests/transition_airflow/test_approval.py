"""The gate, answered by a person through Airflow's own interface."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from transition_airflow import approval, tasks

Answer = Any


@pytest.fixture
def approved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who approved: the library's part, which tests/transition/ covers, replaced by a list."""
    names: list[str] = []
    monkeypatch.setattr("transition.plan.approved_by", lambda _: names[0] if names else None)
    monkeypatch.setattr("transition.plan.approve", lambda _, by: names.append(by))
    monkeypatch.setattr("transition.report.plan_table.plan_markdown", lambda _: "LE PLAN")
    return names


@pytest.fixture
def answer(dags: dict[str, Any], moodle_connection: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answer]:
    """Runs the DAG while a person answers the request; gives the request and the states of the tasks."""
    from airflow.api_fastapi.app import create_app

    monkeypatch.setattr(tasks, "stage_function", lambda _: lambda *_: None)
    # The run is DAG.test's, but somebody is there to answer.
    monkeypatch.setattr(approval, "in_one_process", lambda _: False)
    api = TestClient(create_app(apps="core"))
    dag = dags["annual_transition_ecampus"]

    def respond(option: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            pending = api.get("/api/v2/dags/~/dagRuns/~/hitlDetails", params={"response_received": False}).json()
            for request in pending["hitl_details"]:
                ti = request["task_instance"]
                run_path = f"/api/v2/dags/{ti['dag_id']}/dagRuns/{ti['dag_run_id']}"
                answered = api.patch(
                    f"{run_path}/taskInstances/{ti['task_id']}/-1/hitlDetails",
                    json={"chosen_options": [option], "params_input": {}},
                )
                assert answered.status_code == 200
                return dict(request)
            time.sleep(0.3)
        raise TimeoutError("no request came")

    def run(option: str) -> tuple[dict[str, Any], dict[str, str]]:
        with ThreadPoolExecutor(1) as person:
            request = person.submit(respond, option)
            dag_run = dag.test(run_conf={"year": 2026, "dry_run": False, "courses": []})
        return request.result(), {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()}

    with api:
        yield run


def test_a_person_approves_what_the_request_shows(answer: Answer, approved: list[str]) -> None:
    request, states = answer("Approve")
    assert request["subject"] == "Approuver le plan de la transition annuelle (Ecampus, année 2026-2027) ?"
    assert request["body"] == "LE PLAN"
    assert approved == ["Anonymous"]
    assert states["approval.decide"] == states["report"] == "success"


def test_a_rejected_plan_is_a_failed_run(answer: Answer, approved: list[str], caplog: pytest.LogCaptureFixture) -> None:
    _, states = answer("Reject")
    assert approved == []
    assert (states["approval.decide"], states["approval.freeze"]) == ("failed", "upstream_failed")
    assert states["watcher"] == "failed"
    assert "Plan refusé par Anonymous : rien n'a été écrit" in caplog.text
