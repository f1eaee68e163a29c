"""A campaign on an empty database: Apogée's stage writes in the state schema only."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.support.campaign import reference_platform
from transition.campaign import Campaign
from transition.state import schema


@pytest.fixture
def campaign(server: PrivateMariaDB, tmp_path: Path) -> Iterator[Campaign]:
    """A campaign of 2026 with a state schema of its own; its feed is the empty folder ``tmp_path/feed``."""
    with _campaign(server, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def unloaded(server: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """A campaign that tests share as long as nothing is loaded."""
    with _campaign(server, tmp_path_factory.mktemp("unloaded")) as made:
        yield made


@contextmanager
def _campaign(server: PrivateMariaDB, folder: Path) -> Iterator[Campaign]:
    name = f"apogee_{secrets.token_hex(4)}"
    everything = sa.create_engine(server.url(), isolation_level="AUTOCOMMIT")
    with everything.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    feed = folder / "feed"
    feed.mkdir()
    engine = sa.create_engine(server.url(name))
    made = Campaign(reference_platform(folder, name=name), 2026, "run", engine, feed=feed)
    schema.upgrade(made)
    yield made
    engine.dispose()
    with everything.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {made.state_schema}"))
        connection.execute(sa.text(f"DROP DATABASE {name}"))
    everything.dispose()
