"""What the DAGs of a platform have in common: the platform's file, their page, their timetable."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from airflow.exceptions import AirflowTimetableInvalid

from transition.errors import TransitionError
from transition.platforms import Platform, load_platform
from transition_airflow.timetable import PunctualCronTimetable

# A course code (Moodle's `course.idnumber`, 100 characters): no blank, no quote, nothing that separates a list.
CODE = r"^[A-Za-z0-9][A-Za-z0-9_./+:-]{0,99}$"


@dataclass(frozen=True)
class PlatformFile:
    """A platform as its DAGs show it. ``platform``: None if its file is refused; ``refusal``: why, '' if it is not.

    A platform whose file is wrong has its DAGs too, never scheduled: their first task says why it cannot run.
    """

    name: str
    platform: Platform | None
    refusal: str
    schedule: PunctualCronTimetable | None

    @property
    def label(self) -> str:
        """The platform's name for its readers."""
        return self.platform.label if self.platform else self.name

    def page(self, text: str) -> str:
        """A DAG's page: its docstring with the platform's names; on top, why its file is refused, if it is."""
        facts = self.platform.model_dump() if self.platform else {"label": self.name, "site": "?", "storage": "?"}
        for key in ("label", "site", "storage", "name"):
            text = text.replace("{" + key + "}", str(facts.get(key, self.name)))
        if not self.refusal:
            return text
        return f"**Fichier de plateforme refusé, rien ne peut s'exécuter :** {self.refusal}\n\n{text}"


def platform_file(name: str, cron: Callable[[Platform], str] | None = None) -> PlatformFile:
    """Read a platform's file when a DAG is parsed.

    :param cron: when its DAG runs by itself, a cron expression in the platform's time zone; None: a person starts it.
    """
    try:
        platform = load_platform(name)
        if cron is None:
            return PlatformFile(name, platform, "", None)
        schedule = PunctualCronTimetable(cron(platform), timezone=platform.timezone)
        schedule.validate()
    except (TransitionError, AirflowTimetableInvalid) as error:
        return PlatformFile(name, None, str(error), None)
    return PlatformFile(name, platform, "", schedule)


def latest_campaign(day: date) -> int:
    """The year of the latest transition: they run in August, so that until then it is the one of the year before."""
    return day.year if day.month >= 8 else day.year - 1
