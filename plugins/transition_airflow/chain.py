"""The chain of the transition as a graph, for every DAG that carries it out."""

from datetime import timedelta
from functools import partial
from typing import Any

from airflow.sdk import TaskGroup, TriggerRule, chain

from transition.files import rules_folder
from transition_airflow.approval import ExceedApproval, PlanApproval
from transition_airflow.tasks import StageOperator, WatcherOperator, WritingOperator

# The enrolment stage moves the rows of this rule itself, together with the roles it writes.
RULE_OF_ENROLMENT = "enrolment"


def transition_chain(platform: str, *, subject: str = "la transition annuelle", chosen_by: str = "") -> StageOperator:
    """Build the chain in the DAG of the ``with`` around it; returns its first task.

    :param platform: name of the platform (its file's name).
    :param subject: what a person approves, after « Approuver le plan de… ».
    :param chosen_by: the task before the chain that chose the run's year and spaces; '': the run's form says them.
    """

    def stage(
        task_id: str, function: str, hours: float, operator: type[StageOperator] = StageOperator, **more: Any
    ) -> StageOperator:
        return operator(
            task_id=task_id, platform=platform, function=function, chosen_by=chosen_by,
            execution_timeout=timedelta(hours=hours), **more,
        )  # fmt: skip

    write = partial(stage, operator=WritingOperator)

    with TaskGroup("approval") as approval:
        decide = PlanApproval(task_id="decide", platform=platform, what=subject, chosen_by=chosen_by)
        exceed = ExceedApproval(task_id="exceed", platform=platform, what=subject, chosen_by=chosen_by)
        # Moodle is closed from before the freeze (what is frozen is what moves) until all that follows is checked.
        # Before it closes Moodle, it may have a whole log's keys to write down.
        close = stage("maintenance_on", "transition.maintenance:close", 12).as_setup()
        # Before Moodle is closed: its web service would not answer.
        create = stage("create_spaces", "transition.create_spaces:create_spaces", 2)
        decide >> exceed >> create >> close >> write("freeze", "transition.freeze:freeze", 12)
    with TaskGroup("purge") as purge:
        contents = write("file_contents", "transition.contents:file_contents", 12)
        for rule in purge_rules():
            write(rule, "transition.purge:purge", 12, arguments=(rule,)) >> contents
    first = stage("preflight", "transition.preflight:preflight", 0.5)
    reopen = stage("maintenance_off", "transition.maintenance:reopen", 1, only_after=first.task_id)
    reopen.as_teardown(setups=close)
    # Not a teardown's own rule: a setup that was killed after it closed Moodle has failed, and nothing would open it.
    reopen.trigger_rule = TriggerRule.ALL_DONE
    verify = stage("verify", "transition.verify:verify", 6)
    report = stage(
        "report", "transition.report.stage:report", 1, trigger_rule=TriggerRule.ALL_DONE, only_after=first.task_id
    )
    chain(
        first,
        stage("july_backup", "transition.backup.stage:july_backup", 12),
        stage("grade_exports", "transition.grades:grade_exports", 6),
        stage("apogee_sync", "transition.apogee.stage:apogee_sync", 2),
        stage("detect_missing", "transition.decisions:detect_missing", 1),
        stage("plan", "transition.plan:plan", 4),
        approval,
        write("ex_rename", "transition.ex_rename:ex_rename", 1),
        purge,
        write("enrolment", "transition.enrolment.stage:enrolment", 6),
        verify,
        report,
    )
    # Every failure before it reaches `verify` as « upstream failed »: one edge watches the whole chain.
    watcher = WatcherOperator(task_id="watcher", chosen_by=chosen_by)
    verify >> watcher
    # The report says how the maintenance ended: while that runs, it would call the run unfinished.
    verify >> reopen >> [watcher, report]
    return first


def purge_rules() -> list[str]:
    """Names of the rules that the purge applies; an empty group would let the tasks after it start at once."""
    names = sorted(path.stem for path in rules_folder().glob("*.yaml") if path.stem != RULE_OF_ENROLMENT)
    if not names:
        raise FileNotFoundError(f"no rule file in {rules_folder()}")
    return names
