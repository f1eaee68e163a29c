"""A campaign: one platform, one year, and the run that carries it out."""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.util import LRUCache
from upath import UPath

from transition.errors import TransitionError
from transition.moodle.database import MoodleDatabase, quoted
from transition.platforms import Platform
from transition.state import tables

if TYPE_CHECKING:
    from transition.apogee.feed import Source
    from transition.etherpad.client import Etherpad
    from transition.moodle.web_service import WebService


# Statements that SQLAlchemy compiled: an engine's own cache keeps 500, a long task needs more; 15 KiB each, or so.
STATEMENTS = LRUCache[Any, Any](2_500)


def collect_garbage_rarely() -> None:
    """Let this process look for garbage less often.

    A million objects, Airflow's and the compiled statements, stay until its end, and rows come by the million: to look
    through them all again and again takes up to a quarter of its time.
    """
    gc.set_threshold(20_000, 20, 50)


def now() -> datetime:
    """This moment, in UTC, without zone: as the state tables store it."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Campaign:
    """What every stage receives.

    :param year: the start year of the academic year that the transition opens (2026 = 2026-2027).
    :param run_id: the run's name, unique on the platform: ``<DAG>/<run>``, each as Airflow names it.
    :param server: an engine of :func:`transition.moodle.database.open_engine` on the platform's database server; its
        database is Moodle's schema.
    :param feed: where the Apogée feed comes from: a source, or the folder of its files (layout: ``transition.apogee``);
        stages that read no feed do without.
    :param etherpad: the server of the platform's pads; None: the platform declares none, they stay.
    :param root: where the platform's ``storage`` is, for a URL that needs more than itself (credentials); None: it says
        all.
    :param web_service: Moodle's web service; None: the platform declares none, missing spaces are only listed.
    :param replicas: servers that replicate Moodle's, each with the name of its connection.
    :param courses: course codes to which the run is limited; empty: all.
    :param day: the day that calendars are compared with; None: the present one, read each time.
    :param actor: who started the run. :param attempt: the try number of the task.
    """

    platform: Platform
    year: int
    run_id: str
    server: sa.Engine
    feed: "Path | Source | None" = field(default=None, kw_only=True)
    etherpad: "Etherpad | None" = field(default=None, kw_only=True)
    day: date | None = field(default=None, kw_only=True)
    root: UPath | None = field(default=None, kw_only=True)
    web_service: "WebService | None" = field(default=None, kw_only=True)
    replicas: tuple[tuple[str, sa.Engine], ...] = field(default=(), kw_only=True)
    dry_run: bool = True
    courses: tuple[str, ...] = ()
    actor: str = "airflow"
    attempt: int = 1

    @property
    def storage(self) -> UPath:
        """The folder of the platform's ``storage``: a path or a URL of fsspec."""
        return self.root or UPath(self.platform.storage)

    @property
    def state_schema(self) -> str:
        """The schema of the campaign's own tables."""
        return f"{self.platform.name}_transition"

    @property
    def today(self) -> date:
        """The day, in the platform's time zone."""
        return self.day or datetime.now(self.platform.zone).date()

    @property
    def archive_schema(self) -> str:
        """The schema that the moved rows of this year go to."""
        return f"{self.platform.name}_{self.year}"

    @cached_property
    def engine(self) -> sa.Engine:
        """The server's engine; the tables of ``state/tables.py`` are the platform's own."""
        return self.server.execution_options(
            schema_translate_map={tables.STATE: self.state_schema}, compiled_cache=STATEMENTS
        )

    @cached_property
    def moodle(self) -> MoodleDatabase:
        """The platform's Moodle tables."""
        return MoodleDatabase(self.server, self.platform.table_prefix)

    def state_name(self, table: str) -> str:
        """A state table's quoted name, for text statements."""
        return quoted(table, self.state_schema)

    @cached_property
    def run(self) -> int:
        """The run's number; the first call of a run records it."""
        known = sa.select(tables.run.c.number).where(tables.run.c.run_id == self.run_id)
        with self.engine.begin() as connection:
            number = connection.execute(known).scalar()
            if number is None:
                connection.execute(
                    sa.insert(tables.run).values(
                        run_id=self.run_id, year=self.year, dry_run=self.dry_run,
                        courses=json.dumps(self.courses), started_at=now(),
                    )
                )  # fmt: skip
                number = connection.execute(known).scalar_one()
        return int(number)

    def lock_name(self, name: str) -> str:
        """The server lock of a writing task; names of locks are the whole server's."""
        return f"{self.platform.name}:{name}"

    @contextmanager
    def lock(self, name: str, seconds: int = 10) -> Iterator[None]:
        """Hold a server lock (GET_LOCK): an orphan of a killed task and its retry never overlap."""
        lock = {"name": self.lock_name(name), "seconds": seconds}
        with self.server.connect() as connection:
            # The connection only holds the lock: the server must not close it for being idle.
            connection.execute(sa.text("SET SESSION wait_timeout = 604800"))
            if connection.execute(sa.text("SELECT GET_LOCK(:name, :seconds)"), lock).scalar() != 1:
                raise BlockingIOError(
                    f"L'étape {name} est encore en cours ailleurs sur cette plateforme : attendez sa fin ou arrêtez-la,"
                    " puis relancez."
                )
            try:
                yield
            finally:
                connection.execute(sa.text("SELECT RELEASE_LOCK(:name)"), lock)

    def take_fence(self) -> None:
        """Make this run the platform's only writer; every earlier run is refused from now on."""
        values = {"id": 1, "run": self.run, "taken_at": now()}
        with self.engine.begin() as connection:
            connection.execute(sa.delete(tables.fence))
            connection.execute(sa.insert(tables.fence).values(values))

    def check_fence(self) -> None:
        """Refuse to write when the run is dry or another run has taken the platform since."""
        if self.dry_run:
            raise TransitionError("Exécution à blanc : aucune écriture n'est permise, relancez avec dry_run décoché.")
        with self.engine.connect() as connection:
            holder = connection.execute(sa.select(tables.fence.c.run)).scalar()
        if holder != self.run:
            raise TransitionError(
                f"L'exécution {self.run_id} n'a plus la main sur {self.platform.label} : une autre exécution a démarré"
                " depuis ; poursuivez celle-là, ou relancez une nouvelle exécution depuis preflight."
            )

    def check_frozen(self) -> None:
        """Refuse to write before the approved plan is frozen; see :meth:`check_fence`."""
        self.check_fence()
        with self.engine.connect() as connection:
            frozen = connection.execute(
                sa.select(tables.run.c.frozen_at).where(tables.run.c.number == self.run)
            ).scalar()
        if frozen is None:
            raise TransitionError(
                f"Le plan de l'exécution {self.run_id} n'est pas figé : relancez les tâches plan, puis approval."
            )

    def check_closed(self) -> None:
        """Refuse to write unless this run keeps Moodle in maintenance mode (:mod:`transition.maintenance`)."""
        row = tables.maintenance.c
        with self.engine.connect() as connection:
            query = sa.select(row.run).where(row.run == self.run, row.reopened_at.is_(None))
            if connection.execute(query).first() is None:
                raise TransitionError(
                    f"L'exécution {self.run_id} ne tient pas Moodle en maintenance, et des personnes peuvent y écrire :"
                    " réinitialisez la tâche approval.maintenance_on avec « En aval », sans cocher « Réinitialiser"
                    " uniquement les tâches échouées »."
                )
