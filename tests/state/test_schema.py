"""The migrations make exactly the tables that the code declares; again, or after a kill, they change nothing else."""

from pathlib import Path

import sqlalchemy as sa

import transition.apogee.tables
import transition.calendars.tables
import transition.course_copy.tables
import transition.enrolment.tables
import transition.expiry.tables
import transition.restore.tables  # noqa: F401  (these modules declare their tables)
from demo.server import PrivateMariaDB
from tests.support.campaign import reference_platform
from transition.campaign import Campaign
from transition.moodle.database import open_engine
from transition.state import schema, tables


def facts(engine: sa.Engine, name: str) -> set[tuple[object, ...]]:
    """Columns and indexes of every table of a schema, the migrations' own table aside."""
    columns = """SELECT table_name, column_name, column_type, is_nullable, column_key, extra, collation_name
        FROM information_schema.columns WHERE table_schema = :name AND table_name <> 'alembic_version'"""
    indexes = """SELECT table_name, index_name, seq_in_index, column_name, non_unique
        FROM information_schema.statistics WHERE table_schema = :name AND table_name <> 'alembic_version'"""
    with engine.connect() as connection:
        return {
            tuple(row) for query in (columns, indexes) for row in connection.execute(sa.text(query), {"name": name})
        }


def test_migrations_and_declarations_agree(server: PrivateMariaDB, tmp_path: Path) -> None:
    with sa.create_engine(server.url()).begin() as connection:
        for name in ("declared", "migrated_transition", "moodle_of_nobody"):
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name}"))
        connection.execute(sa.text("CREATE DATABASE declared CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
        connection.execute(sa.text("CREATE DATABASE moodle_of_nobody"))
    engine = open_engine(server.url("moodle_of_nobody"))
    tables.metadata.create_all(engine.execution_options(schema_translate_map={tables.STATE: "declared"}))
    campaign = Campaign(reference_platform(tmp_path, name="migrated"), 2026, "run", engine)
    schema.upgrade(campaign)
    expected = facts(engine, "declared")
    assert facts(engine, "migrated_transition") == expected
    assert len(expected) > 200
    schema.upgrade(campaign)
    with engine.begin() as connection:  # as a kill in the middle of the first upgrade leaves it
        connection.execute(sa.text("DELETE FROM migrated_transition.alembic_version"))
        connection.execute(sa.text("DROP TABLE migrated_transition.journal"))
        connection.execute(sa.text("DROP INDEX element_cle ON migrated_transition.element"))
    schema.upgrade(campaign)
    assert facts(engine, "migrated_transition") == expected
