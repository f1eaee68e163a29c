"""An archive table keeps the indexes that something reads, and no other."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.campaign import reference_platform
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.moodle.database import quoted
from transition.move import archive_table, create_archive_table
from transition.rules.compile import moved_tables
from transition.rules.model import load_rules

ENROLMENT = {"user_enrolments", "role_assignments", "groups_members"}
READ = {"files": {"contenthash"}, "quiz_attempts": {"uniqueid"}}


@pytest.fixture
def campaign(real_moodle: sa.Engine, tmp_path: Path) -> Campaign:
    """A campaign whose archive schema is empty."""
    campaign = Campaign(reference_platform(tmp_path, name="index"), 2026, "index", real_moodle)
    with real_moodle.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {campaign.archive_schema}"))
    return campaign


def indexes(campaign: Campaign, schema: str) -> dict[str, dict[str, list[str]]]:
    """The columns of each index, the primary key aside, by name, of each table that has one."""
    query = sa.text(
        "SELECT table_name, index_name, column_name FROM information_schema.statistics WHERE table_schema = :schema"
        " AND index_name <> 'PRIMARY' ORDER BY seq_in_index"
    )
    found: dict[str, dict[str, list[str]]] = {}
    with campaign.engine.connect() as connection:
        for table, index, column in connection.execute(query, {"schema": schema}):
            name = table.removeprefix(campaign.platform.table_prefix)
            found.setdefault(name, {}).setdefault(index, []).append(column)
    return found


def test_of_every_table_that_rules_empty(campaign: Campaign) -> None:
    moved = ENROLMENT.union(*(moved_tables(rule, campaign.moodle) for rule in load_rules()))
    before = indexes(campaign, campaign.moodle.schema)
    assert len(moved) > 140
    assert sum(len(before.get(name, {})) for name in moved) > 380
    for _ in range(2):  # a run that starts again does the same
        with campaign.engine.connect() as connection:
            for name in sorted(moved):
                create_archive_table(connection, campaign, name)
        kept = indexes(campaign, campaign.archive_schema)
        assert {name: {columns[0] for columns in of_table.values()} for name, of_table in kept.items()} == READ
        assert all(of_table.items() <= before[name].items() for name, of_table in kept.items())
    assert indexes(campaign, campaign.moodle.schema) == before, "Moodle's own are left alone"


def test_a_table_that_a_killed_run_or_an_older_one_left(campaign: Campaign) -> None:
    name = "quiz_attempts"
    source, archive = campaign.moodle[name], archive_table(campaign, name)
    with campaign.engine.connect() as connection:
        connection.execute(sa.text(f"CREATE TABLE {quoted(archive)} LIKE {quoted(source)}"))
        columns = [column.name for column in source.c]
        connection.execute(sa.insert(archive).from_select(columns, sa.select(*source.c)))
        connection.commit()
        create_archive_table(connection, campaign, name)
        held = connection.execute(sa.select(archive).order_by(archive.c.id)).all()
        assert held == connection.execute(sa.select(source).order_by(source.c.id)).all()
        assert held
    assert list(indexes(campaign, campaign.archive_schema)[name].values()) == [["uniqueid"]]


@pytest.mark.parametrize(
    "change",
    [
        "ADD later INT",
        "MODIFY state VARCHAR(12) NOT NULL DEFAULT 'inprogress'",
        "MODIFY state VARCHAR(16) NULL",
        "MODIFY state VARCHAR(16) CHARACTER SET latin1 NOT NULL DEFAULT 'inprogress'",
    ],
)
def test_a_table_of_other_columns_is_refused_as_it_is(campaign: Campaign, change: str) -> None:
    archive = quoted(archive_table(campaign, "quiz_attempts"))
    with campaign.engine.connect() as connection:
        connection.execute(sa.text(f"CREATE TABLE {archive} LIKE {quoted(campaign.moodle['quiz_attempts'])}"))
        create_archive_table(connection, campaign, "quiz_attempts")
        connection.execute(sa.text(f"ALTER TABLE {archive} {change}"))
        before = indexes(campaign, campaign.archive_schema)
        with pytest.raises(TransitionError, match="n'a pas les colonnes de Moodle"):
            create_archive_table(connection, campaign, "quiz_attempts")
    assert indexes(campaign, campaign.archive_schema) == before
