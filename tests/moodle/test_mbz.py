"""What a .mbz says of itself, as gzipped tar and as zip; one that is cut or altered is refused."""

from pathlib import Path

import pytest

from tests.support.moodle_cli import mbz
from transition.moodle.mbz import Mbz, UnusableMbzError, read_mbz, site_hash

ACTIVITIES = {11: "quiz", 12: "assign"}
HASH = "5f4dcc3b5aa765d61d8327deb882cf99"  # of « password »


@pytest.mark.parametrize("zipped", [False, True])
def test_what_it_holds(tmp_path: Path, zipped: bool) -> None:
    assert site_hash("password") == HASH
    path = tmp_path / "a.mbz"

    def read(users: int, setting: int | None = None) -> Mbz:
        mbz(path, 3, ACTIVITIES, users, site=HASH, setting=setting, zipped=zipped)
        return read_mbz(path)

    expected = Mbz(3, HASH, "4.5.6 (Build: 20250811)", frozenset({11, 12}), with_users=False, users=0)
    assert read(0) == expected
    assert (read(2).with_users, read(2).users) == (True, 2)
    assert (read(0, setting=1).with_users, read(0, setting=1).users) == (True, 0), "asked for, though nobody was there"
    assert read(2, setting=0).with_users, "there, though not asked for"


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "a.mbz"
    mbz(path, 3, ACTIVITIES, 2, zipped=zipped)
    whole = path.read_bytes()
    for length in {0, 1, 20, len(whole) // 2, len(whole) - 9, len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(UnusableMbzError):
            read_mbz(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(UnusableMbzError, match="est illisible ou altéré"):
        read_mbz(path)
