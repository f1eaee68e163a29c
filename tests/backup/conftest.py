"""One copy of the real Moodle database for the backup tests; each has its own storage, and puts back what it writes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.support.campaign import reference_platform
from transition.campaign import Campaign
from transition.files import rules_folder
from transition.moodle.database import open_engine
from transition.spaces import record_contexts
from transition.state import schema

MOODLE = "moodle_backup"
NAME = "sauvegarde"
FEW_RULES = ("assign", "backups", "forum", "gradebook", "logs")

Open = Callable[..., Campaign]
Edit = Callable[[str, str], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def backup_moodle(server: PrivateMariaDB, reference: Path) -> Iterator[sa.Engine]:
    load_dump(server, reference / DUMP, MOODLE)
    engine = open_engine(server.url(MOODLE))
    yield engine
    engine.dispose()
    drop_databases(server, {MOODLE, f"{NAME}_transition"})


@pytest.fixture
def open_campaign(backup_moodle: sa.Engine, server: PrivateMariaDB, tmp_path: Path) -> Open:
    """A campaign whose contexts are recorded, by run id: the same storage and state, and Moodle as it is then."""
    drop_databases(server, {f"{NAME}_transition"})

    def build(run_id: str = "essai", **fields: Any) -> Campaign:
        platform = reference_platform(tmp_path / "stockage", name=NAME)
        campaign = Campaign(platform, 2026, run_id, backup_moodle, **fields)
        schema.upgrade(campaign)
        record_contexts(campaign)
        return campaign

    return build


@pytest.fixture
def few_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some rules only, for tests that are not about which rows are traces."""
    folder = tmp_path / "regles"
    folder.mkdir()
    for name in FEW_RULES:
        copy(rules_folder() / f"{name}.yaml", folder)
    monkeypatch.setenv("TRANSITION_RULES", str(folder))


@pytest.fixture
def edit(backup_moodle: sa.Engine) -> Edit:
    """Write in Moodle for the time of a block: a statement, and the one that puts things back."""

    def run(statement: str) -> None:
        with backup_moodle.begin() as connection:
            connection.exec_driver_sql(statement)

    @contextmanager
    def edited(statement: str, back: str) -> Iterator[None]:
        run(statement)
        try:
            yield
        finally:
            run(back)

    return edited
