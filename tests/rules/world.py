"""A very small Moodle, made from the demonstration's catalogue of facts: what the cases start from.

Course 2 is in scope, course 8 is not. Each activity plugin has one activity in each: its own row, if the case writes
one, is number 1 in course 2 and number 9 in course 8. User 3 teaches in course 2, user 6 leaves it, user 8 is enrolled
again, user 9 was unenrolled long ago. SQL variables name all that: see :func:`variables`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from demo.catalogue import create_tables
from demo.server import PrivateMariaDB
from tests.conftest import drop_databases
from tests.support.campaign import reference_platform
from transition.apogee import tables as _apogee_tables  # noqa: F401  (declares its tables)
from transition.campaign import Campaign
from transition.enrolment import tables as _enrolment_tables  # noqa: F401
from transition.moodle.database import open_engine
from transition.rules.model import load_rules
from transition.state import tables

MOODLE, NAME = "small_moodle", "petite"
SPACE, ELSEWHERE = 2, 8
TEACHER, STUDENT, REPEATER, GONE = 3, 6, 8, 9
SPACE_CONTEXT, ELSEWHERE_CONTEXT, TEACHER_CONTEXT = 102, 108, 203
ACTIVITIES = sorted(
    {rule.activity for rule in load_rules() if rule.activity}
    | {name for rule in load_rules() for name in rule.activities_kept}
)
WORLD = [
    "INSERT INTO mdl_course_categories (id, name, idnumber, path) VALUES (1, 'Licence', '', '/1'),"
    " (2, 'Espaces complémentaires', 'ESP-COMP', '/2'), (3, 'Archives', 'ARCHIVES', '/3')",
    "INSERT INTO mdl_course (id, category, fullname, shortname, idnumber) VALUES (1, 0, 'Site', 'site', ''),"
    " (2, 1, 'Algorithmique', 'ALGO', 'ALGO'), (8, 2, 'Entraide', 'ENTRAIDE', 'ENTRAIDE')",
    "INSERT INTO mdl_user (id, username) VALUES (3, 'enseignante'), (6, 'etudiante'), (8, 'redoublante'),"
    " (9, 'partie')",
    "INSERT INTO mdl_context (id, contextlevel, instanceid, path) VALUES (1, 10, 0, '/1'), (102, 50, 2, '/1/102'),"
    " (108, 50, 8, '/1/108'), (203, 30, 3, '/1/203')",
]


def module(activity: str) -> int:
    """Number of an activity plugin (table ``modules``)."""
    return 1 + ACTIVITIES.index(activity)


def variables(activity: str | None) -> dict[str, int]:
    """SQL variables for a case about one activity (None: about the space as a whole)."""
    known = {
        "espace": SPACE, "ailleurs": ELSEWHERE, "enseignante": TEACHER, "etudiante": STUDENT, "redoublante": REPEATER,
        "partie": GONE, "contexte_espace": SPACE_CONTEXT, "contexte_ailleurs": ELSEWHERE_CONTEXT,
        "contexte_enseignante": TEACHER_CONTEXT,
    }  # fmt: skip
    if activity in ACTIVITIES:
        number = module(activity)
        known |= {"contexte": 2000 + number, "contexte_autre": 8000 + number, "cm": 2000 + number}
    return known


@contextmanager
def small_moodle(server: PrivateMariaDB, storage: Path) -> Iterator[Campaign]:
    """The small Moodle with its state schema: a campaign whose run is number 1."""
    engine = sa.create_engine(server.url())
    with engine.begin() as connection:
        for name in (MOODLE, f"{NAME}_transition"):
            connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        connection.exec_driver_sql(f"USE {MOODLE}")
        create_tables(connection)
    engine.dispose()
    engine = open_engine(server.url(MOODLE))
    campaign = Campaign(reference_platform(storage, name=NAME), 2026, "essai", engine)
    tables.metadata.create_all(campaign.engine)
    with campaign.engine.begin() as connection:
        connection.exec_driver_sql("SET SESSION sql_mode = ''")
        for statement in WORLD:
            connection.exec_driver_sql(statement)
        for activity in ACTIVITIES:
            add_activity(connection, activity, module(activity))
        _record_run(connection, campaign.run)
    yield campaign
    engine.dispose()
    drop_databases(server, {MOODLE, f"{NAME}_transition", campaign.archive_schema})


def add_activity(connection: sa.Connection, activity: str, number: int) -> None:
    """An activity plugin with its module and context in both courses: 2000 and 8000 + its number."""
    connection.exec_driver_sql(f"INSERT INTO mdl_modules (id, name) VALUES ({number}, '{activity}')")
    for start, course, instance, above in ((2000, SPACE, 1, SPACE_CONTEXT), (8000, ELSEWHERE, 9, ELSEWHERE_CONTEXT)):
        at = start + number
        connection.exec_driver_sql(
            "INSERT INTO mdl_course_modules (id, course, module, instance)"
            f" VALUES ({at}, {course}, {number}, {instance})"
        )
        connection.exec_driver_sql(
            f"INSERT INTO mdl_context (id, contextlevel, instanceid, path) VALUES ({at}, 70, {at}, '/1/{above}/{at}')"
        )


def record_activity(connection: sa.Connection, run: int, activity: str, number: int) -> None:
    """The state rows of an activity's two contexts."""
    for start, course in ((2000, SPACE), (8000, ELSEWHERE)):
        at = start + number
        connection.execute(
            sa.insert(tables.space_context).values(
                run=run, contextid=at, courseid=course, contextlevel=70, instanceid=at, module=activity
            )
        )


def _record_run(connection: sa.Connection, run: int) -> None:
    for course, context in ((SPACE, SPACE_CONTEXT), (ELSEWHERE, ELSEWHERE_CONTEXT)):
        connection.execute(
            sa.insert(tables.space_context).values(
                run=run, contextid=context, courseid=course, contextlevel=50, instanceid=course, module=""
            )
        )
        connection.execute(
            sa.insert(tables.decision).values(
                run=run, courseid=course, code=str(course), shortname="", fullname="", category="", decision="reset",
                reason="", in_scope=course == SPACE,
            )
        )  # fmt: skip
    for activity in ACTIVITIES:
        record_activity(connection, run, activity, module(activity))
    people = {TEACHER: "teacher", STUDENT: "leaving", REPEATER: "staying"}
    rows = [{"run": run, "courseid": SPACE, "userid": user, "standing": kind} for user, kind in people.items()]
    connection.execute(sa.insert(tables.standing), rows)
