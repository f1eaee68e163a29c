"""The policy, case by case: each folder of ``cases`` seeds a small Moodle and says which rows go, or what is refused.

``case.yaml``: the policy's sentence, the rules concerned, the rows that go and those that stay (every seeded row of the
tables named is one or the other) or, for a rule that must be refused, what the refusal says. ``seed.sql``: the rows,
with the variables of ``world.py``. ``rule.yaml``: a rule of the case's own, for a module whose tables ``schema.sql``
creates.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from tests.rules.world import ACTIVITIES, add_activity, record_activity, variables
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.keys import fill_values
from transition.moodle.database import MoodleDatabase
from transition.rules.compile import Scope, compile_rule
from transition.rules.model import Rule, load_rule, load_rules

CASES = sorted(path.parent for path in (Path(__file__).parent / "cases").glob("*/case.yaml"))
KEYS = {"policy", "rules", "goes", "stays", "refused"}
OWN = len(ACTIVITIES) + 1  # number of a case's own activity plugin


def facts_of(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = yaml.safe_load((folder / "case.yaml").read_text(encoding="utf-8"))
    assert set(facts) <= KEYS
    assert facts["policy"]
    return facts


def of_kind(refused: bool) -> list[Any]:
    return [pytest.param(path, id=path.name) for path in CASES if ("refused" in facts_of(path)) == refused]


@pytest.mark.parametrize("folder", of_kind(refused=False))
def test_rows_that_go(small: Campaign, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = facts_of(folder)
    rules = own_rule(folder, tmp_path, monkeypatch) or [load_rule(name) for name in facts["rules"]]
    activity = next((rule.activity for rule in rules if rule.activity), None)
    with tables_of(small, folder, activity), small.engine.connect() as connection:
        seed(connection, folder, activity)
        moodle = MoodleDatabase(small.server, "mdl_")
        gone: dict[str, set[int]] = defaultdict(set)
        for rule in rules:
            for trace in compile_rule(rule, moodle, Scope(small.run)):
                fill_values(connection, trace)
                gone[trace.table] |= set(connection.execute(trace.rows).scalars())
        goes, stays = ({t: set(ids) for t, ids in facts.get(key, {}).items()} for key in ("goes", "stays"))
        assert {table: ids for table, ids in gone.items() if ids} == goes
        for table in goes.keys() | stays.keys():
            seeded = set(connection.execute(sa.text(f"SELECT id FROM mdl_{table}")).scalars())
            assert seeded - goes.get(table, set()) == stays.get(table, set()), table


@pytest.mark.parametrize("folder", of_kind(refused=True))
def test_rules_that_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_file(folder, tmp_path, monkeypatch)
    with pytest.raises(TransitionError) as caught:
        load_rules()
    assert facts_of(folder)["refused"] in str(caught.value)


def own_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put the case's rule alone in a folder of rules; returns its file's name: the activity's, else « essai »."""
    text = (folder / "rule.yaml").read_text(encoding="utf-8")
    found = re.search(r"^activity: *(\w+)", text, re.MULTILINE)
    name = found[1] if found else "essai"
    copy(folder / "rule.yaml", tmp_path / f"{name}.yaml")
    monkeypatch.setenv("TRANSITION_RULES", str(tmp_path))
    return name


def own_rule(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Rule]:
    return [load_rule(own_file(folder, tmp_path, monkeypatch))] if (folder / "rule.yaml").exists() else []


def seed(connection: sa.Connection, folder: Path, activity: str | None) -> None:
    """The case's rows, in the connection's transaction, which nobody commits."""
    connection.exec_driver_sql("SET SESSION sql_mode = ''")  # columns that are not given take their type's zero
    known = variables(activity) | ({} if activity in ACTIVITIES else {"contexte": 2000 + OWN, "cm": 2000 + OWN})
    connection.exec_driver_sql("SET " + ", ".join(f"@{name} = {value}" for name, value in known.items()))
    for statement in statements(folder / "seed.sql"):
        connection.exec_driver_sql(statement)


def statements(path: Path) -> Iterator[str]:
    """The statements of a file; each ends with a semicolon at the end of a line."""
    text = re.sub(r"^--.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    yield from (
        part.strip().replace("%", "%%") for part in re.split(r";\s*$", text, flags=re.MULTILINE) if part.strip()
    )


@contextmanager
def tables_of(small: Campaign, folder: Path, activity: str | None) -> Iterator[None]:
    """The tables of a case's own module, and its activity, as long as the case lasts."""
    if not (folder / "schema.sql").exists():
        yield
        return
    created = list(statements(folder / "schema.sql"))
    with small.engine.begin() as connection:
        for statement in created:
            connection.exec_driver_sql(statement)
        if activity:
            add_activity(connection, activity, OWN)
            record_activity(connection, small.run, activity, OWN)
    yield
    with small.engine.begin() as connection:
        for statement in created:
            connection.exec_driver_sql(f"DROP TABLE {statement.split()[2]}")
        for table in ("modules", "course_modules", "context"):
            ids = f"{OWN}, {2000 + OWN}, {8000 + OWN}"
            connection.exec_driver_sql(f"DELETE FROM mdl_{table} WHERE id IN ({ids})")
        connection.exec_driver_sql(f"DELETE FROM {small.state_name('space_context')} WHERE module = '{activity}'")
