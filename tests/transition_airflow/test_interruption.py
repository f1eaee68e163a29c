"""Ctrl-C in the operator's command, on the real Moodle database: whatever it was doing, Moodle is open afterwards."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.support.dump import compare
from tests.support.site import Site, make_folder, new_site
from tests.test_maintenance import MAINTENANCE, cli

CLOSED = "SELECT COUNT(*) FROM mdl_config WHERE name = 'maintenance_enabled' AND value = '1'"
ORDER = {"EXECUTE": "1", "APPROVED_BY": "Ada Administratrice", "EXCEED": "Ali Ferhat", "COURSES": "L1MAT101"}


@pytest.fixture
def site(server: PrivateMariaDB, reference: Path, tmp_path: Path) -> Iterator[Site]:
    yield from new_site(server, reference, make_folder(tmp_path))


def interrupted(site: Site, folder: Path, reached: Callable[[], bool]) -> tuple[int, str]:
    """Interrupt the command as a terminal does, once it has come to some point; its status, and what it said."""
    folder.mkdir()
    with site.start(**ORDER, TMPDIR=str(folder)) as process:
        deadline = time.monotonic() + 300
        while not reached():
            assert process.poll() is None, "it ended before"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert list(folder.glob("transition-*")) == [], "the throw-away Airflow is gone"
    return process.returncode, output


def found(site: Site, query: str) -> bool:
    try:
        return bool(site.scalar(query))
    except sa.exc.DBAPIError:
        return False  # the state schema is not there yet


def test_moodle_is_opened_and_the_same_command_ends_what_was_begun(site: Site, tmp_path: Path) -> None:
    status, output = interrupted(site, tmp_path / "first", lambda: found(site, CLOSED))
    assert status == 130
    assert "\nInterrompu. Ce qui était en cours est annulé" in output
    assert " : Moodle est rouvert" in output
    assert "Traceback" not in output
    assert not site.scalar(CLOSED)
    assert site.scalar("SELECT COUNT(*) FROM ecampus_transition.maintenance WHERE reopened_at IS NOT NULL") == 1
    status, output = site.run(**ORDER)
    assert status == 0, output
    assert not site.scalar(CLOSED)


def test_who_interrupts_is_told_when_moodle_cannot_be_opened(
    server: PrivateMariaDB, reference: Path, tmp_path: Path
) -> None:
    script = cli(tmp_path) / "maintenance.php"
    script.write_text(MAINTENANCE.replace("--disable) rm -f closed", "--disable) exit 3"), encoding="utf-8")
    for site in new_site(server, reference, make_folder(tmp_path, moodle_command=("sh", str(script.parent)))):
        status, output = interrupted(site, tmp_path / "first", (tmp_path / "cli" / "closed").exists)
        assert status == 130
        assert "La réouverture de Moodle a échoué : La commande de Moodle maintenance.php a échoué (code 3 :" in output
        assert "S'il l'est, relancez la même commande, qui le rouvre à sa fin" in output
        assert "Moodle est rouvert\n" not in output


def test_before_the_approval_there_is_nothing_to_open(site: Site, tmp_path: Path) -> None:
    before = site.dump()
    run = "SELECT COUNT(*) FROM ecampus_transition.run"
    status, output = interrupted(site, tmp_path / "first", lambda: found(site, run))
    assert status == 130
    assert "Interrompu." in output
    assert "rouvert" not in output
    assert compare(before, site.dump()) == {}
