"""Swapping tables, killed at every SQL statement: nothing lost, nothing twice, and the same end as chunk by chunk."""

import os
import re
import signal
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.support.campaign import add_newcomers, reference_feed, reference_platform, run_chain, swap_every_table
from tests.support.dump import Rows, dump
from transition import maintenance, move, swap, verify, ways
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.key_views import Whole, is_view, point, spaces_table, write_down, write_spaces
from transition.keys import count_keys, frozen_keys
from transition.moodle.database import open_engine, quoted
from transition.report.plan_table import plan_table
from transition.restore.held import Held
from transition.restore.put_back import Wanted, pick_rows
from transition.restore.stage import Request, restore, under_way, unfinished_swaps
from transition.state import tables
from transition.ways import SWAP

LOG = "logstore_standard_log"  # goes by whole spaces: its keys are a view
POSTS = "forum_posts"  # goes by a path of tables: its keys are written down
RECENT = "block_recentlyaccesseditems"  # the same, and small
NEXT_ID = re.compile(r" AUTO_INCREMENT=(\d+)")
SWAPPED = {LOG: "logs", RECENT: "last_access", POSTS: "forum"}
FROZEN = [
    "preflight", "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan", "approval",
    "maintenance_on", "freeze",
]  # fmt: skip


@pytest.fixture(scope="module")
def frozen(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """A campaign whose plan is frozen, every table that can be swapped to be swapped."""
    names = {"swap_moodle", "ecampus_transition", "ecampus_2026"}
    drop_databases(server, names)
    load_dump(server, reference / DUMP, "swap_moodle")
    engine = open_engine(server.url("swap_moodle"))
    add_newcomers(engine)
    folder = tmp_path_factory.mktemp("swap")
    reference_feed(folder / "feed")
    campaign = Campaign(
        reference_platform(folder / "storage"), 2026, "frozen", engine, dry_run=False, feed=folder / "feed"
    )
    with pytest.MonkeyPatch.context() as patch:
        swap_every_table(patch)
        run_chain(campaign, FROZEN)
    yield campaign
    engine.dispose()
    drop_databases(server, names)


def rows(campaign: Campaign, name: str, schema: str) -> Rows:
    """The rows of a table, by id; none if the schema lacks it."""
    table = campaign.moodle[name].name
    with campaign.engine.connect() as connection:
        if not sa.inspect(connection).has_table(table, schema):
            return {}
        found = connection.execute(sa.text(f"SELECT * FROM {quoted(table, schema)}")).mappings()
        return {row["id"]: dict(row) for row in found}


def state(campaign: Campaign, name: str) -> tuple[Rows, Rows, str, list[Any]]:
    """A table in Moodle, in the archive, its definition but the next id, and what was journalled of it."""
    moodle, archive = (rows(campaign, name, campaign.moodle.schema), rows(campaign, name, campaign.archive_schema))
    entry = tables.journal.c
    query = sa.select(entry.rule, entry.courseid, entry.rows_before, entry.rows_moved, entry.rows_after).where(
        entry.table_name == name, entry.action == "moved", entry.run == campaign.run
    )
    with campaign.engine.connect() as connection:
        journalled = [tuple(row) for row in connection.execute(query.order_by(entry.courseid))]
    return moodle, archive, NEXT_ID.sub("", definition(campaign, name)), journalled


def definition(campaign: Campaign, name: str) -> str:
    with campaign.engine.connect() as connection:
        return str(connection.execute(sa.text(f"SHOW CREATE TABLE {quoted(campaign.moodle[name])}")).one()[1])


def next_id(campaign: Campaign, name: str) -> int:
    [number] = NEXT_ID.findall(definition(campaign, name))
    return int(number)


def keyed(campaign: Campaign, name: str) -> set[int]:
    keys = frozen_keys(campaign, name)
    with campaign.engine.connect() as connection:
        return set(connection.execute(sa.select(keys.c.id).where(keys.c.run == campaign.run)).scalars())


def indexes(campaign: Campaign, name: str, schema: str) -> dict[str | None, list[str | None]]:
    """The columns of each index of a table but the primary key, by name."""
    with campaign.engine.connect() as connection:
        found = sa.inspect(connection).get_indexes(campaign.moodle[name].name, schema)
    return {index["name"]: index["column_names"] for index in found}


def undo(campaign: Campaign, name: str) -> None:
    """Give Moodle's table its rows back, as they were after the freeze."""
    moodle, archive = quoted(campaign.moodle[name]), quoted(campaign.moodle[name].name, campaign.archive_schema)
    with campaign.engine.connect() as connection:
        connection.execute(sa.text(f"DELETE FROM {moodle}"))
        connection.execute(sa.text(f"INSERT INTO {moodle} SELECT * FROM {archive}"))
        connection.execute(sa.text(f"DROP TABLE {archive}"))
        if is_view(connection, frozen_keys(campaign, name)):
            point(connection, campaign, name, campaign.moodle.schema)
        for table in (tables.way, tables.progress, tables.journal):
            mine = sa.and_(table.c.run == campaign.run, table.c.table_name == name)
            if table is tables.journal:
                connection.execute(sa.delete(table).where(mine, table.c.action == "moved"))
            elif table is tables.way:
                connection.execute(sa.update(table).where(mine).values(state="", max_id=0))
            else:
                connection.execute(sa.update(table).where(mine).values(moved=0, done=False, last_id=0))
        connection.commit()


def swap_and_die(campaign: Campaign, name: str, statement: int) -> bool:
    """As :func:`die_in`, a swap."""
    return die_in(campaign, lambda: swap.swap_table(campaign, name), statement)


def die_in(campaign: Campaign, work: Callable[[], None], statement: int) -> bool:
    """Work in a child process that is killed just before its n-th statement or commit; False if it ended before."""
    campaign.server.dispose()
    pid = os.fork()
    if pid == 0:
        seen = 0

        def count(*_: object) -> None:
            nonlocal seen
            seen += 1
            if seen == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        sa.event.listen(campaign.server, "before_cursor_execute", count)
        sa.event.listen(campaign.server, "commit", count)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or status == 0, "the child failed by itself"
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("name", SWAPPED)
def test_swapped(frozen: Campaign, name: str) -> None:
    moodle, _, defined, _ = state(frozen, name)
    expected = next_id(frozen, name) + swap.SKIPPED_IDS
    going, before = keyed(frozen, name), indexes(frozen, name, frozen.moodle.schema)
    assert move.move_rule(frozen, SWAPPED[name]) >= len(going) > 0
    after = state(frozen, name)
    assert after[0] == {id_: row for id_, row in moodle.items() if id_ not in going}
    assert after[1] == moodle, "the old table is the archive"
    assert after[2] == defined, "indexes, row format and comment are those of the old table"
    assert next_id(frozen, name) == expected
    assert sum(entry[3] for entry in after[3]) == len(going)
    assert keyed(frozen, name) == going, "the keys tell what moved"
    assert indexes(frozen, name, frozen.moodle.schema) == before
    by_space = {index: columns for index, columns in before.items() if columns == ["courseid"]}
    assert (len(by_space), len(before)) == {LOG: (1, 8), RECENT: (1, 4), POSTS: (0, 6)}[name]
    assert indexes(frozen, name, frozen.archive_schema) == by_space
    assert move.move_rule(frozen, SWAPPED[name]) >= len(going)
    assert state(frozen, name) == after
    undo(frozen, name)


@pytest.mark.parametrize("name", [RECENT, POSTS])
def test_killed_at_every_statement_then_run_again(frozen: Campaign, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "COPY", 30)
    before, _, defined, _ = state(frozen, name)
    swap.swap_table(frozen, name)
    after = state(frozen, name)
    undo(frozen, name)
    statement = 0
    while swap_and_die(frozen, name, statement := statement + 1):
        moodle, archive, *_ = state(frozen, name)
        assert {**archive, **moodle} == before, "a row is lost"
        assert moodle in (before, after[0]), "Moodle has one table or the other, whole"
        swap.swap_table(frozen, name)
        assert state(frozen, name) == after
        with frozen.engine.connect() as connection:
            left = connection.execute(
                sa.text("SHOW TABLES FROM ecampus_2026 WHERE Tables_in_ecampus_2026 REGEXP '^(swap|kept)_'")
            )
            assert left.all() == []
        undo(frozen, name)
    undo(frozen, name)
    assert statement > 30, "too few kill points to mean anything"
    assert state(frozen, name)[:3] == (before, {}, defined)


def test_a_later_run_ends_what_a_killed_one_left(frozen: Campaign) -> None:
    later = Campaign(frozen.platform, 2026, "later", frozen.server, dry_run=False)
    before = state(frozen, RECENT)
    swap.swap_table(frozen, RECENT)
    after = state(frozen, RECENT)
    undo(frozen, RECENT)
    statements = 0
    while swap_and_die(frozen, RECENT, statements := statements + 10):
        swap.swap_table(frozen, RECENT)
        undo(frozen, RECENT)
    undo(frozen, RECENT)
    ends = []
    for statement in range(12, statements + 5, 5):
        if not swap_and_die(frozen, RECENT, statement):
            break
        swap.settle_swaps(later)
        now = state(frozen, RECENT)
        with frozen.engine.connect() as connection:
            way = tables.way.c
            query = sa.select(way.state).where(way.run == frozen.run, way.table_name == RECENT)
            ends.append(connection.execute(query).scalar_one())
            point(connection, frozen, RECENT, frozen.archive_schema if now == after else frozen.moodle.schema)
        assert now == (after if ends[-1] == "done" else before)
        if ends[-1] != "done":
            swap.swap_table(frozen, RECENT)
        undo(frozen, RECENT)
    else:
        raise AssertionError("the last kill point was not reached")
    undo(frozen, RECENT)
    assert set(ends) == {"dropped", "done"}


def test_a_restore_waits_for_a_swap_that_stopped_after_the_rename(
    frozen: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key view reads Moodle's new table: the space would seem to be back whole, without its log."""
    later, (before, *_) = replace(frozen, run_id="later"), state(frozen, LOG)

    def stop(_: swap._Swap) -> None:
        raise InterruptedError

    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr(swap._Swap, "_finish", stop)
        swap.swap_table(frozen, LOG)
    maintenance.reopen(frozen)  # the teardown
    assert keyed(frozen, LOG) == set()
    with pytest.raises(TransitionError, match=f"n'a pas terminé l'échange de la table {LOG} : relancez"):
        restore(later, Request("LI3INF01"))
    swap.settle_swaps(replace(frozen, year=2027, run_id="next year"))  # whatever the year
    assert list(unfinished_swaps(later)) == []
    assert LOG in picked(frozen, 2)
    maintenance.close(frozen)
    undo(frozen, LOG)
    assert state(frozen, LOG)[0] == before


@pytest.mark.parametrize("archived", [False, True])
def test_the_settling_of_a_swap_is_killed_at_every_statement_then_run_again(
    frozen: Campaign, monkeypatch: pytest.MonkeyPatch, archived: bool
) -> None:
    """Before the RENAME; ``archived``: by the time it is run again, somebody has made an archive table."""
    later, way = Campaign(frozen.platform, 2026, "later", frozen.server, dry_run=False), tables.way.c
    before = state(frozen, RECENT)
    archive = quoted(move.archive_table(frozen, RECENT))

    def stop(_: swap._Swap) -> None:
        raise InterruptedError

    def swap_until_the_rename() -> None:
        with monkeypatch.context() as patched, pytest.raises(InterruptedError):
            patched.setattr(swap._Swap, "_rename", stop)
            swap.swap_table(frozen, RECENT)

    swap_until_the_rename()
    statement = 0
    while die_in(frozen, lambda: swap.settle_swaps(later), statement := statement + 1):
        with frozen.engine.connect() as connection:
            if archived:
                connection.execute(sa.text(f"CREATE TABLE {archive} LIKE {quoted(frozen.moodle[RECENT])}"))
            swap.settle_swaps(later)
            assert state(frozen, RECENT) == before, "nothing is journalled as moved"
            query = sa.select(way.state).where(way.run == frozen.run, way.table_name == RECENT)
            assert connection.execute(query).scalar_one() == "dropped"
            found = set(sa.inspect(connection).get_table_names(frozen.archive_schema))
            assert not found & {f"swap_{frozen.moodle[RECENT].name}", f"kept_{RECENT}"}
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {archive}"))
            point(connection, frozen, RECENT, frozen.moodle.schema)
            connection.commit()
        swap_until_the_rename()
    assert statement > 10, "too few kill points to mean anything"
    with frozen.engine.connect() as connection:
        point(connection, frozen, RECENT, frozen.moodle.schema)
    swap.swap_table(frozen, RECENT)
    undo(frozen, RECENT)
    assert state(frozen, RECENT) == before


def test_rows_written_while_the_table_is_swapped_stay(frozen: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    before, *_ = state(frozen, LOG)
    following = next_id(frozen, LOG)
    table = frozen.moodle[LOG]
    columns = [column for column in table.c if column.name != "id"]
    going = keyed(frozen, LOG)
    some = min(before.keys() - going)
    again = sa.insert(table).from_select([c.name for c in columns], sa.select(*columns).where(table.c.id == some))
    real = {name: getattr(swap._Swap, name) for name in ("_copy_chunk", "_rename", "_finish")}

    def writing(name: str) -> Any:
        def wrapped(self: Any, *args: Any) -> Any:
            if name not in written:
                written.add(name)
                with frozen.engine.begin() as connection:
                    connection.execute(again)
            return real[name](self, *args)

        return wrapped

    written: set[str] = set()
    for name in real:
        monkeypatch.setattr(swap._Swap, name, writing(name))
    swap.swap_table(frozen, LOG)
    moodle, *_ = state(frozen, LOG)
    # One before the check, one between the check and the RENAME, one after it: each with an id of its own.
    came = {following, following + 1, following + 1 + swap.SKIPPED_IDS}
    assert moodle.keys() == before.keys() - going | came
    assert keyed(frozen, LOG) == going
    monkeypatch.undo()
    undo(frozen, LOG)
    with frozen.engine.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.id > max(before)))


def test_a_late_row_whose_place_is_taken_anew_stays_in_the_archive(
    frozen: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, module = "course_modules_completion", 999_999
    table, (before, *_), going = frozen.moodle[name], state(frozen, name), keyed(frozen, name)
    real = {method: getattr(swap._Swap, method) for method in ("_rename", "_finish")}
    line = {"coursemoduleid": module, "completionstate": 1}
    writes = {
        "_rename": [{**line, "userid": user, "timemodified": 1} for user in (1, 2, 3)],
        "_finish": [{**line, "userid": 2, "timemodified": 5}],
    }

    def writing(method: str) -> Any:
        def wrapped(self: swap._Swap) -> None:
            with frozen.engine.begin() as connection:
                connection.execute(sa.insert(table), writes[method])
            real[method](self)

        return wrapped

    for method in real:
        monkeypatch.setattr(swap._Swap, method, writing(method))
    swap.swap_table(frozen, name)
    monkeypatch.undo()
    moodle, archive, *_ = state(frozen, name)
    came = {(row["userid"], row["timemodified"]): id_ for id_, row in moodle.items() if row["coursemoduleid"] == module}
    first = max(before) + 1
    assert came == {(1, 1): first, (3, 1): first + 2, (2, 5): first + swap.SKIPPED_IDS}
    assert moodle.keys() == before.keys() - going | set(came.values())
    assert (archive[first + 1]["userid"], archive[first + 1]["timemodified"]) == (2, 1)
    assert archive.keys() == before.keys() | {first, first + 1, first + 2}
    entry = tables.journal
    with frozen.engine.begin() as connection:
        mine = sa.and_(entry.c.table_name == name, entry.c.action == "late")
        assert connection.execute(sa.select(entry.c.rows_before, entry.c.rows_after).where(mine)).all() == [(3, 2)]
        connection.execute(sa.delete(entry).where(mine))
    assert keyed(frozen, name) == going
    undo(frozen, name)
    with frozen.engine.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.coursemoduleid == module))


def picked(campaign: Campaign, courseid: int) -> list[str]:
    """The tables of which a restore of the space would bring rows back."""
    held = Held(campaign, campaign.archive_schema, courseid)
    with campaign.engine.begin() as connection:
        return pick_rows(connection, held, Wanted(traces=True, enrolments=False))


def test_a_row_that_stays_is_not_one_that_a_stopped_run_moved(frozen: Campaign) -> None:
    """That run was to take a space which is out of scope since: a restore must not bring back what is deleted there."""
    stopped, aside, keys = replace(frozen, run_id="stopped"), 999, frozen_keys(frozen, POSTS)
    (before, *_), going = state(frozen, POSTS), keyed(frozen, POSTS)
    stays, goes = min(before.keys() - going), min(going)
    row = {"run": stopped.run, "courseid": aside, "rule": "forum"}
    with frozen.engine.begin() as connection:
        connection.execute(sa.insert(keys), [{**row, "id": stays}, {**row, "id": goes}])
    swap.swap_table(frozen, POSTS)
    moodle, archive, *_ = state(frozen, POSTS)
    assert moodle == {id_: row for id_, row in before.items() if id_ not in going}
    assert archive == {id_: row for id_, row in before.items() if id_ != stays}
    assert keyed(stopped, POSTS) == {stays, goes}, "a later run may look for what they name"
    with frozen.engine.begin() as connection:
        connection.execute(sa.delete(keys).where(keys.c.run == stopped.run, keys.c.id == goes))
    assert picked(frozen, aside) == []
    with frozen.engine.begin() as connection:
        connection.execute(sa.delete(keys).where(keys.c.run == stopped.run))
        copy = sa.select(frozen.moodle[POSTS]).where(frozen.moodle[POSTS].c.id == stays)
        connection.execute(sa.insert(move.archive_table(frozen, POSTS)).from_select(list(before[stays]), copy))
    undo(frozen, POSTS)


def test_a_space_that_stays_is_not_one_of_a_stopped_run_in_a_key_view(frozen: Campaign) -> None:
    stopped, spaces, stays = replace(frozen, run_id="stopped"), spaces_table(frozen).c, 8
    before, *_ = state(frozen, LOG)
    assert stays in {row["courseid"] for row in before.values()}
    own = sa.select(spaces.courseid, spaces.max_id).where(spaces.run == frozen.run, spaces.table_name == LOG)
    with frozen.engine.connect() as connection:
        last = dict(connection.execute(own).all())
        assert stays not in last
        for run, of_run in ((stopped, {stays: max(before)}), (frozen, last)):
            write_spaces(connection, run, LOG, Whole("logs", "courseid"), of_run)
            connection.commit()
    swap.swap_table(frozen, LOG)
    assert LOG not in picked(frozen, stays)
    assert LOG in picked(frozen, min(last))
    undo(frozen, LOG)


@pytest.mark.parametrize("name", SWAPPED)
def test_a_row_that_vanished_stops_the_swap(frozen: Campaign, name: str) -> None:
    table, one = frozen.moodle[name], min(keyed(frozen, name))
    with frozen.engine.begin() as connection:
        row = connection.execute(sa.select(table).where(table.c.id == one)).mappings().one()
        connection.execute(sa.delete(table).where(table.c.id == one))
    before = state(frozen, name)
    with pytest.raises(TransitionError, match="Rien n'a changé dans Moodle"):
        swap.swap_table(frozen, name)
    assert state(frozen, name) == before
    with frozen.engine.begin() as connection:
        connection.execute(sa.insert(table).values(**row))


def test_a_kept_row_that_changed_since_its_copy_stops_the_swap(
    frozen: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, column = POSTS, "subject"
    table = frozen.moodle[name]
    before, _, defined, journalled = state(frozen, name)
    going, check = keyed(frozen, name), swap._Swap._check
    kept = sa.update(table).where(table.c.id == min(before.keys() - going))

    def written(self: swap._Swap) -> None:
        with frozen.engine.begin() as connection:
            connection.execute(kept.values({column: "written"}))
        check(self)

    monkeypatch.setattr(swap._Swap, "_check", written)
    with pytest.raises(TransitionError, match=r"ont changé pendant leur copie\. Rien n'a changé dans Moodle"):
        swap.swap_table(frozen, name)
    monkeypatch.undo()
    one = min(before.keys() - going)
    after = {**before, one: {**before[one], column: "written"}}
    assert after != before
    assert state(frozen, name) == (after, {}, defined, journalled)
    swap.swap_table(frozen, name)
    assert rows(frozen, name, frozen.moodle.schema) == {id_: row for id_, row in after.items() if id_ not in going}
    undo(frozen, name)
    with frozen.engine.begin() as connection:
        connection.execute(kept.values({column: before[one][column]}))


@pytest.mark.parametrize("change", ["UPDATE {} SET subject = 'written' WHERE id = {}", "DELETE FROM {} WHERE id = {}"])
def test_verify_tells_of_a_kept_row_that_changed_right_before_the_rename(
    frozen: Campaign, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    table, (before, *_), going = frozen.moodle[POSTS], state(frozen, POSTS), keyed(frozen, POSTS)
    one, rename = min(before.keys() - going), swap._Swap._rename
    assert list(verify._rewritten(frozen)) == []

    def written(self: swap._Swap) -> None:
        with frozen.engine.begin() as connection:
            connection.execute(sa.text(change.format(quoted(table), one)))
        rename(self)

    with monkeypatch.context() as patched:
        patched.setattr(swap._Swap, "_rename", written)
        swap.swap_table(frozen, POSTS)
    moodle, archive, *_ = state(frozen, POSTS)
    assert moodle[one] == before[one] != archive.get(one)
    [finding] = verify._rewritten(frozen)
    assert finding.startswith(f"table {POSTS} : Moodle a modifié ou supprimé pendant son échange")
    undo(frozen, POSTS)
    entry = tables.journal
    with frozen.engine.begin() as connection:
        connection.execute(sa.delete(entry).where(entry.c.table_name == POSTS, entry.c.action == "changed"))
        connection.execute(sa.delete(table).where(table.c.id == one))
        connection.execute(sa.insert(table).values(**before[one]))


def test_an_open_moodle_is_refused(frozen: Campaign) -> None:
    maintenance.reopen(frozen)
    with pytest.raises(TransitionError, match="ne tient pas Moodle en maintenance"):
        swap.swap_table(frozen, LOG)
    maintenance.close(frozen)


@pytest.mark.parametrize("moment", ["_copy_chunk", "_rename"])
def test_a_swap_can_be_stopped_from_the_database(
    frozen: Campaign, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before, real = state(frozen, LOG), getattr(swap._Swap, moment)

    def stopped(self: swap._Swap, *args: Any) -> Any:
        with frozen.engine.begin() as connection:
            connection.execute(sa.delete(tables.fence))
        return real(self, *args)

    monkeypatch.setattr(swap._Swap, moment, stopped)
    with pytest.raises(TransitionError, match="n'a plus la main"):
        swap.swap_table(frozen, LOG)
    assert state(frozen, LOG) == before
    frozen.take_fence()


def test_a_full_disk_is_refused(frozen: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(frozen, LOG)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10_000})())
    with pytest.raises(TransitionError, match=r"n'a plus que 0,0 Gio"):
        swap.swap_table(frozen, LOG)
    assert state(frozen, LOG) == before


def test_the_plan_tells_which_way_a_table_goes_and_why(frozen: Campaign) -> None:
    text = plan_table(frozen)
    [log] = [line for line in text.splitlines() if line.startswith(f"  {LOG} par ")]
    assert re.fullmatch(rf"  {LOG} par échange : \d+ % des lignes partent\.", log)
    [rule] = [line for line in text.splitlines() if "Journaux" in line and line.split()[-1] in ("lots", "échange")]
    assert rule.split()[-1] == "échange"


def test_a_row_format_that_only_the_servers_old_default_gave_stays(frozen: Campaign) -> None:
    posts = frozen.moodle[POSTS]
    where = {"schema": posts.schema, "name": posts.name}
    told = sa.text(
        "SELECT row_format FROM information_schema.tables WHERE table_schema = :schema AND table_name = :name"
    )
    with frozen.engine.connect() as connection:
        usual = connection.execute(told, where).scalar_one()
        connection.execute(sa.text("SET GLOBAL innodb_default_row_format = compact"))
        connection.execute(sa.text(f"ALTER TABLE {quoted(posts)} ROW_FORMAT = DEFAULT"))
        connection.execute(sa.text("SET GLOBAL innodb_default_row_format = dynamic"))
        assert connection.execute(told, where).scalar_one() == "Compact" != usual
    swap.swap_table(frozen, POSTS)
    with frozen.engine.connect() as connection:
        assert connection.execute(told, where).scalar_one() == "Compact"
    undo(frozen, POSTS)
    with frozen.engine.connect() as connection:
        connection.execute(sa.text(f"ALTER TABLE {quoted(posts)} ROW_FORMAT = {usual}"))


def test_some_rows_are_copied_once_the_pages_are_full(frozen: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "ROW_SPLITTER", 2)
    monkeypatch.setattr(swap, "INDEX_SPLITTER", 4)
    copied, done = frozen.moodle[POSTS], list[str | int]()

    def note(_: object, cursor: Any, statement: str, *___: object) -> None:
        if f"swap_{copied.name}" in statement and statement.startswith(("ALTER", "INSERT")):
            done.append(cursor.rowcount if statement.startswith("INSERT") else statement.split()[3])

    kept = state(frozen, POSTS)[0].keys() - keyed(frozen, POSTS)
    remainders = Counter(zlib.crc32(str(id_).encode()) % 4 for id_ in kept)
    shares = [remainders[1] + remainders[3], remainders[2], remainders[0]]
    assert all(shares)
    sa.event.listen(frozen.server, "after_cursor_execute", note)
    try:
        swap.swap_table(frozen, POSTS)
    finally:
        sa.event.remove(frozen.server, "after_cursor_execute", note)
    undo(frozen, POSTS)
    assert done == ["DROP", shares[0], shares[1], "ADD", shares[2], "AUTO_INCREMENT"]


def test_a_disk_that_cannot_be_seen_is_told(
    frozen: Campaign, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "airflow.example")
    swap.swap_table(frozen, RECENT)
    undo(frozen, RECENT)
    assert f"n'est pas visible d'ici : l'échange de {frozen.moodle[RECENT].name} y demande" in caplog.text


def test_the_key_view_of_a_swap_that_never_was_is_dropped(frozen: Campaign) -> None:
    keys = frozen_keys(frozen, LOG)
    with frozen.engine.connect() as connection:
        assert is_view(connection, keys)
        write_down(connection, frozen, keys)
        assert not sa.inspect(connection).has_table(keys.name, keys.schema)
        point(connection, frozen, LOG, frozen.moodle.schema)


def test_writing_keys_down_is_killed_at_every_statement_then_run_again(frozen: Campaign) -> None:
    swap.swap_table(frozen, LOG)
    keys, seen = frozen_keys(frozen, LOG), keyed(frozen, LOG)

    def work() -> None:
        with frozen.engine.connect() as connection:
            write_down(connection, frozen, keys)

    statement, forms = 0, Counter[str]()
    while die_in(frozen, work, statement := statement + 1):
        with frozen.engine.connect() as connection:
            forms["view" if is_view(connection, keys) else "table"] += 1
            assert keyed(frozen, LOG) == seen, "a restore finds them at any moment"
            write_down(connection, frozen, keys)
            assert not is_view(connection, keys)
            assert keyed(frozen, LOG) == seen
            inspector = sa.inspect(connection)
            names = {*inspector.get_table_names(keys.schema), *inspector.get_view_names(keys.schema)}
            assert {name for name in names if name.startswith(keys.name)} == {keys.name}
            connection.execute(sa.text(f"DROP TABLE {quoted(keys)}"))
            point(connection, frozen, LOG, frozen.archive_schema)
    assert statement > 15, "too few kill points to mean anything"
    assert forms.keys() == {"view", "table"}
    with frozen.engine.connect() as connection:
        connection.execute(sa.text(f"DROP TABLE {quoted(keys)}"))
        point(connection, frozen, LOG, frozen.archive_schema)
    undo(frozen, LOG)


def test_the_whole_chain_by_swaps(frozen: Campaign) -> None:
    """Last: it carries the campaign to its end."""
    before = dump(frozen.server, frozen.moodle.schema)
    with frozen.engine.connect() as connection:
        names = set(connection.execute(sa.select(tables.way.c.table_name).where(tables.way.c.way == SWAP)).scalars())
    going = {name: keyed(frozen, name) for name in names}
    assert len(names) > 100
    run_chain(frozen, ["ex_rename", "purge", "file_contents", "enrolment", "verify", "maintenance_off"])
    after = dump(frozen.server, frozen.moodle.schema)
    for name in names:
        assert after[name] == {id_: row for id_, row in before[name].items() if id_ not in going[name]}, name


def test_verify_sees_a_row_left_and_a_row_of_another_space(frozen: Campaign) -> None:
    """After the chain: the log's keys are a view over the archive."""
    log, archived = frozen.moodle[LOG], move.archive_table(frozen, LOG)
    verify.verify(frozen)
    one, courseid, contextid = (min(keyed(frozen, LOG)), archived.c.courseid, archived.c.contextid)
    with frozen.engine.begin() as connection:
        place = sa.select(courseid, contextid).where(archived.c.id == one)
        course, context = connection.execute(place).one()
        connection.execute(sa.insert(log).from_select(log.c.keys(), sa.select(archived).where(archived.c.id == one)))
    with pytest.raises(
        TransitionError, match=rf"{LOG} : ([\d\xa0]+) lignes? à déplacer, \1 en archive, 1 encore dans Moodle"
    ):
        verify.verify(frozen)
    with frozen.engine.begin() as connection:
        connection.execute(sa.delete(log).where(log.c.id == one))
        of_a_course = tables.space_context.c
        other = sa.select(of_a_course.contextid).where(of_a_course.courseid != course, of_a_course.contextlevel == 50)
        elsewhere = sa.update(archived).where(archived.c.id == one)
        connection.execute(elsewhere.values(contextid=other.limit(1).scalar_subquery()))
    with pytest.raises(TransitionError, match=f"{LOG} : 1 ligne déplacée est d'un autre espace"):
        verify.verify(frozen)
    with frozen.engine.begin() as connection:
        connection.execute(elsewhere.values(contextid=context))
    verify.verify(frozen)


def test_a_later_run_writes_the_keys_down_space_by_space_before_it_closes_moodle(
    frozen: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, seen, later = frozen_keys(frozen, LOG), keyed(frozen, LOG), replace(frozen, run_id="later")
    later.take_fence()
    with frozen.engine.begin() as connection:
        counts = count_keys(connection, keys, frozen.run)
        ways.store_way(connection, later, LOG, ways.Way(ways.CHUNKS, "l'archive de l'année a déjà des lignes"))

    def die(*_: object) -> None:
        raise InterruptedError

    copy = quoted(f"{keys.name}_copy", keys.schema)
    with monkeypatch.context() as patched:
        patched.setattr("transition.pace.Pace.after", die)
        for done in (1, 2):
            with pytest.raises(InterruptedError):
                maintenance.close(later)
            with frozen.engine.connect() as connection:
                assert is_view(connection, keys)
                query = sa.text(f"SELECT COUNT(DISTINCT courseid) FROM {copy}")
                assert connection.execute(query).scalar() == done < len(counts)
            assert list(under_way(later)) == [], "Moodle is still open"
    for _ in range(2):
        maintenance.close(later)
        with frozen.engine.connect() as connection:
            assert not is_view(connection, keys)
            assert (keyed(frozen, LOG), count_keys(connection, keys, frozen.run)) == (seen, counts)
    assert list(under_way(later))
    frozen.take_fence()
    verify.verify(frozen)
