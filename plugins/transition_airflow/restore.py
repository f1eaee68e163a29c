"""How Airflow restores a space, how it practises, and how it copies an archived one."""

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from transition_airflow.tasks import RETRIES, bare_campaign, is_scheduled, readable_errors

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
            # An empty field of Airflow's form is null.
            form: dict[str, Any] = {name: "" if value is None else value for name, value in context["params"].items()}
            year = int(form.pop("year"))
            restore(bare_campaign(self.platform, context, year), Request(**form))


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
            given = bare_campaign(self.platform, context, int(asked or day // 10_000))
            if not asked:
                given = bare_campaign(self.platform, context, latest_year(given))
            seed = day if form["seed"] is None else int(form["seed"])
            restore_drill(given, number=int(form["number"]), seed=seed)


class CopyOperator(BaseOperator):
    """Copies an archived space's content as the form asks: see :class:`transition.course_copy.stage.Request`.

    The year is that of the run: a copy belongs to no transition, only its journal needs one.
    """

    ui_color = "#e8f5e9"

    def __init__(self, *, platform: str, **kwargs: Any) -> None:
        super().__init__(**{**RETRIES, **kwargs})
        self.platform = platform

    def execute(self, context: "Context") -> None:
        """Copy."""
        from transition.course_copy.stage import Request, copy_archived_course

        with readable_errors():
            given = bare_campaign(self.platform, context, context["dag_run"].run_after.year)
            copy_archived_course(given, Request(**dict(context["params"])))
