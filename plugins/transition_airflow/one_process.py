"""A DAG run in this process (``DAG.test``), without the time that Airflow sleeps there for nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


@contextmanager
def without_pauses() -> Iterator[None]:
    """Let ``DAG.test`` go past tasks that are skipped, or that cannot run after a failure, in one round.

    It marks one row of the graph a round and sleeps a second after each: a dozen seconds in a dry run, which ends at
    its plan, and in a run that is refused. A round that changes nothing is left alone: the run is waiting.
    """
    from airflow.models.dagrun import DagRun

    one_round = DagRun.update_state

    def all_rounds(run: DagRun, **options: Any) -> Any:
        before = None
        while True:
            found = one_round(run, **options)
            states = {ti.task_id: ti.state for ti in run.get_task_instances(session=options["session"])}
            if found[0] or states == before or run.state != "running":
                return found
            before = states

    with patch.object(DagRun, "update_state", all_rounds):
        yield
