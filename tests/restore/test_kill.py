"""Killed before or after any commit and run again, a restore ends in the same state.

Between two of them a kill leaves what the former committed: one kill stands for all those statements.
"""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.restore.conftest import MOODLE, NAME, World
from transition.campaign import Campaign
from transition.restore import put_back
from transition.restore.stage import Request, restore
from transition.state import schema

ARCHIVE, STATE, SAVED = f"{NAME}_2026", f"{NAME}_transition", "saved_tables"
# Few tables, or the kills would take an hour: rows with children and without, grades, enrolments.
TABLES = (
    "assign_submission", "assignsubmission_onlinetext", "choice_answers", "grade_grades", "groups_members",
    "role_assignments", "user_enrolments",
)  # fmt: skip
REQUEST = Request("LI3INF02", name=True, enrolments=True)


class Ground:
    """The tables that the restore writes, saved once and put back at will."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tables = [
            *(f"{MOODLE}.mdl_{name}" for name in (*TABLES, "course", "course_categories", "context")),
            *(f"{ARCHIVE}.{prefix}_{name}" for name in TABLES for prefix in ("mdl", "key")),
            f"{STATE}.space_reset", f"{STATE}.ex_change",
        ]  # fmt: skip
        self.columns: dict[str, str] = {}
        world.execute(f"CREATE DATABASE {SAVED}")
        for number, name in enumerate(self.tables):
            world.execute(f"CREATE TABLE {SAVED}.t{number} LIKE {name}")
            world.execute(f"INSERT INTO {SAVED}.t{number} SELECT * FROM {name}")

    def put_back(self) -> None:
        for number, name in enumerate(self.tables):
            self.world.execute(f"DELETE FROM {name}")
            self.world.execute(f"INSERT INTO {name} SELECT * FROM {SAVED}.t{number}")

    def mark(self) -> tuple[Any, ...]:
        """A digest of every table without moments, by the server: it tells after which commit a kill was."""
        names = [name for name in self.tables if name not in (f"{MOODLE}.mdl_course", f"{STATE}.ex_change")]
        return tuple(self.world.execute(f"CHECKSUM TABLE {', '.join(names)}"))

    def state(self) -> tuple[Any, ...]:
        """Every row of every table, moments aside."""
        found = []
        for name in self.tables:
            if name not in self.columns:
                columns = [row[0] for row in self.world.execute(f"SHOW COLUMNS FROM {name}")]
                self.columns[name] = ", ".join(f"`{c}`" for c in columns if c not in {"cacherev", "at"})
            found.append(tuple(self.world.execute(f"SELECT {self.columns[name]} FROM {name} ORDER BY 1, 2")))
        return tuple(found)


@pytest.fixture
def ground(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    for (name,) in world.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = :schema AND table_type = 'BASE TABLE'"
        " AND table_name LIKE 'key\\_%'", schema=ARCHIVE,
    ):  # fmt: skip
        if name.removeprefix("key_") not in TABLES:
            world.execute(f"DELETE FROM {ARCHIVE}.{name} WHERE courseid = 3")
    for (name,) in world.execute(
        "SELECT table_name FROM information_schema.views WHERE table_schema = :schema", schema=ARCHIVE
    ):
        world.execute(f"DROP VIEW {ARCHIVE}.{name}")
    world.execute(  # or the journal would tell of rows that the archive has lost
        f"DELETE FROM {STATE}.journal WHERE action = 'moved' AND courseid = 3 AND table_name NOT IN {TABLES}"
    )
    monkeypatch.setattr(put_back, "CHUNK", 150)
    monkeypatch.setattr(schema, "upgrade", lambda _: None)  # nothing but DDL that is there already
    yield Ground(world)
    world.execute(f"DROP DATABASE {SAVED}")


def listen(hook: Callable[[str], None]) -> None:
    """Have a function called right before each statement and each commit, with what it is."""
    sa.event.listen(sa.Engine, "before_cursor_execute", lambda *_: hook("statement"))
    sa.event.listen(sa.Engine, "commit", lambda *_: hook("commit"))


def in_a_process(campaign: Campaign, hook: Callable[[str], None]) -> bool:
    """Restore in a process of its own, listening; False if it was killed."""
    campaign.server.dispose()  # a child that drops the parent's connections closes them, for the parent too
    child = os.fork()
    if child == 0:
        listen(hook)
        status = 1
        try:
            restore(campaign, REQUEST)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    held = sa.text("SELECT IS_USED_LOCK(:name)").bindparams(name=campaign.lock_name("restore"))
    with campaign.server.connect() as connection:
        while connection.execute(held).scalar():  # the server has not yet seen that the process is gone
            time.sleep(0.02)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0, "the restore failed"
    return True


def killed_before(step: int) -> Callable[[str], None]:
    """A hook that kills the process right before its ``step``-th statement or commit, counted from 0."""
    left = itertools.count(step, -1)

    def kill(_: str) -> None:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def test_killed_anywhere_and_run_again_it_ends_in_the_same_state(ground: Ground, tmp_path: Path) -> None:
    campaign = ground.world.open("killed")
    assert "mdl_assign" in campaign.moodle["assign"].name, "reflected once, for every child"
    before, log = ground.mark(), tmp_path / "steps"

    def write(step: str) -> None:
        with log.open("a") as file:
            file.write(f"{step}\n")

    restore(campaign, REQUEST)  # what is read once a process is read here, for every child
    whole = ground.state()
    ground.put_back()
    assert ground.mark() == before
    assert in_a_process(campaign, write)
    assert ground.state() == whole
    ground.put_back()
    commits = [number for number, step in enumerate(log.read_text().split()) if step == "commit"]
    seen = {before}
    for step in sorted({*commits, *(number + 1 for number in commits[:-1])}):
        assert not in_a_process(campaign, killed_before(step)), f"there is no step {step}"
        mark = ground.mark()
        if mark not in seen:  # else the same rows as after another kill: the same end
            seen.add(mark)
            restore(campaign, REQUEST)
            assert ground.state() == whole, f"killed before step {step}"
        if mark != before:
            ground.put_back()
    assert len(commits) > 20
    assert len(seen) > 7, "too few kills hit a write"
