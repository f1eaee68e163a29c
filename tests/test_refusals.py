"""What stops the campaign before its first write: one clear sentence, no traceback, nothing touched."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.support.campaign import reference_platform
from tests.support.dump import Rows, compare
from tests.support.site import Site, make_folder, new_site
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.files import rules_folder
from transition.platforms import Platform
from transition.preflight import preflight


@pytest.fixture(scope="module")
def site(
    server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, dict[str, Rows]]]:
    """One database for all: nothing may change in it."""
    for site in new_site(server, reference, make_folder(tmp_path_factory.mktemp("refusals"))):
        yield site, site.dump()


def missing_connection(site: Site, folder: Path) -> dict[str, str]:
    return {"AIRFLOW_CONN_MOODLE_ECAMPUS": ""}


def unknown_rule_key(site: Site, folder: Path) -> dict[str, str]:
    shutil.copytree(rules_folder(), folder / "rules")
    file = folder / "rules" / "chat.yaml"
    file.write_text(file.read_text() + "purge_everything: true\n")
    return {"TRANSITION_RULES": str(folder / "rules")}


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (missing_connection, "moodle_ecampus"),
        (unknown_rule_key, "purge_everything"),
    ],
)
def test_it_stops_before_the_first_write(
    site: tuple[Site, dict[str, Rows]], tmp_path: Path, cause: object, sentence: str
) -> None:
    moodle, before = site
    assert callable(cause)
    status, output = moodle.run(EXECUTE="1", APPROVED_BY="Ada Administratrice", **cause(moodle, tmp_path))
    assert status == 1, output
    assert sentence in " ".join(output.split())  # the terminal folds long sentences
    assert "Traceback" not in output
    assert "Échec avant toute écriture" in output
    assert compare(before, moodle.dump()) == {}


def test_a_crossed_cap_needs_a_second_name(site: tuple[Site, dict[str, Rows]], tmp_path: Path) -> None:
    moodle, before = site
    folder = make_folder(tmp_path, limits={"archived_share": 0.1, "free_space_gib": 0.1})
    status, output = moodle.run(
        EXECUTE="1", APPROVED_BY="Ada", COURSES="L1MAT101", TRANSITION_PLATFORMS=str(folder / "platforms")
    )
    assert status == 1, output
    assert "espaces archivés (toute la plateforme) : 1 sur 6 (16,7 %), seuil 10 %." in output
    said = output.splitlines()[-1]
    assert said.startswith("Ce plan dépasse des seuils (ci-dessus) : rien n'a été écrit.")
    assert 'EXCEED="son nom"' in said
    assert compare(before, moodle.dump()) == {}
    assert moodle.scalar("SELECT COUNT(*) FROM ecampus_transition.approval") == 0


def preflight_says(site: Site, platform: Platform, feed: Path) -> str:
    """The findings of a preflight that refuses."""
    campaign = Campaign(platform, 2026, "refused", site.engine, dry_run=False, feed=feed)
    with pytest.raises(TransitionError) as refusal:
        preflight(campaign)
    return str(refusal.value)


def test_all_findings_at_once(site: tuple[Site, dict[str, Rows]], tmp_path: Path) -> None:
    moodle, before = site
    (tmp_path / "feed").mkdir()
    wrong = reference_platform(tmp_path / "storage", site="https://collegium-sante.example", timezone="Europe/Paris")
    findings = preflight_says(moodle, wrong, tmp_path / "feed")
    assert "est celle du site http://127.0.0.1:8045, la plateforme ecampus déclare https://collegium" in findings
    assert "Le dossier Apogée" in findings
    assert "le fuseau horaire de Moodle est Europe/London" in findings
    assert compare(before, moodle.dump()) == {}


def test_a_platform_that_lacks_its_categories(site: tuple[Site, dict[str, Rows]], tmp_path: Path) -> None:
    moodle, before = site
    lost = reference_platform(tmp_path / "storage", categories={"complementary": "PERDU", "archives": 987})
    findings = preflight_says(moodle, lost, moodle.folder / "feed")
    assert "« PERDU »" in findings
    assert "« 987 »" in findings
    assert compare(before, moodle.dump()) == {}


def test_a_run_that_still_writes_keeps_the_others_out(site: tuple[Site, dict[str, Rows]], tmp_path: Path) -> None:
    moodle, before = site
    platform = reference_platform(tmp_path / "storage")
    other = Campaign(platform, 2026, "other", moodle.engine, dry_run=False, feed=moodle.folder / "feed")
    with other.lock("purge:forum"):
        assert "purge:forum" in preflight_says(moodle, platform, moodle.folder / "feed")
    assert compare(before, moodle.dump()) == {}


def test_an_account_without_rights_is_told_which_it_lacks(site: tuple[Site, dict[str, Rows]], tmp_path: Path) -> None:
    moodle, _ = site
    with moodle.engine.begin() as connection:
        connection.execute(sa.text("CREATE USER reader@'%' IDENTIFIED BY 'reader'"))
        connection.execute(sa.text("GRANT SELECT ON ecampus_moodle.* TO reader@'%'"))
    url = moodle.engine.url.set(username="reader", password="reader")
    reader = Campaign(
        reference_platform(tmp_path / "storage"), 2026, "reader", sa.create_engine(url, poolclass=sa.NullPool),
        dry_run=False, feed=moodle.folder / "feed",
    )  # fmt: skip
    with pytest.raises(TransitionError) as refusal:
        preflight(reader)
    for missing in ("ecampus_transition", "ecampus_2026", "UPDATE", "DELETE", "INSERT"):
        assert missing in str(refusal.value)
