"""A Moodle database on the tests' server, and the operator's command that carries it over."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, PROJECT, drop_databases, load_dump
from tests.support.campaign import add_newcomers, reference_feed, reference_platform, write_platform
from tests.support.dump import Rows, dump
from transition.moodle.database import open_engine

YEAR = "2026"
SCHEMAS = {"ecampus_moodle", "ecampus_transition", f"ecampus_{YEAR}"}


@dataclass(frozen=True)
class Site:
    """A Moodle database on the tests' server, and the operator's command that carries it over."""

    server: PrivateMariaDB
    engine: sa.Engine
    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ, "PYTHONPATH": f"{PROJECT}/plugins:{PROJECT}",
            "TRANSITION_PLATFORMS": str(self.folder / "platforms"), "TRANSITION_RUNS": str(self.folder / "runs"),
            "PLATFORM": "ecampus", "YEAR": YEAR,
            "AIRFLOW_CONN_MOODLE_ECAMPUS": json.dumps(self.server.airflow_connection("ecampus_moodle")),
            "AIRFLOW_CONN_APOGEE_ECAMPUS": json.dumps(
                {"conn_type": "fs", "extra": {"path": str(self.folder / "feed")}}
            ),
            **more,
        }  # fmt: skip

    def start(self, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "transition_airflow.command"], env=self.environment(**more), cwd=PROJECT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, **more: str) -> tuple[int, str]:
        with self.start(**more) as process:
            output, _ = process.communicate(timeout=600)
        return process.returncode, output

    def execute(self, **more: str) -> tuple[int, str]:
        return self.run(EXECUTE="1", APPROVED_BY="Ada Administratrice", **more)

    def dump(self, schema: str = "ecampus_moodle") -> dict[str, Rows]:
        return dump(self.engine, schema)

    def scalar(self, query: str) -> object:
        with self.engine.connect() as connection:
            return connection.execute(sa.text(query)).scalar()

    def ids(self, table: str, where: str) -> frozenset[int]:
        with self.engine.connect() as connection:
            return frozenset(connection.execute(sa.text(f"SELECT id FROM mdl_{table} WHERE {where}")).scalars())


def make_folder(folder: Path, **more: Any) -> Path:
    """What a site has on disk: its platform file (``more``: keys of it), its feed, room for its storage and logs."""
    platform = reference_platform(folder / "storage", approval="person", **more)
    write_platform(platform, folder)
    reference_feed(folder / "feed")
    return folder


def new_site(server: PrivateMariaDB, reference: Path, folder: Path) -> Iterator[Site]:
    """The real database, before anything ran; dropped in the end."""
    drop_databases(server, SCHEMAS)
    load_dump(server, reference / DUMP, "ecampus_moodle")
    engine = open_engine(server.url("ecampus_moodle"), poolclass=sa.NullPool)
    add_newcomers(engine)
    yield Site(server, engine, folder)
    engine.dispose()
    drop_databases(server, SCHEMAS)
