"""The campaign carried to its end by swaps, then a later run. The last file of this folder: it keeps what it swaps."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from tests.support.campaign import run_chain
from tests.support.dump import dump
from tests.swap.helpers import LOG, keyed
from transition import maintenance, move, verify, ways
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.key_views import is_view
from transition.keys import count_keys, frozen_keys
from transition.moodle.database import quoted
from transition.restore.stage import under_way
from transition.state import tables
from transition.ways import SWAP


def test_the_whole_chain_by_swaps(frozen: Campaign) -> None:
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
