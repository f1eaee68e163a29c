"""One copy of the real Moodle database with an archived space and the new one that succeeds it."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.support import moodle_cli
from tests.support.campaign import reference_platform
from tests.support.dump import Rows, dump
from transition.campaign import Campaign
from transition.course_copy.stage import Request, copy_archived_course
from transition.moodle.database import MoodleDatabase, open_engine

MOODLE, NAME = "moodle_copy", "copie"
STATE = ("course_copy", "held_setting", "journal", "run", "fence", "ex_change")
# What the stand-ins change, besides the tables of the source's activities, where they add.
CHANGED = ("course", "config_plugins", "course_modules", "course_sections", "user_enrolments", "role_assignments")
SOURCE, TARGET_CODE = 3, "LI3INF07"


@dataclass
class World:
    """The platform, its command line's folder, and the new space. ``more``: what the platform's file says besides."""

    engine: sa.Engine
    folder: Path
    command: tuple[str, ...]
    target: int
    more: dict[str, Any] = field(default_factory=dict)
    moodle: MoodleDatabase | None = None

    @property
    def exchange(self) -> Path:
        return self.folder / "exchange"

    def campaign(self, run_id: str = "copie") -> Campaign:
        facts = {"moodle_command": self.command, "exchange": str(self.exchange), **self.more}
        platform = reference_platform(self.folder, name=NAME, **facts)
        campaign = Campaign(platform, 2026, run_id, self.engine, dry_run=False)
        self.moodle = self.moodle or campaign.moodle
        vars(campaign)["moodle"] = self.moodle  # its 566 tables are read once
        return campaign

    def copy(self, source: str = "ex_LI3INF02", target: str = TARGET_CODE, **options: bool) -> str:
        return copy_archived_course(self.campaign(), Request(source, target, **options))

    def behave(self, wrong: str) -> None:
        """What the command line does wrong from now on; '': nothing."""
        (Path(self.command[-1]) / "behaviour.json").write_text(json.dumps(wrong), encoding="utf-8")

    def calls(self) -> list[str]:
        log = Path(self.command[-1]) / "calls.log"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    def killed(self) -> int:
        """Copy in a process of its own, which the command line kills; returns the signal that ended it."""
        pid = os.fork()
        if pid == 0:
            try:
                self.copy()
            finally:
                os._exit(0)
        return os.WTERMSIG(os.waitpid(pid, 0)[1])

    def dump(self) -> dict[str, Rows]:
        return dump(self.engine, MOODLE)

    def written(self) -> dict[str, Rows]:
        """The tables that a stand-in may write in: quicker than all."""
        names = {*CHANGED, *self.kinds(SOURCE)}
        return {
            name: {row.id: dict(row._mapping) for row in self.execute(f"SELECT * FROM mdl_{name}")} for name in names
        }

    def execute(self, statement: str, **values: Any) -> Any:
        with self.engine.begin() as connection:
            result = connection.execute(sa.text(statement), values)
            return result.all() if result.returns_rows else result.lastrowid

    def kinds(self, courseid: int) -> list[str]:
        query = "SELECT m.name FROM mdl_course_modules c JOIN mdl_modules m ON m.id = c.module WHERE c.course = :id"
        return sorted(kind for (kind,) in self.execute(query, id=courseid))

    def setting(self, plugin: str, name: str) -> str:
        query = "SELECT value FROM mdl_config_plugins WHERE plugin = :plugin AND name = :name"
        [(value,)] = self.execute(query, plugin=plugin, name=name)
        return str(value)

    def journal(self, action: str) -> list[Any]:
        query = f"SELECT * FROM {NAME}_transition.journal WHERE action = :action ORDER BY id"
        return list(self.execute(query, action=action))


@pytest.fixture(scope="module")
def prepared(
    server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, dict[str, Rows]]]:
    folder = tmp_path_factory.mktemp("copy")
    load_dump(server, reference / DUMP, MOODLE)
    engine = open_engine(server.url(MOODLE), poolclass=sa.NullPool)
    described = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    world = World(engine, folder, moodle_cli.install(folder / "cli", described, MOODLE), _add_target(engine))
    world.exchange.mkdir()
    world.execute(
        "UPDATE mdl_course SET shortname = 'ex_LI3INF02', fullname = 'ex_Bases de données', category = 9 WHERE id = 3"
    )
    yield world, world.dump()
    engine.dispose()
    drop_databases(server, {MOODLE, f"{NAME}_transition"})


@pytest.fixture
def world(prepared: tuple[World, dict[str, Rows]]) -> Iterator[World]:
    """The two spaces as they are before any copy."""
    world, before = prepared
    world.more = {}
    world.behave("")
    (Path(world.command[-1]) / "calls.log").unlink(missing_ok=True)
    yield world
    _put_back(world, before)
    for left in world.exchange.iterdir():
        left.unlink()


@pytest.fixture
def before(prepared: tuple[World, dict[str, Rows]]) -> dict[str, Rows]:
    return prepared[1]


def _add_target(engine: sa.Engine) -> int:
    """A space like a newly made one: its announcements and nothing else."""
    with engine.begin() as connection:
        run: Callable[..., Any] = lambda text, **values: connection.execute(sa.text(text), values)  # noqa: E731
        courseid = int(
            run(
                "INSERT INTO mdl_course (category, fullname, shortname, idnumber, format, sortorder, summary)"
                " VALUES (4, 'Bases de données avancées', 'LI3INF07', 'LI3INF07', 'topics', 40003, '')"
            ).lastrowid
        )
        context = run("INSERT INTO mdl_context (contextlevel, instanceid, depth) VALUES (50, :id, 5)", id=courseid)
        run("UPDATE mdl_context SET path = CONCAT('/1/11/12/13/', id) WHERE id = :id", id=context.lastrowid)
        run("INSERT INTO mdl_enrol (enrol, courseid) VALUES ('manual', :id)", id=courseid)
        forum = run(
            "INSERT INTO mdl_forum (course, type, name, intro) VALUES (:id, 'news', 'Annonces', '')", id=courseid
        )
        run(
            "INSERT INTO mdl_course_modules (course, module, instance)"
            " SELECT :id, id, :forum FROM mdl_modules WHERE name = 'forum'",
            id=courseid, forum=forum.lastrowid,
        )  # fmt: skip
    return courseid


def _put_back(world: World, before: dict[str, Rows]) -> None:
    kinds = set(world.kinds(SOURCE))
    with world.engine.begin() as connection:
        for name in kinds:
            connection.execute(sa.text(f"DELETE FROM mdl_{name} WHERE id > {max(before[name])}"))
        for name in CHANGED:
            rows = list(before[name].values())
            table = sa.table(f"mdl_{name}", *(sa.column(column) for column in rows[0]))
            connection.execute(sa.delete(table))
            connection.execute(sa.insert(table), rows)
        for name in STATE:
            connection.execute(sa.text(f"DELETE FROM {NAME}_transition.{name}"))
