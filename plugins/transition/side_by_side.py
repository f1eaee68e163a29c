"""Work on the database by several connections at once: a server keeps one of its cores busy for each statement."""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

CONNECTIONS = 4
_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


def side_by_side(work: Callable[[_Item], _Found], items: Iterable[_Item]) -> list[_Found]:
    """What ``work`` returns for each item, in their order; each call opens a connection of its own.

    Raises an error once the calls then under way have ended; those not begun by then never do.
    """
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        calls = [pool.submit(work, item) for item in items]
        try:
            wait(calls, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(cancel_futures=True)
        return [call.result() for call in calls]
