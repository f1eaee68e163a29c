"""How Airflow runs a stage of the library: the campaign it is given, its retries, and how its refusals read."""

import getpass
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, ExceptionRetryPolicy, RetryAction, RetryRule, TriggerRule
from airflow.sdk.exceptions import AirflowSkipException

from transition.errors import TransitionError, UnreachableError
from transition.french import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from transition.campaign import Campaign

# The logger of everything that is written to be read by a user, in French. See also `command.py`, which shows it.
log = logging.getLogger("transition")


class Refusal(SystemExit):
    """A stage refused to go on. Airflow logs an exit in one line; any other exception would get its traceback."""


# Of a run's name (`run_name`); reports and proofs add up to 60 characters to it, a name of a file takes 255.
LONGEST_NAME = 180

RETRIES = {
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    # A refusal would be repeated by the same input: only faults are tried again.
    "retry_policy": ExceptionRetryPolicy(
        [RetryRule(exception=Refusal, action=RetryAction.FAIL, reason="refus : la même cause donnerait le même effet")]
    ),
}


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn errors that a user can mend into one logged sentence, without a traceback.

    A :class:`~transition.errors.TransitionError` ends the task at once (:class:`Refusal`). A server that is away
    or a lock that an earlier try still holds ends this try only (:class:`SystemExit`). Any other error is a fault and
    passes through.
    """
    try:
        yield
    except TransitionError as error:
        log.error("%s", error)
        raise Refusal(1) from None
    except (UnreachableError, BlockingIOError) as error:
        log.error("%s", error)
        raise SystemExit(1) from None


def campaign(platform_name: str, context: "Context", chosen_by: str = "") -> "Campaign":
    """The campaign that a task works for, from the form (``params``) of its run.

    A scheduled run has no form: it executes, for the year of its date, on all spaces, and waits at the approval. Any
    other run is what its form says. Raises :class:`~transition.errors.TransitionError` for a wrong platform file or
    connection.

    :param chosen_by: the task whose result (:func:`chosen`) says the year and the spaces instead; without a result:
        :class:`~transition.errors.TransitionError`, never all spaces.
    """
    from transition.campaign import Campaign, collect_garbage_rarely
    from transition.platforms import load_platform
    from transition_airflow.connections import engine, etherpad, feed, replica, storage_root, web_service

    collect_garbage_rarely()
    _refuse_late(context)
    platform = load_platform(platform_name)
    run, params = context["dag_run"], context["params"]
    if chosen_by:
        year, courses = chosen(context, chosen_by)
    elif is_scheduled(context):
        year, courses = _local(run.run_after, platform.timezone).year, ()
    else:
        year, courses = int(params["year"]), tuple(params["courses"] or ())
    return Campaign(
        platform=platform,
        year=year,
        run_id=run_name(run),
        server=engine(platform.connections.moodle),
        feed=feed(platform.connections.apogee, platform.connections.teachers),
        etherpad=etherpad(platform.connections.etherpad),
        root=storage_root(platform.storage),
        web_service=web_service(platform.connections.moodle_ws),
        replicas=tuple((conn_id, replica(conn_id)) for conn_id in platform.connections.replicas),
        dry_run=is_dry(context),
        courses=courses,
        actor=_actor(context),
        attempt=context["ti"].try_number,
    )


def bare_campaign(
    platform_name: str, context: "Context", year: int, *, courses: tuple[str, ...] = (), dry_run: bool = False
) -> "Campaign":
    """A campaign without what only the transition needs: neither feed nor Etherpad; unless it is dry, it writes."""
    from transition.campaign import Campaign, collect_garbage_rarely
    from transition.platforms import load_platform
    from transition_airflow.connections import engine, storage_root

    collect_garbage_rarely()
    _refuse_late(context)
    platform = load_platform(platform_name)
    return Campaign(
        platform=platform, year=year, run_id=run_name(context["dag_run"]),
        server=engine(platform.connections.moodle), root=storage_root(platform.storage), courses=courses,
        dry_run=dry_run, actor=_actor(context), attempt=context["ti"].try_number,
    )  # fmt: skip


def run_name(run: Any) -> str:
    """What the library calls a run: its DAG's id and its own, for DAGs that share a platform's state may use the same.

    Raises :class:`~transition.errors.TransitionError` for one that is too long for the names of its files.
    :param run: a run, or a task instance, of Airflow.
    """
    name = f"{run.dag_id}/{run.run_id}"
    if len(name) > LONGEST_NAME:
        raise TransitionError(
            f"L'identifiant de l'exécution (« ID d'exécution ») est trop long, de"
            f" {counted(len(name) - LONGEST_NAME, 'caractère', 'caractères')} :"
            " lancez une autre exécution, sous un identifiant plus court."
        )
    return name


def _refuse_late(context: "Context") -> None:
    """Refuse to begin a scheduled run long after its date: a scheduler that was away starts what it had written down
    before it asks the timetable again. What a person clears later goes on."""
    from transition_airflow.timetable import GRACE

    run, ti = context["dag_run"], context["ti"]
    if is_scheduled(context) and ti.try_number == 1 and not ti.task.upstream_task_ids:
        late = datetime.now(UTC) - run.run_after
        if late > GRACE:
            raise TransitionError(
                f"L'exécution programmée {run.run_id} ne commence pas : sa date est passée depuis"
                f" {late // timedelta(hours=1)} h (Airflow était arrêté ?) ; rien n'a été fait, lancez-la à la main."
            )


def _actor(context: "Context") -> str:
    """Who started the run."""
    return getpass.getuser() if in_one_process(context) else context["dag_run"].triggering_user_name or "airflow"


def chosen(context: "Context", task_id: str) -> tuple[int, tuple[str, ...]]:
    """The year and the spaces that a task of the run chose: its result ``{"year": 2026, "courses": ["LI3INF01"]}``.

    Raises :class:`~transition.errors.TransitionError` if it chose none: a campaign without spaces would be one of all.
    """
    found = context["ti"].xcom_pull(task_ids=task_id) or {}
    courses = tuple(found.get("courses", ()))
    if not courses:
        raise TransitionError(
            f"La tâche {task_id} de cette exécution n'a choisi aucun espace : relancez-la (« Réinitialiser »), avec"
            " « En aval »."
        )
    return int(found["year"]), courses


def local_year(platform_name: str, context: "Context") -> int:
    """The year of the night that the run is for, in the platform's time zone."""
    from transition.platforms import load_platform

    return _local(context["dag_run"].run_after, load_platform(platform_name).timezone).year


def is_scheduled(context: "Context") -> bool:
    """Whether the timetable started the run (neither a person, nor a backfill)."""
    return bool(context["dag_run"].run_type == "scheduled")


def is_dry(context: "Context") -> bool:
    """Whether the run ends with its plan."""
    return not is_scheduled(context) and bool(context["params"]["dry_run"])


def task_states(context: "Context", task_ids: Collection[str]) -> set[str]:
    """The states that some tasks of the run are in."""
    ti = context["ti"]
    found = ti.get_task_states(dag_id=ti.dag_id, task_ids=list(task_ids), run_ids=[ti.run_id])
    return {str(state) for state in found.get(ti.run_id, {}).values()}


def in_one_process(context: "Context") -> bool:
    """Whether the operator's command runs the task (``DAG.test``), where nobody can answer a request of Airflow."""
    return bool(context["dag_run"].triggering_user_name == "dag_test")


def stage_function(path: str) -> Callable[..., None]:
    """The library's function that ``module:function`` names; imported in the task, never when a DAG is parsed."""
    module, _, function = path.partition(":")
    found: Callable[..., None] = getattr(import_module(module), function)
    return found


class StageOperator(BaseOperator):
    """Runs one stage of the library: ``function(campaign, *arguments)``.

    :param platform: name of the platform (its file's name).
    :param function: ``module:function`` in the library.
    :param arguments: what the function takes besides the campaign.
    :param chosen_by: the task that chose the run's year and spaces; '': the run's form says them.
    :param only_after: skip in a dry run, and unless this task succeeded (for a stage that runs whatever became of those
        before it).
    """

    ui_color = "#e8f0fa"

    def __init__(
        self,
        *,
        platform: str,
        function: str,
        arguments: tuple[str, ...] = (),
        chosen_by: str = "",
        only_after: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**RETRIES, **kwargs})
        self.platform = platform
        self.function = function
        self.arguments = arguments
        self.chosen_by = chosen_by
        self.only_after = only_after

    def execute(self, context: "Context") -> None:
        """Run the stage."""
        with readable_errors():
            if self.only_after:
                self._skip_unless_begun(context)
            stage_function(self.function)(self.campaign(context), *self.arguments)

    def _skip_unless_begun(self, context: "Context") -> None:
        if is_dry(context):
            raise AirflowSkipException("Exécution à blanc : elle s'arrête au plan.")
        if task_states(context, [self.only_after]) != {"success"}:
            raise AirflowSkipException(f"La tâche {self.only_after} n'a pas réussi : rien n'a commencé.")

    def campaign(self, context: "Context") -> "Campaign":
        """The campaign that the stage gets."""
        return campaign(self.platform, context, self.chosen_by)


class WritingOperator(StageOperator):
    """A stage that writes in Moodle: refuses to run unless the run keeps Moodle closed.

    Who clears « only the failed tasks » of a run leaves out the one that closes it.
    """

    def campaign(self, context: "Context") -> "Campaign":
        """The campaign that the stage gets."""
        given = super().campaign(context)
        given.check_closed()
        return given


class WatcherOperator(BaseOperator):
    """Fails unless the tasks right before it succeeded, so that the run is failed whatever ran after a failed task.

    Without it, a report that succeeds after a failed stage would make the whole run look done: Airflow judges a run by
    the tasks that nothing follows. A person who marks the run as failed has every task skipped but the teardowns, and
    Airflow then calls the run a success: so this one is a teardown.

    :param chosen_by: as in :class:`StageOperator`.
    """

    ui_color = "#fbe9e7"

    def __init__(self, *, chosen_by: str = "", **kwargs: Any) -> None:
        super().__init__(retries=0, **kwargs)
        self.chosen_by = chosen_by
        self.as_teardown(on_failure_fail_dagrun=True)
        self.trigger_rule = TriggerRule.ALL_DONE

    def execute(self, context: "Context") -> None:
        """Say why the run is failed."""
        states = task_states(context, self.upstream_task_ids)
        if states == {"success"}:
            return
        if states == {"skipped"} and self._has_nothing_to_do(context):
            raise AirflowSkipException("Cette exécution n'avait rien à écrire.")
        log.error(
            "Une étape a échoué, ou l'exécution a été arrêtée : %s n'est pas terminée. La tâche en rouge dit pourquoi :"
            " corrigez la cause, puis relancez cette tâche et les suivantes (« Réinitialiser », avec « En aval »), ou"
            " une nouvelle exécution si elle le demande.",
            context["dag_run"].run_id,
        )
        raise Refusal(1)

    def _has_nothing_to_do(self, context: "Context") -> bool:
        """Whether the run ends with its plan, or no space was chosen for it."""
        return is_dry(context) or bool(self.chosen_by and task_states(context, [self.chosen_by]) == {"skipped"})


def _local(moment: datetime, zone: str) -> datetime:
    from zoneinfo import ZoneInfo

    return moment.astimezone(ZoneInfo(zone))
