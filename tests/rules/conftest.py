"""The small Moodle of the cases, once a session."""

from collections.abc import Iterator

import pytest

from demo.server import PrivateMariaDB
from tests.rules.world import small_moodle
from transition.campaign import Campaign


@pytest.fixture(scope="session")
def small(server: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    with small_moodle(server, tmp_path_factory.mktemp("petite")) as campaign:
        yield campaign
