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
from tests.support.campaign import NEWCOMERS, add_newcomers, reference_feed, reference_platform, run_chain
from tests.support.dump import Rows, compare, dump
from transition.calendars.due import Due, due_spaces, refuse_unfinished
from transition.calendars.form import Request, change
from transition.campaign import Campaign
from transition.decisions import still_excluded
from transition.errors import TransitionError
from transition.state import tables

MOODLE = "moodle_deferred"
OURS = {"ecampus_transition", "ecampus_2026", MOODLE}
CODE, SPACE = "M1DRO201", 5
CLOSES = date(2027, 1, 15)  # in another calendar year than the campaign's
ASKED: dict[str, Any] = {"cible_type": "element", "cible": CODE, "motif": "Stage", "demandeur": "Zoé Lambert"}
UP_TO_PLAN = ["preflight", "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan", "approval"]


@dataclass(frozen=True)
class World:
    """The database after the transition of August; every trace of the deferred space, by table, as the policy says."""

    engine: sa.Engine
    first: Campaign
    before: dict[str, Rows]
    traces: dict[str, frozenset[int]]
    after: dict[str, Rows]

    def campaign(self, run_id: str, day: date, **fields: Any) -> Campaign:
        return replace(self.first, run_id=run_id, day=day, **fields)

    def dump(self) -> dict[str, Rows]:
        return dump(self.engine, MOODLE)

    def ask(self, run_id: str, day: date, action: Any = "add", **fields: Any) -> None:
        change(self.campaign(run_id, day), Request(action, **(ASKED | fields if action == "add" else fields)))


@pytest.fixture(scope="module")
def world(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    drop_databases(server, OURS)
    load_dump(server, reference / DUMP, MOODLE)
    engine = sa.create_engine(server.url(MOODLE))
    add_newcomers(engine)
    folder = tmp_path_factory.mktemp("deferred")
    reference_feed(folder / "feed")
    first = Campaign(
        reference_platform(folder / "storage"), 2026, "august", engine, feed=folder / "feed", dry_run=False,
        day=date(2026, 8, 16),
    )  # fmt: skip
    asked = Request("add", **ASKED, type="decale", fin=str(CLOSES))
    change(replace(first, run_id="form", day=date(2026, 6, 2)), asked)
    before = dump(engine, MOODLE)
    traces = {table: _ids(engine, table, where.replace(IN, f"IN ({SPACE})")) for table, where in EXPECTED.items()}
    traces["user_enrolments"] = _ids(
        engine, "user_enrolments",
        f"enrolid IN (SELECT id FROM mdl_enrol WHERE courseid = {SPACE}) AND userid NOT IN {TEACHERS}",
    )  # fmt: skip
    run_chain(first)
    yield World(engine, first, before, {table: ids for table, ids in traces.items() if ids}, dump(engine, MOODLE))
    engine.dispose()
    drop_databases(server, OURS)


def _ids(engine: sa.Engine, table: str, where: str) -> frozenset[int]:
    with engine.connect() as connection:
        return frozenset(connection.execute(sa.text(f"SELECT id FROM mdl_{table} WHERE {where}")).scalars())


def test_august_leaves_the_space_as_it_is_in_every_table(world: World) -> None:
    found = compare(world.before, world.after)
    assert len(found) > 50, "the other spaces were reset"
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
    assert due_spaces(world.campaign("night", date(2027, 1, 14))) == []
    [due] = due_spaces(world.campaign("night", CLOSES))
    assert (due.year, due.codes) == (2026, (CODE,)), "the campaign's year, whatever the day's"
    refuse_unfinished(world.campaign("night", CLOSES), due)

    # The plan is approved, then an engineer excludes the space: nothing moves.
    excluded = world.campaign("excluded", CLOSES, courses=due.codes)
    run_chain(excluded, UP_TO_PLAN)
    world.ask("exclusion", CLOSES, type="exclu")
    assert still_excluded(excluded) == {SPACE}
    with pytest.raises(TransitionError, match="Le plan approuvé est périmé : règles, calendriers"):
        run_chain(excluded, ["freeze"])
    assert due_spaces(world.campaign("night", CLOSES)) == []
    run_chain(excluded, ["detect_missing", "plan", "approval", "freeze", "ex_rename", "purge", "enrolment", "verify"])
    assert compare(world.after, world.dump()) == {}
    world.ask("no exclusion", CLOSES, "withdraw", entry=2)

    # The run that carries it out is killed after the freeze: another one takes over, since it finishes its spaces.
    assert due_spaces(world.campaign("night", CLOSES)) == [due]
    killed = world.campaign("killed", CLOSES, courses=due.codes)
    run_chain(killed, [*UP_TO_PLAN, "freeze"])
    refuse_unfinished(world.campaign("night", CLOSES), due)
    with pytest.raises(TransitionError, match=r"L'exécution killed \(2026\) n'est pas terminée \(1 espaces\)"):
        refuse_unfinished(world.campaign("night", CLOSES), Due(2026, ()))
    run_chain(world.campaign("deferred", CLOSES, courses=due.codes))

    found = compare(world.after, world.dump())
    gone = {table: difference.gone for table, difference in found.items() if difference.gone}
    roles = gone.pop("role_assignments")
    assert gone == world.traces
    assert {world.after["role_assignments"][id_]["contextid"] for id_ in roles} <= _contexts(world)
    changed = {table: set(difference.changed) for table, difference in found.items() if difference.changed}
    assert changed.pop("course") == {SPACE}
    assert changed.keys() <= {"config", "config_plugins"}
    added = {table: difference.added for table, difference in found.items() if difference.added}
    assert {table: len(ids) for table, ids in added.items()} == {
        "user_enrolments": len(NEWCOMERS), "role_assignments": len(NEWCOMERS),
    }  # fmt: skip

    # Done once and for all.
    assert due_spaces(world.campaign("night", CLOSES)) == []
    assert due_spaces(world.campaign("night", date(2027, 6, 1))) == []
    now = world.dump()
    run_chain(world.campaign("again", CLOSES, courses=due.codes))
    assert compare(now, world.dump()) == {}
    with world.first.engine.connect() as connection:
        years = connection.execute(sa.select(tables.run.c.year).distinct()).scalars().all()
    assert years == [2026]


def _contexts(world: World) -> set[int]:
    contexts = world.before["context"].values()
    [path] = [row["path"] for row in contexts if (row["contextlevel"], row["instanceid"]) == (50, SPACE)]
    return {row["id"] for row in contexts if f"{row['path']}/".startswith(f"{path}/")}
