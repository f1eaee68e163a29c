"""How Airflow runs July's backup: the campaign of a platform and year, without feed nor decisions."""

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from transition_airflow.tasks import (
    RETRIES,
    bare_campaign,
    is_scheduled,
    local_year,
    readable_errors,
    stage_function,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


class BackupOperator(BaseOperator):
    """Runs ``function(campaign)``, or ``function(campaign, component)`` when a component is given; hands on its result.

    A scheduled run is for the year of its night and every space; any other is for what its form says.

    :param platform: name of the platform (its file's name). :param function: ``module:function`` in the library.
    :param component: what the function takes besides the campaign (:class:`transition.backup.components.Component`).
    """

    ui_color = "#fff8e1"

    def __init__(self, *, platform: str, function: str, component: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**{**RETRIES, **kwargs})
        self.platform = platform
        self.function = function
        self.component = component

    def execute(self, context: "Context") -> Any:
        """Run the function."""
        with readable_errors():
            form = context["params"]
            scheduled = is_scheduled(context)
            given = bare_campaign(
                self.platform, context, year=local_year(self.platform, context) if scheduled else int(form["year"]),
                courses=() if scheduled else tuple(form["courses"] or ()),
            )  # fmt: skip
            return stage_function(self.function)(given, *([self.component] if self.component else []))
