"""Whose rows a swap moved: keys of other runs claim none."""

from dataclasses import replace

import sqlalchemy as sa

from tests.swap.helpers import LOG, POSTS, keyed, picked, state, undo
from transition import move, swap
from transition.campaign import Campaign
from transition.key_views import Whole, is_view, point, spaces_table, write_down, write_spaces
from transition.keys import frozen_keys


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


def test_the_key_view_of_a_swap_that_never_was_is_dropped(frozen: Campaign) -> None:
    keys = frozen_keys(frozen, LOG)
    with frozen.engine.connect() as connection:
        assert is_view(connection, keys)
        write_down(connection, frozen, keys)
        assert not sa.inspect(connection).has_table(keys.name, keys.schema)
        point(connection, frozen, LOG, frozen.moodle.schema)
