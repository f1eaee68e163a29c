"""The operator's command, `make restore`, on the real database: one space by it, the others by the library."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT
from tests.restore.conftest import MOODLE, NAME, Site, World
from tests.restore.helpers import CODES, differences, everything, restored
from tests.support.campaign import write_platform
from transition.restore.stage import restore


def test_the_command_restores_what_it_is_asked_for(site: Site, world: World, tmp_path: Path) -> None:
    platforms = write_platform(world.campaign.platform, tmp_path)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "PYTHONPATH": f"{PROJECT}/plugins:{PROJECT}", "TRANSITION_PLATFORMS": str(platforms),
        "TRANSITION_RUNS": str(tmp_path / "runs"),
        "AIRFLOW_CONN_MOODLE_ECAMPUS": json.dumps(site.server.airflow_connection(MOODLE)),
        "PLATFORM": NAME, "YEAR": "2026", "CODE": CODES[0], "NAME": "1", "ENROLMENTS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "transition_airflow.restore_command"], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert f"{CODES[0]} : 12\xa0160 lignes remises dans Moodle, nom et catégorie rendus." in done.stdout
    for code in CODES[1:]:
        restore(world.open(f"library-{code}"), everything(code))
    assert differences(restored(world), world.dump()) == {}
    assert world.files() == world.contents
