"""How large the next chunk is, and when to wait: the server serves others too, and its replicas follow it."""

import logging
import time
from dataclasses import dataclass

import sqlalchemy as sa

from transition.campaign import Campaign

TARGET = 0.5  # seconds a chunk: what a replica lags behind, and what a kill repeats
SMALLEST, LARGEST = 200, 50_000  # keys a transaction; below several hundred, each row costs more
# Above one of these, the server needs its time for something else.
MOST_HISTORY = 1_000_000  # undo records not yet purged (history list length)
MOST_LAG = 10  # seconds behind its source, where the server is a replica itself
MOST_RUNNING = 40  # threads at work
LOOK = 1  # seconds between two looks at the server
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Load:
    """What the server has to do; None: it does not tell, or not to this account."""

    history: int | None = None
    lag: int | None = None
    running: int | None = None


def busy(load: Load) -> str:
    """Why to wait, in French; '' if there is no reason to."""
    if (load.history or 0) > MOST_HISTORY:
        return f"{load.history} versions de lignes attendent d'être purgées"
    if (load.lag or 0) > MOST_LAG:
        return f"la réplication a {load.lag} s de retard"
    if (load.running or 0) > MOST_RUNNING:
        return f"{load.running} requêtes s'exécutent"
    return ""


def next_size(size: int, seconds: float) -> int:
    """The size that would have taken TARGET, from one that took ``seconds``; at most doubled or halved; pure."""
    factor = min(2.0, max(0.5, TARGET / max(seconds, 1e-6)))
    return max(SMALLEST, min(LARGEST, round(size * factor)))


class Pace:
    """The size of a task's next chunk, from the time of the last one and the server's load."""

    def __init__(self, campaign: Campaign, first: int) -> None:
        self.campaign, self.size = campaign, first
        self._looked = time.monotonic()

    def after(self, seconds: float) -> None:
        """Size the next chunk after one that took ``seconds``; return when the server is free for it.

        Raises :class:`TransitionError` within two seconds of another run's taking the platform, or of the end of its
        fence: that is how to stop a purge from the database.
        """
        self.size = next_size(self.size, seconds)
        if time.monotonic() - self._looked < LOOK:
            return
        self.campaign.check_fence()
        reason = busy(measure(self.campaign))
        self._looked = time.monotonic()
        if not reason:
            return
        _log.info("Le déplacement attend que le serveur soit moins chargé : %s.", reason)
        self.size = max(SMALLEST, self.size // 2)
        while busy(measure(self.campaign)):
            time.sleep(LOOK)
            self.campaign.check_fence()
        _log.info("Le déplacement reprend.")


def measure(campaign: Campaign) -> Load:
    """The server's load now."""
    with campaign.engine.connect() as connection:
        query = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_history_list_length', 'Threads_running')"
        status = {name: int(value) for name, value in connection.execute(sa.text(query))}
        history = status.get("Innodb_history_list_length")
        if history is None:
            history = _history_of_mysql(connection)
        return Load(history, _lag(connection), status.get("Threads_running"))


def _history_of_mysql(connection: sa.Connection) -> int | None:
    query = sa.text("SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'")
    try:
        return connection.execute(query).scalar()
    except sa.exc.DBAPIError:  # the account may not see it
        return None


def _lag(connection: sa.Connection) -> int | None:
    """Seconds behind its source, of a server that replicates; a stopped replication does not follow: None."""
    try:
        row = connection.execute(sa.text("SHOW REPLICA STATUS")).mappings().first()
    except sa.exc.DBAPIError:  # the account may not see it, or the server is older than the statement
        return None
    for name in ("Seconds_Behind_Source", "Seconds_Behind_Master"):
        if row and row.get(name) is not None:
            return int(row[name])
    return None
