"""The contents of the files of a backup: the real filedir, copied once a content, and relied upon only while intact."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.backup.conftest import FEW_RULES, Open
from tests.backup.helpers import LI3INF01, journalled, the_set
from tests.conftest import unpack_filedir
from transition import filedir
from transition.backup import file_contents
from transition.backup.coverage import stale_spaces
from transition.backup.manifest import BackupSet, verified_sets
from transition.backup.read import read_space
from transition.backup.stage import IncompleteBackupError, july_backup
from transition.campaign import Campaign

Declared = Callable[..., Campaign]


@pytest.fixture
def declared(open_campaign: Open, few_rules: None, reference: Path, tmp_path: Path) -> Declared:
    """Campaigns of a platform that declares the real Moodle's data folder."""
    assert "assign" in FEW_RULES
    dataroot = tmp_path / "moodledata"
    unpack_filedir(reference, dataroot)

    def build(run_id: str, **more: Any) -> Campaign:
        opened = open_campaign(run_id, **more)
        return replace(opened, platform=opened.platform.model_copy(update={"dataroot": str(dataroot)}))

    return build


def named_by_moodle(campaign: Campaign) -> dict[int, dict[str, int]]:
    """The contents that the rows of ``files`` in the backup name, read from Moodle itself."""
    backup, found = the_set(campaign), dict[int, dict[str, int]]()
    files = campaign.moodle["files"].c
    for courseid in backup.manifest.tables["files"].spaces:
        ids = read_space(backup, "files", courseid)["id"].to_pylist()
        with campaign.engine.connect() as connection:
            query = sa.select(files.contenthash, files.filesize).where(files.id.in_(ids), files.filesize > 0)
            found[courseid] = {row.contenthash: row.filesize for row in connection.execute(query)}
    return found


def test_every_content_is_stored_once_and_missed_when_it_is_gone(declared: Declared) -> None:
    campaign = declared("juillet")
    july_backup(campaign)
    wanted = named_by_moodle(campaign)
    hashes = {contenthash for named in wanted.values() for contenthash in named}
    archive = Path(campaign.platform.storage) / campaign.platform.name / "2026" / "filedir"
    stored = {path.name: path for path in archive.rglob("*") if path.is_file()}
    assert stored.keys() == hashes
    assert len(hashes) > 10
    for contenthash, path in stored.items():
        assert filedir._sha1(path) == contenthash  # type: ignore[arg-type]  # a Path reads like a UPath
    spaces = the_set(campaign).manifest.spaces
    for courseid, space in spaces.items():
        mine = wanted.get(courseid, {})
        assert space.contents is not None
        assert (space.contents.number, space.contents.bytes) == (len(mine), sum(mine.values()))
        assert space.contents.lost == ()
    assert stale_spaces(campaign) == {}

    holder, other = (next(iter(wanted[courseid])) for courseid in sorted(wanted)[:2])
    concerned = {courseid for courseid, named in wanted.items() if {holder, other} & named.keys()}
    stored[holder].unlink()
    stored[other].write_bytes(b"")
    stale = stale_spaces(campaign)
    assert stale.keys() == concerned
    assert all("contenus de fichiers absents ou altérés" in reason for reason in stale.values())
    july_backup(declared("encore"))
    assert stale_spaces(campaign) == {}
    assert all(filedir._sha1(stored[name]) == name for name in (holder, other))  # type: ignore[arg-type]

    # Altered without a change of size: seen when a set is made, not at each look.
    stored[holder].write_bytes(bytes(wanted_size(wanted, holder)))
    filedir.keep_copy(campaign, holder)
    assert filedir._sha1(stored[holder]) == holder  # type: ignore[arg-type]

    # Moodle loses one: the backup gives it back, with its rights, and keeps its own.
    lost = filedir._in(filedir._filedir(campaign), holder)
    rights = lost.stat().st_mode
    Path(str(lost)).unlink()
    filedir.put_back(campaign, [holder])
    assert filedir._sha1(lost) == holder
    assert lost.stat().st_mode == rights
    assert stored[holder].exists()


def wanted_size(wanted: dict[int, dict[str, int]], contenthash: str) -> int:
    return next(named[contenthash] for named in wanted.values() if contenthash in named)


def test_a_content_that_moodle_has_lost_is_said_and_stops_nothing_until_it_is_back(
    declared: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = declared("juillet")
    files = campaign.moodle["files"].c
    with campaign.engine.connect() as connection:
        query = sa.select(files.contenthash).where(files.component == "assignsubmission_file", files.filesize > 0)
        gone = connection.execute(query.limit(1)).scalar_one()
    place = Path(str(filedir._in(filedir._filedir(campaign), gone)))
    content = place.read_bytes()
    place.unlink()
    july_backup(campaign)
    lost = [space for space in the_set(campaign).manifest.spaces.values() if space.contents and space.contents.lost]
    assert {space.contents.lost for space in lost if space.contents} == {(gone,)}
    assert stale_spaces(campaign) == {}
    assert (
        f"1 contenu de fichier que Moodle n'a plus en bon état (dont {gone})"
        in journalled(campaign, "verified")[0].detail
    )

    place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert stale_spaces(campaign) == {}, "what is altered is lost still"
    place.write_bytes(content)
    stale = stale_spaces(campaign)
    assert len(stale) == len(lost)
    assert all(f": 1 contenu perdu est revenu dans Moodle ({gone}" in reason for reason in stale.values())
    with monkeypatch.context() as patch:
        patch.setattr(file_contents, "is_whole", unreadable)
        assert stale_spaces(campaign) == stale, "the backup will say what is wrong with it"
    july_backup(declared("encore"))
    assert stale_spaces(campaign) == {}
    held = the_set(campaign).manifest.spaces
    assert held.keys() == stale.keys()
    assert [space.contents.lost for space in held.values() if space.contents] == [()] * len(held)
    assert filedir.is_kept(campaign, gone)


def test_a_list_of_contents_that_cannot_be_read_fails_its_space_only(
    declared: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = declared("juillet")
    july_backup(campaign)

    def bad_sector(backup: BackupSet, table: str, courseid: int) -> Any:
        if courseid == LI3INF01:
            raise OSError(errno.EIO, "Input/output error")
        return read_space(backup, table, courseid)

    with monkeypatch.context() as patch:
        patch.setattr(file_contents, "read_space", bad_sector)
        stale = stale_spaces(campaign)
    assert stale.keys() == {LI3INF01}
    assert "ne peut pas être lue (Input/output error)" in stale[LI3INF01]


def unreadable(*_: Any) -> bool:
    raise PermissionError(13, "Permission denied")


def test_a_data_folder_that_vanishes_meanwhile_is_not_taken_for_lost_contents(
    declared: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, keep, copied = declared("juillet"), filedir.keep_copy, list[str]()
    dataroot = Path(str(campaign.platform.dataroot))

    def dropping(given: Campaign, contenthash: str) -> bool:
        if len(copied) == 5:
            dataroot.rename(dataroot.with_name("ailleurs"))
        copied.append(contenthash)
        return keep(given, contenthash)

    with monkeypatch.context() as patch, pytest.raises(IncompleteBackupError, match="filedir n'existe pas"):
        patch.setattr(file_contents, "keep_copy", dropping)
        july_backup(campaign)
    entries = [entry for entry in journalled(campaign, "failed") if "filedir n'existe pas" in entry.detail]
    failed = {entry.courseid for entry in entries if entry.courseid}
    dataroot.with_name("ailleurs").rename(dataroot)
    assert failed
    assert stale_spaces(campaign).keys() >= failed
    july_backup(campaign)
    assert stale_spaces(campaign) == {}
    spaces = [space for backup in verified_sets(campaign, []) for space in backup.manifest.spaces.values()]
    assert all(space.contents and space.contents.lost == () for space in spaces)


def test_a_full_disk_fails_the_spaces_concerned_and_is_taken_up_again(
    declared: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, copied = declared("juillet"), list[str]()
    keep = filedir.keep_copy

    def full(given: Campaign, contenthash: str) -> bool:
        if len(copied) == 5:
            raise OSError(28, "No space left on device")
        copied.append(contenthash)
        return keep(given, contenthash)

    with monkeypatch.context() as patch, pytest.raises(IncompleteBackupError, match="le stockage de la sauvegarde"):
        patch.setattr(file_contents, "keep_copy", full)
        july_backup(campaign)
    stale = stale_spaces(campaign)
    assert stale
    july_backup(campaign)
    assert stale_spaces(campaign) == {}
    assert the_set(campaign).manifest.spaces.keys() == stale.keys()


def test_a_content_that_cannot_be_read_fails_its_spaces_and_does_not_stop_the_others(
    declared: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, keep = declared("juillet"), filedir.keep_copy
    with campaign.engine.connect() as connection:
        files = campaign.moodle["files"].c
        query = sa.select(files.contenthash).where(files.component == "assignsubmission_file", files.filesize > 0)
        unreadable = connection.execute(query.limit(1)).scalar_one()

    def refused(given: Campaign, contenthash: str) -> bool:
        if contenthash == unreadable:
            raise PermissionError(13, "Permission denied")
        return keep(given, contenthash)

    monkeypatch.setattr(file_contents, "keep_copy", refused)
    july_backup(campaign)
    named = {entry.courseid: entry.detail for entry in journalled(campaign, "failed")}
    [reason] = set(named.values())
    assert reason.startswith(f"contenu {unreadable} : copie impossible de {campaign.platform.dataroot} vers")
    assert "/filedir (Permission denied) ; vérifiez" in reason
    assert stale_spaces(campaign).keys() == named.keys()
    assert the_set(campaign).manifest.spaces.keys() > set()
    assert not the_set(campaign).manifest.spaces.keys() & named.keys()
    [done] = journalled(campaign, "done")
    assert f"{len(named)} sans sauvegarde vérifiée (voir les lignes « failed »)" in done.detail


def test_without_dataroot_the_journal_says_so_and_with_it_they_are_made_up_for(
    declared: Declared, open_campaign: Open
) -> None:
    july_backup(open_campaign("sans"))
    [done] = journalled(open_campaign("sans"), "done")
    assert "sans le contenu des fichiers : la clé dataroot manque" in done.detail
    assert stale_spaces(open_campaign("sans")) == {}
    campaign = declared("avec")
    stale = stale_spaces(campaign)
    assert stale
    assert all("sans le contenu des fichiers" in reason for reason in stale.values())
    july_backup(campaign)
    assert stale_spaces(campaign) == {}
