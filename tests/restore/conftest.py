"""The real database, carried over to the new year once; each test starts from there, on a server of its own."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, QUICK, load_dump, server_folder
from tests.support.campaign import add_newcomers, reference_feed, reference_platform, run_chain
from tests.support.dump import Rows, dump
from transition.campaign import Campaign

MOODLE, NAME = "moodle_restore", "restauration"


@dataclass(frozen=True)
class World:
    """A platform whose transition was carried out, and its Moodle database as it was before and after."""

    campaign: Campaign
    before: dict[str, Rows]
    reset: dict[str, Rows]

    def open(self, run_id: str, **more: Any) -> Campaign:
        return replace(self.campaign, run_id=run_id, **more)

    def dump(self) -> dict[str, Rows]:
        return dump(self.campaign.server, MOODLE)

    def execute(self, statement: str, **values: Any) -> Any:
        with self.campaign.server.begin() as connection:
            result = connection.execute(sa.text(statement), values)
            return result.all() if result.returns_rows else result.rowcount

    def schemas(self) -> set[str]:
        return {name for (name,) in self.execute("SHOW DATABASES")}


@dataclass
class Site:
    """A server, a copy of its data as the transition left them, and Moodle's rows before and after it.

    ``changed``: a test has written since.
    """

    server: PrivateMariaDB
    folder: Path
    before: dict[str, Rows]
    reset: dict[str, Rows]
    changed: bool = True

    @property
    def saved(self) -> Path:
        return self.folder / "saved"

    def campaign(self) -> Campaign:
        engine = sa.create_engine(self.server.url(MOODLE), poolclass=sa.NullPool)
        platform = reference_platform(self.folder / "storage", name=NAME)
        return Campaign(platform, 2026, "transition", engine, feed=self.folder / "feed", dry_run=False)

    def put_back(self) -> None:
        """Make everything as the transition left it."""
        if self.changed:
            self.server.stop()
            for target, saved in ((self.server.data, "data"), (self.folder / "storage", "storage")):
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(self.saved / saved, target)
            self.server.start()
        self.changed = False


@pytest.fixture(scope="session")
def site(reference: Path) -> Iterator[Site]:
    with server_folder() as folder, PrivateMariaDB(folder / "server", options=QUICK) as server:
        load_dump(server, reference / DUMP, MOODLE)
        site = Site(server, folder, {}, {})
        campaign = site.campaign()
        add_newcomers(campaign.server)
        reference_feed(folder / "feed")
        site.before.update(dump(campaign.server, MOODLE))
        run_chain(campaign)
        site.reset.update(dump(campaign.server, MOODLE))
        server.stop()
        shutil.copytree(server.data, site.saved / "data")
        shutil.copytree(folder / "storage", site.saved / "storage")
        yield site


@pytest.fixture
def world(site: Site) -> Iterator[World]:
    """The world right after the transition, to write in."""
    site.put_back()
    site.changed = True
    campaign = site.campaign()
    yield World(campaign, dict(site.before), dict(site.reset))
    campaign.server.dispose()


@pytest.fixture
def still_world(site: Site) -> Iterator[World]:
    """The same, for a test that changes nothing."""
    site.put_back()
    campaign = site.campaign()
    yield World(campaign, dict(site.before), dict(site.reset))
    campaign.server.dispose()
