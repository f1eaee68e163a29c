"""Swaps and what ends them, killed at every SQL statement: nothing lost, nothing twice, and the same end."""

from collections import Counter
from dataclasses import replace

import pytest
import sqlalchemy as sa

from tests.support.kill import die_in
from tests.swap.helpers import LOG, POSTS, RECENT, keyed, picked, state, swap_and_die, undo
from transition import maintenance, move, swap
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.key_views import is_view, point, write_down
from transition.keys import frozen_keys
from transition.moodle.database import quoted
from transition.restore.stage import Request, restore, unfinished_swaps
from transition.state import tables


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
                sa.text("SHOW TABLES FROM swap_2026 WHERE Tables_in_swap_2026 REGEXP '^(swap|kept)_'")
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
