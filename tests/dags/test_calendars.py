"""The DAGs of calendars: the engineers' form, and the chain on the spaces that are due."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.dags.test_annual_transition import CHAIN
from transition.calendars.due import Due, Night
from transition.calendars.form import Request
from transition.campaign import Campaign
from transition.platforms import platform_names
from transition.spaces import Space
from transition_airflow import approval, tasks
from transition_airflow.timetable import PunctualCronTimetable

DUE = Due(2026, tuple(Space(id_, code, code, code, "", ()) for id_, code in ((4, "L1MAT101"), (5, "M1DRO201"))))
HELD = "M2CHI305 (2026-2027), dont la date est venue : caché."


@pytest.mark.parametrize("platform", platform_names())
def test_the_same_chain_after_the_choice(dags: dict[str, Any], platform: str) -> None:
    deferred, annual = dags[f"deferred_resets_{platform}"], dags[f"annual_transition_{platform}"]
    assert set(deferred.task_ids) == {*annual.task_ids, "due", "undecided"}
    assert deferred.get_task("due").downstream_task_ids == {"preflight", "undecided"}
    assert deferred.get_task("undecided").downstream_task_ids == set(), "nothing waits for it, nor is stopped by it"
    for task in annual.tasks:
        same = deferred.get_task(task.task_id)
        assert same.downstream_task_ids == task.downstream_task_ids
        assert (same.trigger_rule, same.is_setup, same.is_teardown, same.retries) == (
            task.trigger_rule, task.is_setup, task.is_teardown, task.retries,
        )  # fmt: skip
        if task.task_id != "watcher":
            assert (same.chosen_by, task.chosen_by) == ("due", "")
    assert isinstance(deferred.schedule, PunctualCronTimetable)
    assert (deferred.max_active_runs, deferred.max_active_tasks, deferred.catchup) == (1, 4, False)
    assert deferred.params["dry_run"] is True
    form = dags[f"calendar_exceptions_{platform}"]
    assert form.schedule is None, "a person starts it"
    for dag in (deferred, form):
        assert "{label}" not in dag.doc_md and "{name}" not in dag.doc_md and "{site}" not in dag.doc_md


@pytest.fixture
def night(dags: dict[str, Any], moodle_connection: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the deferred resets of Ecampus with some due spaces, whole or up to a task: states, and the campaigns."""

    def run(found: Night, until: str = "") -> tuple[dict[str, str], list[Campaign]]:
        seen: list[Campaign] = []
        monkeypatch.setattr(tasks, "stage_function", lambda _: lambda campaign, *_: seen.append(campaign))
        monkeypatch.setattr("transition.plan.approved_by", lambda _: "Nadia")
        monkeypatch.setattr("transition.calendars.due.due_spaces", lambda *_: found)
        monkeypatch.setattr("transition.calendars.due.refuse_unfinished", lambda *_: None)
        dag = dags["deferred_resets_ecampus"]
        dag_run = (dag.partial_subset([until]) if until else dag).test(run_conf={"dry_run": False})
        states = {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()}
        return states | {"": str(dag_run.state)}, seen

    monkeypatch.setattr(approval, "in_one_process", lambda _: True)
    return run


def test_nothing_due_is_skipped_and_says_so(night: Any, caplog: pytest.LogCaptureFixture) -> None:
    states, seen = night(Night())
    assert seen == []
    assert states.pop("") == "success", "a night without anything to do is no failure"
    assert set(states.values()) == {"skipped"}
    assert "Aucun espace à calendrier décalé n'est à réinitialiser" in caplog.text


def test_due_spaces_are_the_campaign_of_every_stage(night: Any) -> None:
    states, seen = night(Night((DUE, Due(2025, DUE.spaces))), until="approval.decide")
    assert set(states.values()) == {"success"}
    assert len(seen) == CHAIN.index("approval.decide")
    assert {(one.year, one.courses, one.dry_run) for one in seen} == {(2026, ("L1MAT101", "M1DRO201"), False)}


def test_what_waits_for_a_person_turns_the_night_red_and_stops_nothing(
    night: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("transition.caps.load", lambda _: [])
    monkeypatch.setattr(Campaign, "check_closed", lambda _: None)
    states, seen = night(Night((DUE,), (HELD,)))
    assert states.pop("") == states.pop("undecided") == "failed"
    assert set(states.values()) == {"success"}, "the chain went to its end, and Moodle was opened again"
    assert {one.courses for one in seen} == {("L1MAT101", "M1DRO201")}
    assert "attendent une personne. Faites ce que dit chaque ligne" in caplog.text
    assert caplog.text.count(HELD) == 2, "by `due`, by `undecided`"


def test_a_night_with_nothing_but_what_waits_for_a_person_is_red(night: Any, caplog: pytest.LogCaptureFixture) -> None:
    states, seen = night(Night((), (HELD,)))
    assert seen == []
    assert (states["due"], states["undecided"], states[""]) == ("failed", "upstream_failed", "failed")
    assert HELD in caplog.text


def test_it_lets_the_annual_transition_go_first(dags: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    asked: list[Any] = []

    def count(**runs: Any) -> int:
        asked.append(runs)
        return 1

    ti = SimpleNamespace(get_dr_count=count)
    with caplog.at_level("INFO"), pytest.raises(AirflowSkipException):
        dags["deferred_resets_ecampus"].get_task("due").execute({"ti": ti})
    assert asked == [{"dag_id": "annual_transition_ecampus", "states": ["running"]}]
    assert "La transition annuelle est en cours" in caplog.text


@pytest.mark.parametrize("choice", [None, {"year": 2026, "courses": []}])
def test_a_lost_choice_is_never_a_campaign_of_all_spaces(
    choice: object, dags: dict[str, Any], moodle_connection: None, caplog: pytest.LogCaptureFixture
) -> None:
    """As after `due` was marked as done by hand."""
    ti = SimpleNamespace(xcom_pull=lambda task_ids: choice if task_ids == "due" else None, try_number=1)
    ti.task = SimpleNamespace(upstream_task_ids={"due"})
    run = SimpleNamespace(run_id="r", run_type="scheduled", triggering_user_name=None)
    with pytest.raises(tasks.Refusal):
        dags["deferred_resets_ecampus"].get_task("preflight").execute({"ti": ti, "dag_run": run, "params": {}})
    assert "n'a choisi aucun espace" in caplog.text


def test_the_form_reaches_the_library(
    dags: dict[str, Any], moodle_connection: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Campaign, Request]] = []
    monkeypatch.setattr("transition.calendars.form.change", lambda *given: asked.append(given))
    monkeypatch.setattr("transition.calendars.table.calendar_table", lambda _: "LE TABLEAU")
    entry: dict[str, Any] = {
        "cible_type": "etape",
        "cible": "SL3INF",
        "type": "decale",
        "fin": "2027-01-15",
        "motif": "Stage",
    }
    form = {"action": "add", "year": 2026, "demandeur": "Zoé Lambert", **entry}
    assert str(dags["calendar_exceptions_ecampus"].test(run_conf=form).state) == "success"
    [(campaign, request)] = asked
    assert request == Request("add", demandeur="Zoé Lambert", **entry)
    assert (campaign.platform.name, campaign.year) == ("ecampus", 2026)
    assert "LE TABLEAU" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("name", "value"),
    [("action", "delete"), ("type", "tardive"), ("cible_type", "ue"), ("fin", "31/10/2026"), ("entry", "3")],
)
def test_the_form_refuses(dags: dict[str, Any], name: str, value: object) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        dags["calendar_exceptions_ecampus"].params.get_param(name).resolve(value)
