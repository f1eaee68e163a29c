"""Work of a campaign in a child process that is killed at a chosen statement."""

import os
import signal
from collections.abc import Callable

import sqlalchemy as sa

from transition.campaign import Campaign


def die_in(campaign: Campaign, work: Callable[[], object], statement: int) -> bool:
    """Work in a child process that is killed just before its n-th statement or commit; False if it ended before."""
    campaign.server.dispose()  # the child must not share a connection
    pid = os.fork()
    if pid == 0:
        seen = 0

        def count(*_: object) -> None:
            nonlocal seen
            seen += 1
            if seen == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        sa.event.listen(campaign.server, "before_cursor_execute", count)
        sa.event.listen(campaign.server, "commit", count)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or status == 0, "the child failed by itself"
    return os.WIFSIGNALED(status)
