"""The gate between the plan and the first write: a person reads the plan and approves it."""

import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from transition.errors import TransitionError
from transition_airflow.tasks import RETRIES, campaign, in_one_process, is_dry, readable_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger("transition")

AUTOMATIC = "approbation automatique, par le fichier de la plateforme"


class PlanApproval(ApprovalOperator):
    """Waits until a person approves the stored plan of the run, shown in the request.

    - A dry run ends here: the task and all after it are skipped.
    - A plan that was already approved (the operator's command, or an earlier try) or a platform whose approval is
      ``automatic`` passes at once; who approved is recorded all the same.
    - A rejection fails the task, hence the run: nothing was written, and a run that did nothing must not look done.

    :param platform: name of the platform (its file's name). :param what: whose plan, as the request says it.
    :param chosen_by: as in :class:`~transition_airflow.tasks.StageOperator`.
    """

    def __init__(self, *, platform: str, what: str, chosen_by: str = "", **kwargs: Any) -> None:
        super().__init__(subject=f"Approuver le plan de {what} ?", **{**RETRIES, **kwargs})
        self.platform = platform
        self.what = what
        self.chosen_by = chosen_by

    def execute(self, context: "Context") -> Any:
        """Pass, skip, or ask; see the class."""
        from transition.plan import approve, approved_by
        from transition.report.plan_table import plan_markdown

        with readable_errors():
            if is_dry(context):
                raise AirflowSkipException("Exécution à blanc : elle s'arrête au plan.")
            given = campaign(self.platform, context, self.chosen_by)
            if by := approved_by(given):
                log.info("Plan déjà approuvé par %s.", by)
                return None
            if given.platform.approval == "automatic":
                approve(given, by=AUTOMATIC)
                return None
            if in_one_process(context):
                raise TransitionError(
                    "Le plan a changé depuis son approbation : rien n'a été écrit ; relancez la commande sans"
                    " EXECUTE=1, lisez le nouveau plan et approuvez-le."
                )
            label = f"{given.platform.label}, année {given.year}-{given.year + 1}"
            self.subject = f"Approuver le plan de {self.what} ({label}) ?"
            self.body = plan_markdown(given)
        return super().execute(context)

    def execute_complete(self, context: "Context", event: dict[str, Any]) -> Any:
        """Record the answer: who approved which plan; refuse to go on if it was rejected."""
        from transition.plan import approve

        with readable_errors():
            person = (event.get("responded_by_user") or {}).get("name") or "une personne sans nom"
            if event.get("chosen_options") == [self.REJECT]:
                raise TransitionError(
                    f"Plan refusé par {person} : rien n'a été écrit ; corrigez ce qui doit l'être, puis lancez une"
                    " nouvelle exécution."
                )
            answer = super().execute_complete(context, event)
            approve(campaign(self.platform, context, self.chosen_by), by=person)
        return answer
