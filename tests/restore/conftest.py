"""The real database, carried over to the new year once; each test starts from there, on a server of its own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, QUICK, load_dump, server_folder, unpack_filedir
from tests.support.campaign import add_newcomers, reference_feed, reference_platform, run_chain, swap_every_table
from tests.support.dump import Rows, dump
from transition.campaign import Campaign
from transition.moodle.database import open_engine

MOODLE, NAME = "moodle_restore", "restauration"


@dataclass(frozen=True)
class World:
    """A platform whose transition was carried out, and its Moodle database as it was before and after.

    ``contents``: of Moodle's files, before. ``swapped``: how its tables went.
    """

    campaign: Campaign
    before: dict[str, Rows]
    reset: dict[str, Rows]
    contents: dict[str, bytes]
    swapped: bool

    def open(self, run_id: str, **more: Any) -> Campaign:
        return replace(self.campaign, run_id=run_id, **more)

    def dump(self) -> dict[str, Rows]:
        return dump(self.campaign.server, MOODLE)

    def files(self) -> dict[str, bytes]:
        return contents_of(Path(str(self.campaign.platform.dataroot)))

    def execute(self, statement: str, **values: Any) -> Any:
        with self.campaign.server.begin() as connection:
            result = connection.execute(sa.text(statement), values)
            return result.all() if result.returns_rows else result.rowcount

    def schemas(self) -> set[str]:
        return {name for (name,) in self.execute("SHOW DATABASES")}


@dataclass
class Site:
    """A server, a copy of its data as the transition left them, and Moodle's rows and files before and after it.

    ``changed``: a test has written since.
    """

    server: PrivateMariaDB
    folder: Path
    swapped: bool
    before: dict[str, Rows]
    reset: dict[str, Rows]
    contents: dict[str, bytes]
    changed: bool = True

    @property
    def saved(self) -> Path:
        return self.folder / "saved"

    def campaign(self) -> Campaign:
        engine = open_engine(self.server.url(MOODLE))
        platform = reference_platform(self.folder / "storage", name=NAME, dataroot=str(self.folder / "moodledata"))
        return Campaign(platform, 2026, "transition", engine, feed=self.folder / "feed", dry_run=False)

    def put_back(self) -> None:
        """Make everything as the transition left it."""
        if self.changed:
            self.server.stop()
            for folder, target in self._folders().items():
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(self.saved / folder, target)
            self.server.start()
        self.changed = False

    def save(self) -> None:
        """Keep what :meth:`put_back` puts back."""
        self.server.stop()
        for folder, source in self._folders().items():
            shutil.copytree(source, self.saved / folder)

    def _folders(self) -> dict[str, Path]:
        data = {name: self.folder / name for name in ("storage", "moodledata")}
        return {"data": self.server.data, **data}

    @contextmanager
    def world(self, *, changed: bool = True) -> Iterator[World]:
        """The world right after the transition; ``changed``: it will be written in."""
        self.put_back()
        self.changed = changed
        campaign = self.campaign()
        yield World(campaign, dict(self.before), dict(self.reset), dict(self.contents), self.swapped)
        campaign.server.dispose()


def contents_of(dataroot: Path) -> dict[str, bytes]:
    """The files of Moodle's ``filedir``, by their path in it."""
    filedir = dataroot / "filedir"
    return {str(path.relative_to(filedir)): path.read_bytes() for path in filedir.rglob("*") if path.is_file()}


@contextmanager
def carried_over(reference: Path, *, swapped: bool = False) -> Iterator[Site]:
    """A site after its transition; ``swapped``: every table that can be was swapped, whatever its size."""
    with (
        server_folder() as folder,
        PrivateMariaDB(folder / "server", options=QUICK) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        load_dump(server, reference / DUMP, MOODLE)
        unpack_filedir(reference, folder / "moodledata")
        site = Site(server, folder, swapped, {}, {}, contents_of(folder / "moodledata"))
        campaign = site.campaign()
        add_newcomers(campaign.server)
        reference_feed(folder / "feed")
        site.before.update(dump(campaign.server, MOODLE))
        if swapped:
            swap_every_table(patch)
        run_chain(campaign)
        patch.undo()
        site.reset.update(dump(campaign.server, MOODLE))
        site.save()
        yield site


@pytest.fixture(scope="session")
def site(reference: Path) -> Iterator[Site]:
    with carried_over(reference) as site:
        yield site


@pytest.fixture(scope="session")
def swapped_site(reference: Path) -> Iterator[Site]:
    with carried_over(reference, swapped=True) as site:
        yield site


@pytest.fixture
def world(site: Site) -> Iterator[World]:
    """The world right after the transition, to write in."""
    with site.world() as world:
        yield world


@pytest.fixture
def still_world(site: Site) -> Iterator[World]:
    """The same, for a test that changes nothing."""
    with site.world(changed=False) as world:
        yield world


@pytest.fixture(params=["site", "swapped_site"])
def either_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A world to write in, whose tables went by chunks; then one whose tables were swapped."""
    with request.getfixturevalue(request.param).world() as world:
        yield world
