"""Work on the database by several connections at once: a server keeps one of its cores busy for each statement."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

CONNECTIONS = 4
_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


def side_by_side(work: Callable[[_Item], _Found], items: Iterable[_Item]) -> list[_Found]:
    """What ``work`` returns for each item, in their order; each call opens connections of its own.

    Raises the first error, in that order, once the calls under way have ended; those not begun yet never do.
    """
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(work, items))
