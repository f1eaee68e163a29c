"""One copy of the real Moodle database for all these tests: the tables that they write are put back before each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.enrolment.world import World
from transition.moodle.database import open_engine

MOODLE = "moodle_enrolment"
PRISTINE = "moodle_enrolment_pristine"
WRITTEN = (
    "user", "enrol", "user_enrolments", "role", "role_assignments", "cohort", "cohort_members", "course", "context",
    "course_categories", "config_plugins", "groups", "groups_members", "message_conversations",
    "message_conversation_members", "forum", "forum_subscriptions", "course_modules", "role_capabilities",
)  # fmt: skip
OURS = {"ecampus_transition", "ecampus_2026"}


@pytest.fixture(scope="session")
def enrolment_moodle(server: PrivateMariaDB, reference: Path) -> Iterator[sa.Engine]:
    engine = open_engine(server.url(MOODLE))
    # test_ex_rename.py imports these fixtures: pytest then holds a second one of the same session.
    if not sa.inspect(sa.create_engine(server.url())).has_schema(MOODLE):
        load_dump(server, reference / DUMP, MOODLE)
        with engine.begin() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {PRISTINE} CHARACTER SET utf8mb4"))
            for table in WRITTEN:
                connection.execute(sa.text(f"CREATE TABLE {PRISTINE}.mdl_{table} SELECT * FROM mdl_{table}"))
    yield engine
    engine.dispose()
    drop_databases(server, {MOODLE, PRISTINE, *OURS})


def fresh(engine: sa.Engine, server: PrivateMariaDB, storage: Path) -> World:
    """The real Moodle database, to write in the tables that WRITTEN names; no state and no archive yet."""
    drop_databases(server, OURS)
    with engine.begin() as connection:
        for table in WRITTEN:
            connection.execute(sa.text(f"DELETE FROM mdl_{table}"))
            connection.execute(sa.text(f"INSERT INTO mdl_{table} SELECT * FROM {PRISTINE}.mdl_{table}"))
    return World(engine, storage)


@pytest.fixture
def world(enrolment_moodle: sa.Engine, server: PrivateMariaDB, tmp_path: Path) -> World:
    """A world of the test's own."""
    return fresh(enrolment_moodle, server, tmp_path)
