"""The DAGs as Airflow reads them, and a way to run one with stages of the test's own."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from transition.campaign import Campaign
from transition.caps import Crossing
from transition_airflow import approval, tasks
from transition_airflow.one_process import without_pauses

Run = Callable[..., dict[str, str]]


@pytest.fixture(scope="session")
def dags(airflow: None) -> Iterator[dict[str, Any]]:
    """Every DAG of the project, by id; runs of theirs do not sleep, as those of the operator's command."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag()
    assert bag.import_errors == {}
    with without_pauses():
        yield dict(bag.dags)


@pytest.fixture
def moodle_connection(server: PrivateMariaDB, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection moodle_ecampus, to an empty database: no stage is asked whether the run keeps Moodle closed."""
    monkeypatch.setattr(Campaign, "check_closed", lambda _: None)
    with sa.create_engine(server.url(), isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text("CREATE DATABASE IF NOT EXISTS plumbing"))
    monkeypatch.setenv("AIRFLOW_CONN_MOODLE_ECAMPUS", json.dumps(server.airflow_connection("plumbing")))


@pytest.fixture
def run(dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the DAG of Ecampus in this process with stages that do nothing, except those given.

    ``run(stages={"transition.verify:verify": function}, approved="Nom", crossed=[caps], **form)`` gives the state of
    every task, and of the run under the name ''. The plan is approved by that person; what it crosses, by nobody.
    """

    def run_dag(
        stages: dict[str, Callable[..., None]] | None = None,
        approved: str | None = None,
        crossed: Sequence[Crossing] = (),
        **form: Any,
    ) -> Any:
        monkeypatch.setattr(tasks, "stage_function", lambda path: (stages or {}).get(path, lambda *_: None))
        monkeypatch.setattr("transition.plan.approved_by", lambda _, exceeding=False: None if exceeding else approved)
        monkeypatch.setattr("transition.caps.load", lambda _: list(crossed))
        dag_run = dags["annual_transition_ecampus"].test(run_conf=form)
        return {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()} | {"": str(dag_run.state)}

    monkeypatch.setattr(approval, "in_one_process", lambda _: True)
    return run_dag
