"""A Moodle of any size, built by set-based SQL with Moodle's own table definitions (``demo/catalogue.tsv``).

Rows of all spaces are interleaved, as they are on a site where everybody works at the same time. All data is invented.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from demo.catalogue import create_tables, read_catalogue
from transition.moodle.database import index_definitions

PREFIX, SITE = "mdl_", "http://bench.example"
FIRST = 2  # the first course id after the site's own
# Contexts: of course c, and of its activities.
COURSE_CONTEXT, _MODULE_CONTEXT = "(1000 + {c})", "(1000000 + {cm})"
_FORUM, _QUIZ = 1, 2  # modules.id


@dataclass(frozen=True)
class Size:
    """How many spaces, how many of them go, and rows of a space."""

    spaces: int
    going: int
    log: int
    students: int = 40

    @property
    def per_space(self) -> dict[str, int]:
        """Rows of one space, by table."""
        students = self.students
        return {
            "forum_discussions": 10, "forum_posts": 5 * students, "question_usages": students,
            "quiz_attempts": students, "question_attempts": 7 * students, "question_attempt_steps": 14 * students,
            "question_attempt_step_data": 14 * students, "grade_grades": 2 * students,
            "grade_grades_history": 4 * students, "course_modules_completion": 2 * students,
            "logstore_standard_log": self.log,
        }  # fmt: skip

    @property
    def rows(self) -> int:
        """Trace rows of all spaces."""
        return self.spaces * sum(self.per_space.values())

    @property
    def last_going(self) -> int:
        """Course id of the last space that goes; the others stay."""
        return FIRST + self.going - 1


def build(connection: sa.Connection, size: Size) -> None:
    """Create every table of Moodle in the connection's database, and fill those that the benchmark needs."""
    create_tables(connection, PREFIX)
    for name, rows, values in (*settings(size), *_traces(size)):
        fill(connection, name, rows, values)
    names = ", ".join(f"{PREFIX}{name}" for name in size.per_space)
    connection.exec_driver_sql(f"ANALYZE TABLE {names}").all()


def settings(size: Size) -> list[tuple[str, int, dict[str, str]]]:
    """Courses and activities: a forum, a quiz and two grade items each; by table, number of rows and values."""
    c, cm = f"(n + {FIRST - 1})", f"(n + {2 * FIRST - 1})"
    of = f"({cm} DIV 2)"
    course_context, module_context = COURSE_CONTEXT.format(c=c), _MODULE_CONTEXT.format(cm=cm)
    above = COURSE_CONTEXT.format(c=of)
    return [
        ("config", 1, {"name": "'mnet_localhost_id'", "value": "'1'"}),
        ("mnet_host", 1, {"id": "1", "wwwroot": f"'{SITE}'"}),
        ("modules", 2, {"id": "n", "name": "ELT(n, 'forum', 'quiz')"}),
        ("course", size.spaces, {"id": c, "category": "1", "sortorder": c, "fullname": f"CONCAT('Espace ', {c})",
                                 "shortname": f"CONCAT('S', {c})", "idnumber": f"CONCAT('CODE', {c})"}),
        ("forum", size.spaces, {"id": c, "course": c, "name": "'Forum'"}),
        ("quiz", size.spaces, {"id": c, "course": c, "name": "'Test'"}),
        ("context", size.spaces, {"id": course_context, "contextlevel": "50", "instanceid": c, "depth": "2",
                                  "path": f"CONCAT('/1/', {course_context})"}),
        ("course_modules", 2 * size.spaces, {"id": cm, "course": of, "module": f"1 + {cm} % 2", "instance": of}),
        ("context", 2 * size.spaces, {"id": module_context, "contextlevel": "70", "instanceid": cm, "depth": "3",
                                      "path": f"CONCAT('/1/', {above}, '/', {module_context})"}),
        ("grade_items", 2 * size.spaces, {"id": cm, "courseid": of, "itemtype": "'manual'"}),
    ]  # fmt: skip


def _traces(size: Size) -> list[tuple[str, int, dict[str, str]]]:
    """What students left, by table, number of rows and values."""
    spaces, students, per = size.spaces, size.students, size.per_space
    c, item = f"({FIRST} + (n - 1) % {spaces})", f"({2 * FIRST} + (n - 1) % {2 * spaces})"
    person, person_of_item = f"10 + (n - 1) DIV {spaces}", f"10 + (n - 1) DIV {2 * spaces}"
    when = "1750000000 + n"
    text = "REPEAT(CONCAT('Une phrase ', n, '. '), 8)"
    quiz_context = _MODULE_CONTEXT.format(cm=f"(2 * {c} + 1)")
    values = {
        "forum_discussions": {"course": c, "forum": c, "name": "CONCAT('Sujet ', n)", "userid": person},
        "forum_posts": {"discussion": f"1 + (n - 1) % {10 * spaces}", "userid": person, "subject": "'Sujet'",
                        "message": text, "created": when},
        "question_usages": {"contextid": quiz_context, "component": "'mod_quiz'", "preferredbehaviour": "'deferred'"},
        "quiz_attempts": {"quiz": c, "userid": person, "attempt": "1", "uniqueid": "n", "layout": "'1,2,3,0'"},
        "question_attempts": {"questionusageid": f"1 + (n - 1) % {students * spaces}", "questionid": "n % 1000 + 1",
                              "slot": f"1 + (n - 1) DIV {students * spaces}", "behaviour": "'deferred'",
                              "questionsummary": text, "responsesummary": "CONCAT('Réponse ', n)"},
        "question_attempt_steps": {"questionattemptid": f"1 + (n - 1) % {7 * students * spaces}", "state": "'complete'",
                                   "sequencenumber": f"(n - 1) DIV {7 * students * spaces}", "userid": "n % 1000"},
        "question_attempt_step_data": {"attemptstepid": "n", "name": "'answer'", "value": "CONCAT('valeur ', n)"},
        "grade_grades": {"itemid": item, "userid": person_of_item, "finalgrade": "n % 20"},
        "grade_grades_history": {"itemid": item, "userid": person_of_item, "action": "1", "oldid": "n",
                                 "source": "'mod/quiz'", "timemodified": when},
        "course_modules_completion": {"coursemoduleid": item, "userid": person_of_item, "completionstate": "1"},
        "logstore_standard_log": {
            "eventname": r"CONCAT('\\mod_', ELT(1 + n % 3, 'quiz', 'forum', 'assign'), '\\event\\viewed')",
            "component": "ELT(1 + n % 3, 'mod_quiz', 'mod_forum', 'mod_assign')", "action": "'viewed'",
            "target": "'course_module'", "objecttable": "'quiz'", "objectid": c, "crud": "'r'", "edulevel": "2",
            "contextid": quiz_context, "contextlevel": "70", "contextinstanceid": f"2 * {c} + 1",
            "userid": "10 + n * 7919 % 30011", "courseid": c, "other": "'N;'", "timecreated": when, "origin": "'web'",
            "ip": "CONCAT('10.', n % 250, '.', n % 199, '.', n % 97)",
        },
    }  # fmt: skip
    return [(name, spaces * per[name], values[name]) for name in per]


def fill(connection: sa.Connection, name: str, rows: int, values: dict[str, str]) -> None:
    """Insert rows numbered n = 1, 2…; columns without a value get what Moodle's definition gives them."""
    columns, expressions = [], []
    for column in read_catalogue()[name].columns:
        if column.auto and column.name not in values:
            continue
        filler = "NULL" if column.filler is None else repr(column.filler)
        columns.append(f"`{column.name}`")
        expressions.append(values.get(column.name, filler))
    statement = (
        f"INSERT INTO {PREFIX}{name} ({', '.join(columns)})"  # noqa: S608 (nothing comes from outside)
        f" SELECT {', '.join(expressions)} FROM (SELECT seq AS n FROM seq_1_to_{rows}) numbers"
    )
    with without_indexes(connection, f"{PREFIX}{name}"):
        connection.exec_driver_sql(statement.replace("%", "%%"))
        connection.commit()


@contextmanager
def without_indexes(connection: sa.Connection, table: str) -> Iterator[None]:
    """Make a table's indexes once its rows are there: a fraction of the time, and pages as full as OPTIMIZE leaves."""
    indexes = index_definitions(connection.exec_driver_sql(f"SHOW CREATE TABLE {table}").one()[1])
    if indexes:
        connection.exec_driver_sql(f"ALTER TABLE {table} {', '.join(f'DROP INDEX {name}' for name in indexes)}")
    yield
    if indexes:
        added = ", ".join(f"ADD {definition}" for definition in indexes.values())
        connection.exec_driver_sql(f"ALTER TABLE {table} {added}")
