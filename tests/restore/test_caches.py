"""After a restore Moodle's caches are purged, by its command line where the platform declares it."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.campaign import reference_platform
from transition.campaign import Campaign
from transition.restore.caches import purge_caches

PURGED = "Les caches de Moodle sont purgés."
TO_PURGE = "Purgez maintenant les caches de Moodle (admin/cli/purge_caches.php)."


@pytest.mark.parametrize(
    ("program", "script", "said"),
    [
        ("", "", (TO_PURGE, "")),
        ("sh", "touch {}/purged", (PURGED, "")),
        ("sh", "echo disk full >&2; exit 1", (TO_PURGE, "purge_caches.php a échoué (code 1 : disk full)")),
        ("no-such-php", "", (TO_PURGE, "« no-such-php » ne se lance pas")),
    ],
)
def test_what_is_said_of_the_caches(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, program: str, script: str, said: tuple[str, str]
) -> None:
    (tmp_path / "purge_caches.php").write_text(script.format(tmp_path), encoding="utf-8")
    command = [program, str(tmp_path)] if program else None
    platform = reference_platform(tmp_path, moodle_command=command)
    campaign = Campaign(platform, 2026, "restore", sa.create_engine("mysql+pymysql://"), dry_run=False)
    sentence, warning = said
    assert purge_caches(campaign) == sentence
    assert (tmp_path / "purged").exists() == (sentence == PURGED)
    assert warning in caplog.text
