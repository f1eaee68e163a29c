"""Several readings at once: together, in order, and none after an error."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sa

from transition.moodle.database import made_once
from transition.side_by_side import CONNECTIONS, side_by_side


def test_as_many_as_there_are_connections_work_at_once_and_answer_in_order() -> None:
    together = Barrier(CONNECTIONS, timeout=10)

    def work(number: int) -> int:
        together.wait()
        time.sleep(0.01 * (CONNECTIONS - number % CONNECTIONS))  # the first of them ends last
        return number

    assert side_by_side(work, range(3 * CONNECTIONS)) == list(range(3 * CONNECTIONS))


def test_an_error_is_raised_and_what_has_not_begun_never_does() -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise ValueError("the database said no")
        time.sleep(0.3 if number else 1.5)  # the first one, whose answer comes first, is the slowest

    with pytest.raises(ValueError, match="said no"):
        side_by_side(work, range(200))
    assert len(begun) <= 2 * CONNECTIONS


def test_two_threads_get_the_same_table() -> None:
    made = []

    @made_once
    def make(name: str) -> sa.Table:
        made.append(name)
        time.sleep(0.05)  # long enough for the others to ask meanwhile
        return sa.Table(name, sa.MetaData())

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        tables = list(pool.map(make, ["forum"] * CONNECTIONS))
    assert made == ["forum"]
    assert len({id(table) for table in tables}) == 1
