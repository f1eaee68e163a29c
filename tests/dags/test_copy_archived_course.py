"""The DAG that copies an archived space: its form, and what reaches the library."""

from typing import Any

import pytest

from transition.campaign import Campaign
from transition.course_copy.stage import Request
from transition.platforms import platform_names


@pytest.mark.parametrize("platform", platform_names())
def test_one_a_platform(dags: dict[str, Any], platform: str) -> None:
    dag = dags[f"copy_archived_course_{platform}"]
    assert set(dag.params) == {"source", "target", "confirm_not_empty", "again"}
    assert dag.schedule is None, "a person starts it"
    assert "{" not in dag.doc_md.replace('{"', "")
    [task] = dag.tasks
    assert task.retries == 3
    assert task.execution_timeout


def test_the_form_reaches_the_library(
    dags: dict[str, Any], moodle_connection: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Campaign, Request]] = []
    monkeypatch.setattr("transition.course_copy.stage.copy_archived_course", lambda *given: asked.append(given))
    run = dags["copy_archived_course_ecampus"].test(run_conf={"source": "ex_A", "target": "B", "again": True})
    assert str(run.state) == "success"
    [(campaign, request)] = asked
    assert request == Request("ex_A", "B", again=True)
    assert (campaign.platform.name, campaign.year, campaign.dry_run) == ("ecampus", run.run_after.year, False)
