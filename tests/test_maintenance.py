"""Maintenance mode: closed, opened, left as it was; by Moodle's command line and by its table."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.campaign import reference_platform
from transition import maintenance
from transition.campaign import Campaign
from transition.errors import TransitionError, UnreachableError
from transition.moodle.database import open_engine
from transition.restore.stage import under_way
from transition.state import schema, tables

# What Moodle's script does, as a shell script: a file closes the site; its status in the site's language.
MAINTENANCE = """
cd "$(dirname "$0")"
echo "$1" >> calls
case "$1" in
  --enable) touch closed; rm -f page;;
  --disable) rm -f closed page;;
  --enableold) touch page;;
  *) echo "== Mode de maintenance =="
     if [ -e closed ] || [ -e page ]; then echo "${ENABLED:-Statut : activé}"
     else echo "${DISABLED:-Statut : désactivé}"; fi;;
esac
"""
PURGE = """
cd "$(dirname "$0")"
[ -e broken ] && exit 1
[ -e closed ] && echo "purge closed" >> calls || echo "purge open" >> calls
"""
CRON = """
cd "$(dirname "$0")"
echo "cron $1" >> calls
[ ! -e broken_cron ]
"""
MakeCampaign = Callable[..., Campaign]


@pytest.fixture(scope="module")
def moodle(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    """A Moodle of three tables: the settings, and two spaces."""
    server = request.getfixturevalue("server")
    engine = sa.create_engine(server.url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE closing CHARACTER SET utf8mb4"))
    engine.dispose()
    engine = open_engine(server.url("closing"))
    with engine.begin() as connection:
        for table in (
            "mdl_config (id BIGINT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(255) UNIQUE, value LONGTEXT)",
            "mdl_course (id BIGINT PRIMARY KEY, cacherev BIGINT)",
            "mdl_task_scheduled (id BIGINT PRIMARY KEY AUTO_INCREMENT, classname VARCHAR(255), timestarted BIGINT)",
            "mdl_task_adhoc (id BIGINT PRIMARY KEY AUTO_INCREMENT, classname VARCHAR(255), timestarted BIGINT)",
        ):
            connection.execute(sa.text(f"CREATE TABLE {table} ENGINE=InnoDB"))
    yield engine
    with engine.begin() as connection:
        for name in ("closing", "ecampus_transition"):
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name}"))
    engine.dispose()


@pytest.fixture
def make(moodle: sa.Engine, tmp_path: Path) -> Iterator[MakeCampaign]:
    """Makes an executing run that holds the platform and whose plan is frozen: space 2 is in scope, space 3 is not."""
    with moodle.begin() as connection:
        connection.execute(sa.text("DELETE FROM mdl_config"))
        connection.execute(sa.text("INSERT INTO mdl_config (name, value) VALUES ('maintenance_enabled', '0')"))
        connection.execute(sa.text("REPLACE INTO mdl_course VALUES (2, 10), (3, 10)"))
        for name in ("scheduled", "adhoc"):
            connection.execute(sa.text(f"DELETE FROM mdl_task_{name}"))
            connection.execute(sa.text(f"INSERT INTO mdl_task_{name} (classname) VALUES ('\\\\at_rest')"))

    def made(run_id: str = "first", *, command: bool = True) -> Campaign:
        platform = reference_platform(tmp_path, moodle_command=("sh", str(cli(tmp_path))) if command else None)
        campaign = Campaign(platform, 2026, run_id, moodle, dry_run=False)
        schema.upgrade(campaign)
        campaign.take_fence()
        scope = {"code": "", "shortname": "", "fullname": "", "category": "", "decision": "reset", "reason": ""}
        with campaign.engine.begin() as connection:
            for courseid, in_scope in ((2, True), (3, False)):
                values = {**scope, "run": campaign.run, "courseid": courseid, "in_scope": in_scope}
                connection.execute(sa.insert(tables.decision).values(values))
        return campaign

    yield made
    with moodle.begin() as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS ecampus_transition"))


def cli(folder: Path) -> Path:
    found = folder / "cli"
    found.mkdir(exist_ok=True)
    (found / "maintenance.php").write_text(MAINTENANCE, encoding="utf-8")
    (found / "purge_caches.php").write_text(PURGE, encoding="utf-8")
    (found / "cron.php").write_text(CRON, encoding="utf-8")
    return found


def calls(folder: Path) -> list[str]:
    """What was asked of the command line, questions about its state aside."""
    lines = (cli(folder) / "calls").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line]


def setting(campaign: Campaign) -> list[str]:
    config = campaign.moodle["config"]
    with campaign.engine.connect() as connection:
        return list(connection.execute(sa.select(config.c.value)).scalars())


def revisions(campaign: Campaign) -> dict[int, int]:
    course = campaign.moodle["course"]
    with campaign.engine.connect() as connection:
        return dict(connection.execute(sa.select(course.c.id, course.c.cacherev)).all())


def journalled(campaign: Campaign, stage: str) -> list[str]:
    entry = tables.journal.c
    with campaign.engine.connect() as connection:
        query = sa.select(entry.detail).where(entry.stage == stage, entry.action == "done").order_by(entry.id)
        return list(connection.execute(query).scalars())


def test_by_command_the_caches_are_purged_before_moodle_opens(make: MakeCampaign, tmp_path: Path) -> None:
    campaign = make()
    maintenance.close(campaign)
    assert (cli(tmp_path) / "closed").exists()
    maintenance.reopen(campaign)
    assert calls(tmp_path) == ["--enable", "cron --stop", "purge closed", "--disable"]
    assert setting(campaign) == ["0"]
    assert journalled(campaign, "maintenance_off") == ["Moodle est rouvert"]


def run_task(campaign: Campaign, name: str, classname: str, minutes: int) -> None:
    """Have Moodle's cron run a task since some minutes."""
    task = {"classname": classname, "timestarted": int(time.time()) - 60 * minutes}
    with campaign.engine.begin() as connection:
        connection.execute(sa.insert(campaign.moodle[name]).values(task))


def test_what_cron_runs_already_is_waited_for(
    make: MakeCampaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    campaign = make()
    run_task(campaign, "task_scheduled", r"\core\task\old", 25 * 60)  # of a cron that was killed
    run_task(campaign, "task_adhoc", r"\mod_quiz\task\second", 2)
    run_task(campaign, "task_scheduled", r"\core\task\first", 3)
    waited = []

    def end_one(seconds: float) -> None:
        if seconds != maintenance.LOOK:  # the end of a script is waited for as well
            return
        waited.append(seconds)
        name = ("task_adhoc", "task_scheduled")[len(waited) - 1]
        with campaign.engine.begin() as connection:
            connection.execute(sa.update(campaign.moodle[name]).values(timestarted=None))

    monkeypatch.setattr(time, "sleep", end_one)
    caplog.set_level("INFO")
    maintenance.close(campaign)
    assert waited == 2 * [maintenance.LOOK]
    said = [message for message in caplog.messages if "attend la fin" in message]
    assert re.search(r": \\core\\task\\first \(depuis le .+ à ..:..\) et 1 autre tâche\.$", said[0])
    assert re.search(r": \\core\\task\\first \(depuis le .+ à ..:..\)\.$", said[1])
    assert calls(tmp_path) == ["--enable", "cron --stop"]


@pytest.mark.parametrize("was_closed", [False, True])
def test_a_cron_that_does_not_stop_is_refused_and_moodle_put_back(
    make: MakeCampaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was_closed: bool
) -> None:
    campaign = make()
    closed = cli(tmp_path) / "closed"
    if was_closed:
        closed.touch()
    run_task(campaign, "task_adhoc", r"\mod_quiz\task\endless", 2)
    monkeypatch.setattr(maintenance, "PATIENCE", 0)
    with pytest.raises(TransitionError, match=r"exécute encore \\mod_quiz\\task\\endless \(depuis le .+ : attendez-en"):
        maintenance.close(campaign)
    assert closed.exists() == was_closed
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(campaign.moodle["task_adhoc"]))
    maintenance.close(campaign)
    assert closed.exists()
    maintenance.reopen(campaign)
    assert closed.exists() == was_closed


def test_a_cron_that_cannot_be_told_to_stop_leaves_moodle_open(make: MakeCampaign, tmp_path: Path) -> None:
    campaign = make()
    (cli(tmp_path) / "broken_cron").touch()
    with pytest.raises(UnreachableError, match=r"cron\.php a échoué"):
        maintenance.close(campaign)
    assert not (cli(tmp_path) / "closed").exists()


def test_by_table_cron_goes_on(make: MakeCampaign) -> None:
    campaign = make(command=False)
    run_task(campaign, "task_adhoc", r"\mod_quiz\task\endless", 2)
    maintenance.close(campaign)
    assert setting(campaign) == ["1"]


def test_only_the_spaces_in_scope_get_a_new_revision(make: MakeCampaign) -> None:
    campaign = make()
    maintenance.close(campaign)
    maintenance.reopen(campaign)
    found = revisions(campaign)
    assert found[2] > 1_700_000_000
    assert found[3] == 10


def test_by_table_the_row_is_put_back_and_the_journal_warns_of_the_cache(make: MakeCampaign) -> None:
    campaign = make(command=False)
    maintenance.close(campaign)
    assert setting(campaign) == ["1"]
    maintenance.reopen(campaign)
    assert setting(campaign) == ["0"]
    assert "que son cache peut lui cacher" in journalled(campaign, "maintenance_on")[0]
    assert "purgez ses caches" in journalled(campaign, "maintenance_off")[0]


def test_by_table_a_setting_that_had_no_row_has_none_after(make: MakeCampaign) -> None:
    campaign = make(command=False)
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(campaign.moodle["config"]))
    maintenance.close(campaign)
    assert setting(campaign) == ["1"]
    maintenance.reopen(campaign)
    assert setting(campaign) == []


@pytest.mark.parametrize("command", [True, False])
def test_a_moodle_that_was_closed_stays_closed(make: MakeCampaign, tmp_path: Path, command: bool) -> None:
    campaign = make(command=command)
    (cli(tmp_path) / "closed").touch()
    with campaign.engine.begin() as connection:
        connection.execute(sa.update(campaign.moodle["config"]).values(value="0" if command else "1"))
    maintenance.close(campaign)
    maintenance.reopen(campaign)
    assert (cli(tmp_path) / "closed").exists()
    assert setting(campaign) == ["0" if command else "1"]
    assert journalled(campaign, "maintenance_off")[0].startswith("Moodle reste en maintenance, comme avant")


def test_a_moodle_that_was_closed_by_its_page_is_closed_to_cron_too_and_stays_closed_by_its_page(
    make: MakeCampaign, tmp_path: Path
) -> None:
    campaign = make()
    closed, page = cli(tmp_path) / "closed", cli(tmp_path) / "page"
    page.touch()
    with campaign.engine.begin() as connection:
        connection.execute(sa.update(campaign.moodle["config"]).values(value="1"))
    for _ in range(2):
        maintenance.close(campaign)
        assert (closed.exists(), page.exists()) == (True, False)
        maintenance.reopen(campaign)
        assert (closed.exists(), page.exists()) == (False, True)
    assert journalled(campaign, "maintenance_off")[0].startswith("Moodle reste en maintenance, comme avant")


@pytest.mark.parametrize("command", [True, False])
def test_twice_is_once_and_again_after_a_clear(make: MakeCampaign, tmp_path: Path, command: bool) -> None:
    campaign = make(command=command)
    closed = cli(tmp_path) / "closed"
    for _ in range(2):  # the second time: a cleared task runs its setup and its teardown again
        maintenance.close(campaign)
        maintenance.close(campaign)
        assert closed.exists() == command
        assert setting(campaign) == ["0" if command else "1"]
        maintenance.reopen(campaign)
        maintenance.reopen(campaign)
        assert not closed.exists()
        assert setting(campaign) == ["0"]


@pytest.mark.parametrize("command", [True, False])
def test_the_run_after_a_killed_one_opens_what_that_one_closed(
    make: MakeCampaign, tmp_path: Path, command: bool
) -> None:
    killed = make(command=command)
    killed.server.dispose()
    pid = os.fork()
    if pid == 0:
        try:
            maintenance.close(killed)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    after = make("second", command=command)
    maintenance.close(after)
    maintenance.reopen(killed)  # its teardown, late: the platform is the second run's
    assert (cli(tmp_path) / "closed").exists() or setting(after) == ["1"]
    maintenance.reopen(after)
    assert not (cli(tmp_path) / "closed").exists()
    assert setting(after) == ["0"]


@pytest.mark.parametrize("by_hand", [False, True], ids=["closed", "opened by hand"])
def test_a_run_that_lost_the_platform_opens_what_it_closed(make: MakeCampaign, tmp_path: Path, by_hand: bool) -> None:
    stopped = make()
    maintenance.close(stopped)
    after = make("second")  # it ends before it has closed anything: it has no teardown
    if by_hand:
        (cli(tmp_path) / "closed").unlink()
    [finding] = under_way(after)
    assert "l'exécution first tient Moodle en maintenance" in finding
    maintenance.reopen(stopped)
    assert not (cli(tmp_path) / "closed").exists()
    assert list(under_way(after)) == []
    maintenance.close(after)
    assert (cli(tmp_path) / "closed").exists(), "a successor that goes on closes it again"
    maintenance.reopen(after)
    assert not (cli(tmp_path) / "closed").exists(), "as it found it"


def test_a_late_teardown_leaves_moodle_to_the_run_that_was_closing_it(
    make: MakeCampaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = make()
    maintenance.close(orphan)
    after, lock = make("second"), Campaign.lock

    @contextmanager
    def waited_for(campaign: Campaign, name: str) -> Iterator[None]:
        if campaign is orphan:
            maintenance.close(after)
        with lock(campaign, name):
            yield

    monkeypatch.setattr(Campaign, "lock", waited_for)
    maintenance.reopen(orphan)
    assert (cli(tmp_path) / "closed").exists()
    assert journalled(after, "maintenance_off") == []


def test_caches_that_cannot_be_purged_do_not_keep_moodle_closed(make: MakeCampaign, tmp_path: Path) -> None:
    campaign = make()
    maintenance.close(campaign)
    (cli(tmp_path) / "broken").touch()
    with pytest.raises(UnreachableError, match="purge_caches"):
        maintenance.reopen(campaign)
    assert not (cli(tmp_path) / "closed").exists()
    (cli(tmp_path) / "broken").unlink()
    maintenance.reopen(campaign)  # the retry
    assert calls(tmp_path)[-2:] == ["purge open", "--disable"]
    assert revisions(campaign)[2] > 1_700_000_000


@pytest.mark.parametrize(
    ("word", "closed"),
    [
        ("Status: enabled", True),
        ("Statut : activé", True),
        ("Status: disabled", False),
        ("Statut : désactivé", False),
        ("status: CLI maintenance mode will be enabled on Monday, 17 August 2026, 2:00 AM", False),
    ],
)
def test_the_status_is_understood(
    make: MakeCampaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, closed: bool
) -> None:
    monkeypatch.setenv("DISABLED", word)
    campaign = make()
    maintenance.close(campaign)
    asked = [call for call in calls(tmp_path) if call == "--enable"] if (cli(tmp_path) / "calls").exists() else []
    assert asked == ([] if closed else ["--enable"])


def test_a_status_in_another_language_stops_before_anything(
    make: MakeCampaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISABLED", "Status: uitgeschakeld")
    campaign = make()
    with pytest.raises(TransitionError, match="répond « Status: uitgeschakeld »"):
        maintenance.close(campaign)
    assert not (cli(tmp_path) / "closed").exists()
    with campaign.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.maintenance)).scalar() == 0


def test_preflight_tries_the_command(make: MakeCampaign, tmp_path: Path) -> None:
    campaign = make()
    assert list(maintenance.check_command(campaign)) == []
    assert list(maintenance.check_command(make("by table", command=False))) == []
    with (tmp_path / "cli" / "maintenance.php").open("w", encoding="utf-8") as script:
        script.write("exit 1")
    [finding] = maintenance.check_command(campaign)
    assert "maintenance.php a échoué" in finding


def test_a_dry_run_never_closes_moodle(make: MakeCampaign) -> None:
    campaign = make(command=False)
    dry = Campaign(campaign.platform, 2026, "dry", campaign.server)
    with pytest.raises(TransitionError, match="Exécution à blanc"):
        maintenance.close(dry)
    assert setting(campaign) == ["0"]
