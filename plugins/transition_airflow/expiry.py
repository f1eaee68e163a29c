"""How Airflow lists what is due, has a person approve it, and lets it go."""

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from transition.errors import TransitionError
from transition_airflow.approval import PersonApproval
from transition_airflow.tasks import StageOperator, bare_campaign, is_dry

if TYPE_CHECKING:
    from airflow.sdk import Context

    from transition.campaign import Campaign

log = logging.getLogger("transition")


class ExpiryOperator(StageOperator):
    """Runs one stage of the expiry, on every year of the platform."""

    ui_color = "#fbe9e7"

    def campaign(self, context: "Context") -> "Campaign":
        """A campaign of the year of the day: the run's own entries bear it."""
        return _campaign(self.platform, context)


class ExpiryApproval(PersonApproval):
    """Waits until a person approves the list of what is deleted or hidden.

    Never automatic, whatever the platform's file says of plans. With nothing due, it and what follows are skipped.
    """

    question = "Supprimer ou masquer"
    end = "à la liste"
    rejected = "Liste refusée"
    exceeding = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(what="ce qui est à l'échéance", **kwargs)

    def campaign(self, context: "Context") -> "Campaign":
        """The same as the stages'."""
        return _campaign(self.platform, context)

    def request(self, given: "Campaign") -> tuple[str, str]:
        """The list: it is of every year."""
        from transition.expiry.stage import page

        return f"{self.question} {self.what} ({given.platform.label}) ?", page(given)

    def passes(self, given: "Campaign", *, alone: bool) -> bool:
        """Approved before; nobody is asked for nothing."""
        from transition.expiry.stage import due_items
        from transition.plan import approved_by

        if not due_items(given):
            raise AirflowSkipException("Rien n'est à l'échéance : il n'y a rien à approuver ni à supprimer.")
        if by := approved_by(given):
            log.info("Liste déjà approuvée par %s.", by)
            return True
        if alone:
            raise TransitionError(
                "Une suppression s'approuve dans Airflow, par une personne : lancez le DAG depuis son interface."
            )
        return False


def _campaign(platform: str, context: "Context") -> "Campaign":
    return bare_campaign(platform, context, context["dag_run"].run_after.year, dry_run=is_dry(context))
