"""The rows of a table on their way into a backup: read from the server, held as Arrow holds them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from transition.backup.rows import Selected

# What comes with a row: the course id that it belongs to, the server's checksum of it, the bytes of its texts. Moodle
# has columns named courseid, never one like these.
SPACE, CHECKSUM, SIZE = "_space", "_checksum", "_size"
_RUN_BYTES = 24 * 2**20  # of rows sorted at a time: three times as much in memory, while the next ones are read
_MISFIT = (ValueError, TypeError, OverflowError)  # Arrow's own errors are kinds of these

Run = list[pa.RecordBatch]

# Arrow's own allocator keeps what a thread has freed, and each table is written by a thread of its own.
pa.set_memory_pool(pa.system_memory_pool())


class MisfitError(Exception):
    """A value does not fit its column's type; the text is the column's name."""


def release_memory() -> None:
    """Give back to the system what Arrow has freed: else it stays with the process, run after run."""
    pa.default_memory_pool().release_unused()


@dataclass(frozen=True)
class TableRows:
    """Rows of a Moodle table, of some spaces: to be read once.

    :param runs: all the rows, by id from one run to the next, in the columns of :func:`run_schema`.
    :param failures: receives, while the runs are read, the spaces with a value that does not fit its column's type, and
        why: their rows are not all in the runs.
    """

    table: sa.Table
    runs: Iterator[Run]
    failures: dict[int, str]


def read_rows(selected: Selected) -> TableRows:
    """The rows as the server has them; read while the connection of ``selected`` is open."""
    failures, schema = dict[int, str](), run_schema(selected.table)
    batches = (_converted(selected.table.name, schema, rows, failures) for rows in selected.batches())
    return TableRows(selected.table, in_runs(batch for some in batches for batch in some), failures)


def in_runs(batches: Iterator[pa.RecordBatch]) -> Iterator[Run]:
    """Batches in their order, as many at a time as memory may hold."""
    run, held = Run(), 0
    for batch in batches:
        run.append(batch)
        held += batch.nbytes
        if held >= _RUN_BYTES:
            yield run
            run, held = [], 0
    if run:
        yield run


def file_schema(table: sa.Table) -> pa.Schema:
    """The columns of a table file: the space, then Moodle's columns, in Moodle's order."""
    return pa.schema([(SPACE, pa.int64()), *((column.name, _arrow_type(column.type)) for column in table.c)])


def run_schema(table: sa.Table) -> pa.Schema:
    """The columns of a run: those of the file, with the row's checksum and its size behind the space."""
    space, *columns = file_schema(table)
    return pa.schema([space, (CHECKSUM, pa.int64()), (SIZE, pa.int64()), *columns])


def _converted(
    name: str, schema: pa.Schema, rows: Sequence[tuple[Any, ...]], failures: dict[int, str]
) -> Iterator[pa.RecordBatch]:
    """Rows as Arrow holds them; those of a space with a value that does not fit are left out, and it has failed."""
    try:
        yield _batch(schema, rows)
        return
    except MisfitError:
        pass  # once more, space by space
    by_space: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        by_space[row[0]].append(row)
    for courseid, own in by_space.items():
        try:
            yield _batch(schema, own)
        except MisfitError as error:
            failures[courseid] = (
                f"table {name}, colonne {error} : une valeur n'est pas du type attendu ; rendez à cette colonne un type"
                " que Moodle emploie (entier signé, nombre, texte, binaire)"
            )


def _batch(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    arrays = []
    for values, field in zip(zip(*rows, strict=True), schema, strict=True):
        try:
            arrays.append(pa.array(values, field.type))
        except _MISFIT:
            raise MisfitError(field.name) from None
    return pa.record_batch(arrays, schema=schema)


def _arrow_type(kind: sa.types.TypeEngine[Any]) -> pa.DataType:
    match kind:
        case sa.Double():
            return pa.float64()
        case sa.Numeric(precision=int() as precision, scale=int() as scale):
            return (pa.decimal128 if precision <= 38 else pa.decimal256)(precision, scale)
        case sa.BigInteger():
            return pa.int64()
        case sa.LargeBinary():
            return pa.binary()
    return pa.string()
