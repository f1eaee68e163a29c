"""Moodle's own backup files, opened: what a good one says, and that no damaged one passes for it."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.mbz import mbz_bytes
from tests.support.moodle_cli import mbz
from transition.moodle.mbz import Mbz, UnusableMbzError, read_mbz, site_hash

GOOD = Mbz(
    7, site_hash("site"), {"users": "1", "anonymize": "0", "files": "1"}, frozenset({3, 4}), frozenset({2, 5, 9}), True
)
FILES = {zipped: mbz_bytes(7, "site", [3, 4], [2, 5, 9], zipped=zipped) for zipped in (False, True)}


@pytest.mark.parametrize("zipped", [False, True])
def test_a_good_file(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "x.mbz"
    path.write_bytes(FILES[zipped])
    assert read_mbz(path) == GOOD


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(zipped=st.booleans(), data=st.data())
def test_a_cut_or_altered_file_is_refused_or_reads_as_it_was(tmp_path: Path, zipped: bool, data: st.DataObject) -> None:
    content, path = FILES[zipped], tmp_path / "x.mbz"
    place = data.draw(st.integers(0, len(content) - 1))
    path.write_bytes(content[:place])
    with pytest.raises(UnusableMbzError, match="est "):
        read_mbz(path)
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with contextlib.suppress(UnusableMbzError):  # a date, a comment: some bytes say nothing of the content
        assert read_mbz(path) == GOOD


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("lacks", "said"),
    [("moodle_backup.xml", "manque"), ("users.xml", "manque"), ("activities/quiz_4/module.xml", "manque")],
)
def test_a_file_that_lacks_a_part_is_refused(tmp_path: Path, zipped: bool, lacks: str, said: str) -> None:
    path = tmp_path / "x.mbz"
    path.write_bytes(mbz_bytes(7, "site", [3, 4], [2], zipped=zipped, lacks=[lacks]))
    with pytest.raises(UnusableMbzError, match=said):
        read_mbz(path)


def test_a_file_that_is_announced_and_missing_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "x.mbz"
    path.write_bytes(mbz_bytes(7, "site", [3], [2], lacks=["files.xml"]))
    with pytest.raises(UnusableMbzError, match=r"il manque 1 fichier annoncé \(files.xml"):
        read_mbz(path)


def test_a_file_made_without_users_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.mbz"
    path.write_bytes(mbz_bytes(7, "site", [3], [2], without_users=True))
    found = read_mbz(path)
    assert (found.settings["users"], found.users, found.with_users) == ("0", frozenset(), False)


@pytest.mark.parametrize("zipped", [False, True])
def test_users_are_seen_whether_asked_for_or_there(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "x.mbz"
    for users, setting, expected in ((0, 0, False), (2, 0, True), (2, 1, True)):
        mbz(path, 3, {11: "quiz", 12: "assign"}, users, setting=setting, zipped=zipped)
        assert read_mbz(path).with_users is expected
