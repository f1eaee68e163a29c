"""Moving rows, killed at every SQL statement: nothing lost, nothing twice, and the same end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.support.campaign import UNTIL_FROZEN, new_campaign, run_chain
from tests.support.dump import Rows, dump
from tests.support.kill import die_in
from transition import move, pace
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.keys import frozen_keys
from transition.moodle.database import quoted
from transition.pace import Load
from transition.purge import purge
from transition.state import tables

RULE = "chat"  # three small tables
TABLES = ("chat_messages", "chat_messages_current", "chat_users")


@pytest.fixture(scope="module")
def frozen(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """A campaign whose plan is frozen."""
    with new_campaign(server, reference, tmp_path_factory.mktemp("move"), "move") as campaign:
        run_chain(campaign, UNTIL_FROZEN)
        yield campaign


@pytest.fixture
def campaign(frozen: Campaign) -> Iterator[Campaign]:
    """The same, its rows put back after the test."""
    yield frozen
    start_again(frozen)


def both(campaign: Campaign) -> tuple[dict[str, Rows], dict[str, Rows]]:
    """The rule's tables in Moodle, and in the archive."""
    moodle, archive = (
        dump(campaign.server, schema, "mdl_chat_") for schema in (campaign.moodle.schema, campaign.archive_schema)
    )
    return moodle, archive


def start_again(campaign: Campaign) -> None:
    """Put the rule's rows back, as they were frozen."""
    with campaign.engine.begin() as connection:
        for name in TABLES:
            source, target = campaign.moodle[name], move.archive_table(campaign, name)
            connection.execute(sa.insert(source).from_select([c.name for c in source.c], sa.select(*target.c)))
            connection.execute(sa.delete(target))
        mine = sa.and_(tables.progress.c.run == campaign.run, tables.progress.c.rule == RULE)
        connection.execute(sa.update(tables.progress).where(mine).values(last_id=0, moved=0, done=False))
        connection.execute(sa.delete(tables.journal).where(tables.journal.c.rule == RULE))


def move_and_die(campaign: Campaign, statement: int) -> bool:
    """As :func:`~tests.support.kill.die_in`, a move."""
    return die_in(campaign, lambda: move.move_rule(campaign, RULE), statement)


def test_killed_at_every_statement_then_run_again(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(move, "CHUNK", 30)
    before, _ = both(campaign)
    planned = sum(
        count for (rule, _), count in _keys(campaign).items() if rule == RULE
    )  # fmt: skip
    assert move.move_rule(campaign, RULE) == planned
    after = both(campaign)
    start_again(campaign)
    assert both(campaign)[0] == before
    statement = 0
    while move_and_die(campaign, statement := statement + 1):
        moodle, archive = both(campaign)
        for name in before:  # whatever the moment, each row is in one place and in one only
            assert moodle[name].keys().isdisjoint(archive[name].keys())
            assert {**moodle[name], **archive[name]} == before[name]
        assert move.move_rule(campaign, RULE) == planned
        assert both(campaign) == after
        assert _journalled(campaign) == planned
        start_again(campaign)
    assert statement > 40, "too few kill points to mean anything"


def test_chunks_follow_the_time_they_take_and_wait_for_a_busy_server(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sizes, moved = list[tuple[str, int]](), move._move_chunk
    loads = iter([Load(running=999), Load()])

    def counted(campaign: Campaign, rule: str, name: str, size: int) -> bool:
        sizes.append((name, size))
        return moved(campaign, rule, name, size)

    monkeypatch.setattr(move, "CHUNK", 2)
    monkeypatch.setattr(move, "_move_chunk", counted)
    monkeypatch.setattr(pace, "measure", lambda _: next(loads, Load()))
    monkeypatch.setattr(pace, "LOOK", 0)
    caplog.set_level("INFO")
    move.move_rule(campaign, RULE)
    assert sizes[:2] == [(TABLES[0], 2), (TABLES[0], pace.SMALLEST)]
    waits = [message for message in caplog.messages if message.startswith("Le déplacement")]
    assert waits == [
        "Le déplacement attend que le serveur soit moins chargé : 999 requêtes s'exécutent.", "Le déplacement reprend."
    ]  # fmt: skip


def test_a_row_that_vanished_stops_the_chunk_and_moves_nothing_of_it(campaign: Campaign) -> None:
    name = TABLES[0]
    table = campaign.moodle[name]
    with campaign.engine.begin() as connection:
        one = connection.execute(sa.select(sa.func.min(frozen_keys(campaign, name).c.id))).scalar_one()
        row = connection.execute(sa.select(table).where(table.c.id == one)).mappings().one()
        connection.execute(sa.delete(table).where(table.c.id == one))
    before, _ = both(campaign)
    with pytest.raises(TransitionError, match="ce lot est annulé"):
        move.move_rule(campaign, RULE)
    moodle, archive = both(campaign)
    assert moodle[name.removeprefix("chat_")] == before[name.removeprefix("chat_")]
    assert not archive[name.removeprefix("chat_")]
    with campaign.engine.begin() as connection:
        connection.execute(sa.insert(table).values(**row))


def test_nobody_writes_in_a_row_between_its_copy_and_its_deletion(campaign: Campaign) -> None:
    before, _ = both(campaign)
    writer = sa.create_engine(campaign.server.url, poolclass=sa.NullPool)
    table = campaign.moodle[TABLES[0]]
    refused = []

    def write(*event: Any) -> None:
        if f"STRAIGHT_JOIN {quoted(table)}" in event[2] and event[2].startswith("DELETE"):
            with writer.connect() as connection:
                connection.execute(sa.text("SET SESSION innodb_lock_wait_timeout = 1"))
                with pytest.raises(sa.exc.OperationalError, match="Lock wait timeout exceeded"):
                    connection.execute(sa.update(table).values(message="written"))
            refused.append(event[2])

    sa.event.listen(campaign.server, "before_cursor_execute", write)
    try:
        move.move_rule(campaign, RULE)
    finally:
        sa.event.remove(campaign.server, "before_cursor_execute", write)
    assert refused
    moodle, archive = both(campaign)
    assert {name: {**moodle[name], **archive[name]} for name in before} == before


def test_a_purge_that_waited_for_another_run_looks_who_has_the_platform(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def taken(*_: object) -> Iterator[None]:
        with campaign.engine.begin() as connection:
            connection.execute(sa.update(tables.fence).values(run=0))
        yield

    monkeypatch.setattr(Campaign, "lock", taken)
    before = both(campaign)
    with pytest.raises(TransitionError, match="n'a plus la main"):
        purge(campaign, RULE)
    assert both(campaign) == before
    campaign.take_fence()


def test_moving_twice_moves_once(campaign: Campaign) -> None:
    moved = move.move_rule(campaign, RULE)
    after = both(campaign)
    assert move.move_rule(campaign, RULE) == moved > 0
    assert both(campaign) == after
    assert _journalled(campaign) == moved


def _keys(campaign: Campaign) -> dict[tuple[str, str], int]:
    line = tables.plan_line.c
    query = sa.select(line.rule, line.table_name, sa.func.sum(line.rows)).where(line.run == campaign.run)
    with campaign.engine.connect() as connection:
        rows = connection.execute(query.group_by(line.rule, line.table_name))
        return {(rule, name): int(count) for rule, name, count in rows}


def _journalled(campaign: Campaign) -> int:
    entry = tables.journal.c
    query = sa.select(sa.func.sum(entry.rows_moved)).where(
        entry.run == campaign.run, entry.rule == RULE, entry.action == "moved"
    )
    with campaign.engine.connect() as connection:
        return int(connection.execute(query).scalar() or 0)
