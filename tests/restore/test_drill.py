"""The drill: what a backup would give back, compared row by row with what it promised."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.backup.helpers import LI3INF01, become_a_folder, truncate
from tests.backup.helpers import alter as change_a_byte
from tests.restore.conftest import NAME, World
from tests.restore.helpers import CODES, alter
from tests.support.backup_sets import LOSSES, add_older
from tests.support.campaign import run_chain
from tests.support.dump import compare
from transition import storage
from transition.backup.file_contents import missing_contents, named_contents
from transition.backup.manifest import BackupSet, verified_sets
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.restore import scratch
from transition.restore.drill import latest_year, restore_drill


def test_a_drill_proves_and_leaves_nothing(still_world: World) -> None:
    world = still_world
    before = world.dump()
    campaign = world.open("drill")
    sentence = restore_drill(campaign, number=2, seed=7)
    proof = Path(campaign.platform.storage) / NAME / "2026" / "reports" / "restore_drill-drill.json"
    assert sentence == f"2 espaces restaurés à l'essai sur 2, {proof}"
    facts = json.loads(proof.read_text(encoding="utf-8"))
    assert facts["seed"] == 7
    assert len({space["code"] for space in facts["spaces"]}) == 2
    assert all(space["rows"] > 500 and space["fault"] == "" for space in facts["spaces"])
    assert sum(space["contents"] for space in facts["spaces"]) > 0
    again = world.open("again")
    restore_drill(again, number=2, seed=7)
    same = json.loads((proof.parent / "restore_drill-again.json").read_text(encoding="utf-8"))
    assert [space["code"] for space in same["spaces"]] == [space["code"] for space in facts["spaces"]]
    assert compare(before, world.dump()) == {}
    assert f"{NAME}_2026_drill" not in world.schemas()
    proven = world.execute(f"SELECT COUNT(*) FROM {NAME}_transition.journal WHERE action = 'proven'")
    assert proven == [(4,)]


def test_a_drill_names_what_would_not_come_back(world: World) -> None:
    campaign = world.open("drill")
    for path in Path(campaign.platform.storage).glob("*/2026/backup/*/quiz_attempts.parquet"):
        alter(path)
    with pytest.raises(TransitionError, match=r"LI3INF01 : .*quiz_attempts\.parquet est absent ou altéré"):
        restore_drill(campaign, number=100, seed=1)
    assert f"{NAME}_2026_drill" not in world.schemas()


@pytest.mark.parametrize("damage", [truncate, change_a_byte, Path.unlink])
def test_a_drill_ends_with_its_proof_whatever_file_is_damaged(world: World, damage: Callable[[Path], object]) -> None:
    campaign = world.open("drill")
    for path in Path(campaign.platform.storage).glob("*/2026/backup/*/files.parquet"):
        damage(path)
    # A byte lies among the rows of one space: it is that space's fault, and no other's.
    with pytest.raises(TransitionError, match=r"\n  - \w+ : .*files\.parquet est absent ou altéré"):
        restore_drill(campaign, number=100, seed=1)
    proof = Path(campaign.platform.storage) / NAME / "2026" / "reports" / "restore_drill-drill.json"
    assert any(space["fault"] for space in json.loads(proof.read_text(encoding="utf-8"))["spaces"])


def test_a_drill_does_not_take_an_older_set_for_one_that_is_lost(world: World, tmp_path: Path) -> None:
    [newest] = Path(world.campaign.platform.storage).glob("*/2026/backup/*")
    shutil.copytree(newest, tmp_path / "intact")
    add_older(newest)
    restore_drill(world.open("both"), number=1, seed=1)
    for name, lose in LOSSES.items():
        lose(newest)
        with pytest.raises(TransitionError, match=rf"\n  - jeu {newest.name} : manque .* le dernier de \d+ espaces"):
            restore_drill(world.open(name), number=1, seed=1)
        shutil.rmtree(newest, ignore_errors=True)
        shutil.copytree(tmp_path / "intact", newest)


def test_of_a_space_that_was_reset_the_backup_of_before_is_drilled(world: World, tmp_path: Path) -> None:
    [before] = Path(world.campaign.platform.storage).glob("*/2026/backup/*")
    run_chain(world.open("later", dry_run=True), ["preflight", "july_backup"])
    assert len(list(before.parent.iterdir())) == 2, "what the new year did is backed up as well"
    restore_drill(world.open("drill"), number=100, seed=1)
    proof = Path(world.campaign.platform.storage) / NAME / "2026" / "reports" / "restore_drill-drill.json"
    used = {space["code"]: space["backup"] for space in json.loads(proof.read_text(encoding="utf-8"))["spaces"]}
    assert {used[code] for code in CODES} == {before.name}
    number = len(json.loads((before / "manifest.json").read_text(encoding="utf-8"))["spaces"])
    shutil.rmtree(before)
    with pytest.raises(TransitionError, match=rf"\n  - jeu {before.name} : manque .* le dernier de {number} espaces"):
        restore_drill(world.open("lost"), number=1, seed=1)


def test_a_drill_sees_a_content_that_has_its_size_and_other_bytes(world: World) -> None:
    campaign = world.open("drill")
    backup = next(verified_sets(campaign, []))
    named = min(named_contents(backup, LI3INF01))
    content = Path(str(storage.folder(campaign, "filedir") / named[:2] / named[2:4] / named))
    change_a_byte(content)
    assert missing_contents(campaign, backup, [LI3INF01]) == {}, "it has its size"
    with pytest.raises(TransitionError, match=rf"LI3INF01 : 1 contenu de fichier manque ou est altéré \({named}"):
        restore_drill(campaign, number=100, seed=1)
    become_a_folder(content)
    with pytest.raises(TransitionError, match=rf"LI3INF01 : .*{named} ne peut pas être lu \(Is a directory\)"):
        restore_drill(world.open("unreadable"), number=100, seed=1)
    assert (Path(campaign.platform.storage) / NAME / "2026" / "reports" / "restore_drill-unreadable.json").exists()


def test_a_drill_sees_a_row_that_did_not_come_back_as_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(campaign: Campaign, backup: BackupSet, courseid: int, schema: str) -> int:
        rows = load(campaign, backup, courseid, schema)
        if courseid in backup.manifest.tables["quiz_attempts"].spaces:
            with campaign.server.begin() as connection:
                connection.execute(sa.text(f"UPDATE {schema}.mdl_quiz_attempts SET sumgrades = 1 ORDER BY id LIMIT 1"))
        return rows

    load = scratch.load
    monkeypatch.setattr(scratch, "load", loaded)
    with pytest.raises(TransitionError, match=r"LI3INF01 : table quiz_attempts : \d+ lignes relues .*d'autres valeurs"):
        restore_drill(world.open("drill"), number=100, seed=1)


def test_the_latest_year_that_has_a_backup(still_world: World) -> None:
    world = still_world
    assert latest_year(world.open("drill", year=2027)) == 2026
    assert latest_year(world.open("drill", year=2025)) == 2025
