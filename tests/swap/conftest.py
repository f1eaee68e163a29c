"""A campaign whose plan is frozen: each test gives back what it swapped, but those of the whole chain, the last."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.support.campaign import add_newcomers, reference_feed, reference_platform, run_chain, swap_every_table
from transition.campaign import Campaign
from transition.moodle.database import open_engine

FROZEN = [
    "preflight", "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan", "approval",
    "maintenance_on", "freeze",
]  # fmt: skip


@pytest.fixture(scope="package")
def frozen(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """A campaign whose plan is frozen, every table that can be swapped to be swapped."""
    names = {"swap_moodle", "ecampus_transition", "ecampus_2026"}
    drop_databases(server, names)
    load_dump(server, reference / DUMP, "swap_moodle")
    engine = open_engine(server.url("swap_moodle"))
    add_newcomers(engine)
    folder = tmp_path_factory.mktemp("swap")
    reference_feed(folder / "feed")
    campaign = Campaign(
        reference_platform(folder / "storage"), 2026, "frozen", engine, dry_run=False, feed=folder / "feed"
    )
    with pytest.MonkeyPatch.context() as patch:
        swap_every_table(patch)
        run_chain(campaign, FROZEN)
    yield campaign
    engine.dispose()
    drop_databases(server, names)
