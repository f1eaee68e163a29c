"""The rules against the policy, on the real Moodle: what goes, what stays, and that no table is forgotten."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.rules.expected_rows import EXPECTED, IN, KEPT, REPEATER, TEACHERS, contexts
from transition.audit import Uncovered, uncovered, unknown_to
from transition.keys import fill_values
from transition.moodle.database import MoodleDatabase, open_engine
from transition.moodle.references import References
from transition.rules.compile import Scope, absent_tables, compile_rule, moved_tables, unknown_columns
from transition.rules.kept import kept_rows, load_kept
from transition.rules.model import Rule, load_rule, load_rules, rule_names
from transition.state import tables

COURSE_TABLES = [tables.decision, tables.space_context, tables.standing]
FILL = [
    """INSERT INTO {state}.space_context
        SELECT 1, x.id, s.instanceid, x.contextlevel, x.instanceid, COALESCE(m.name, '') FROM mdl_context s
        JOIN mdl_context x ON x.id = s.id OR x.path LIKE CONCAT(s.path, '/%')
        LEFT JOIN mdl_course_modules cm ON x.contextlevel = 70 AND cm.id = x.instanceid
        LEFT JOIN mdl_modules m ON m.id = cm.module WHERE s.contextlevel = 50 AND s.instanceid > 1""",
    f"""INSERT INTO {{state}}.decision
        SELECT 1, id, shortname, shortname, fullname, '', 'reset', '', id {IN} FROM mdl_course WHERE id > 1""",
    f"""INSERT INTO {{state}}.standing
        SELECT DISTINCT 1, e.courseid, ue.userid, CASE WHEN ue.userid IN {TEACHERS} THEN 'teacher'
        WHEN ue.userid = {REPEATER} THEN 'staying' ELSE 'leaving' END
        FROM mdl_user_enrolments ue JOIN mdl_enrol e ON e.id = ue.enrolid""",
]


@dataclass(frozen=True)
class Reached:
    """What the rules select: per table, each row's id with the rules that reach it; and the rules, as compiled."""

    rows: dict[str, dict[int, set[str]]]
    engine: sa.Engine
    moodle: MoodleDatabase
    rules: list[Rule]

    def ids(self, sql: str) -> set[int]:
        with self.engine.connect() as connection:
            return set(connection.execute(sa.text(sql)).scalars())


def compiled(server: PrivateMariaDB, moodle_schema: str, state: str) -> Iterator[Reached]:
    """Everything that the rules select of a Moodle, with a state schema that lasts as long as the generator."""
    engine = open_engine(server.url(moodle_schema)).execution_options(schema_translate_map={tables.STATE: state})
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {state}"))
    tables.metadata.create_all(engine, tables=COURSE_TABLES)
    moodle, rules = MoodleDatabase(engine, "mdl_"), load_rules()
    rows: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    with engine.begin() as connection:
        for statement in FILL:
            connection.execute(sa.text(statement.format(state=state)))
        for rule in rules:
            for trace in compile_rule(rule, moodle, Scope(run=1)):
                fill_values(connection, trace)
                for row in connection.execute(trace.rows):
                    rows[trace.table][row.id].add(rule.rule)
    yield Reached(rows, engine, moodle, rules)
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP DATABASE {state}"))
    engine.dispose()


@pytest.fixture(scope="module")
def reached(server: PrivateMariaDB, reference_moodle: sa.Engine) -> Iterator[Reached]:
    yield from compiled(server, reference_moodle.url.database or "", "policy_rules_state")


@pytest.mark.parametrize("table", EXPECTED)
def test_rows_that_go(reached: Reached, table: str) -> None:
    expected = reached.ids(f"SELECT id FROM mdl_{table} WHERE {EXPECTED[table]}")
    assert expected, "the real database shows nothing here: the expectation proves nothing"
    assert set(reached.rows[table]) == expected


def test_no_other_table_is_touched(reached: Reached) -> None:
    assert {table for table, rows in reached.rows.items() if rows} == set(EXPECTED)


def test_no_row_belongs_to_two_rules(reached: Reached) -> None:
    shared = {(t, *sorted(rules)) for t, rows in reached.rows.items() for rules in rows.values() if len(rules) > 1}
    assert shared == set()


@pytest.mark.parametrize("what", KEPT)
def test_rows_that_stay(reached: Reached, what: str) -> None:
    table, condition = KEPT[what]
    kept = reached.ids(f"SELECT id FROM mdl_{table} WHERE {condition}")
    assert kept, "the real database shows nothing here: the expectation proves nothing"
    assert kept.isdisjoint(reached.rows[table])


PERSON = re.compile(
    r"user|^(author|reviewer|student|teacher|recipient|requester|grader|rater|owner|modifier)(id)?$|by$"
)
STILL_NAMED = {  # columns that name students in rows the policy keeps
    "files": "component IN ('mod_glossary', 'mod_wiki')",
    "competency_evidence": "1",  # usercompetencyid: the student's own profile of competencies
    "forum_discussions": "1",  # usermodified: who wrote last in a single-discussion forum
    "grade_items_history": "1",  # loggeduser: who was logged in when an item was recalculated
    "role_capabilities": "1",  # modifierid
}


def test_no_student_is_left_in_the_spaces(reached: Reached) -> None:
    """Not through the rules' paths: any table with a column of the space and one of a person."""
    left = {}
    for name, table in reached.moodle.tables.items():
        people = [c.name for c in table.c if PERSON.search(c.name) and isinstance(c.type, sa.BigInteger)]
        places = [f"{c} {IN}" for c in ("course", "courseid", "course_id") if c in table.c]
        places += [f"{c} IN {contexts()}" for c in ("contextid", "usingcontextid", "parentcontextid") if c in table.c]
        if not people or not places or name == "role_assignments":  # whose repeaters stay
            continue
        students = " OR ".join(f"({c} IN (SELECT id FROM mdl_user WHERE username LIKE '22300%'))" for c in people)
        where = f"({' OR '.join(places)}) AND ({students}) AND NOT ({STILL_NAMED.get(name, '0')})"
        if rest := reached.ids(f"SELECT id FROM mdl_{name} WHERE {where}") - set(reached.rows[name]):
            left[name] = len(rest)
    assert left == {}


VARIANTS = {"scorm_scoes_track", "questionnaire_response_file"}  # not in this Moodle, on purpose


def test_rules_name_only_what_exists(reached: Reached) -> None:
    assert [c for rule in reached.rules for c in unknown_columns(rule, reached.moodle)] == []
    absent = [table for rule in reached.rules for table in absent_tables(rule, reached.moodle)]
    assert {table.table for table in absent} == VARIANTS
    assert all(table.variant for table in absent)


def test_dates_are_columns_of_the_activity(reached: Reached) -> None:
    unknown = [
        f"{rule.activity}.{date}"
        for rule in reached.rules
        for date in rule.dates
        if rule.activity is None or date not in reached.moodle[rule.activity].c
    ]
    assert unknown == []


def test_every_activity_and_every_table_is_purged_or_kept_with_a_reason(reached: Reached) -> None:
    """The audit of preflight, on the whole schema: not even a table that names nobody is forgotten."""
    nothing: frozenset[str] = frozenset()
    assert uncovered(reached.moodle, reached.rules, load_kept()) == Uncovered(nothing, nothing, nothing)


def test_kept_tables_are_tables_of_this_moodle(reached: Reached) -> None:
    kept = load_kept()
    declared = {entry.table for entry in kept.rows}
    assert (kept.reasons.keys() | declared) - reached.moodle.tables.keys() == set()
    assert unknown_to(References(reached.moodle), kept_rows(reached.rules, kept)) == []


@pytest.mark.parametrize("name", [name for name in rule_names() if load_rule(name).traces])
def test_a_rule_removed_is_missed(reached: Reached, name: str) -> None:
    rest = [rule for rule in reached.rules if rule.rule != name]
    shared = {table for rule in rest for table in moved_tables(rule, reached.moodle)}
    found = uncovered(reached.moodle, rest, load_kept())
    alone = moved_tables(load_rule(name), reached.moodle) - shared
    assert alone - {"files"} <= found.naming | found.others
    assert alone - {"files"}, "the audit cannot miss this rule"
