"""Rows that Moodle seldom has: a transition takes those of the students, leaves the others, and refuses nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.support.campaign import new_campaign, run_chain
from transition.campaign import Campaign
from transition.move import archive_table

SPACE = "LI3INF01"  # course 2, which holds every activity of the policy
ELSEWHERE = 3
STUDENT = "(SELECT id FROM mdl_user WHERE username = '22300001')"  # who leaves the space
FIRST = 900_001  # the id of each table's first row below

ROWS = [
    # The last BBB activity of the space was deleted: what it leaves, and what the deletion itself writes.
    "DELETE FROM mdl_bigbluebuttonbn WHERE course = 2",
    f"""INSERT INTO mdl_bigbluebuttonbn_logs (id, courseid, bigbluebuttonbnid, userid, log)
        VALUES ({FIRST}, 2, 77, {STUDENT}, 'Join'), ({FIRST + 1}, 2, 77, 3, 'Delete')""",
]


@pytest.fixture(scope="module")
def done(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """The space with such rows, after its transition: the verification found nothing."""
    folder = tmp_path_factory.mktemp("rares")
    with new_campaign(server, reference, folder, "rares", courses=(SPACE,)) as campaign:
        with campaign.server.begin() as connection:
            connection.exec_driver_sql("SET SESSION sql_mode = ''")  # columns that are not given take their type's zero
            for statement in ROWS:
                connection.exec_driver_sql(statement)
        run_chain(campaign)
        yield campaign


def kept(campaign: Campaign, table: str) -> set[int]:
    """Which of a table's rows above, by their rank, are still in Moodle."""
    return ranks(campaign, campaign.moodle[table])


def moved(campaign: Campaign, table: str) -> set[int]:
    """Which of a table's rows above, by their rank, are in the archive."""
    return ranks(campaign, archive_table(campaign, table))


def ranks(campaign: Campaign, table: sa.Table) -> set[int]:
    with campaign.engine.connect() as connection:
        return set(connection.execute(sa.select(table.c.id - FIRST).where(table.c.id >= FIRST)).scalars())


def test_what_a_deleted_bbb_activity_left_goes(done: Campaign) -> None:
    assert moved(done, "bigbluebuttonbn_logs") == {0, 1}
    assert kept(done, "bigbluebuttonbn_logs") == set()
