"""One table's file in a backup set: written from the server's rows, read back from the file."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from upath import UPath

from transition import storage
from transition.backup.manifest import Column, SpaceRows, TableFile
from transition.backup.rows import Keyed, State

_RUN_BYTES = 32 * 2**20  # of rows sorted at a time: twice as much in memory while they are, and then some
_FILLERS: dict[pa.DataType, Any] = {pa.string(): "", pa.binary(): b""}  # what stands for NULL in a digest
_MISFIT = (ValueError, TypeError, OverflowError)  # Arrow's own errors are kinds of these
SPACE = "_space"  # the course id that a row belongs to; Moodle has columns named courseid, never one like this


class Content:
    """A digest of rows as Arrow holds them, columns in order, rows by id: every value, its type, and what is NULL."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, columns: Iterable[pa.Array | pa.ChunkedArray]) -> None:
        """Add some rows, given as columns."""
        for column in columns:
            array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
            self._digest.update(f"{array.type} {len(array)} {array.null_count};".encode())
            for part in _parts(array):
                self._digest.update(part)

    def __str__(self) -> str:
        return self._digest.hexdigest()


def _parts(array: pa.Array) -> Iterator[Any]:
    """The bytes of an array, the same for the same values wherever they lie in its buffers."""
    if array.null_count:
        yield pc.is_null(array).cast(pa.uint8()).to_numpy()
        array = array.fill_null(pa.scalar(_FILLERS.get(array.type, 0), array.type))
    first, number = array.offset, len(array)
    if array.type in _FILLERS:  # a length each, then all that they delimit
        _, ends, content = array.buffers()
        ends = np.frombuffer(ends, dtype=np.int32)[first : first + number + 1]
        yield np.diff(ends)
        yield memoryview(content or b"")[ends[0] : ends[-1]]
    else:
        width = array.type.byte_width
        yield memoryview(array.buffers()[1])[first * width : (first + number) * width]


@dataclass(frozen=True)
class WrittenTable:
    """What was written of a table: its file and, by course id, why a space's rows were not."""

    file: TableFile
    failures: Mapping[int, str]


def arrow_schema(table: sa.Table) -> pa.Schema:
    """The columns of a table file: the space, then Moodle's columns, in Moodle's order."""
    return pa.schema([(SPACE, pa.int64()), *((column.name, _arrow_type(column.type)) for column in table.c)])


def write_table(keyed: Keyed, states: Mapping[int, State], path: UPath) -> WrittenTable:
    """Write the rows of a table into a new Parquet file, row groups cut at the borders of spaces.

    A value that does not fit its column's type fails its space only: it is left out of the result's ``spaces``. Raises
    :class:`RuntimeError` if the server sends other rows than it announced in ``states``.
    """
    schema, failures = arrow_schema(keyed.table), dict[int, str]()
    content: dict[int, Content] = defaultdict(Content)
    groups: dict[int, list[int]] = defaultdict(list)
    rows, number = Counter[int](), 0
    with storage.create(path) as file, _writer(file, schema) as writer:
        for run in _runs(keyed, states, schema, failures):
            for courseid, part in _by_space(run, states):
                if courseid in failures:
                    continue
                writer.write_table(part, row_group_size=len(part))
                content[courseid].add(part.columns[1:])
                groups[courseid].append(number)
                rows[courseid] += len(part)
                number += 1
    written = set(rows) - failures.keys()
    for courseid in {*written, *states} - failures.keys():
        if courseid not in states or rows[courseid] != states[courseid].rows:
            raise RuntimeError(
                f"table {keyed.table.name}, espace {courseid} : le serveur n'a pas rendu les lignes annoncées"
            )
    spaces = {
        courseid: SpaceRows(
            rows=rows[courseid], checksum=states[courseid].checksum, content=str(content[courseid]),
            groups=tuple(groups[courseid]),
        )
        for courseid in sorted(written)
    }  # fmt: skip
    of_file = TableFile(
        file=path.name, bytes=path.stat().st_size, sha256=storage.sha256(path),
        rows=sum(space.rows for space in spaces.values()),
        columns=[Column(name=f.name, type=str(f.type)) for f in schema], spaces=spaces,
    )  # fmt: skip
    return WrittenTable(of_file, failures)


def arrays(types: Sequence[pa.DataType], rows: Sequence[Sequence[Any]]) -> list[pa.Array]:
    """Rows as columns of these types. Raises one of Arrow's errors for a value that does not fit."""
    return [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), types, strict=True)]


def _runs(
    keyed: Keyed, states: Mapping[int, State], schema: pa.Schema, failures: dict[int, str]
) -> Iterator[pa.Table]:  # fmt: skip
    """The table's rows, as many at a time as memory may hold, each time sorted by space and id."""
    batches: list[pa.RecordBatch] = []
    for rows in keyed.batches(states):
        batches += _converted(keyed, schema, rows, failures)
        if sum(batch.nbytes for batch in batches) >= _RUN_BYTES:
            yield _sorted(batches)
            batches = []
    if batches:
        yield _sorted(batches)


def _sorted(batches: list[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(batches).sort_by([(SPACE, "ascending"), ("id", "ascending")])


def _converted(
    keyed: Keyed, schema: pa.Schema, rows: Sequence[tuple[Any, ...]], failures: dict[int, str]
) -> Iterator[pa.RecordBatch]:
    """Rows as Arrow holds them; those of a space with a value that does not fit are left out, and it has failed."""
    try:
        yield pa.record_batch(arrays(schema.types, rows), schema=schema)
        return
    except _MISFIT:
        pass  # once more, space by space
    by_space: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        by_space[row[0]].append(row)
    for courseid, own in by_space.items():
        try:
            yield pa.record_batch(arrays(schema.types, own), schema=schema)
        except _MISFIT as error:
            failures[courseid] = f"table {keyed.table.name} : valeur inattendue ({type(error).__name__})"


def _by_space(run: pa.Table, states: Mapping[int, State]) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each space, no more at a time than a reader should hold."""
    start = 0
    for counted in pc.value_counts(run[SPACE]).to_pylist():
        courseid, number = counted["values"], counted["counts"]
        chunk = states[courseid].chunk if courseid in states else number
        for begin in range(start, start + number, chunk):
            yield courseid, run.slice(begin, min(chunk, start + number - begin))
        start += number


def read_back(path: UPath, table: TableFile) -> list[str]:
    """Read a whole file again, a row group at a time; returns a French sentence for each difference from ``table``."""
    if storage.sha256(path) != table.sha256:
        return [f"{table.file} : le fichier relu diffère du fichier écrit"]
    faults = []
    with path.open("rb") as file, pq.ParquetFile(file) as parquet:
        if [Column(name=f.name, type=str(f.type)) for f in parquet.schema_arrow] != table.columns:
            return [f"{table.file} : les colonnes relues diffèrent"]
        for courseid, expected in table.spaces.items():
            rows, content = 0, Content()
            for group in expected.groups:
                space, *columns = parquet.read_row_group(group).columns
                if pc.min_max(space).as_py() != {"min": courseid, "max": courseid}:
                    faults.append(f"{table.file} : le groupe {group} n'est pas à l'espace {courseid}")
                rows += len(space)
                content.add(columns)
            if (rows, str(content)) != (expected.rows, expected.content):
                faults.append(
                    f"{table.file}, espace {courseid} : les lignes relues diffèrent des lignes lues sur le serveur"
                )
    return faults


def _writer(file: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    # Statistics of other columns would only repeat their values in the footer.
    return pq.ParquetWriter(file, schema, compression="zstd", write_statistics=[SPACE, "id"])


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
