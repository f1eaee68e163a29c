"""A space on its own date, on the real Moodle: August leaves it alone, its night resets it and nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.rules.expected_rows import EXPECTED, IN, TEACHERS
from tests.support.campaign import (
    NEWCOMERS,
    add_newcomers,
    reference_feed,
    reference_platform,
    run_chain,
    swap_every_table,
)
from tests.support.dump import Rows, compare, dump
from transition.calendars.due import Due, Night, due_spaces, refuse_unfinished
from transition.calendars.form import Request, change
from transition.campaign import Campaign, now
from transition.decisions import still_excluded
from transition.errors import TransitionError
from transition.moodle.database import open_engine
from transition.plan import fingerprint, stored_fingerprint
from transition.restore.stage import Request as Restored
from transition.restore.stage import restore
from transition.state import tables

MOODLE = "moodle_deferred"
OURS = {"ecampus_transition", "ecampus_2026", MOODLE}
CODE, SPACE = "M1DRO201", 5
CLOSES = date(2027, 1, 15)  # in another calendar year than the campaign's
ASKED: dict[str, Any] = {"cible_type": "element", "cible": CODE, "motif": "Stage", "demandeur": "Zoé Lambert"}
LEAVING = {
    "user_enrolments": f"""userid NOT IN {TEACHERS} AND enrolid IN
        (SELECT id FROM mdl_enrol WHERE courseid = {SPACE})""",
    "role_assignments": f"""userid NOT IN {TEACHERS} AND contextid IN (SELECT x.id FROM mdl_context s JOIN mdl_context x
        ON x.id = s.id OR x.path LIKE CONCAT(s.path, '/%') WHERE s.contextlevel = 50 AND s.instanceid = {SPACE})""",
}
BEFORE_FREEZE = [
    "preflight", "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan", "approval", "maintenance_on",
]  # fmt: skip
AFTER_FREEZE = ["ex_rename", "purge", "file_contents", "enrolment", "verify", "maintenance_off", "report"]


@dataclass(frozen=True)
class World:
    """The database before and after the transition of August, of the deferred space and another one.

    ``traces``: every trace of the deferred space, by table, as the policy says.
    """

    engine: sa.Engine
    first: Campaign
    before: dict[str, Rows]
    traces: dict[str, frozenset[int]]
    after: dict[str, Rows]

    def campaign(self, run_id: str, day: date, **fields: Any) -> Campaign:
        return replace(self.first, run_id=run_id, day=day, **fields)

    def dump(self) -> dict[str, Rows]:
        return dump(self.engine, MOODLE)

    def ask(self, run_id: str, action: Any, **fields: Any) -> None:
        change(self.campaign(run_id, CLOSES), Request(action, **fields))


@pytest.fixture(scope="module")
def world(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    drop_databases(server, OURS)
    load_dump(server, reference / DUMP, MOODLE)
    engine = open_engine(server.url(MOODLE))
    add_newcomers(engine)
    folder = tmp_path_factory.mktemp("deferred")
    reference_feed(folder / "feed")
    first = Campaign(
        reference_platform(folder / "storage"), 2026, "august", engine, feed=folder / "feed", dry_run=False,
        courses=("LI3INF01", CODE), day=date(2026, 8, 16),
    )  # fmt: skip
    asked = Request("add", **ASKED, type="decale", fin=str(CLOSES))
    change(replace(first, run_id="form", day=date(2026, 6, 2)), asked)
    before = dump(engine, MOODLE)
    traces = {
        table: _ids(engine, table, where.replace(IN, f"IN ({SPACE})"))
        for table, where in EXPECTED.items()
        if table != "user_preferences"  # they name no space: they go with whoever leaves one
    }
    traces |= {table: _ids(engine, table, where) for table, where in LEAVING.items()}
    with pytest.MonkeyPatch.context() as patch:  # August swaps its tables, the space's own night moves chunks of them
        swap_every_table(patch)
        run_chain(first)
    yield World(engine, first, before, {table: ids for table, ids in traces.items() if ids}, dump(engine, MOODLE))
    engine.dispose()
    drop_databases(server, OURS)


def _ids(engine: sa.Engine, table: str, where: str) -> frozenset[int]:
    with engine.connect() as connection:
        return frozenset(connection.execute(sa.text(f"SELECT id FROM mdl_{table} WHERE {where}")).scalars())


def test_august_leaves_the_space_as_it_is_in_every_table(world: World) -> None:
    found = compare(world.before, world.after)
    assert len(found) > 50, "the other space was reset"
    assert sum(map(len, world.traces.values())) > 100
    for table, ids in world.traces.items():
        assert ids <= world.after[table].keys(), table
    for table, difference in found.items():
        touched = [world.before[table][id_] for id_ in (*difference.gone, *difference.changed)]
        touched += [world.after[table][id_] for id_ in difference.added]
        for column in {"course", "courseid"} & (touched[0].keys() if touched else set()):
            assert SPACE not in {row[column] for row in touched}, table
    assert set(found["course"].changed.get(SPACE, ())) <= {"sortorder"}


def test_on_its_night_the_space_is_reset_and_nothing_else(world: World) -> None:
    assert due_spaces(world.campaign("night", date(2027, 1, 14))) == Night()
    [due] = due_spaces(world.campaign("night", CLOSES)).due
    assert (due.year, due.codes) == (2026, (CODE,)), "the campaign's year, whatever the day's"
    refuse_unfinished(world.campaign("night", CLOSES), due)

    # The plan is approved, then an engineer excludes the space: nothing moves.
    deferred = world.campaign("deferred", CLOSES, courses=due.codes)
    run_chain(deferred, BEFORE_FREEZE)
    world.ask("exclusion", "add", **ASKED, type="exclu")
    assert still_excluded(deferred) == {SPACE}
    assert fingerprint(deferred) != stored_fingerprint(deferred), "the approved plan is stale: the freeze refuses it"
    assert due_spaces(world.campaign("night", CLOSES)) == Night()
    assert compare(world.after, world.dump()).keys() <= {"config"}, "Moodle is closed, no more"
    world.ask("no exclusion", "withdraw", entry=2)
    run_chain(deferred, ["freeze"])

    # From here on another run takes over only if it finishes these spaces.
    assert due_spaces(world.campaign("night", CLOSES)) == Night((due,))
    refuse_unfinished(world.campaign("night", CLOSES), due)
    with pytest.raises(TransitionError, match=r"L'exécution deferred \(2026\) n'est pas terminée \(1 espace\)"):
        refuse_unfinished(world.campaign("night", CLOSES), Due(2026, ()))
    run_chain(deferred, AFTER_FREEZE)

    found = compare(world.after, world.dump())
    gone = {table: difference.gone for table, difference in found.items() if difference.gone}
    assert {table: ids for table, ids in gone.items() if table != "user_preferences"} == world.traces
    changed = {table: set(difference.changed) for table, difference in found.items() if difference.changed}
    assert changed.pop("course") == {SPACE}
    assert changed.keys() <= {"config", "config_plugins"}
    added = {table: difference.added for table, difference in found.items() if difference.added}
    assert {table: len(ids) for table, ids in added.items()} == {
        "user_enrolments": len(NEWCOMERS), "role_assignments": len(NEWCOMERS),
    }  # fmt: skip

    # Done once and for all: the next night has nothing to do.
    assert due_spaces(world.campaign("night", CLOSES)) == Night()
    assert due_spaces(world.campaign("night", date(2027, 6, 1))) == Night()
    with world.first.engine.connect() as connection:
        years = connection.execute(sa.select(tables.run.c.year).distinct()).scalars().all()
    assert years == [2026]


def test_a_space_that_was_restored_is_not_due_again_by_itself(world: World) -> None:
    restore(world.campaign("undo", CLOSES), Restored(CODE))
    assert all(ids <= world.dump()[table].keys() for table, ids in world.traces.items() if table not in LEAVING)
    with world.first.engine.connect() as connection:
        done = connection.execute(sa.select(tables.space_reset.c.courseid)).scalars().all()
    assert SPACE not in done, "it may be reset again"
    assert due_spaces(world.campaign("night", CLOSES)) == Night()
    assert due_spaces(world.campaign("night", date(2027, 6, 1))) == Night()

    # A person may still ask for it, and may defer it anew: a campaign let loose since says so.
    asked = world.campaign("asked", CLOSES, courses=(CODE,), dry_run=True)
    assert in_scope(asked) == {SPACE}
    until = date(2027, 3, 1)
    world.ask("withdraw", "withdraw", entry=1)
    world.ask("once more", "add", **ASKED, type="decale", fin=str(until))
    again = world.campaign("other spaces", CLOSES, courses=("LI3INF02",))
    assert in_scope(again) == {3}
    with world.first.engine.begin() as connection:
        frozen = sa.update(tables.run).where(tables.run.c.run_id == again.run_id).values(frozen_at=now())
        connection.execute(frozen)
    assert due_spaces(world.campaign("night", CLOSES)) == Night()
    [due] = due_spaces(world.campaign("night", until)).due
    assert due.codes == (CODE,)


def in_scope(campaign: Campaign) -> set[int]:
    """The courses that a run would reset or archive."""
    run_chain(campaign, ["preflight", "apogee_sync", "detect_missing"])
    decision = tables.decision.c
    with campaign.engine.connect() as connection:
        query = sa.select(decision.courseid).where(decision.run == campaign.run, decision.in_scope)
        return set(connection.execute(query).scalars())
