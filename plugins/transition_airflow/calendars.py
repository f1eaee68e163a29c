"""How Airflow takes the engineers' calendar exceptions, and finds the spaces whose date has come."""

import logging
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from transition.errors import refuse_all
from transition_airflow.tasks import RETRIES, bare_campaign, is_scheduled, readable_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger("transition")


class CalendarOperator(BaseOperator):
    """Carries out the form of the run (``params``, :class:`transition.calendars.form.Request`), prints the table."""

    ui_color = "#fff8e1"

    def __init__(self, *, platform: str, **kwargs: Any) -> None:
        super().__init__(**{**RETRIES, **kwargs})
        self.platform = platform

    def execute(self, context: "Context") -> None:
        """Check, enter or withdraw, show."""
        from transition.calendars.form import Request, change
        from transition.calendars.table import calendar_table

        with readable_errors():
            # A field that was left empty is null.
            form = {name: value for name, value in context["params"].items() if value is not None}
            given = bare_campaign(self.platform, context, int(form.pop("year")))
            change(given, Request(**form))
            print(calendar_table(given))


class DueOperator(BaseOperator):
    """Chooses the spaces that are due today; its result is what :func:`transition_airflow.tasks.chosen` reads.

    Skips the run when none is, or while the annual transition runs, which must not lose the platform. Of two years that
    have due spaces, the one whose turn it is: the other follows the next night. What a person must see to first fails
    the task only if nothing else is due; else :class:`UndecidedOperator` fails with it.
    """

    ui_color = "#fff8e1"

    def __init__(self, *, platform: str, **kwargs: Any) -> None:
        super().__init__(**{**RETRIES, **kwargs})
        self.platform = platform

    def execute(self, context: "Context") -> dict[str, Any]:
        """Choose, or skip."""
        from transition.calendars.due import UNDECIDED, due_spaces, refuse_unfinished

        with readable_errors():
            if context["ti"].get_dr_count(dag_id=f"annual_transition_{self.platform}", states=["running"]):
                _skip("La transition annuelle est en cours : les espaces à calendrier décalé attendent sa fin.")
            asked = None if is_scheduled(context) else context["params"]["year"]
            given = bare_campaign(self.platform, context, context["dag_run"].run_after.year)
            night = due_spaces(given, asked and int(asked))
            if not night.due:
                refuse_all(UNDECIDED, list(night.undecided))
                _skip(f"Aucun espace à calendrier décalé n'est à réinitialiser au {given.today:%d/%m/%Y}.")
            for sentence in night.undecided:
                log.error("%s", sentence)
            due = night.due[0]
            refuse_unfinished(given, due)
            log.info("Année %d-%d, à réinitialiser : %s.", due.year, due.year + 1, ", ".join(due.codes))
            for later in night.due[1:]:
                log.info("Année %d-%d, une autre nuit : %s.", later.year, later.year + 1, ", ".join(later.codes))
            return {"year": due.year, "courses": list(due.codes), "undecided": list(night.undecided)}


class UndecidedOperator(BaseOperator):
    """Fails with what ``due`` left to a person, beside the chain: nothing waits for it, and the run ends in red."""

    ui_color = "#fbe9e7"

    def __init__(self, *, due: str, **kwargs: Any) -> None:
        super().__init__(**{**RETRIES, **kwargs})
        self.due = due

    def execute(self, context: "Context") -> None:
        """Say what, if there is anything."""
        from transition.calendars.due import UNDECIDED

        with readable_errors():
            refuse_all(UNDECIDED, (context["ti"].xcom_pull(task_ids=self.due) or {}).get("undecided", []))


def _skip(reason: str) -> NoReturn:
    log.info("%s", reason)
    raise AirflowSkipException(reason)
