"""One table's file in a backup set: written from the server's rows, read back from the file."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from transition import storage
from transition.backup.manifest import Column, SpaceRows, TableFile
from transition.backup.rows import State
from transition.backup.runs import SPACE, Run, TableRows, arrow_schema

_READ_BYTES = 8 * 2**20  # of row groups read at a time
_FILLERS: dict[pa.DataType, Any] = {pa.string(): "", pa.binary(): b""}  # what stands for NULL in a digest


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


def write_table(source: TableRows, path: UPath) -> WrittenTable:
    """Write the rows of a table into a new Parquet file, row groups cut at the borders of spaces.

    A value that does not fit its column's type fails its space only: it is left out of the result's ``spaces``. Raises
    :class:`RuntimeError` if the server sends other rows than it announced in the source's states.
    """
    schema, states, failures = arrow_schema(source.table), source.states, source.failures
    # While a run is sorted and written, the next one is read: one ahead and no more, for the sake of memory.
    with storage.create(path) as file, _writer(file, schema) as writer, ThreadPoolExecutor(1) as pool:
        target, writing = _Target(writer, states, failures), None
        for run in source.runs:
            if writing:
                writing.result()
            writing = pool.submit(target.add, run)
        if writing:
            writing.result()
    spaces = target.spaces()
    for courseid in {*spaces, *states} - failures.keys():
        if courseid not in states or courseid not in spaces or spaces[courseid].rows != states[courseid].rows:
            raise RuntimeError(
                f"table {source.table.name}, espace {courseid} : le serveur n'a pas rendu les lignes annoncées"
            )
    of_file = TableFile(
        file=path.name, bytes=path.stat().st_size, sha256=storage.sha256(path),
        rows=sum(space.rows for space in spaces.values()),
        columns=[Column(name=f.name, type=str(f.type)) for f in schema], spaces=spaces,
    )  # fmt: skip
    return WrittenTable(of_file, failures)


class _Target:
    """A file that receives runs of rows: what it holds of each space so far. ``failures``: spaces to leave out."""

    def __init__(self, writer: pq.ParquetWriter, states: Mapping[int, State], failures: Mapping[int, str]) -> None:
        self._writer, self._states, self._failures = writer, states, failures
        self._content: dict[int, Content] = defaultdict(Content)
        self._groups: dict[int, list[int]] = defaultdict(list)
        self._rows, self._number = Counter[int](), 0

    def add(self, run: Run) -> None:
        """Sort a run by space and id, and write it."""
        table = pa.Table.from_batches(run).sort_by([(SPACE, "ascending"), ("id", "ascending")])
        run.clear()
        for courseid, part in _by_space(table, self._states):
            if courseid in self._failures:
                continue
            self._writer.write_table(part, row_group_size=len(part))
            self._content[courseid].add(part.columns[1:])
            self._groups[courseid].append(self._number)
            self._rows[courseid] += len(part)
            self._number += 1

    def spaces(self) -> dict[int, SpaceRows]:
        """What was written of each space, by course id; a space without a state has the checksum 0."""
        return {
            courseid: SpaceRows(
                rows=self._rows[courseid],
                checksum=self._states[courseid].checksum if courseid in self._states else 0,
                content=str(self._content[courseid]), groups=tuple(self._groups[courseid]),
            )
            for courseid in sorted(self._rows.keys() - self._failures.keys())
        }  # fmt: skip


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
    """Read a whole file again, some row groups at a time; a French sentence for each difference from ``table``."""
    if storage.sha256(path) != table.sha256:
        return [f"{table.file} : le fichier relu diffère du fichier écrit"]
    faults = []
    owners = {group: courseid for courseid, space in table.spaces.items() for group in space.groups}
    rows, content = Counter[int](), defaultdict[int, Content](Content)
    with path.open("rb") as file, pq.ParquetFile(file) as parquet:
        if [Column(name=f.name, type=str(f.type)) for f in parquet.schema_arrow] != table.columns:
            return [f"{table.file} : les colonnes relues diffèrent"]
        for group, part in _groups(parquet, sorted(owners)):
            courseid, (space, *columns) = owners[group], part.columns
            if pc.min_max(space).as_py() != {"min": courseid, "max": courseid}:
                faults.append(f"{table.file} : le groupe {group} n'est pas à l'espace {courseid}")
            rows[courseid] += len(part)
            content[courseid].add(columns)
    for courseid, expected in table.spaces.items():
        if (rows[courseid], str(content[courseid])) != (expected.rows, expected.content):
            faults.append(
                f"{table.file}, espace {courseid} : les lignes relues diffèrent des lignes lues sur le serveur"
            )
    return faults


def _groups(parquet: pq.ParquetFile, wanted: Sequence[int]) -> Iterator[tuple[int, pa.Table]]:
    """Row groups, several at a time: each alone would take as long to open as to read."""
    some: list[int] = []
    held = 0
    for group in wanted:
        some.append(group)
        held += parquet.metadata.row_group(group).total_byte_size
        if held >= _READ_BYTES:
            yield from _read(parquet, some)
            some, held = [], 0
    yield from _read(parquet, some)


def _read(parquet: pq.ParquetFile, groups: Sequence[int]) -> Iterator[tuple[int, pa.Table]]:
    table, start = parquet.read_row_groups(groups), 0
    for group in groups:
        rows = parquet.metadata.row_group(group).num_rows
        yield group, table.slice(start, rows)
        start += rows


def _writer(file: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    # Statistics of other columns would only repeat their values in the footer. In row groups as small as a space's,
    # zstd alone is faster than dictionaries, and smaller.
    return pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False, write_statistics=[SPACE, "id"])
