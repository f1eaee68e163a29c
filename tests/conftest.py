"""What tests share: a private MariaDB, on it a real Moodle database when the reference data is at hand, and Airflow."""

import gc
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis.strategies import none
from xdist.scheduler import LoadFileScheduling

from demo.server import PrivateMariaDB
from transition.campaign import STATEMENTS, collect_garbage_rarely
from transition.moodle.database import open_engine

PROJECT = Path(__file__).resolve().parents[1]
DUMP = "ecampus-4.5.6.sql.zst"
READ_ONLY = "reference_moodle"
# Moodle's tables are compressed, and made and dropped by the hundred: half of a server's time went into compressing
# well, and into statistics of tables that are gone a moment later.
# A worker opens in one process what in operation hundreds of tasks open one after the other.
QUICK = ("--innodb-compression-level=1", "--innodb-stats-persistent=OFF", "--max-connections=1000")

# Folders, or files, that share a fixture which takes long to make; the first that fits counts.
SHARING = ("backup", "dags", "enrolment", "restore/test_stage", "restore", "rules", "swap")
# The files that take longest, first: the workers then end at about the same time.
LONGEST = (
    "tests/restore/test_stage.py", "tests/restore/test_stage_conflicts.py", "tests/test_transition.py",
    "tests/restore/test_kill.py", "tests/restore/",
    "tests/browser/", "tests/backup/", "tests/dags/", "tests/expiry/", "tests/test_two_years.py", "tests/swap/",
    "tests/test_refusals.py", "tests/calendars/", "tests/test_explain.py", "tests/transition_airflow/",
    "tests/test_leftovers.py", "tests/course_copy/", "tests/rules/", "tests/test_every_decision.py",
    "tests/test_whole_policy.py", "tests/test_stranded.py", "tests/test_move.py",
)  # fmt: skip


def _settle_airflow() -> str:
    """Give Airflow a home of the session's own; returns it."""
    home = tempfile.mkdtemp(prefix="airflow-")
    for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
        del os.environ[name]
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }
    return home


# Airflow reads its settings when it is first imported, which a conftest.py below may do: before any fixture.
AIRFLOW_HOME = _settle_airflow()


def pytest_configure() -> None:
    """Keep the compiled statements of many campaigns: they are the same ones."""
    STATEMENTS.capacity = 20_000
    collect_garbage_rarely()


@pytest.hookimpl(trylast=True)  # hypothesis warns of use before its own
def pytest_sessionstart() -> None:
    """Use hypothesis once: its first use looks through the whole heap, which is still small."""
    given(none())(lambda _: None)()


class ByFixture(LoadFileScheduling):
    """A file, or what SHARING holds together, is one worker's."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((shared for shared in SHARING if file.startswith(f"tests/{shared}")), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFixture:
    """The scheduler of ``make test``."""
    return ByFixture(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the others keep their order."""

    def place(item: pytest.Item) -> int:
        file = item.path.relative_to(PROJECT).as_posix()
        return next((rank for rank, start in enumerate(LONGEST) if file.startswith(start)), len(LONGEST))

    items.sort(key=place)


def pytest_unconfigure() -> None:
    """Remove Airflow's home; end without one more look for garbage, which takes seconds."""
    gc.freeze()
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow() -> None:
    """Airflow with its database (SQLite), ready for ``DAG.test``."""
    from airflow.utils.db import initdb

    initdb()


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder for a server's data: in memory where there is room, for tables are made by the hundred."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 4 * 2**30
    with tempfile.TemporaryDirectory(prefix="mariadb-", dir=memory if roomy else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def server() -> Iterator[PrivateMariaDB]:
    """A MariaDB server of the session's own."""
    with server_folder() as folder, PrivateMariaDB(folder, options=QUICK) as running:
        yield running


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of the reference data: ``MOODLE_REFERENCE``, else ``../shared/moodle``; skips where there is none."""
    folder = Path(os.environ.get("MOODLE_REFERENCE") or PROJECT.parent / "shared" / "moodle")
    if not (folder / DUMP).is_file():
        pytest.skip(f"reference Moodle database not found: no {DUMP} in {folder} (set MOODLE_REFERENCE)")
    return folder


@pytest.fixture(scope="session")
def reference_moodle(server: PrivateMariaDB, reference: Path) -> Iterator[sa.Engine]:
    """The real Moodle database, loaded once a session: any statement that writes is refused by the server."""
    load_dump(server, reference / DUMP, READ_ONLY)
    engine = open_engine(server.url(READ_ONLY))

    @sa.event.listens_for(engine, "connect")
    def read_only(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("SET SESSION TRANSACTION READ ONLY")
        cursor.close()

    yield engine
    engine.dispose()


@pytest.fixture
def real_moodle(server: PrivateMariaDB, reference: Path) -> Iterator[sa.Engine]:
    """A fresh copy of the real Moodle database, to write in; what the test made on the server is dropped after it."""
    before = _databases(server)
    name = f"moodle_{secrets.token_hex(4)}"
    load_dump(server, reference / DUMP, name)
    engine = open_engine(server.url(name))
    yield engine
    engine.dispose()
    drop_databases(server, _databases(server) - before)


def load_dump(server: PrivateMariaDB, dump: Path, name: str) -> None:
    """Create the database and load a zstd dump into it (about 4 s)."""
    with _everything(server) as connection:
        connection.execute(sa.text(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"))
    client = [
        "mariadb", "--no-defaults", f"--host={server.host}", f"--port={server.port}", f"--user={server.user}",
        "--default-character-set=utf8mb4", name,
    ]  # fmt: skip
    with subprocess.Popen(["zstd", "-dcq", str(dump)], stdout=subprocess.PIPE) as unpacked:
        subprocess.run(client, stdin=unpacked.stdout, check=True, env={**os.environ, "MYSQL_PWD": server.password})
    if unpacked.returncode != 0:
        raise RuntimeError(f"zstd failed on {dump}")


def unpack_filedir(reference: Path, dataroot: Path) -> None:
    """Make the reference Moodle's data folder: the contents of its files."""
    dataroot.mkdir()
    packed = subprocess.run(
        ["zstd", "-dcq", str(reference / "ecampus-4.5.6-filedir.tar.zst")], stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(dataroot)], input=packed.stdout, check=True)
    assert (dataroot / "filedir").is_dir()


def drop_databases(server: PrivateMariaDB, names: set[str]) -> None:
    """Drop those databases, if they exist."""
    with _everything(server) as connection:
        for name in sorted(names - {READ_ONLY}):
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS `{name}`"))


def _databases(server: PrivateMariaDB) -> set[str]:
    with _everything(server) as connection:
        return set(connection.execute(sa.text("SHOW DATABASES")).scalars())


def _everything(server: PrivateMariaDB) -> sa.Connection:
    return sa.create_engine(server.url(), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT").connect()
