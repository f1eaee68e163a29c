"""July backup on the real Moodle database: what is written is what it holds, and nothing else is relied upon."""

import errno
import json
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from tests.backup.conftest import Edit, Open
from tests.backup.helpers import (
    L1MAT101,
    LI3INF01,
    LI3INF02,
    SPACES,
    SUBMIT,
    WITHDRAW,
    alter,
    become_a_folder,
    folder_of,
    journalled,
    the_set,
    truncate,
)
from transition.backup import coverage
from transition.backup import manifest as sets
from transition.backup import rows as backup_rows
from transition.backup import runs as backup_runs
from transition.backup import table as backup_table
from transition.backup.coverage import present_states, stale_spaces
from transition.backup.manifest import verified_sets
from transition.backup.read import read_space
from transition.backup.rows import Selected, backup_traces
from transition.backup.stage import IncompleteBackupError, july_backup
from transition.campaign import Campaign
from transition.keys import fill_values
from transition.moodle.database import quoted


def rows_in_moodle(campaign: Campaign, table: str, ids: Iterable[int]) -> dict[int, tuple[Any, ...]]:
    """Rows as the driver gives them to whoever asks plainly, by id."""
    with campaign.server.connect() as connection:
        found = connection.exec_driver_sql(
            f"SELECT * FROM mdl_{table} WHERE id IN ({', '.join(map(str, ids)) or 'NULL'})"
        )
        return {row.id: tuple(row) for row in found}


def test_every_row_that_a_rule_names_is_read_back_as_the_database_holds_it(open_campaign: Open) -> None:
    campaign = open_campaign()
    july_backup(campaign)
    backup = the_set(campaign)
    assert set(backup.manifest.spaces) == SPACES
    total = 0
    for table, traces in backup_traces(campaign).items():
        expected: dict[int, set[int]] = {}
        with campaign.engine.connect() as connection:
            for trace in traces:
                fill_values(connection, trace)
                for row_id, courseid in connection.execute(trace.rows):
                    expected.setdefault(courseid, set()).add(row_id)
        held = backup.manifest.tables[table].spaces if table in backup.manifest.tables else {}
        assert held.keys() == expected.keys(), table
        for courseid, ids in expected.items():
            found = read_space(backup, table, courseid)
            rows = list(zip(*(column.to_pylist() for column in found.columns), strict=True))
            assert rows == [row for _, row in sorted(rows_in_moodle(campaign, table, ids).items())], (table, courseid)
            total += len(rows)
    assert total == sum(table.rows for table in backup.manifest.tables.values()) > 30_000
    assert journalled(campaign, "done")[0].rows_moved == total


def test_nothing_is_written_twice(open_campaign: Open, few_rules: None) -> None:
    campaign = open_campaign()
    july_backup(campaign)
    july_backup(open_campaign("autre"))
    assert len(list(folder_of(campaign).iterdir())) == 1
    assert "déjà en sauvegarde dans leur état actuel" in journalled(campaign, "done")[1].detail


def test_a_submission_makes_only_its_space_stale(open_campaign: Open, few_rules: None, edit: Edit) -> None:
    campaign = open_campaign()
    assert stale_spaces(campaign) == dict.fromkeys(SPACES, "aucune sauvegarde vérifiée")
    july_backup(campaign)
    assert stale_spaces(campaign) == {}
    with edit(SUBMIT, WITHDRAW):
        stale = stale_spaces(campaign)
        assert stale.keys() == {L1MAT101}
        assert "modifié depuis la sauvegarde du" in stale[L1MAT101]
        july_backup(campaign)
        assert stale_spaces(campaign) == {}
        completion = the_set(campaign)
        assert completion.manifest.spaces.keys() == {L1MAT101}
        assert 999999 in read_space(completion, "assign_submission", L1MAT101)["id"].to_pylist()
    assert stale_spaces(campaign).keys() == {L1MAT101}  # withdrawn since: not the state that the latest set holds


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE mdl_assign_grades SET grade = grade + 0.00001 WHERE id = (SELECT MIN(id) FROM mdl_assign_grades)",
        "UPDATE mdl_forum_posts SET message = CONCAT(message, ' ') WHERE id = (SELECT MAX(id) FROM mdl_forum_posts)",
    ],
)
def test_the_smallest_change_is_seen(open_campaign: Open, few_rules: None, edit: Edit, statement: str) -> None:
    campaign = open_campaign()
    july_backup(campaign)
    back = statement.replace("+ 0.00001", "- 0.00001").replace(
        "CONCAT(message, ' ')", "LEFT(message, CHAR_LENGTH(message) - 1)"
    )
    with edit(statement, back):
        assert len(stale_spaces(campaign)) == 1
    assert stale_spaces(campaign) == {}


@pytest.mark.parametrize("ranges", [2, 7, 100])
def test_a_table_read_in_ranges_of_ids_misses_no_row_and_counts_none_twice(
    open_campaign: Open, few_rules: None, edit: Edit, monkeypatch: pytest.MonkeyPatch, ranges: int
) -> None:
    campaign = open_campaign()
    july_backup(campaign)
    at_once = present_states(campaign, sorted(SPACES))
    monkeypatch.setattr(coverage, "_IDS_AT_ONCE", 1)
    monkeypatch.setattr(coverage, "_RANGES", ranges)
    read: list[range | None] = []

    def states(selected: Selected, ids: range | None = None) -> Any:
        if selected.table.name == "mdl_logstore_standard_log":
            read.append(ids)
        return all_states(selected, ids)

    all_states = Selected.states
    monkeypatch.setattr(Selected, "states", states)
    assert present_states(campaign, sorted(SPACES)) == at_once
    assert len(read) == ranges
    with campaign.server.connect() as connection:
        of_log = "SELECT {}(id) FROM mdl_logstore_standard_log WHERE courseid BETWEEN 2 AND 9"
        ends = [connection.exec_driver_sql(of_log.format(end)).scalar_one() for end in ("MIN", "MAX")]
    for id_ in ends:
        change = f"UPDATE mdl_logstore_standard_log SET edulevel = edulevel + {{}} WHERE id = {id_}"
        with edit(change.format(1), change.format(-1)):
            assert len(stale_spaces(campaign)) == 1


def test_a_space_without_any_trace_needs_no_backup(open_campaign: Open, few_rules: None, edit: Edit) -> None:
    empty = (
        "INSERT INTO mdl_course (id, category, fullname, shortname, idnumber) VALUES (777, 3, 'Vide', 'VIDE', 'VIDE')",
        "INSERT INTO mdl_context (id, contextlevel, instanceid, path, depth) VALUES (77777, 50, 777, '/1/77777', 2)",
    )
    gone = ("DELETE FROM mdl_course WHERE id = 777", "DELETE FROM mdl_context WHERE id = 77777")
    july_backup(open_campaign())
    with edit(empty[0], gone[0]), edit(empty[1], gone[1]):
        assert stale_spaces(open_campaign("avec le vide")) == {}


@pytest.mark.parametrize(
    ("damage", "said"), [(truncate, "octets au lieu de"), (alter, "a été altéré"), (Path.unlink, "est absent")]
)
def test_a_damaged_file_is_told(open_campaign: Open, few_rules: None, damage: Any, said: str) -> None:
    campaign = open_campaign()
    july_backup(campaign)
    backup = the_set(campaign)
    holders = backup.manifest.tables["forum_grades"].spaces.keys()
    assert set() < holders < SPACES
    damage(Path(str(backup.folder)) / "forum_grades.parquet")
    stale = stale_spaces(campaign)
    assert stale.keys() == holders
    assert all("forum_grades.parquet" in reason and said in reason for reason in stale.values())
    july_backup(campaign)
    assert stale_spaces(campaign) == {}


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        (sets.MANIFEST, become_a_folder, "illisible (Is a directory)"),
        (sets.VERIFIED, become_a_folder, "illisible (Is a directory)"),
        (sets.MANIFEST, alter, "manifeste modifié depuis sa vérification"),
        (sets.MANIFEST, Path.unlink, "inachevée"),
        (sets.VERIFIED, Path.unlink, "jamais vérifiée"),
        (sets.VERIFIED, truncate, "illisible"),
    ],
)
def test_a_set_that_nothing_vouches_for_is_set_aside(
    open_campaign: Open, few_rules: None, file: str, damage: Any, said: str
) -> None:
    campaign = open_campaign()
    july_backup(campaign)
    damage(Path(str(the_set(campaign).folder)) / file)
    rejected: list[str] = []
    assert stale_spaces(campaign, rejected=rejected) == dict.fromkeys(SPACES, "aucune sauvegarde vérifiée")
    [reason] = rejected
    assert said in reason


def test_the_backup_of_another_site_is_not_relied_upon(open_campaign: Open, few_rules: None, edit: Edit) -> None:
    july_backup(open_campaign())
    named = "UPDATE mdl_config SET value = '{}' WHERE name = 'siteidentifier'"
    mine = open_campaign().moodle.config["siteidentifier"]
    with edit(named.format("ailleurs"), named.format(mine)):
        rejected: list[str] = []
        stale = stale_spaces(open_campaign("ailleurs"), rejected=rejected)
    assert stale.keys() == SPACES
    assert "autre site" in rejected[0]


def test_a_space_reads_its_own_row_groups_only(
    open_campaign: Open, few_rules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (backup_rows, backup_table):
        monkeypatch.setattr(module, "CHUNK_ROWS", 50)
    monkeypatch.setattr(backup_runs, "_RUN_BYTES", 1)
    campaign = open_campaign()
    july_backup(campaign)
    backup = the_set(campaign)
    table = backup.manifest.tables["logstore_standard_log"]
    with pq.ParquetFile(backup.folder / table.file) as parquet:
        owners = [parquet.metadata.row_group(group).column(0).statistics for group in range(parquet.num_row_groups)]
        sizes = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
    assert all(owner.min == owner.max for owner in owners)
    assert max(sizes) <= 50 < table.spaces[LI3INF01].rows
    groups = {group: courseid for courseid, rows in table.spaces.items() for group in rows.groups}
    assert groups == {group: owner.min for group, owner in enumerate(owners)}
    ids = read_space(backup, "logstore_standard_log", LI3INF01)["id"].to_pylist()
    assert len(ids) == table.spaces[LI3INF01].rows
    assert ids == sorted(ids)


def test_a_value_that_does_not_fit_fails_its_space_only(open_campaign: Open, few_rules: None, edit: Edit) -> None:
    added = "ALTER TABLE mdl_forum_grades ADD COLUMN odd DATETIME NULL"
    with edit(added, "ALTER TABLE mdl_forum_grades DROP COLUMN odd"):
        with open_campaign().server.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE mdl_forum_grades SET odd = NOW() WHERE forum IN (SELECT id FROM mdl_forum WHERE course = 3)"
            )
        campaign = open_campaign("colonne de date")
        july_backup(campaign)
        stale = stale_spaces(campaign)
    assert stale.keys() == {LI3INF02}
    failed = journalled(campaign, "failed")
    assert [entry.courseid for entry in failed] == [LI3INF02]
    assert failed[0].detail.startswith(
        "table mdl_forum_grades, colonne odd : une valeur n'est pas du type attendu ; rendez"
    )


def bad_sector(selected: Selected) -> None:
    raise OSError(errno.EIO, "Input/output error")


def lose_connection(selected: Selected) -> None:
    number = selected.connection.execute(sa.text("SELECT CONNECTION_ID()")).scalar_one()
    with selected.connection.engine.connect() as other:
        other.execute(sa.text(f"KILL {number}"))


def lose_keys(selected: Selected) -> None:
    assert isinstance(selected.source.left, sa.Table)
    selected.connection.rollback()  # the snapshot is for reading only
    selected.connection.execute(sa.text(f"DROP TEMPORARY TABLE {quoted(selected.source.left)}"))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (bad_sector, r"Input/output error"),
        (lose_connection, r"erreur 20\d\d du serveur de base de données"),
        (lose_keys, r"erreur 1146 du serveur de base de données"),
    ],
)
def test_a_table_that_fails_fails_the_stage_after_the_rest_is_done(
    open_campaign: Open, few_rules: None, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Selected], None], said: str
) -> None:
    def broken(selected: Selected) -> Any:
        if selected.table.name == "mdl_forum_grades":
            fault(selected)
        return batches(selected)

    batches = Selected.batches
    campaign = open_campaign()
    sentence = rf": table forum_grades \({said}\)\. Corrigez la cause, puis relancez"
    with monkeypatch.context() as patch, pytest.raises(IncompleteBackupError, match=sentence):
        patch.setattr(Selected, "batches", broken)
        july_backup(campaign)
    assert stale_spaces(campaign).keys() == SPACES
    july_backup(campaign)
    assert stale_spaces(campaign) == {}


def test_what_the_disk_changed_before_it_was_read_back_is_not_verified(
    open_campaign: Open, few_rules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sets.store

    def corrupting(folder: Any, manifest: Any) -> None:
        store(folder, manifest)
        alter(Path(str(folder)) / "assign_submission.parquet")

    monkeypatch.setattr(sets, "store", corrupting)
    campaign = open_campaign()
    july_backup(campaign)
    assert next(verified_sets(campaign, []), None) is None
    failed = {entry.courseid: entry.detail for entry in journalled(campaign, "failed")}
    assert failed.keys() == SPACES
    assert all(reason.endswith("diffère du fichier écrit ; contrôlez le stockage") for reason in failed.values())


@pytest.mark.parametrize("step", ["store", "mark_verified"])
def test_a_killed_backup_is_taken_up_again(
    open_campaign: Open, few_rules: None, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    campaign = open_campaign()
    with monkeypatch.context() as patch:
        patch.setattr(sets, step, killed)
        with pytest.raises(KeyboardInterrupt):
            july_backup(campaign)
    assert stale_spaces(campaign).keys() == SPACES
    july_backup(campaign)
    assert stale_spaces(campaign) == {}
    unfinished = [path for path in folder_of(campaign).iterdir() if not (path / sets.VERIFIED).exists()]
    assert len(unfinished) == (step == "mark_verified")  # a set with a manifest is evidence: it stays


def test_a_run_limited_to_a_code_backs_up_that_space_only(open_campaign: Open, few_rules: None) -> None:
    campaign = open_campaign(courses=("LI3INF01",))
    july_backup(campaign)
    backup = the_set(campaign).manifest
    assert backup.spaces.keys() == {LI3INF01}
    assert f"1 espace, {len(backup.tables)} tables, manifeste" in journalled(campaign, "verified")[0].detail
    assert all(table.spaces.keys() == {LI3INF01} for table in backup.tables.values())
    assert stale_spaces(open_campaign("tout")).keys() == SPACES - {LI3INF01}


def test_only_the_owner_can_read_and_the_manifest_names_nobody(open_campaign: Open, few_rules: None) -> None:
    campaign = open_campaign()
    july_backup(campaign)
    paths = [folder_of(campaign).parents[1], *folder_of(campaign).parents[1].rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}
    content = (Path(str(the_set(campaign).folder)) / sets.MANIFEST).read_text()
    assert json.loads(content)["spaces"]["2"]["code"] == "LI3INF01"
    assert "22300001" not in content
