"""The plain ways to do what the campaign does, measured beside it on copies of the same tables."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from benchmarks.platform import PREFIX, Size, without_indexes

CHUNK = 5_000
# What leads from a table to its course: the joins that a plain DELETE needs, and the course's column.
PATHS = {
    "logstore_standard_log": ("", "t.courseid"),
    "forum_discussions": ("", "t.course"),
    "forum_posts": ("JOIN {s}.mdl_forum_discussions d ON d.id = t.discussion", "d.course"),
    "question_attempt_step_data": (
        "JOIN {s}.mdl_question_attempt_steps st ON st.id = t.attemptstepid"
        " JOIN {s}.mdl_question_attempts qa ON qa.id = st.questionattemptid"
        " JOIN {s}.mdl_quiz_attempts q ON q.uniqueid = qa.questionusageid",
        "q.quiz",
    ),
    "question_attempt_steps": (
        "JOIN {s}.mdl_question_attempts qa ON qa.id = t.questionattemptid"
        " JOIN {s}.mdl_quiz_attempts q ON q.uniqueid = qa.questionusageid",
        "q.quiz",
    ),
    "question_attempts": ("JOIN {s}.mdl_quiz_attempts q ON q.uniqueid = t.questionusageid", "q.quiz"),
    "question_usages": ("JOIN {s}.mdl_quiz_attempts q ON q.uniqueid = t.id", "q.quiz"),
    "grade_grades": ("JOIN {s}.mdl_grade_items i ON i.id = t.itemid", "i.courseid"),
    "grade_grades_history": ("JOIN {s}.mdl_grade_items i ON i.id = t.itemid", "i.courseid"),
    "course_modules_completion": ("JOIN {s}.mdl_course_modules cm ON cm.id = t.coursemoduleid", "cm.course"),
    "quiz_attempts": ("", "t.quiz"),
}
# Children before what leads to them.
ORDER = [
    "logstore_standard_log", "forum_posts", "forum_discussions", "question_attempt_step_data", "question_attempt_steps",
    "question_attempts", "question_usages", "quiz_attempts", "grade_grades", "grade_grades_history",
    "course_modules_completion",
]  # fmt: skip


def copy_tables(engine: sa.Engine, source: str, target: str, names: Sequence[str]) -> None:
    """Copy tables into another schema, definitions and rows, the fast way."""
    with engine.connect() as connection:
        for name in names:
            table = _create(connection, source, target, name)
            with without_indexes(connection, table):
                connection.exec_driver_sql(f"INSERT INTO {table} SELECT * FROM {source}.{PREFIX}{name}")  # noqa: S608
                connection.commit()


def insert_select(engine: sa.Engine, source: str, target: str, size: Size) -> float:
    """Copy every trace by a plain ``INSERT ... SELECT`` into tables with their indexes; returns its seconds."""
    seconds = 0.0
    with engine.connect() as connection:
        for name in size.per_space:
            table = _create(connection, source, target, name)
            begun = time.perf_counter()
            connection.exec_driver_sql(f"INSERT INTO {table} SELECT * FROM {source}.{PREFIX}{name}")  # noqa: S608
            connection.commit()
            seconds += time.perf_counter() - begun
    return seconds


def _create(connection: sa.Connection, source: str, target: str, name: str) -> str:
    table = f"{target}.{PREFIX}{name}"
    connection.exec_driver_sql(f"CREATE DATABASE IF NOT EXISTS {target} CHARACTER SET utf8mb4")
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    connection.exec_driver_sql(f"CREATE TABLE {table} LIKE {source}.{PREFIX}{name}")
    return table


def plain_delete(engine: sa.Engine, schema: str, size: Size, name: str) -> tuple[int, float]:
    """One ``DELETE ... JOIN``; returns rows and seconds."""
    joins, course = PATHS[name]
    statement = (
        f"DELETE t FROM {schema}.{PREFIX}{name} t {joins.format(s=schema)}"
        f" WHERE {course} BETWEEN 2 AND {size.last_going}"
    )
    begun = time.perf_counter()
    with engine.begin() as connection:
        rows = connection.exec_driver_sql(statement).rowcount
    return rows, time.perf_counter() - begun


def chunked_delete(engine: sa.Engine, schema: str, size: Size, name: str) -> tuple[int, float]:
    """DELETEs of ranges of the primary key, a transaction each; returns rows and seconds."""
    joins, course = PATHS[name]
    table, rows = f"{schema}.{PREFIX}{name}", 0
    begun = time.perf_counter()
    with engine.connect() as connection:
        last = connection.exec_driver_sql(f"SELECT MAX(id) FROM {table}").scalar_one()  # noqa: S608
        for low in range(0, last, CHUNK):
            rows += connection.exec_driver_sql(
                f"DELETE t FROM {table} t {joins.format(s=schema)} WHERE t.id > {low} AND t.id <= {low + CHUNK}"
                f" AND {course} BETWEEN 2 AND {size.last_going}"
            ).rowcount
            connection.commit()
    return rows, time.perf_counter() - begun


def row_by_row(engine: sa.Engine, schema: str, courseid: int) -> tuple[int, float]:
    """One space as Moodle's own reset goes about it: each row read and deleted alone, each grade copied to the history.

    The log is left out: Moodle's reset does not purge it. Returns rows and seconds.
    """
    rows, seconds = 0, 0.0
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name in ORDER[1:]:
            joins, course = PATHS[name]
            table = f"{schema}.{PREFIX}{name}"
            begun = time.perf_counter()
            ids = connection.exec_driver_sql(
                f"SELECT t.id FROM {table} t {joins.format(s=schema)} WHERE {course} = {courseid}"  # noqa: S608
            ).scalars()
            for id_ in ids.all():
                connection.exec_driver_sql(f"SELECT * FROM {table} WHERE id = {id_}").one()  # noqa: S608
                if name == "grade_grades":
                    connection.exec_driver_sql(
                        f"INSERT INTO {schema}.{PREFIX}grade_grades_history (action, oldid, itemid, userid)"  # noqa: S608
                        f" SELECT 3, id, itemid, userid FROM {table} WHERE id = {id_}"
                    )
                connection.exec_driver_sql(f"DELETE FROM {table} WHERE id = {id_}")  # noqa: S608
                rows += 1
            seconds += time.perf_counter() - begun
    return rows, seconds


def dump(url: sa.URL, schema: str, names: Sequence[str], target: Path) -> float:
    """``mariadb-dump`` of tables into a file; returns seconds."""
    options = ["--single-transaction", "--quick", schema, *(PREFIX + name for name in names)]
    begun = time.perf_counter()
    with target.open("wb") as out:
        subprocess.run(["mariadb-dump", *_login(url), *options], stdout=out, check=True)
    return time.perf_counter() - begun


def _login(url: sa.URL) -> list[str]:
    return [
        "--no-defaults", f"--host={url.host}", f"--port={url.port}", f"--user={url.username}",
        f"--password={url.password}",
    ]  # fmt: skip
