"""How large the next chunk is, and when to wait: the server serves others too, and its replicas follow it."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from transition.campaign import Campaign

TARGET = 0.5  # seconds a chunk: what a replica lags behind, and what a kill repeats
SMALLEST, LARGEST = 200, 50_000  # keys a transaction; below several hundred, each row costs more
# Above one of these, the server needs its time for something else.
MOST_HISTORY = 1_000_000  # undo records not yet purged (history list length)
MOST_LAG = 10  # seconds that a replica is behind
MOST_RUNNING = 40  # threads at work
LOOK = 1  # seconds between two looks at the server
SAY = 60  # seconds between two sentences on the same wait
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Load:
    """What the server has to do; None: it does not tell, or not to this account.

    :param silent: connections of declared replicas that do not say how far behind they are: they may not follow at all.
    """

    history: int | None = None
    lag: int | None = None
    running: int | None = None
    silent: tuple[str, ...] = ()


def busy(load: Load) -> str:
    """Why to wait, in French; '' if there is no reason to."""
    if (load.history or 0) > MOST_HISTORY:
        return f"{load.history} versions de lignes attendent d'être purgées"
    if (load.lag or 0) > MOST_LAG:
        return f"la réplication a {load.lag} s de retard"
    if load.silent:
        return (
            f"la réplication de {', '.join(load.silent)} est arrêtée ou ne dit pas son retard, relancez-la ou à défaut"
            " retirez-la de « connections: replicas » et relancez la tâche"
        )
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
        self.size = max(SMALLEST, self.size // 2)
        said = -float("inf")
        while reason:
            if time.monotonic() - said >= SAY:
                _log.info("Le déplacement attend que le serveur soit moins chargé : %s.", reason)
                said = time.monotonic()
            time.sleep(LOOK)
            self.campaign.check_fence()
            reason = busy(measure(self.campaign))
        _log.info("Le déplacement reprend.")


def measure(campaign: Campaign) -> Load:
    """The server's load now."""
    with campaign.engine.connect() as connection:
        query = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_history_list_length', 'Threads_running')"
        status = {name: int(value) for name, value in connection.execute(sa.text(query))}
        history = status.get("Innodb_history_list_length")
        if history is None:
            history = _history_of_mysql(connection)
    # The server may be a replica itself; its own replicas are known from the platform alone.
    lags = {conn_id: _lag(replica) for conn_id, replica in campaign.replicas}
    known = [lag for lag in (_lag(campaign.server), *lags.values()) if lag is not None]
    silent = tuple(conn_id for conn_id, lag in lags.items() if lag is None)
    return Load(history, max(known, default=None), status.get("Threads_running"), silent)


def check_replicas(campaign: Campaign) -> Iterator[str]:
    """For preflight: replicas that the platform declares and that do not say how far behind they are."""
    for conn_id, replica in campaign.replicas:
        if _lag(replica) is None:
            yield (
                f"le serveur de la connexion {conn_id} ne dit pas son retard de réplication : relancez sa réplication,"
                " donnez au compte le droit REPLICA MONITOR (MariaDB) ou REPLICATION CLIENT (MySQL), ou retirez-le de"
                " « connections: replicas » dans le fichier de la plateforme"
            )


def _history_of_mysql(connection: sa.Connection) -> int | None:
    query = sa.text("SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'")
    try:
        return connection.execute(query).scalar()
    except sa.exc.DBAPIError:  # the account may not see it
        return None


def _lag(server: sa.Engine) -> int | None:
    """Seconds behind its source, of a server that replicates; a stopped replication does not follow: None."""
    try:
        with server.connect() as connection:
            row = connection.execute(sa.text("SHOW REPLICA STATUS")).mappings().first()
    except sa.exc.DBAPIError:  # the account may not see it, or the server does not answer
        return None
    for name in ("Seconds_Behind_Source", "Seconds_Behind_Master"):
        if row and row.get(name) is not None:
            return int(row[name])
    return None
