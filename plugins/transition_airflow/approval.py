"""The gates between the plan and the first write: a person approves the plan, a second one what it exceeds."""

import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from transition.errors import TransitionError
from transition_airflow.tasks import RETRIES, campaign, in_one_process, is_dry, readable_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

    from transition.campaign import Campaign

log = logging.getLogger("transition")

AUTOMATIC = "approbation automatique, par le fichier de la plateforme"


class PersonApproval(ApprovalOperator):
    """Asks a person about the stored plan of the run, shown in the request, and records the answer.

    A rejection fails the task, hence the run: nothing was written, and a run that did nothing must not look done.

    :param platform: name of the platform (its file's name). :param what: whose plan, as the request says it.
    :param chosen_by: as in :class:`~transition_airflow.tasks.StageOperator`.
    """

    question: str
    end = "au plan"  # of a dry run
    rejected: str
    exceeding: bool

    def __init__(self, *, platform: str, what: str, chosen_by: str = "", **kwargs: Any) -> None:
        super().__init__(subject=f"{self.question} {what} ?", **{**RETRIES, **kwargs})
        self.platform = platform
        self.what = what
        self.chosen_by = chosen_by

    def execute(self, context: "Context") -> Any:
        """Skip in a dry run, pass if there is nothing to ask, else ask, and keep what it was that the request shows."""
        from transition.plan import stored_fingerprint

        with readable_errors():
            if is_dry(context):
                raise AirflowSkipException(f"Exécution à blanc : elle s'arrête {self.end}.")
            given = self.campaign(context)
            if self.passes(given, alone=in_one_process(context)):
                return None
            shown = stored_fingerprint(given)  # before the page: a plan stored in between is refused, never approved
            self.subject, self.body = self.request(given)
        try:
            return super().execute(context)
        except TaskAwaitingInput as waiting:  # what comes back with the answer, to `execute_complete`
            waiting.kwargs = {"shown": shown}
            raise

    def campaign(self, context: "Context") -> "Campaign":
        """The campaign whose plan is asked about."""
        return campaign(self.platform, context, self.chosen_by)

    def request(self, given: "Campaign") -> tuple[str, str]:
        """What the person is asked, and what it is about (Markdown)."""
        from transition.report.plan_table import plan_markdown

        label = f"{given.platform.label}, année {given.year}-{given.year + 1}"
        return f"{self.question} {self.what} ({label}) ?", plan_markdown(given)

    @abstractmethod
    def passes(self, given: "Campaign", *, alone: bool) -> bool:
        """Whether nobody need be asked. :param alone: nobody can be; then raises what to do instead."""

    def execute_complete(self, context: "Context", event: dict[str, Any], shown: str = "") -> Any:
        """Record the answer: who approved which plan; refuse to go on if it was rejected.

        :param shown: the fingerprint of the plan in the request; '': a request of before fingerprints were kept.
        """
        from transition.plan import approve

        with readable_errors():
            person = (event.get("responded_by_user") or {}).get("name") or "une personne sans nom"
            if event.get("chosen_options") == [self.REJECT]:
                raise TransitionError(
                    f"{self.rejected} par {person} : rien n'a été écrit ; corrigez ce qui doit l'être, puis lancez une"
                    " nouvelle exécution."
                )
            answer = super().execute_complete(context, event)
            given = self.campaign(context)
            self.check_person(given, person)
            approve(given, shown, by=person, exceeding=self.exceeding)
        return answer

    def check_person(self, given: "Campaign", person: str) -> None:
        """Raise :class:`~transition.errors.TransitionError` if this person's answer does not count."""


class PlanApproval(PersonApproval):
    """Waits until a person approves the stored plan of the run.

    - A dry run ends here: the task and all after it are skipped.
    - A plan that was already approved (the operator's command, or an earlier try) or a platform whose approval is
      ``automatic`` passes at once; who approved is recorded all the same.
    """

    question = "Approuver le plan de"
    rejected = "Plan refusé"
    exceeding = False

    def passes(self, given: "Campaign", *, alone: bool) -> bool:
        """Approved before, or by the platform's file."""
        from transition.plan import approve, approved_by, stored_fingerprint

        if by := approved_by(given):
            log.info("Plan déjà approuvé : %s.", by)
            return True
        if given.platform.approval == "automatic":
            approve(given, stored_fingerprint(given), by=AUTOMATIC)
            return True
        if alone:
            raise TransitionError(
                "Le plan a changé depuis son approbation : rien n'a été écrit ; relancez la commande sans"
                " EXECUTE=1, lisez le nouveau plan et approuvez-le."
            )
        return False


class ExceedApproval(PersonApproval):
    """Waits, when the plan crosses caps of the platform's file, until a second person approves that too.

    Never automatic. A plan that crosses none, or whose crossings were already approved, passes at once.
    """

    question = "Approuver le dépassement des seuils par"
    rejected = "Dépassement des seuils refusé"
    exceeding = True

    def passes(self, given: "Campaign", *, alone: bool) -> bool:
        """Nothing to approve, or approved before."""
        from transition import caps
        from transition.plan import approved_by, check_approved

        if not caps.load(given):
            log.info("Le plan ne dépasse aucun seuil.")
            return True
        if by := approved_by(given, exceeding=True):
            log.info("Dépassement des seuils déjà approuvé par %s.", by)
            return True
        if alone:
            check_approved(given)
        return False

    def check_person(self, given: "Campaign", person: str) -> None:
        """Another one than who approved the plan."""
        from transition.caps import refuse_same_person
        from transition.plan import approved_by

        refuse_same_person(approved_by(given) or "", person)
