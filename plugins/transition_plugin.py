"""What the project adds to Airflow itself."""

from airflow.plugins_manager import AirflowPlugin

from transition_airflow.timetable import PunctualCronTimetable


class TransitionPlugin(AirflowPlugin):
    """The timetable of the annual transition, by which Airflow finds it again when it reads a stored DAG."""

    name = "transition"
    timetables = [PunctualCronTimetable]  # noqa: RUF012  # the attribute that Airflow reads
