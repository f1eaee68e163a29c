"""A backup of several sets reads the log once: each set holds what it would have read by itself."""

import logging
import shutil
import tempfile
from collections import namedtuple
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from tests.backup.conftest import Open
from transition.backup import coverage
from transition.backup.coverage import stale_spaces
from transition.backup.divided import divide
from transition.backup.manifest import verified_sets
from transition.backup.rows import Selected
from transition.backup.runs import TableRows, run_schema
from transition.backup.stage import july_backup
from transition.campaign import Campaign
from transition.errors import TransitionError

ODD = sa.Table("odd", sa.MetaData(), sa.Column("id", sa.BigInteger), sa.Column("name", sa.Text))
SCHEMA = run_schema(ODD)
Usage = namedtuple("Usage", "total used free")


def held(campaign: Campaign, table: str) -> dict[int, tuple[int, int, str]]:
    """Rows, checksum and digest of each space, of all the verified sets."""
    files = [backup.manifest.tables.get(table) for backup in verified_sets(campaign, [])]
    found = [(courseid, rows) for file in files if file for courseid, rows in file.spaces.items()]
    assert len(found) == len(dict(found)), "a space is in two sets"
    return {courseid: (rows.rows, rows.checksum, rows.content) for courseid, rows in found}


def test_several_sets_hold_what_one_holds(
    open_campaign: Open, few_rules: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    one = open_campaign("un jeu", root=UPath(tmp_path / "un"))
    july_backup(one)
    monkeypatch.setattr(coverage, "SPACES_AT_ONCE", 3)
    several = open_campaign("des jeux", root=UPath(tmp_path / "des"))
    read: list[str] = []

    def batches(selected: Selected) -> Any:
        read.append(selected.table.name)
        return all_batches(selected)

    all_batches = Selected.batches
    monkeypatch.setattr(Selected, "batches", batches)
    with caplog.at_level(logging.INFO):
        july_backup(several)
        assert stale_spaces(several) == {}
    assert "Sauvegarde : jeu 3 sur 3 terminé (2 espaces), " in caplog.text
    for backup in verified_sets(several, []):
        files = len(backup.manifest.tables)
        assert f"Relecture du jeu {backup.manifest.name} : fichiers {files}/{files}, " in caplog.text
    assert len(list(verified_sets(one, []))) == 1
    assert len(list(verified_sets(several, []))) == 3
    for table in ("logstore_standard_log", "assign_submission"):
        assert held(several, table) == held(one, table)
        assert len(held(one, table)) > 3
    assert read.count("mdl_logstore_standard_log") == 1
    assert read.count("mdl_assign_submission") == 3


def test_a_disk_too_small_for_the_log_stops_the_backup_before_it_writes(
    open_campaign: Open, few_rules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "SPACES_AT_ONCE", 3)
    campaign = open_campaign()
    with monkeypatch.context() as patch, pytest.raises(TransitionError, match=r"demande .* mdl_log.*TMPDIR"):
        patch.setattr(shutil, "disk_usage", lambda _: Usage(2**30, 2**30, 10))
        july_backup(campaign)
    assert list(verified_sets(campaign, [])) == []
    july_backup(campaign)
    assert stale_spaces(campaign) == {}


@given(
    runs=st.lists(st.lists(st.integers(2, 12), max_size=30), max_size=5),
    spaces=st.sets(st.integers(2, 12), min_size=2),
    size=st.integers(1, 4),
    failed=st.sets(st.integers(2, 12)),
)
def test_each_part_has_its_rows_in_order(runs: list[list[int]], spaces: set[int], size: int, failed: set[int]) -> None:
    ordered = sorted(spaces)
    parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    runs = [own for run in runs if (own := [courseid for courseid in run if courseid in spaces])]
    rows: list[tuple[int, int, int, int, str]] = []
    batches = []
    for run in runs:
        new = [(courseid, 7, 8, len(rows) + n, f"ligne {len(rows) + n}") for n, courseid in enumerate(run)]
        rows += new
        columns = list(zip(*new, strict=True))
        batches.append([pa.record_batch([pa.array(c, t) for c, t in zip(columns, SCHEMA.types, strict=True)], SCHEMA)])
    source = TableRows(ODD, iter(batches), dict.fromkeys(failed & spaces, "valeur"))
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in parts]
        divided = divide(source, parts, files, len(rows))
        for number, part in enumerate(parts):
            mine = divided.rows(number)
            found = pa.Table.from_batches([b for run in mine.runs for b in run], SCHEMA).sort_by("id")
            assert list(zip(*(c.to_pylist() for c in found.columns), strict=True)) == [r for r in rows if r[0] in part]
            assert mine.failures.keys() == failed & set(part)
