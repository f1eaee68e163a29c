"""What a storage may do to a backup: what is concerned is told, the rest goes on, and nothing else is destroyed."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.backup.conftest import Edit, Open
from tests.backup.helpers import SPACES, SUBMIT, WITHDRAW, alter, folder_of, journalled, the_set
from transition import storage
from transition.backup import coverage, stage
from transition.backup import manifest as sets
from transition.backup.coverage import stale_spaces
from transition.backup.rows import concerned_spaces
from transition.backup.stage import IncompleteBackupError, july_backup


def test_the_run_says_which_backups_are_not_relied_upon_and_why(
    open_campaign: Open, few_rules: None, edit: Edit, caplog: pytest.LogCaptureFixture
) -> None:
    campaign = open_campaign()
    july_backup(campaign)
    assert journalled(campaign, "rejected") == [], "a first backup is nothing to warn of"
    first = the_set(campaign)
    holders = first.manifest.tables["forum_grades"].spaces.keys()
    alter(Path(str(first.folder)) / "forum_grades.parquet")
    broken = first.folder.with_name("20260701T020000.000000")
    Path(str(broken)).mkdir()
    (broken / sets.MANIFEST).write_bytes(b"{}")
    with edit(SUBMIT, WITHDRAW):  # an ordinary change of a space
        july_backup(campaign)
    rejected, file = (entry.detail for entry in journalled(campaign, "rejected"))
    assert rejected == f"sauvegarde {broken.name} écartée : jamais vérifiée"
    again = f"{len(holders)} espaces ({concerned_spaces(campaign)[min(holders)]}…)"
    assert file == (
        f"sauvegarde {first.manifest.name} : le fichier forum_grades.parquet a été altéré ; à sauvegarder de nouveau :"
        f" {again}"
    )
    assert {file, rejected} <= {record.getMessage() for record in caplog.records if record.levelname == "WARNING"}
    for folder in folder_of(campaign).iterdir():
        shutil.rmtree(folder)
    july_backup(campaign)
    [*_, gone] = [entry.detail for entry in journalled(campaign, "rejected")]
    assert gone == "aucune sauvegarde vérifiée ; à sauvegarder de nouveau : 8 espaces (LI3INF01…)"


def test_a_file_that_cannot_be_read_fails_its_spaces_only(
    open_campaign: Open, few_rules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = open_campaign()
    july_backup(campaign)
    sha256, bad = storage.sha256, the_set(campaign).folder / "forum_grades.parquet"

    def bad_sector(path: Any) -> str:
        if path == bad:
            raise OSError(errno.EIO, "Input/output error")
        return sha256(path)

    monkeypatch.setattr(storage, "sha256", bad_sector)
    stale = stale_spaces(campaign)
    assert stale.keys() == the_set(campaign).manifest.tables["forum_grades"].spaces.keys() < SPACES
    assert all("forum_grades.parquet ne peut pas être lu (Input/output error)" in stale[one] for one in stale)
    july_backup(campaign)
    assert stale_spaces(campaign) == {}


@pytest.mark.parametrize(
    ("module", "step"),
    [(storage, "make_private"), (stage, "write_table"), (sets, "store"), (stage, "read_back"), (sets, "mark_verified")],
)
def test_a_full_storage_fails_the_spaces_of_that_set(
    open_campaign: Open, few_rules: None, monkeypatch: pytest.MonkeyPatch, module: Any, step: str
) -> None:
    real, calls = getattr(module, step), list[Any]()

    def failing(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*given)

    monkeypatch.setattr(coverage, "SPACES_AT_ONCE", 4)
    campaign = open_campaign()
    with monkeypatch.context() as patch, pytest.raises(IncompleteBackupError) as raised:
        patch.setattr(module, step, failing)
        july_backup(campaign)
    assert "/backup (le stockage de la sauvegarde est plein). Corrigez la cause" in str(raised.value)
    failed = {entry.courseid: entry.detail for entry in journalled(campaign, "failed") if entry.courseid}
    assert failed.keys() == {2, 3, 4, 5}
    assert all("le stockage de la sauvegarde est plein" in reason for reason in failed.values())
    assert the_set(campaign).manifest.spaces.keys() == {6, 7, 8, 9}
    july_backup(campaign)
    assert stale_spaces(campaign) == {}


def test_only_what_can_be_nothing_but_an_unfinished_set_is_removed(
    open_campaign: Open, few_rules: None, caplog: pytest.LogCaptureFixture
) -> None:
    campaign = open_campaign()
    july_backup(campaign)
    lost = Path(str(the_set(campaign).folder))
    for name in (sets.MANIFEST, sets.VERIFIED):  # the journal alone knows that it was verified
        (lost / name).unlink()
    copied, elsewhere, unfinished = (
        lost.with_name(name) for name in ("20260701T020000.000000", "anciens", "20260702T020000.000000")
    )
    for folder in (copied, elsewhere, unfinished):
        folder.mkdir()
        (folder / "assign.parquet").write_bytes(b"rows")
    (copied / sets.VERIFIED).write_bytes(b"{}")
    held = {path: path.read_bytes() for folder in (lost, copied, elsewhere) for path in folder.iterdir()}
    july_backup(campaign)
    assert not unfinished.exists()
    assert {path: path.read_bytes() for path in held if path.exists()} == held
    warned = [record.getMessage() for record in caplog.records if "laissé tel quel" in record.getMessage()]
    assert len(warned) == 3
    assert all(any(str(folder) in message for message in warned) for folder in (lost, copied, elsewhere))
    assert stale_spaces(campaign) == {}
