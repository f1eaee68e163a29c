"""Tables swapped: what goes and what stays, rows that Moodle writes meanwhile, and when a swap is refused."""

import re
import zlib
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

from tests.swap.helpers import LOG, POSTS, RECENT, indexes, keyed, next_id, rows, state, undo
from transition import maintenance, move, swap, verify
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.moodle.database import quoted
from transition.report.plan_table import plan_table
from transition.state import tables

SWAPPED = {LOG: "logs", RECENT: "last_access", POSTS: "forum"}


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
