"""Platforms: one Moodle site each, declared in one YAML file each (``include/platforms``)."""

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from transition.errors import TransitionError
from transition.files import explain, platforms_folder, read_yaml

Share = Annotated[float, Field(ge=0, le=1)]
AtLeastZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Connections(Strict):
    """Names of the Airflow connections. Without ``etherpad``, pads keep their content, and the plan says so.

    ``moodle_ws``: Moodle's web service, which creates missing spaces.
    ``teachers``: a folder with the tables that Apogée's own database, a gateway and Pégase do not know.
    ``replicas``: servers that replicate Moodle's; the purge waits for the one that lags most.
    """

    moodle: str
    apogee: str
    teachers: str | None = None
    etherpad: str | None = None
    moodle_ws: str | None = None
    replicas: tuple[str, ...] = ()


class Categories(Strict):
    """Moodle course categories, each by its idnumber (text) or its id (integer).

    ``new_spaces``: where spaces belong whose component (its code in Apogée) is no category's idnumber.
    """

    complementary: str | int
    archives: str | int
    new_spaces: str | int | None = None


class Dates(Strict):
    """When the platform's DAGs run, as five-field cron expressions in the platform's time zone.

    ``backup``: July's, by default on the third Monday of July (``1#3``), at 02:00.
    """

    transition: str = Field(pattern=r"^\S+ \S+ \S+ \S+ \S+$")
    backup: str = Field(default="0 2 * 7 1#3", pattern=r"^\S+ \S+ \S+ \S+ \S+$")


class Caps(Strict):
    """What a plan may do on the whole platform; more asks for a second approval (:mod:`transition.caps`).

    ``archived_*``: spaces archived, of those of the model. ``unenrolled_*``: students who leave without any
    registration left, of those of the spaces in scope. ``moved_*``: rows, times those of the last verified year.
    """

    archived_share: Share = 0.15
    archived_number: Count = 500
    unenrolled_share: Share = 1.0
    unenrolled_number: Count = 35_000
    moved_ratio: AtLeastZero = 2.0
    moved_number: Count = 500_000_000


class ComponentCaps(Caps):
    """The same for each component. Below ``floor`` spaces a component has numbers only: one space is a large share."""

    floor: Count = 10
    archived_share: Share = 0.3
    archived_number: Count = 150
    unenrolled_number: Count = 15_000
    moved_ratio: AtLeastZero = 3.0
    moved_number: Count = 200_000_000


class Limits(Caps):
    """The platform's caps, those of each of its components, and the free space without which nothing starts.

    ``feed_days``: days between the extraction of Apogée's data and the plan. ``fewer_share``: students, or
    registrations, that the feed has fewer than the same day last year, of those.
    """

    component: ComponentCaps = ComponentCaps()
    feed_days: Count = 7
    fewer_share: Share = 0.5
    free_space_gib: AtLeastZero


Months = Annotated[int, Field(ge=1, le=1200)]


class Retention(Strict):
    """How long a year's remains are kept, in months from the end of its campaign; what expires, a person approves.

    ``archive``: the schema of the rows moved out. ``ex_spaces``: the spaces that left the curriculum, which after that
    are hidden from students, or deleted (``ex_action``; needs ``moodle_command``).
    """

    backups: Months = 12
    exports: Months = 12
    archive: Months = 12
    ex_spaces: Months = 12
    ex_action: Literal["hide", "delete"] = "hide"


class Platform(Strict):
    """One Moodle site, as its YAML file declares it.

    ``cohorts``: of a platform that enrols by cohort: one a space (``element``) or one an étape.
    ``moodle_command``: how to run Moodle's command line, word by word, the folder of its scripts last. Without it,
    maintenance mode is a row of the database, and nobody but a person purges Moodle's caches.
    ``exchange``: a folder that Moodle's command line and Airflow both see under this path, for Moodle's own backup
    files (.mbz); without it, or without ``moodle_command``, there are none.
    ``archived_idnumber``: what becomes of the identification number of an ``ex_`` space: it stays (``keep``), or is set
    ``apart`` as ``ex_<year>_<code>``, the year being the last one that the space served.
    ``create_missing``: create a space for each element of the model that has none, by Moodle's web service.
    ``dataroot``: Moodle's data folder as Airflow sees it; without it, contents of files are neither backed up nor
    moved: those that nothing uses any more are listed.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{1,30}$")
    label: str
    site: str = Field(pattern=r"^https?://[^/ ]+(/[^ ]*[^/ ])?$")
    timezone: str
    table_prefix: str = Field(pattern=r"^[a-z0-9_]{0,10}$")
    connections: Connections
    categories: Categories
    enrolment: Literal["database", "cohort"]
    cohorts: Literal["element", "etape"] = "element"
    student_role: str
    dates: Dates
    limits: Limits
    storage: str
    dataroot: str | None = Field(default=None, pattern=r"^/.*[^/]$")
    retention: Retention = Retention()
    approval: Literal["person", "automatic"]
    moodle_command: tuple[str, ...] | None = Field(default=None, min_length=1)
    exchange: str | None = Field(default=None, pattern=r"^/.*[^/]$")
    archived_idnumber: Literal["keep", "apart"] = "keep"
    create_missing: bool = False

    @field_validator("create_missing")
    @classmethod
    def _possible(cls, value: bool, info: ValidationInfo) -> bool:
        connections, categories = info.data.get("connections"), info.data.get("categories")
        if value and connections and categories and (not connections.moodle_ws or categories.new_spaces is None):
            raise ValueError(
                "create_missing: true demande connections.moodle_ws (le service web de Moodle) et"
                " categories.new_spaces (la catégorie des espaces à créer)"
            )
        return value

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"fuseau horaire inconnu : {value}")
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The platform's time zone."""
        return ZoneInfo(self.timezone)


def platform_names() -> list[str]:
    """Names of all declared platforms, sorted: the names of their files."""
    return sorted(path.stem for path in platforms_folder().glob("*.yaml"))


def load_platform(name: str) -> Platform:
    """The platform of that name; raises :class:`TransitionError` if its file is missing or wrong."""
    if not re.fullmatch(r"[a-z0-9_]+", name) or name not in platform_names():
        raise TransitionError(
            f"Plateforme inconnue : « {name} » ; plateformes déclarées : {', '.join(platform_names()) or 'aucune'}."
        )
    path = platforms_folder() / f"{name}.yaml"
    try:
        return Platform.model_validate({"name": name, **read_yaml(path)})
    except ValidationError as error:
        raise TransitionError(explain(path, error, Platform)) from None
