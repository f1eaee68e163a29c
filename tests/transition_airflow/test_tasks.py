"""How a stage is run: which errors end it, and for which campaign it works."""

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import RetryAction

from demo.server import PrivateMariaDB
from tests.support.campaign import reference_platform, write_platform
from transition.campaign import Campaign
from transition.errors import TransitionError, UnreachableError
from transition.state import schema
from transition.storage import stem
from transition_airflow.tasks import LONGEST_NAME, RETRIES, Refusal, bare_campaign, campaign, readable_errors
from transition_airflow.timetable import GRACE


@pytest.mark.parametrize(
    ("error", "becomes", "action"),
    [
        (TransitionError("Non."), Refusal, RetryAction.FAIL),
        (UnreachableError("Absent."), SystemExit, RetryAction.DEFAULT),
        (BlockingIOError("Occupé."), SystemExit, RetryAction.DEFAULT),
        (ValueError("bug"), ValueError, RetryAction.DEFAULT),
    ],
)
def test_errors(
    error: Exception, becomes: type[BaseException], action: RetryAction, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(becomes) as raised, readable_errors():
        raise error
    assert type(raised.value) is becomes
    assert RETRIES["retry_policy"].evaluate(raised.value, try_number=1, max_tries=3).action is action
    assert caplog.messages == ([] if becomes is ValueError else [str(error)])


@pytest.fixture
def context(server: PrivateMariaDB, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a task's context, for a run of that type with that form."""
    monkeypatch.setenv("AIRFLOW_CONN_MOODLE_ECAMPUS", json.dumps(server.airflow_connection("information_schema")))

    def make(
        run_type: str, moment: datetime, attempt: int = 2, upstream: Collection[str] = (),
        ids: tuple[str, str] = ("annual_transition_ecampus", "r"), **form: Any,
    ) -> Any:  # fmt: skip
        dag_id, run_id = ids
        run = SimpleNamespace(
            dag_id=dag_id, run_id=run_id, run_type=run_type, run_after=moment, triggering_user_name="Nadia"
        )
        form = {"year": 2020, "dry_run": True, "courses": []} | form
        task = SimpleNamespace(upstream_task_ids=upstream)
        return {"dag_run": run, "params": form, "ti": SimpleNamespace(try_number=attempt, task=task)}

    return make


def test_a_scheduled_run_executes_for_the_year_of_its_night(context: Any) -> None:
    # 23:30 in UTC is already the next year in Paris; the form of a scheduled run is nobody's wish.
    made = campaign("ecampus", context("scheduled", datetime(2026, 12, 31, 23, 30, tzinfo=UTC), courses=["A"]))
    assert (made.year, made.dry_run, made.courses) == (2027, False, ())


@pytest.mark.parametrize("run_type", ["manual", "backfill", "asset_triggered"])
def test_any_other_run_is_what_its_form_says(context: Any, run_type: str) -> None:
    moment = datetime(2026, 8, 16, tzinfo=UTC)
    dry = campaign("ecampus", context(run_type, moment, courses=["A", "B"]))
    assert (dry.year, dry.dry_run, dry.courses, dry.actor, dry.attempt) == (2020, True, ("A", "B"), "Nadia", 2)
    assert campaign("ecampus", context(run_type, moment, dry_run=False)).dry_run is False


def test_the_replicas_that_the_platform_declares_are_the_campaign_s(
    context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: PrivateMariaDB
) -> None:
    connections = {"moodle": "moodle_ecampus", "apogee": "apogee_ecampus", "replicas": ["replica_ecampus"]}
    platforms = write_platform(reference_platform(tmp_path / "storage", connections=connections), tmp_path)
    monkeypatch.setenv("TRANSITION_PLATFORMS", str(platforms))
    monkeypatch.setenv("AIRFLOW_CONN_REPLICA_ECAMPUS", json.dumps(server.airflow_connection("information_schema")))
    [(name, replica)] = campaign("ecampus", context("manual", datetime(2026, 8, 16, tzinfo=UTC))).replicas
    assert (name, replica.url.port) == ("replica_ecampus", server.port)


def test_runs_of_two_dags_with_the_same_id_share_nothing(context: Any) -> None:
    moment = datetime(2026, 8, 17, 1, tzinfo=UTC)
    night = "scheduled__2026-08-17T01:00:00+00:00"  # 03:00 in Paris, the hour of deferred_resets

    def made(dag: str) -> Campaign:
        return campaign("ecampus", context("scheduled", moment, ids=(f"{dag}_ecampus", night)))

    transition, resets = made("annual_transition"), made("deferred_resets")
    expiry = bare_campaign("ecampus", context("scheduled", moment, ids=("archive_expiry_ecampus", night)), 2026)
    schema.upgrade(transition)
    assert len({transition.run, resets.run, expiry.run}) == 3
    assert len({stem(one) for one in (transition, resets, expiry)}) == 3, "the names of their reports"
    assert made("annual_transition").run == transition.run
    transition.take_fence()
    transition.check_fence()
    with pytest.raises(TransitionError, match=r"deferred_resets_ecampus/scheduled__2026-08-17.* n'a plus la main"):
        resets.check_fence()


def test_an_id_that_no_file_s_name_could_hold_is_refused(context: Any) -> None:
    dag, moment = "annual_transition_ecampus", datetime(2026, 8, 16, tzinfo=UTC)
    fits = "x" * (LONGEST_NAME - len(dag) - 1)
    assert campaign("ecampus", context("manual", moment, ids=(dag, fits))).run_id == f"{dag}/{fits}"
    with pytest.raises(TransitionError, match=r"« ID d'exécution ».* est trop long, de 1 caractère :"):
        campaign("ecampus", context("manual", moment, ids=(dag, fits + "x")))


def test_a_scheduled_run_that_airflow_starts_days_late_does_not_begin(context: Any) -> None:
    late, punctual = datetime.now(UTC) - GRACE - timedelta(hours=1), datetime.now(UTC) - GRACE / 2
    with pytest.raises(TransitionError, match="programmée r ne commence pas : sa date est passée depuis 25 h"):
        campaign("ecampus", context("scheduled", late, attempt=1))
    with pytest.raises(TransitionError, match="ne commence pas"):
        bare_campaign("ecampus", context("scheduled", late, attempt=1), late.year)
    for going in (
        context("scheduled", punctual, attempt=1),
        context("scheduled", late, attempt=1, upstream={"preflight"}),  # the plan waited for its approval
        context("scheduled", late),  # cleared by a person
        context("manual", late, attempt=1),
    ):
        assert campaign("ecampus", going).platform.name == "ecampus"
