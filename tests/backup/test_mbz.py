"""Moodle's own backup of each space, on the real database, by a script in the place of Moodle's."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.backup.conftest import Edit, Open
from tests.backup.helpers import L1MAT101, LI3INF01, LI3INF02, SPACES, SUBMIT, WITHDRAW, journalled
from tests.support.mbz import facts_of, stand_in
from transition import storage
from transition.backup import mbz
from transition.backup.coverage import stale_spaces
from transition.backup.stage import IncompleteBackupError, back_up_spaces, complete_mbz, july_backup
from transition.campaign import Campaign
from transition.moodle.mbz import read_mbz
from transition.preflight import check_backup
from transition.state import tables

Facts = dict[int, dict[str, Any]]


class Ground:
    """Campaigns of a platform that declares Moodle's command line, and what the script will make of each space."""

    def __init__(self, open_campaign: Open, folder: Path) -> None:
        self.open, self.script, self.exchange = open_campaign, folder / "cli", folder / "exchange"
        self.script.mkdir()
        self.exchange.mkdir()
        moodle = open_campaign("faits").engine
        self.command = stand_in(self.script, moodle.url)
        with moodle.connect() as connection:
            self.facts = facts_of(connection, SPACES)
        self.facts[L1MAT101]["zipped"] = True
        self.write()

    def write(self, changes: Mapping[int, Mapping[str, Any]] | None = None) -> None:
        given = {courseid: {**facts, **(changes or {}).get(courseid, {})} for courseid, facts in self.facts.items()}
        (self.script / "facts.json").write_text(json.dumps(given), encoding="utf-8")

    def campaign(self, run_id: str, **more: Any) -> Campaign:
        opened = self.open(run_id, **more)
        declared = {"moodle_command": self.command, "exchange": str(self.exchange)}
        return replace(opened, platform=opened.platform.model_copy(update=declared))

    def calls(self) -> list[int]:
        """The courses backed up since the last question."""
        path = self.script / "calls"
        found = [int(line) for line in path.read_text().split()] if path.exists() else []
        path.unlink(missing_ok=True)
        return found

    @contextmanager
    def failing(self, changes: Facts) -> Iterator[None]:
        self.write(changes)
        yield
        self.write()


@pytest.fixture
def ground(backup_moodle: sa.Engine, open_campaign: Open, few_rules: None, tmp_path: Path) -> Iterator[Ground]:
    written, last = ("mdl_files", "mdl_logstore_standard_log"), dict[str, int]()
    with backup_moodle.connect() as connection:
        for table in written:
            last[table] = connection.exec_driver_sql(f"SELECT MAX(id) FROM {table}").scalar_one()
    yield Ground(open_campaign, tmp_path)
    with backup_moodle.begin() as connection:
        for table in written:
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE id > {last[table]}")


def test_each_space_has_its_file_made_once_per_change_of_its_traces(ground: Ground, edit: Edit) -> None:
    campaign = ground.campaign("juillet")
    check_command_is_not_asked(campaign)
    july_backup(campaign)
    assert set(ground.calls()) == SPACES
    assert list(ground.exchange.iterdir()) == []
    for courseid in SPACES:
        [made] = mbz.latest(campaign, courseid)
        file = Path(str(mbz._folder(campaign, courseid))) / made.file
        assert (made.activities, made.users) == (
            len(ground.facts[courseid]["activities"]), len(ground.facts[courseid]["users"]),
        )  # fmt: skip
        assert read_mbz(file).course == courseid
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert {entry.courseid for entry in journalled(campaign, "mbz")} == SPACES
    july_backup(ground.campaign("déjà"))
    assert ground.calls() == [], "what making them left in Moodle outdates none"
    viewed = (
        "INSERT INTO mdl_user_lastaccess (id, userid, courseid, timeaccess) VALUES (999999, 2, 2, 1)",
        "DELETE FROM mdl_user_lastaccess WHERE id = 999999",
    )
    # What August's run finds: a view leaves the file as good as it was, a submission does not.
    with edit(SUBMIT, WITHDRAW), edit(*viewed):
        july_backup(ground.campaign("août"))
        assert ground.calls() == [L1MAT101]
        assert len(list(mbz.latest(campaign, L1MAT101))) == 2, "the first one stays"
    next(iter(mbz._folder(campaign, LI3INF01).glob("*.mbz"))).unlink()
    july_backup(ground.campaign("encore"))
    assert set(ground.calls()) == {LI3INF01}  # L1MAT101 is again what its first file holds
    assert stale_spaces(campaign) == {}


def check_command_is_not_asked(campaign: Campaign) -> None:
    """The exchange folder is checked before anything is asked of Moodle."""
    away = campaign.platform.model_copy(update={"exchange": "/nulle/part"})
    [finding] = mbz.check_exchange(replace(campaign, platform=away))
    assert "/nulle/part n'existe pas" in finding
    assert list(mbz.check_exchange(campaign)) == []
    with pytest.raises(Exception, match="/nulle/part n'existe pas"):
        check_backup(replace(campaign, platform=away))


def test_while_an_archived_space_is_copied_moodle_makes_no_backup(ground: Ground) -> None:
    campaign, spaces = ground.campaign("juillet"), {L1MAT101: "L1MAT101"}
    ground.calls()
    with ground.campaign("copie").lock("copy_archived_course"):
        for backup in (july_backup, lambda given: back_up_spaces(given, spaces, "Composante « UFR »")):
            with pytest.raises(BlockingIOError, match="l'étape copy_archived_course d'une autre exécution est en"):
                backup(campaign)
    assert ground.calls() == []
    assert list(mbz.latest(campaign, L1MAT101)) == []
    back_up_spaces(campaign, spaces, "Composante « UFR »")
    assert ground.calls() == [L1MAT101]
    assert len(list(mbz.latest(campaign, L1MAT101))) == 1


BAD: Facts = {
    2: {"keep": 0.9}, 3: {"without_users": True}, 4: {"course": 5}, 5: {"site": "ailleurs"}, 6: {"dies": True},
    7: {"fails": True}, 8: {"activities": []},
}  # fmt: skip
SAID = {
    2: "tronqué ou altéré", 3: "sans les données des utilisateurs", 4: "est celui du cours 5 : corrigez moodle_command",
    5: "vient d'un autre site", 6: "dit « Destination directory does not exists or not writable. » : corrigez",
    7: "Error writing to database", 8: "…) : réglez les valeurs par défaut des sauvegardes",
}  # fmt: skip


def test_a_file_that_is_not_good_is_reported_and_does_not_stop_the_others(ground: Ground) -> None:
    campaign = ground.campaign("juillet")
    spaces = dict.fromkeys(SPACES, "")
    with ground.failing(BAD), pytest.raises(IncompleteBackupError) as raised:
        back_up_spaces(campaign, spaces, "Composante « UFR »")
    assert str(raised.value).startswith("Composante « UFR » : sans sauvegarde vérifiée, 7 espaces sur 8 ;")
    failed = {entry.courseid: entry.detail for entry in journalled(campaign, "failed") if entry.courseid}
    assert failed.keys() == BAD.keys()
    for courseid, said in SAID.items():
        assert said in failed[courseid], courseid
        assert said in str(raised.value)
        assert list(mbz.latest(campaign, courseid)) == []
        assert list(mbz._folder(campaign, courseid).glob("*")) == []
    assert list(ground.exchange.iterdir()) == [], "no student's data stay there"
    assert stale_spaces(campaign) == {}, "their rows are backed up all the same"
    ground.calls()
    back_up_spaces(campaign, spaces, "Composante « UFR »")
    assert set(ground.calls()) == set(BAD), "only what was missing"


def test_a_missing_student_is_seen(ground: Ground) -> None:
    campaign = ground.campaign("juillet")
    people = ground.facts[LI3INF01]["users"]
    with ground.failing({LI3INF01: {"users": people[1:]}}):
        failures = mbz.make_missing(campaign, {LI3INF01: "LI3INF01"})
    assert "il manque 1 inscrit : relancez" in failures[LI3INF01]


def test_a_file_made_without_contents_is_refused(ground: Ground) -> None:
    campaign = ground.campaign("juillet")
    with ground.failing({LI3INF01: {"without_files": True}}):
        failures = mbz.make_missing(campaign, {LI3INF01: "LI3INF01"})
    assert "est sans le contenu des fichiers : réglez les valeurs par défaut" in failures[LI3INF01]
    assert list(mbz.latest(campaign, LI3INF01)) == []


def test_before_the_freeze_only_the_spaces_in_scope_count(ground: Ground) -> None:
    campaign = ground.campaign("août")
    with campaign.engine.begin() as connection:
        for courseid in (LI3INF01, LI3INF02, L1MAT101):
            connection.execute(
                sa.insert(tables.decision).values(
                    run=campaign.run, courseid=courseid, code="", shortname="", fullname="", category="",
                    decision="reset", reason="essai", in_scope=courseid != L1MAT101,
                )
            )  # fmt: skip
    with ground.failing({LI3INF02: {"dies": True}}):
        failures = complete_mbz(campaign)
    assert failures.keys() == {LI3INF02}
    assert sorted(ground.calls()) == [LI3INF01, LI3INF02]
    assert complete_mbz(ground.open("sans exchange")) == {}


def test_what_a_killed_run_left_is_cleared(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = ground.campaign("juillet")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("transition.storage.write", killed)
        mbz.make_missing(campaign, {LI3INF01: ""})
    (ground.exchange / f"backup-moodle2-course-{LI3INF01}-x-1-0.mbz").write_bytes(b"half")
    assert mbz.make_missing(campaign, {LI3INF01: ""}) == {}
    assert sorted(path.suffix for path in mbz._folder(campaign, LI3INF01).iterdir()) == [".json", ".mbz"]
    assert list(ground.exchange.iterdir()) == []


def test_a_finished_file_that_lost_what_vouches_for_it_stays(
    ground: Ground, edit: Edit, caplog: pytest.LogCaptureFixture
) -> None:
    campaign = ground.campaign("juillet")
    assert mbz.make_missing(campaign, {LI3INF01: ""}) == {}
    [made] = mbz.latest(campaign, LI3INF01)
    folder = Path(str(mbz._folder(campaign, LI3INF01)))
    kept, unfinished = [folder / made.file, folder / "copie.mbz"], folder / "20260701T020000.000000.mbz"
    for path in (kept[1], unfinished):
        path.write_bytes(b"half")
    kept[0].with_suffix(".json").unlink()
    assert mbz.make_missing(campaign, {LI3INF01: ""}) == {}
    assert not unfinished.exists()
    [remade] = mbz.latest(campaign, LI3INF01)
    assert set(folder.glob("*.mbz")) == {*kept, folder / remade.file}
    assert caplog.text.count("laissé tel quel") == 2
    remade_by = folder / f"{Path(remade.file).stem}.json"
    remade_by.unlink()
    remade_by.mkdir()  # there, and cannot be read
    assert list(mbz.latest(campaign, LI3INF01)) == []


def test_a_space_that_hangs_is_tried_once_a_run_and_rows_come_after_two(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mbz, "_SECONDS", 8)
    campaign = ground.campaign("juillet")
    with ground.failing({2: {"hangs": 60}, 3: {"hangs": 60}, 5: {"hangs": 60}}):
        with pytest.raises(IncompleteBackupError, match=r"fichiers \.mbz de Moodle \(6 espaces pas encore essayés"):
            july_backup(campaign)
        assert sorted(ground.calls()) == [2, 3]
        assert stale_spaces(campaign) == {}, "the rows of all have had their turn"
        july_backup(campaign)  # as Airflow tries again
        assert sorted(ground.calls()) == [4, 5, 6, 7, 8, 9]
        late = ground.exchange / "backup-moodle2-course-2-x-1-0.mbz"
        late.write_bytes(b"late")
        failures = mbz.make_missing(campaign, dict.fromkeys(SPACES, ""), most_slow=None)  # as the freeze does
    assert (ground.calls(), late.exists()) == ([], False)
    assert failures.keys() == {2, 3, 5}
    assert "backup.php n'a pas répondu en 8 s" in failures[5]
    july_backup(ground.campaign("nouvelle"))
    assert sorted(ground.calls()) == [2, 3, 5], "another run tries them again"


def test_before_the_freeze_every_space_is_tried_however_many_hang(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mbz, "_SECONDS", 0)
    campaign, scope = ground.campaign("août"), (2, 3, 4)
    with campaign.engine.begin() as connection:
        for courseid in scope:
            connection.execute(
                sa.insert(tables.decision).values(
                    run=campaign.run, courseid=courseid, code="", shortname="", fullname="", category="",
                    decision="reset", reason="essai", in_scope=True,
                )
            )  # fmt: skip
    failures = complete_mbz(campaign)
    assert failures.keys() == set(scope)
    assert all("n'a pas répondu" in failure for failure in failures.values())


def test_the_digests_of_files_are_known_without_reading_them(ground: Ground) -> None:
    campaign = ground.campaign("digests")
    july_backup(campaign)
    folder = storage.folder(campaign, "mbz")
    files = {f"{path.parent.name}/{path.name}": path for path in folder.rglob("*.mbz")}
    digests = {name: storage.sha256(path) for name, path in files.items()}
    assert mbz.vouched(folder) == digests
    cut, unvouched, *others = sorted(files)
    files[cut].write_bytes(b"cut")
    files[unvouched].with_suffix(".json").write_bytes(b"{")
    assert mbz.vouched(folder) == {name: digests[name] for name in others}
    assert mbz.vouched(folder / "absent") == {}
