"""The operator's command (``make transition``): a platform's DAG in one process, on the connections of the environment.

First a dry run, whose plan is printed. With ``EXECUTE=1`` that plan is approved in the name of ``APPROVED_BY`` and a
second run carries it out, provided that its own plan is the same. A plan that crosses caps needs a second person's
name besides: ``EXCEED``. The terminal gets French sentences only; all that
Airflow says goes to a file under ``.runs/`` (or ``TRANSITION_RUNS``).
"""

import gc
import getpass
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from transition.campaign import collect_garbage_rarely
from transition.errors import TransitionError
from transition.platforms import load_platform, platform_names

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

    from transition.campaign import Campaign
    from transition_airflow.terminal import Terminal

PROJECT = Path(__file__).resolve().parents[2]
DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
_STOPPING = {signal.SIGINT, signal.SIGTERM}


@dataclass(frozen=True)
class Order:
    """What the operator asked for.

    :param courses: course codes; empty: all. :param approved_by: '' = dry run only. :param exceeded_by: who approves
        that the plan crosses caps; '' = nobody.
    """

    platform: str
    year: int
    courses: tuple[str, ...]
    approved_by: str
    exceeded_by: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Order":
        """The order that PLATFORM, YEAR, COURSES, EXECUTE, APPROVED_BY and EXCEED give; raises
        :class:`TransitionError`."""
        usage = (
            'make transition PLATFORM=ecampus YEAR=2026 [COURSES="A,B"]'
            ' [EXECUTE=1 APPROVED_BY="Nom" [EXCEED="Autre nom"]]'
        )
        keys = ("PLATFORM", "YEAR", "COURSES", "EXECUTE", "APPROVED_BY", "EXCEED")
        platform, year, courses, execute, name, second = (environment.get(key, "").strip() for key in keys)
        if not platform or not (year.isascii() and year.isdigit()):
            known = ", ".join(platform_names()) or "aucune"
            raise TransitionError(f"Indiquez la plateforme et l'année : {usage} ; plateformes déclarées : {known}.")
        if execute not in ("", "0", "1"):
            raise TransitionError(f"EXECUTE vaut 1 (exécuter) ou rien (à blanc), pas « {execute} » : {usage}.")
        if execute == "1" and not name:
            raise TransitionError(f"Une exécution s'approuve : dites qui approuve le plan (APPROVED_BY), {usage}.")
        if execute != "1":
            name = second = ""
        if second:
            from transition.caps import refuse_same_person  # with threads of numpy's: see hold_signals

            refuse_same_person(name, second)
        codes = tuple(dict.fromkeys(code.strip() for code in courses.split(",") if code.strip()))
        return cls(load_platform(platform).name, int(year), codes, name, second)

    def form(self, *, dry_run: bool) -> dict[str, Any]:
        """The DAG's form, filled in."""
        return {"year": self.year, "dry_run": dry_run, "courses": list(self.courses)}


def prepare_airflow(home: Path) -> None:
    """Point this process to a throw-away Airflow in `home`; must precede the first import of Airflow."""
    collect_garbage_rarely()
    os.environ.update(
        AIRFLOW_HOME=str(home),
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db",
        AIRFLOW__CORE__EXECUTOR="LocalExecutor",
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__DAGS_FOLDER=str(PROJECT / "dags"),
        AIRFLOW__CORE__PLUGINS_FOLDER=str(PROJECT / "plugins"),
        AIRFLOW__LOGGING__BASE_LOG_FOLDER=str(home / "logs"),
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
    )


def load_dag(platform: str) -> "DAG":
    """The platform's DAG, in an Airflow database made for it."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    bag = DagBag(dag_folder=str(PROJECT / "dags"))
    return bag.dags[f"annual_transition_{platform}"]


def run(dag: "DAG", form: dict[str, Any]) -> "DagRun":
    """One run of the DAG, here and now; raises :class:`TransitionError` for a value that its form does not take."""
    from airflow.sdk.exceptions import ParamValidationError

    from transition_airflow.one_process import without_pauses

    for name, value in form.items():
        field = dag.params.get_param(name)
        try:
            field.resolve(value)
        except ParamValidationError:
            raise TransitionError(f"Valeur refusée pour « {name} » : {value}. Attendu : {field.description}") from None
    with without_pauses():
        return dag.test(run_conf=form)


def failures(dag_run: "DagRun") -> list[str]:
    """Ids of the tasks that failed or could not run because of it; empty when the run is a success."""
    bad = sorted(ti.task_id for ti in dag_run.get_task_instances() if ti.state in ("failed", "upstream_failed"))
    return bad or ([] if dag_run.state == "success" else ["run"])


def verified(dag_run: "DagRun") -> bool:
    """Whether the run's own checks were carried out and held."""
    return any(ti.task_id == "verify" and ti.state == "success" for ti in dag_run.get_task_instances())


def carry_out(order: Order, terminal: "Terminal", log_file: Path) -> int:
    """The dry run, then, if the order says so, the approval and the executing run; returns the exit status."""
    platform = load_platform(order.platform)
    dag = load_dag(order.platform)
    title = f"{platform.label}, année {order.year}-{order.year + 1}"
    terminal.say(f"{title} : plan (exécution à blanc)")
    dry = run(dag, order.form(dry_run=True))
    if failures(dry):
        terminal.say(f"\nÉchec avant toute écriture. Journal technique : {log_file}")
        return FAILED
    from transition import caps
    from transition.plan import approve, stored_fingerprint
    from transition.report.plan_table import plan_table
    from transition_airflow.tasks import run_name

    planned = campaign_of(order, run_name(dry))
    shown, crossed = stored_fingerprint(planned), caps.load(planned)
    terminal.say(f"\n{plan_table(planned)}\n")
    if not order.approved_by:
        terminal.say("Exécution à blanc : rien n'a été écrit dans Moodle. Pour exécuter, ajoutez ce qui suit ; le plan")
        terminal.say("est alors calculé et affiché de nouveau, et approuvé aussitôt :")
        terminal.say('  EXECUTE=1 APPROVED_BY="votre nom"' + (' EXCEED="une autre personne"' if crossed else ""))
        return DONE
    if crossed and not order.exceeded_by:
        raise TransitionError(
            "Ce plan dépasse des seuils (ci-dessus) : rien n'a été écrit. Si c'est voulu, une autre personne que"
            f' {order.approved_by} l\'approuve aussi : ajoutez EXCEED="son nom".'
        )
    approve(planned, shown, by=order.approved_by)
    if crossed:
        approve(planned, shown, by=order.exceeded_by, exceeding=True)
    terminal.say(f"{title} : exécution du plan approuvé par {order.approved_by}")
    executing = run(dag, order.form(dry_run=False))
    if failures(executing) or not verified(executing):
        terminal.say("\nLa transition n'est pas terminée : corrigez la cause, puis relancez la même commande.")
        terminal.say(f"Journal technique : {log_file}")
        return FAILED
    terminal.say(
        f"\nTransition terminée et vérifiée. Rapport : {platform.storage}/{platform.name}/{order.year}/reports"
    )
    return DONE


def campaign_of(order: Order, run_id: str) -> "Campaign":
    """The campaign of a run that this command made, to read and approve its plan.

    :param run_id: its name, as :func:`~transition_airflow.tasks.run_name` gives it.
    """
    from transition.campaign import Campaign
    from transition_airflow.connections import engine

    platform = load_platform(order.platform)
    return Campaign(
        platform, order.year, run_id, engine(platform.connections.moodle), True, order.courses, getpass.getuser()
    )


def hold_signals() -> None:
    """Block what stops the command, in this thread and in all that it starts, until :func:`stop_at_once` awaits it.

    Comes first: numpy starts threads when it is imported, and a signal goes to any thread that does not block it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)


def stop_at_once(terminal: "Terminal", home: str) -> None:
    """Make Ctrl-C and SIGTERM remove `home` and end the process at once; Moodle, if it closed it, is opened first.

    Airflow would take the first for the failure of a task and try that task again, and ignore the second while a task
    runs. So a thread of its own awaits both. A kill is safe at any point.
    """

    def wait() -> None:
        signal.sigwait(_STOPPING)
        terminal.say(
            "\nInterrompu. Ce qui était en cours est annulé, ce qui était fait le reste : relancez pour reprendre."
        )
        if terminal.closing:
            terminal.say("Moodle est rouvert s'il était fermé : un instant.")
            reopen_instead(terminal, home)
        shutil.rmtree(home, ignore_errors=True)
        os._exit(INTERRUPTED)

    threading.Thread(target=wait, daemon=True).start()


def reopen_instead(terminal: "Terminal", home: str) -> NoReturn:
    """Turn this process into one that opens Moodle and does nothing else (:mod:`transition_airflow.reopen`).

    What its threads were doing ends there, and their connections with it: nothing goes on writing in an open Moodle.
    """
    os.dup2(terminal.stream.fileno(), 1)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    order = [sys.executable, "-m", "transition_airflow.reopen", terminal.closing, home]
    os.execv(sys.executable, order)  # noqa: S606  # no shell is wanted


def main() -> int:
    """Carry out the order in the environment; returns 0 only if every task succeeded, checks included."""
    hold_signals()
    try:
        order = Order.read(os.environ)
    except TransitionError as error:
        print(error, file=sys.stderr)
        return MISUSED
    folder = Path(os.environ.get("TRANSITION_RUNS") or PROJECT / ".runs")
    log_file = folder / f"{order.platform}-{order.year}-{datetime.now():%Y%m%d-%H%M%S}.log"
    with tempfile.TemporaryDirectory(prefix="transition-") as home:
        prepare_airflow(Path(home))
        from transition_airflow.terminal import Terminal, quiet

        with quiet(log_file) as stream:
            terminal = Terminal(stream, silent=("watcher",))
            stop_at_once(terminal, home)
            listen(terminal)
            try:
                return carry_out(order, terminal, log_file)
            except TransitionError as error:
                terminal.say(str(error))
            except Exception:
                traceback.print_exc()
                terminal.say(f"Erreur inattendue : le journal technique en dit plus ({log_file}).")
            return FAILED


def listen(terminal: "Terminal") -> None:
    """Have the terminal told of the tasks and of the sentences for users."""
    import logging

    from airflow.sdk.listener import get_listener_manager

    get_listener_manager().add_listener(terminal)
    logger = logging.getLogger("transition")
    logger.setLevel(logging.INFO)
    logger.addHandler(terminal)


if __name__ == "__main__":
    status = main()
    gc.freeze()  # else Python looks all of Airflow through for garbage before it ends, for six seconds
    sys.exit(status)
