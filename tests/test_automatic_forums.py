"""A whole transition of a space with a forum of automatic subscription, and its way back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.support.campaign import NEWCOMERS, REPEATERS, new_campaign, run_chain
from transition.campaign import Campaign
from transition.restore.stage import Request, restore

NAME, SPACE = "abonnes", "LI3INF01"
FORUM = 9  # of SPACE


@pytest.fixture
def campaign(server: PrivateMariaDB, reference: Path, tmp_path: Path) -> Iterator[Campaign]:
    with new_campaign(server, reference, tmp_path, NAME, courses=(SPACE,)) as campaign:
        with campaign.engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE mdl_forum SET forcesubscribe = 2 WHERE id = {FORUM}")
        yield campaign


def rows(campaign: Campaign) -> dict[int, tuple[int, str]]:
    """Every subscription: forum and user name, by id."""
    query = "SELECT s.id, s.forum, u.username FROM mdl_forum_subscriptions s JOIN mdl_user u ON u.id = s.userid"
    with campaign.engine.connect() as connection:
        return {id_: (forum, name) for id_, forum, name in connection.execute(sa.text(query))}


def test_the_verification_expects_them_and_a_restore_finds_no_conflict(campaign: Campaign) -> None:
    before = rows(campaign)
    kept = {id_: row for id_, row in before.items() if row[0] == FORUM and row[1] in REPEATERS}
    subscribed, not_yet = REPEATERS
    assert [name for _, name in kept.values()] == [subscribed]
    run_chain(campaign)  # verify is one of its stages
    after = rows(campaign)
    assert kept.items() <= after.items(), "the very rows"
    new = {id_: row for id_, row in after.items() if id_ not in before}
    assert sorted(new.values()) == [(FORUM, name) for name in (not_yet, *NEWCOMERS)]
    assert {name for forum, name in after.values() if forum == FORUM} == {*NEWCOMERS, *REPEATERS, "enseignant2"}
    restored = restore(campaign, Request(SPACE, name=True, enrolments=True))
    assert "de côté" not in restored
    assert rows(campaign) == before | new
