"""The real database, one space of which a campaign carried over; years before it are invented, and small."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.support.campaign import add_newcomers, reference_feed, reference_platform, run_chain, swap_every_table
from transition import plan
from transition.campaign import Campaign, now
from transition.expiry.item import load
from transition.expiry.stage import list_due
from transition.moodle.database import open_engine

NAME, MOODLE = "expiration", "moodle_expiry"
STATE = f"{NAME}_transition"
EX_SPACE = 3  # LI3INF02, which left the model
OLD_SPACES = (90001, 90002)


@dataclass(frozen=True)
class World:
    """A platform and the campaign of 2026 that was carried out on it, just now."""

    campaign: Campaign
    server: PrivateMariaDB

    @property
    def storage(self) -> Path:
        return Path(self.campaign.platform.storage) / NAME

    def open(self, run_id: str, **platform: Any) -> Campaign:
        changed = reference_platform(Path(self.campaign.platform.storage), name=NAME, **platform)
        return replace(self.campaign, platform=changed, run_id=run_id, dry_run=False)

    def listed(self, run_id: str, moment: datetime, **platform: Any) -> Campaign:
        """A run that listed what is due at that moment, approved by a person."""
        campaign = self.open(run_id, **platform)
        list_due(campaign, moment)
        plan.approve(campaign, plan.stored_fingerprint(campaign), by="Nadia")
        return campaign

    def execute(self, statement: str, **values: Any) -> Any:
        with self.campaign.server.begin() as connection:
            result = connection.execute(sa.text(statement), values)
            return result.all() if result.returns_rows else result.rowcount

    def everything(self) -> dict[str, Any]:
        """A digest of all that an expiry could harm: each table of Moodle and of the archives, each file."""
        tables = self.execute(
            "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables WHERE table_type ="
            " 'BASE TABLE' AND (table_schema = :moodle OR table_schema LIKE :archives) ORDER BY 1",
            moodle=MOODLE, archives=f"{NAME}\\_2%",
        )  # fmt: skip
        sums = dict(self.execute(f"CHECKSUM TABLE {', '.join(name for (name,) in tables)}"))
        return sums | {str(path): path.read_bytes() for path in self.storage.rglob("*") if path.is_file()}

    def tables(self, schema: str) -> set[str]:
        return {name for (name,) in self.execute(f"SHOW TABLES FROM {schema}")}

    def schemas(self) -> set[str]:
        return {name for (name,) in self.execute("SHOW DATABASES") if name.startswith(f"{NAME}_2")}

    def files(self, year: int, kind: str = "") -> dict[str, bytes]:
        folder = self.storage / str(year) / kind
        return {str(path.relative_to(self.storage)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def leave_year(self, year: int, verified_at: datetime | None, courses: tuple[int, ...] = ()) -> None:
        """What the campaign of an earlier year left: its files, its schema, its run, its ex_ spaces."""
        content = hashlib.sha1(str(year).encode(), usedforsecurity=False).hexdigest()  # no row of files names it
        for path in (
            "backup/old/grade_grades.parquet", "mbz/2/20210701T020000.mbz", "exports/L1.xlsx", "pads/2/a/pad.txt",
            f"filedir/{content[:2]}/{content[2:4]}/{content}", "reports/2.json",
        ):  # fmt: skip
            file = self.storage / str(year) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(f"{year} {path}".encode())
        schema = f"{NAME}_{year}"
        self.execute(f"CREATE DATABASE {schema}")
        self.execute(f"CREATE TABLE {schema}.mdl_choice_answers LIKE {MOODLE}.mdl_choice_answers")
        self.execute(f"INSERT INTO {schema}.mdl_choice_answers (choiceid, userid, optionid, timemodified)"
                     " VALUES (1, 2, 3, 4), (1, 3, 3, 5)")  # fmt: skip
        self.execute(f"CREATE TABLE {schema}.key_choice_answers (run INT, id BIGINT, courseid BIGINT, rule CHAR(40))")
        if verified_at is None:
            return
        moment = verified_at - timedelta(hours=1)
        self.execute(
            f"INSERT INTO {STATE}.run (run_id, year, dry_run, courses, started_at, frozen_at)"
            " VALUES (:run, :year, 0, '[]', :at, :at)", run=f"run-{year}", year=year, at=moment,
        )  # fmt: skip
        [(number,)] = self.execute(f"SELECT number FROM {STATE}.run WHERE run_id = 'run-{year}'")
        self.execute(
            f"INSERT INTO {STATE}.journal (at, run, year, stage, rule, table_name, action, actor, attempt, detail)"
            " VALUES (:at, :run, :year, 'verify', '', '', 'done', 'test', 1, '')",
            at=verified_at, run=number, year=year,
        )  # fmt: skip
        for courseid in courses:
            self.execute(
                f"INSERT INTO {STATE}.ex_change (year, courseid, run, at, place, category, timemodified, fullname,"
                " new_fullname, shortname, new_shortname, idnumber, new_idnumber, visible, new_visible)"
                " SELECT :year, id, :run, :at, 1, category, timemodified, fullname, fullname, shortname, shortname,"
                f" idnumber, idnumber, visible, visible FROM {MOODLE}.mdl_course WHERE id = :id",
                year=year, run=number, at=moment, id=courseid,
            )  # fmt: skip

    def forget_year(self, year: int) -> None:
        """Undo :meth:`leave_year`, whatever became of it."""
        shutil.rmtree(self.storage / str(year), ignore_errors=True)
        self.execute(f"DROP DATABASE IF EXISTS {NAME}_{year}")
        for table in ("run", "journal", "ex_change"):
            self.execute(f"DELETE FROM {STATE}.{table} WHERE year = :year", year=year)

    def put_old_back(self) -> None:
        """A year 2021 of which everything is due, two ex_ spaces among it, as if nothing had become of it."""
        self.forget_old()
        columns = "category, visible, visibleold, summary, cacherev"
        for courseid in OLD_SPACES:
            self.execute(
                f"INSERT INTO {MOODLE}.mdl_course (id, fullname, shortname, idnumber, {columns}) SELECT {courseid},"
                f" 'ex_Vieux', 'ex_{courseid}', 'OLD{courseid}', {columns} FROM {MOODLE}.mdl_course"
                f" WHERE id = {EX_SPACE}"
            )
            self.execute(
                f"INSERT INTO {MOODLE}.mdl_course_sections (id, course, section) VALUES ({courseid}, {courseid}, 0)"
            )
        self.leave_year(2021, datetime(2021, 8, 20), courses=OLD_SPACES)

    def forget_old(self) -> None:
        """Undo :meth:`put_old_back`, whatever became of it."""
        self.forget_year(2021)
        for table, column in (("course", "id"), ("course_sections", "course")):
            self.execute(f"DELETE FROM {MOODLE}.mdl_{table} WHERE {column} IN {OLD_SPACES}")


def reasons(campaign: Campaign) -> dict[str, str]:
    """What the run's list says of each thing: the action, and the reason for it."""
    return {f"{item.year} {item.kind} {item.name}": f"{item.action} {item.reason}".strip() for item in load(campaign)}


def moodle_command(world: World, deleting: str = "") -> tuple[str, str]:
    """A command line of Moodle whose ``delete_course.php`` deletes a course, and fails for one that is gone.

    :param deleting: the shell's words to do so; ``$sql`` runs a statement, ``$id`` is the course.
    """
    folder, server = world.storage.parent / "cli", world.server
    folder.mkdir(exist_ok=True)
    client = f"mariadb --no-defaults -N -h {server.host} -P {server.port} -u {server.user} {MOODLE} -e"
    usual = '$sql "DELETE FROM mdl_course_sections WHERE course = $id" && $sql "DELETE FROM mdl_course WHERE id = $id"'
    lines = [
        f'id="${{1#--courseid=}}"; [ "$2" = --non-interactive ] || exit 9; sql="{client}"',
        f"export MYSQL_PWD='{server.password}'",
        '[ -n "$($sql "SELECT id FROM mdl_course WHERE id = $id")" ] || { echo "Course not found"; exit 1; }',
        deleting or usual,
    ]
    (folder / "delete_course.php").write_text("\n".join(lines))
    (folder / "purge_caches.php").write_text(f"echo purged >> {folder}/purged")
    return "sh", str(folder)


def facts(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def world(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("expiry")
    load_dump(server, reference / DUMP, MOODLE)
    engine = open_engine(server.url(MOODLE), poolclass=sa.NullPool)
    add_newcomers(engine)
    reference_feed(folder / "feed")
    platform = reference_platform(folder / "storage", name=NAME)
    codes = ("LI3INF02",)
    campaign = Campaign(platform, 2026, "run-2026", engine, feed=folder / "feed", dry_run=False, courses=codes)
    with pytest.MonkeyPatch.context() as patch:  # as on a large platform: its archive has tables of every kind
        swap_every_table(patch)
        run_chain(campaign)
    world = World(campaign, server)
    assert "key_of_spaces" in world.tables(f"{NAME}_2026")
    yield world
    names = {MOODLE, STATE, *world.schemas()}
    engine.dispose()
    drop_databases(server, names)


@pytest.fixture
def old(world: World) -> Iterator[World]:
    """The world with a year 2021 of which everything is due, two ex_ spaces among it."""
    world.put_old_back()
    yield world
    world.forget_old()


def in_months(months: int) -> datetime:
    return now() + timedelta(days=31 * months)
