"""When the annual transition starts by itself: once a year, and never late."""

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.trigger import CronTriggerTimetable

if TYPE_CHECKING:
    from pendulum import DateTime

# How late a run may still start: Airflow recomputes the next run at each parse of the DAG, so a scheduler that restarts
# in the night of the transition must still find the slot of that night.
GRACE = timedelta(hours=24)


class PunctualCronTimetable(CronTriggerTimetable):
    """A cron expression whose missed slots are gone for good.

    Airflow's own timetable, even with ``catchup=False``, runs the latest missed slot as soon as a DAG is unpaused: a
    transition meant for August would start in November. Here a slot older than :data:`GRACE` is skipped.
    """

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next slot that is not over since more than :data:`GRACE`; None after the DAG's end date."""
        candidates = [_now() - GRACE]
        if last_automated_data_interval is not None:
            candidates.append(last_automated_data_interval.end + timedelta(seconds=1))
        if restriction.earliest is not None:
            candidates.append(restriction.earliest)
        slot = self._align_to_next(max(candidates))
        if restriction.latest is not None and slot > restriction.latest:
            return None
        return DagRunInfo.exact(slot)


def _now() -> "DateTime":
    from airflow.sdk import timezone

    now: DateTime = timezone.coerce_datetime(timezone.utcnow())
    return now
