"""The operator's command (``make restore``): a platform's DAG ``restore_course`` in one process.

The terminal gets French sentences only; all that Airflow says goes to a file under ``.runs/`` (or ``TRANSITION_RUNS``).
"""

import gc
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from transition.errors import TransitionError
from transition.platforms import load_platform, platform_names
from transition_airflow.command import (
    DONE,
    FAILED,
    MISUSED,
    PROJECT,
    failures,
    hold_signals,
    listen,
    prepare_airflow,
    run,
    stop_at_once,
)

_USAGE = (
    "make restore PLATFORM=ecampus YEAR=2026 CODE=LI3INF01 [NAME=1] [ENROLMENTS=1] [CONFLICTS=skip|scratch]"
    ' [ACTIVITY="nom"] [STUDENT=identifiant]'
)


@dataclass(frozen=True)
class Order:
    """What the operator asked for. :param form: the DAG's form, filled in."""

    platform: str
    form: Mapping[str, Any]

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Order":
        """The order that the environment's variables give; raises :class:`TransitionError`."""

        def given(key: str) -> str:
            return environment.get(key, "").strip()

        def ticked(key: str) -> bool:
            if given(key) not in ("", "0", "1"):
                raise TransitionError(f"{key} vaut 1 ou rien, pas « {given(key)} » : {_USAGE}.")
            return given(key) == "1"

        year = given("YEAR")
        if not (given("PLATFORM") and given("CODE") and year.isascii() and year.isdigit()):
            known = ", ".join(platform_names()) or "aucune"
            raise TransitionError(
                f"Indiquez la plateforme, l'année et le code : {_USAGE} ; plateformes déclarées : {known}."
            )
        form = {
            "code": given("CODE"), "year": int(year), "name": ticked("NAME"), "enrolments": ticked("ENROLMENTS"),
            "conflicts": given("CONFLICTS") or "stop", "activity": given("ACTIVITY"), "student": given("STUDENT"),
        }  # fmt: skip
        return cls(load_platform(given("PLATFORM")).name, form)


def main() -> int:
    """Carry out the order in the environment; returns 0 only if the space was restored."""
    hold_signals()
    try:
        order = Order.read(os.environ)
    except TransitionError as error:
        print(error, file=sys.stderr)
        return MISUSED
    folder = Path(os.environ.get("TRANSITION_RUNS") or PROJECT / ".runs")
    log_file = folder / f"{order.platform}-restore-{datetime.now():%Y%m%d-%H%M%S}.log"
    with tempfile.TemporaryDirectory(prefix="transition-") as home:
        prepare_airflow(Path(home))
        from airflow.dag_processing.dagbag import DagBag
        from airflow.utils.db import initdb

        from transition_airflow.terminal import Terminal, quiet

        with quiet(log_file) as stream:
            terminal = Terminal(stream)
            stop_at_once(terminal, home)
            listen(terminal)
            try:
                initdb()
                dag = DagBag(dag_folder=str(PROJECT / "dags")).dags[f"restore_course_{order.platform}"]
                if not failures(run(dag, dict(order.form))):
                    return DONE
                terminal.say(f"\nL'espace n'est pas restauré. Journal technique : {log_file}")
            except TransitionError as error:
                terminal.say(str(error))
            except Exception:
                traceback.print_exc()
                terminal.say(f"Erreur inattendue : le journal technique en dit plus ({log_file}).")
            return FAILED


if __name__ == "__main__":
    status = main()
    gc.freeze()  # as the other command does
    sys.exit(status)
