"""What tests of restores do with the world after a transition."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.restore.conftest import NAME, World
from tests.support.dump import Rows, compare
from transition.restore.stage import Request, restore

ARCHIVE, STATE = f"{NAME}_2026", f"{NAME}_transition"
CODES = ("LI3INF02", "LI3INF01", "L1MAT101", "M1DRO201", "LETL2H03", "M2CHI305")


def differences(expected: dict[str, Rows], found: dict[str, Rows]) -> dict[str, Any]:
    """Tables that differ, the revision of the spaces' cache aside."""
    expected, found = (
        {**tables, "course": {id_: {**row, "cacherev": 0} for id_, row in tables["course"].items()}}
        for tables in (expected, found)
    )
    return dict(compare(expected, found))


def restored(world: World) -> dict[str, Rows]:
    """All as it was, beside the new year's enrolments, what ex_ renaming created: teachers' enrolments by hand, and the
    category of the year, which is empty now."""
    grown = ("user_enrolments", "role_assignments", "course_categories", "context")
    added = {t: {**world.reset[t], **world.before[t]} for t in grown}
    (year,) = world.reset["course_categories"].keys() - world.before["course_categories"].keys()
    added["course_categories"][year] = {**added["course_categories"][year], "coursecount": 0}
    return {**world.before, **added}


def everything(code: str, **more: Any) -> Request:
    """The whole space, its name and last year's enrolments included."""
    return Request(code, name=True, enrolments=True, **more)


def restore_all(world: World, run_id: str) -> list[str]:
    """Each space by a run of its own; returns what was done."""
    return [restore(world.open(f"{run_id}-{code}"), everything(code)) for code in CODES]


def moved_of(world: World, table: str, courseid: int) -> set[int]:
    """The ids of a space's rows that were moved."""
    return {id_ for (id_,) in world.execute(f"SELECT id FROM {ARCHIVE}.key_{table} WHERE courseid = {courseid}")}


def course_of(world: World, submission: int) -> int:
    """The course of an assignment's submission."""
    return int(world.before["assign"][world.before["assign_submission"][submission]["assignment"]]["course"])


def insert(world: World, table: str, row: dict[str, Any]) -> int:
    """Insert a row; returns its id."""
    names = ", ".join(f"`{column}`" for column in row)
    world.execute(f"INSERT INTO mdl_{table} ({names}) VALUES ({', '.join(f':{column}' for column in row)})", **row)
    return int(world.execute(f"SELECT MAX(id) FROM mdl_{table}")[0][0])


def scratch_rows(world: World, table: str) -> Rows:
    """The rows of the scratch schema, in Moodle's columns."""
    names = list(next(iter(world.before[table].values())))
    columns = ", ".join(f"`{name}`" for name in names)
    rows = world.execute(f"SELECT {columns} FROM {ARCHIVE}_scratch.mdl_{table}")
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def alter(path: Path) -> None:
    """Another value in one column of every row: a file that opens, whose groups are where they were."""
    with pq.ParquetFile(path) as file:
        groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
    with pq.ParquetWriter(path, groups[0].schema) as writer:
        for group in groups:
            place = group.schema.get_field_index("sumgrades")
            value = pa.array([None] * len(group), group.schema.field(place).type)
            writer.write_table(group.set_column(place, group.schema.field(place), value))
