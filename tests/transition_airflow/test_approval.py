"""The gate, answered by a person through Airflow's own interface."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from transition import plan
from transition.campaign import Campaign
from transition.caps import Crossing
from transition.platforms import load_platform
from transition.state import schema, tables
from transition_airflow import approval, tasks

Answer = Any


PLAN = "0123" * 16  # its fingerprint
CROSSED = Crossing("archived", "archived_share", "SCI", 12, 30, 0.3)


@pytest.fixture
def crossed(monkeypatch: pytest.MonkeyPatch) -> list[Crossing]:
    """The caps that the plan crosses: none, unless the test adds some."""
    found: list[Crossing] = []
    monkeypatch.setattr("transition.caps.load", lambda _: found)
    return found


@pytest.fixture
def approvals(monkeypatch: pytest.MonkeyPatch, crossed: list[Crossing]) -> dict[bool, str]:
    """Who approved: the library's part, which tests/test_caps.py covers, replaced; True: the second approval."""
    names: dict[bool, str] = {}
    monkeypatch.setattr("transition.plan.approved_by", lambda _, exceeding=False: names.get(exceeding))
    monkeypatch.setattr("transition.plan.stored_fingerprint", lambda _: PLAN)

    def approve(_: Campaign, shown: str, *, by: str, exceeding: bool = False) -> None:
        assert shown == PLAN
        names[exceeding] = by

    monkeypatch.setattr("transition.plan.approve", approve)
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

    def respond(option: str, meanwhile: Callable[[], None]) -> dict[str, Any]:
        deadline = time.monotonic() + 600  # of a slow machine: without an answer the run waits for ever
        while time.monotonic() < deadline:
            pending = api.get("/api/v2/dags/~/dagRuns/~/hitlDetails", params={"response_received": False}).json()
            for request in pending["hitl_details"]:
                ti = request["task_instance"]
                if ti["state"] != "awaiting_input":
                    continue  # an answer that comes before the task is parked would be lost
                meanwhile()
                run_path = f"/api/v2/dags/{ti['dag_id']}/dagRuns/{ti['dag_run_id']}"
                answered = api.patch(
                    f"{run_path}/taskInstances/{ti['task_id']}/-1/hitlDetails",
                    json={"chosen_options": [option], "params_input": {}},
                )
                assert answered.status_code == 200
                return dict(request)
            time.sleep(0.3)
        raise TimeoutError("no request came")

    def run(
        option: str, dag: str = "annual_transition_ecampus", meanwhile: Callable[[], None] = lambda: None
    ) -> tuple[dict[str, Any], dict[str, str]]:
        with ThreadPoolExecutor(1) as person:
            request = person.submit(respond, option, meanwhile)
            form = {"dry_run": False} if "expiry" in dag else {"year": 2026, "dry_run": False, "courses": []}
            dag_run = dags[dag].test(run_conf=form)
        return request.result(), {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()}

    with api:
        yield run


def test_a_person_approves_what_the_request_shows(answer: Answer, approvals: dict[bool, str]) -> None:
    request, states = answer("Approve")
    assert request["subject"] == "Approuver le plan de la transition annuelle (Ecampus, année 2026-2027) ?"
    assert request["body"] == "LE PLAN"
    assert approvals == {False: "Anonymous"}
    assert states["approval.decide"] == states["approval.exceed"] == states["report"] == "success"


def test_a_rejected_plan_is_a_failed_run(
    answer: Answer, approvals: dict[bool, str], caplog: pytest.LogCaptureFixture
) -> None:
    _, states = answer("Reject")
    assert approvals == {}
    assert (states["approval.decide"], states["approval.freeze"]) == ("failed", "upstream_failed")
    assert states["watcher"] == "failed"
    assert "Plan refusé par Anonymous : rien n'a été écrit" in caplog.text


def test_crossed_caps_ask_a_person_on_an_automatic_platform_too(
    answer: Answer, approvals: dict[bool, str], crossed: list[Crossing], monkeypatch: pytest.MonkeyPatch
) -> None:
    crossed.append(CROSSED)
    automatic = load_platform("ecampus").model_copy(update={"approval": "automatic"})
    monkeypatch.setattr("transition.platforms.load_platform", lambda _: automatic)
    request, states = answer("Approve")
    assert request["task_instance"]["task_id"] == "approval.exceed"
    assert (
        request["subject"]
        == "Approuver le dépassement des seuils par la transition annuelle (Ecampus, année 2026-2027) ?"
    )
    assert request["body"] == "LE PLAN"
    assert approvals == {False: approval.AUTOMATIC, True: "Anonymous"}
    assert states["approval.exceed"] == states["report"] == "success"


def test_who_approved_the_plan_cannot_approve_that_it_crosses_caps(
    answer: Answer, approvals: dict[bool, str], crossed: list[Crossing], caplog: pytest.LogCaptureFixture
) -> None:
    crossed.append(CROSSED)
    approvals[False] = "Anonymous"
    _, states = answer("Approve")
    assert approvals == {False: "Anonymous"}
    assert (states["approval.exceed"], states["approval.maintenance_on"]) == ("failed", "upstream_failed")
    assert "« Anonymous » a déjà approuvé le plan" in caplog.text


def test_a_person_approves_what_expires(
    answer: Answer, approvals: dict[bool, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transition.expiry.stage.due_items", lambda _: ["x"])
    monkeypatch.setattr("transition.expiry.stage.page", lambda _: "LA LISTE")
    request, states = answer("Approve", "archive_expiry_ecampus")
    assert request["subject"] == "Supprimer ou masquer ce qui est à l'échéance (Ecampus) ?"
    assert request["body"] == "LA LISTE"
    assert approvals == {False: "Anonymous"}
    assert states == {"list_due": "success", "approve": "success", "expire": "success"}


def test_a_list_that_changed_since_the_question_is_not_approved(
    answer: Answer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody clears the task ``list_due`` alone while the request waits: it shows the list of before."""
    monkeypatch.setattr("transition.expiry.stage.due_items", lambda _: ["x"])
    monkeypatch.setattr("transition.expiry.stage.page", lambda _: "LA LISTE")
    listed: list[Campaign] = []

    def list_due(campaign: Campaign) -> None:
        schema.upgrade(campaign)
        listed.append(campaign)
        plan.store_fingerprint(campaign, PLAN)

    stages = {"transition.expiry.stage:list_due": list_due}
    monkeypatch.setattr(tasks, "stage_function", stages.__getitem__)
    _, states = answer("Approve", "archive_expiry_ecampus", lambda: plan.store_fingerprint(listed[0], PLAN[::-1]))
    assert states == {"list_due": "success", "approve": "failed", "expire": "upstream_failed"}
    assert "a changé depuis la question posée à Anonymous" in caplog.text
    with listed[0].engine.connect() as connection:
        assert connection.execute(sa.select(tables.approval)).all() == []
