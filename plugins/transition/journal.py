"""The journal: the append-only audit log of a platform (state table ``journal``)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from transition.campaign import Campaign, now
from transition.errors import TransitionError, UnreachableError
from transition.state import tables


def record(connection: sa.Connection, campaign: Campaign, stage: str, action: str, **values: Any) -> None:
    """Append one entry, in the caller's transaction.

    :param values: columns of ``state.journal``: rule, table_name, courseid, seconds, rows_before,
        rows_moved, rows_after, detail.
    """
    entry = {"rule": "", "table_name": "", "detail": "", **values}
    connection.execute(sa.insert(tables.journal).values(**heading(campaign, stage, action), **entry))


def heading(campaign: Campaign, stage: str, action: str) -> dict[str, Any]:
    """The columns that every entry shares: who, when, which run."""
    return {
        "at": now(), "run": campaign.run, "year": campaign.year, "stage": stage,
        "action": action, "actor": campaign.actor, "attempt": campaign.attempt,
    }  # fmt: skip


@contextmanager
def stage(campaign: Campaign, name: str, rule: str = "") -> Iterator[dict[str, Any]]:
    """Journal a stage: ``started``, then ``done`` or ``failed`` with its duration.

    Yields a dict; what the stage puts in it (``detail``, ``rows_moved``…) goes into the closing entry.
    """
    closing: dict[str, Any] = {}
    begin = time.monotonic()
    with campaign.engine.begin() as connection:
        record(connection, campaign, name, "started", rule=rule)
    try:
        yield closing
    except BaseException as error:
        with campaign.engine.begin() as connection:
            # A fault's own text may quote a row; only those two kinds are written to be read.
            readable = isinstance(error, TransitionError | UnreachableError)
            detail = str(error) if readable else type(error).__name__
            record(connection, campaign, name, "failed", rule=rule, seconds=time.monotonic() - begin, detail=detail)
        raise
    with campaign.engine.begin() as connection:
        record(connection, campaign, name, "done", rule=rule, seconds=time.monotonic() - begin, **closing)
