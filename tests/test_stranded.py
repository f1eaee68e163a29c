"""A purge stopped between any two tables: the next run plans every row that is left, also where its path is gone."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.support.campaign import UNTIL_FROZEN, new_campaign, run_chain
from transition import keys, move
from transition.campaign import Campaign
from transition.enrolment import people
from transition.plan import count_lines, load_lines
from transition.rules.branches import branches
from transition.rules.compile import Scope
from transition.state import tables
from transition.stranded import stranded_traces

Pair = tuple[str, str]  # rule, table
LOOKS = 3  # how often, on the way, the next run is asked for its plan


@pytest.fixture(scope="module")
def stopped(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """A run whose plan is frozen, and which a later one follows."""
    with new_campaign(server, reference, tmp_path_factory.mktemp("stranded"), "stranded") as campaign:
        run_chain(campaign, UNTIL_FROZEN)
        yield campaign


def next_run(campaign: Campaign, run_id: str) -> Campaign:
    """A later run of the year, with the spaces decided and nothing planned yet."""
    later = replace(campaign, run_id=run_id)
    run_chain(later, ["preflight", "apogee_sync", "detect_missing"])
    people.record_people(later)
    return later


def pairs(campaign: Campaign) -> list[Pair]:
    progress = tables.progress.c
    query = sa.select(progress.rule, progress.table_name).where(progress.run == campaign.run, progress.moved == 0)
    with campaign.engine.connect() as connection:
        # Enrolments go after the whole purge: they decide who is a student, for rules that ask.
        return sorted((rule, table) for rule, table in connection.execute(query) if rule != "enrolment")


def move_pair(campaign: Campaign, pair: Pair) -> None:
    while not move._move_chunk(campaign, *pair, 50_000):
        pass


def left(campaign: Campaign, moved: set[Pair]) -> dict[Pair, int]:
    """Rows of the frozen plan that are still in Moodle, by rule and table."""
    counts: dict[Pair, int] = {}
    for (rule, table, _), rows in load_lines(campaign).items():
        if (rule, table) not in moved:
            counts[rule, table] = counts.get((rule, table), 0) + rows
    return counts


def planned(campaign: Campaign) -> dict[Pair, int]:
    counts: dict[Pair, int] = {}
    for (rule, table, _), rows in count_lines(campaign).items():
        counts[rule, table] = counts.get((rule, table), 0) + rows
    return counts


def stranded(campaign: Campaign) -> int:
    rows = 0
    for trace in stranded_traces(campaign, Scope(campaign.run)):
        with campaign.engine.connect() as connection:
            selected = keys.temporary_keys(connection, campaign, trace.table, [trace])
            rows += connection.execute(sa.select(sa.func.count()).select_from(selected)).scalar_one()
    return rows


def test_stopped_between_any_two_tables_the_next_run_plans_the_rest(stopped: Campaign) -> None:
    # First what others hang from: the worst order, in which every path is lost before what it leads to has moved.
    above = {(path.rule, path.parent) for found in branches(stopped.moodle).values() for path in found}
    order = pairs(stopped)
    random.Random(2026).shuffle(order)
    order.sort(key=lambda pair: pair not in above)
    parents = sum(pair in above for pair in order)
    assert parents > 25, "too few tables that others hang from"
    later, moved = next_run(stopped, "later"), {order[-1]}
    move_pair(stopped, order.pop())
    assert stranded(later) == 0, "what its rule still finds is the rule's alone: it may keep the row now"
    step = parents // LOOKS
    for number, pair in enumerate(order, 1):
        move_pair(stopped, pair)
        moved.add(pair)
        if (number < parents and number % step == 0) or number in (parents, len(order)):
            assert planned(later) == left(stopped, moved), f"after {number} tables, the last one {pair}"
            assert (stranded(later) > 0) == (number < len(order))
    assert set(left(stopped, moved)) == {pair for pair in left(stopped, set()) if pair[0] == "enrolment"}
