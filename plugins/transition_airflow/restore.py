"""How Airflow restores a space, and how it practises."""

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from transition_airflow.tasks import RETRIES, campaign_without_feed, is_scheduled, readable_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class RestoreOperator(BaseOperator):
    """Puts a space back as the form of the run (``params``) asks: see :class:`transition.restore.stage.Request`."""

    ui_color = "#e8f5e9"

    def __init__(self, *, platform: str, **kwargs: Any) -> None:
        super().__init__(**{**RETRIES, **kwargs})
        self.platform = platform

    def execute(self, context: "Context") -> None:
        """Restore."""
        from transition.restore.stage import Request, restore

        with readable_errors():
            form = dict(context["params"])
            year = int(form.pop("year"))
            restore(campaign_without_feed(self.platform, context, year), Request(**form))


class DrillOperator(BaseOperator):
    """Restores spaces picked at random into a schema that is dropped after, and compares every row.

    By hand, the form says which; by itself, the latest year that has a backup, with the day as the seed.
    """

    ui_color = "#e8f5e9"

    def __init__(self, *, platform: str, **kwargs: Any) -> None:
        super().__init__(**{**RETRIES, **kwargs})
        self.platform = platform

    def execute(self, context: "Context") -> None:
        """Practise."""
        from transition.restore.drill import latest_year, restore_drill

        with readable_errors():
            form, day = context["params"], int(f"{context['dag_run'].run_after:%Y%m%d}")
            asked = None if is_scheduled(context) else form["year"]
            given = campaign_without_feed(self.platform, context, int(asked or day // 10_000))
            if not asked:
                given = campaign_without_feed(self.platform, context, latest_year(given))
            restore_drill(given, number=int(form["number"]), seed=int(form["seed"] or day))
