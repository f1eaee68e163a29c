"""A campaign whose plan is frozen: each test gives back what it swapped, but those of the whole chain, the last."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.server import PrivateMariaDB
from tests.support.campaign import UNTIL_FROZEN, new_campaign, run_chain, swap_every_table
from transition.campaign import Campaign


@pytest.fixture(scope="package")
def frozen(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """A campaign whose plan is frozen, every table that can be swapped to be swapped."""
    with new_campaign(server, reference, tmp_path_factory.mktemp("swap"), "swap") as campaign:
        with pytest.MonkeyPatch.context() as patch:
            swap_every_table(patch)
            run_chain(campaign, (*UNTIL_FROZEN, "maintenance_on"))
        yield campaign
