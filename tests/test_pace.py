"""The size of chunks, and waiting for a busy server."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from demo.server import PrivateMariaDB
from tests.conftest import QUICK, server_folder
from tests.support.campaign import reference_platform
from transition import pace
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.moodle.database import open_engine
from transition.pace import LARGEST, SMALLEST, TARGET, Load, Pace, busy, check_replicas, measure, next_size
from transition.state import schema, tables


@given(st.integers(SMALLEST, LARGEST), st.floats(0, 1_000))
def test_a_size_stays_in_its_bounds_and_goes_the_right_way(size: int, seconds: float) -> None:
    chosen = next_size(size, seconds)
    assert SMALLEST <= chosen <= LARGEST
    assert size // 2 <= chosen <= 2 * size or chosen in (SMALLEST, LARGEST)
    assert (chosen >= size) if seconds <= TARGET else (chosen <= size)


@given(st.floats(1e-5, 1e-3), st.integers(SMALLEST, LARGEST))
def test_whatever_a_row_costs_chunks_come_to_take_half_a_second(row: float, size: int) -> None:
    for _ in range(12):
        size = next_size(size, size * row)
    assert size in (SMALLEST, LARGEST) or size * row == pytest.approx(TARGET, rel=0.01)


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (Load(), ""),
        (Load(history=5_000, lag=0, running=3), ""),
        (Load(history=2_000_000), "2000000 versions de lignes"),
        (Load(lag=60), "60 s de retard"),
        (Load(running=200), "200 requêtes"),
        (Load(lag=0, silent=("replica_ecampus",)), "la réplication de replica_ecampus est arrêtée"),
    ],
)
def test_when_to_wait(load: Load, reason: str) -> None:
    assert reason in busy(load)
    assert bool(busy(load)) == bool(reason)


@pytest.fixture
def campaign(server: PrivateMariaDB, tmp_path: pytest.TempPathFactory) -> Iterator[Campaign]:
    engine = open_engine(server.url("pace"))
    with sa.create_engine(server.url()).begin() as connection:
        connection.execute(sa.text("CREATE DATABASE pace"))
    campaign = Campaign(reference_platform(tmp_path), 2026, "pace", engine, dry_run=False)  # type: ignore[arg-type]
    schema.upgrade(campaign)
    campaign.take_fence()
    yield campaign
    with engine.begin() as connection:
        for name in ("pace", campaign.state_schema):
            connection.execute(sa.text(f"DROP DATABASE {name}"))
    engine.dispose()


def test_the_load_of_a_real_server(campaign: Campaign) -> None:
    load = measure(campaign)
    assert load.history is not None
    assert load.running is not None
    assert load.running >= 1
    assert load.lag is None  # it replicates nothing
    assert busy(load) == ""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[PrivateMariaDB, PrivateMariaDB]]:
    """A server, and one that replicates it."""
    with (
        server_folder() as folder,
        PrivateMariaDB(folder / "source", options=("--server-id=1", "--log-bin=source", *QUICK)) as source,
        PrivateMariaDB(folder / "replica", options=("--server-id=2", *QUICK)) as replica,
    ):
        with sa.create_engine(source.url(), poolclass=sa.NullPool).connect() as connection:
            file, position, *_ = connection.execute(sa.text("SHOW MASTER STATUS")).one()
        command(
            replica,
            f"CHANGE MASTER TO MASTER_HOST = '{source.host}', MASTER_PORT = {source.port},"
            f" MASTER_USER = '{source.user}', MASTER_PASSWORD = '{source.password}',"
            f" MASTER_LOG_FILE = '{file}', MASTER_LOG_POS = {position}, MASTER_DELAY = 3600",
        )
        yield source, replica


def command(server: PrivateMariaDB, *statements: str) -> None:
    with sa.create_engine(server.url(), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def test_a_replica_that_is_behind_is_waited_for(
    pair: tuple[PrivateMariaDB, PrivateMariaDB], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, replica = pair
    command(source, "CREATE DATABASE pace")
    behind = open_engine(replica.url(), poolclass=sa.NullPool)
    campaign = Campaign(
        reference_platform(tmp_path), 2026, "pace", open_engine(source.url("pace"), poolclass=sa.NullPool),
        dry_run=False, replicas=(("replica_ecampus", behind),),
    )  # fmt: skip
    [finding] = check_replicas(campaign)
    assert finding.startswith("le serveur de la connexion replica_ecampus ne dit pas son retard de réplication")
    assert busy(measure(campaign)).startswith("la réplication de replica_ecampus est arrêtée"), "it does not follow"
    schema.upgrade(campaign)
    campaign.take_fence()
    command(replica, "START SLAVE")  # an hour late, by its own setting
    monkeypatch.setattr(pace, "MOST_LAG", 0)
    pause = time.sleep
    until = time.monotonic() + 30
    while not measure(campaign).lag and time.monotonic() < until:
        pause(0.1)
    assert list(check_replicas(campaign)) == []
    assert busy(measure(campaign)).startswith("la réplication a ")
    waited = []

    def catch_up(_: float) -> None:
        waited.append(busy(measure(campaign)))
        command(replica, "STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY = 0", "START SLAVE")
        # Until a replica that was just started has read what it has to do, it says that it is not late.
        command(replica, f"DO MASTER_POS_WAIT('{file}', {position}, 30)")
        while measure(campaign).lag != 0 and time.monotonic() < until:
            pause(0.1)

    with sa.create_engine(source.url(), poolclass=sa.NullPool).connect() as connection:
        file, position, *_ = connection.execute(sa.text("SHOW MASTER STATUS")).one()
    monkeypatch.setattr(time, "sleep", catch_up)
    monkeypatch.setattr(pace, "LOOK", 0)
    Pace(campaign, 4_000).after(TARGET)
    assert waited
    assert waited[0].startswith("la réplication a ")
    assert measure(campaign).lag == 0


def test_a_pause_ends_within_two_seconds_of_its_cause(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    paced = Pace(campaign, 4_000)
    paced.after(TARGET)
    assert paced.size == 4_000
    time.sleep(pace.LOOK)
    until = time.monotonic() + 1.5
    monkeypatch.setattr(pace, "measure", lambda _: Load(lag=99 if time.monotonic() < until else 0))
    paced.after(TARGET)
    assert 0 <= time.monotonic() - until < 2
    assert paced.size == 2_000


@pytest.mark.parametrize("fence", [None, 0])
def test_a_purge_that_waits_can_be_stopped(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch, fence: int | None
) -> None:
    looks = itertools.count()

    def look(_: Campaign) -> Load:
        if next(looks) == 1:
            with campaign.engine.begin() as connection:
                connection.execute(
                    sa.delete(tables.fence) if fence is None else sa.update(tables.fence).values(run=fence)
                )
        return Load(running=999)

    monkeypatch.setattr(pace, "measure", look)
    monkeypatch.setattr(pace, "LOOK", 0)
    with pytest.raises(TransitionError, match="n'a plus la main"):
        Pace(campaign, 4_000).after(0.1)
