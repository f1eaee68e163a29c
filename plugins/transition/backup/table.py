"""One table's file in a backup set: written from the server's rows, read back from the file."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from transition import storage
from transition.backup.manifest import Column, SpaceRows, TableFile
from transition.backup.rows import CHUNK_BYTES, CHUNK_ROWS
from transition.backup.runs import CHECKSUM, SIZE, SPACE, Run, TableRows, file_schema, release_memory

_READ_BYTES = 8 * 2**20  # of row groups read at a time
_FILLERS: dict[pa.DataType, Any] = {pa.string(): "", pa.binary(): b""}  # what stands for NULL in a digest


class Content:
    """A digest of rows as Arrow holds them, columns in order, rows by id: every value, its type, and what is NULL."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, values: "Values", rows: slice) -> None:
        """Add some rows."""
        for part in values.parts(rows):
            self._digest.update(part)

    def __str__(self) -> str:
        return self._digest.hexdigest()


class Values:
    """Columns of many spaces made ready at once: the digest of some of their rows is then a matter of hashing."""

    def __init__(self, columns: Iterable[pa.ChunkedArray]) -> None:
        self._columns = [_Column.of(column.combine_chunks()) for column in columns]

    def parts(self, rows: slice) -> Iterator[Any]:
        """The bytes of some rows, the same for the same values wherever they lie."""
        for column in self._columns:
            yield from column.parts(rows)


@dataclass(frozen=True)
class _Column:
    """A column's bytes. ``nulls``: 1 for NULL, where there is one; ``ends``: of texts, where each begins and ends in
    ``content``; ``width``: of other values, the bytes of each."""

    kind: str
    nulls: Any
    ends: Any
    width: int
    content: memoryview

    @classmethod
    def of(cls, array: pa.Array) -> Self:
        nulls = None
        if array.null_count:
            nulls = array.is_null().cast(pa.uint8()).to_numpy()
            array = array.fill_null(pa.scalar(_FILLERS.get(array.type, 0), array.type))
        first, number = array.offset, len(array)
        content = memoryview(array.buffers()[-1] or b"")
        if array.type in _FILLERS:
            ends = np.frombuffer(array.buffers()[1], dtype=np.int32)[first : first + number + 1]
            return cls(str(array.type), nulls, ends, 0, content)
        width = array.type.byte_width
        return cls(str(array.type), nulls, None, width, content[first * width : (first + number) * width])

    def parts(self, rows: slice) -> Iterator[Any]:
        nulls = None if self.nulls is None else self.nulls[rows]
        null_count = 0 if nulls is None else int(nulls.sum())
        yield f"{self.kind} {rows.stop - rows.start} {null_count};".encode()
        if null_count:
            yield nulls
        if self.ends is None:
            yield self.content[rows.start * self.width : rows.stop * self.width]
        else:  # a length each, then all that they delimit
            ends = self.ends[rows.start : rows.stop + 1]
            yield np.diff(ends)
            yield self.content[ends[0] : ends[-1]]


@dataclass(frozen=True)
class WrittenTable:
    """What was written of a table: its file, if it has rows, and by course id why a space's rows were not."""

    file: TableFile | None
    failures: Mapping[int, str]


def write_table(source: TableRows, path: UPath) -> WrittenTable:
    """Write the rows of a table into a new Parquet file, row groups cut at the borders of spaces.

    A value that does not fit its column's type fails its space only: it is left out of the result's ``spaces``.
    """
    first = next(source.runs, None)
    if first is None:
        return WrittenTable(None, source.failures)
    schema = file_schema(source.table)
    # While a run is sorted and written, the next one is read: one ahead and no more, for the sake of memory.
    with storage.create(path) as file, _writer(file, schema) as writer, ThreadPoolExecutor(1) as pool:
        target = _Target(writer, schema, source.failures)
        writing = pool.submit(target.add, first)
        for run in source.runs:
            writing.result()
            writing = pool.submit(target.add, run)
        writing.result()
    spaces = target.spaces()
    of_file = TableFile(
        file=path.name, bytes=path.stat().st_size, sha256=storage.sha256(path),
        rows=sum(space.rows for space in spaces.values()),
        columns=[Column(name=f.name, type=str(f.type)) for f in schema], spaces=spaces,
    )  # fmt: skip
    return WrittenTable(of_file, source.failures)


class _Target:
    """A file that receives runs of rows: what it holds of each space so far. ``failures``: spaces to leave out."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema, failures: Mapping[int, str]) -> None:
        self._writer, self._columns, self._failures = writer, schema.names, failures
        self._content: dict[int, Content] = defaultdict(Content)
        self._groups: dict[int, list[int]] = defaultdict(list)
        self._rows, self._checksum = Counter[int](), Counter[int]()
        self._number = 0

    def add(self, run: Run) -> None:
        """Sort a run by space and id, and write it."""
        self._write(run)
        release_memory()  # here, where nothing holds it any more

    def _write(self, run: Run) -> None:
        table = pa.Table.from_batches(run).sort_by([(SPACE, "ascending"), ("id", "ascending")])
        run.clear()
        checksums, sizes = table[CHECKSUM].to_numpy(), table[SIZE].to_numpy()
        table = table.select(self._columns)
        values = Values(table.columns[1:])
        for courseid, own in _by_space(table):
            if courseid in self._failures:
                continue
            self._checksum[courseid] ^= int(np.bitwise_xor.reduce(checksums[own]))
            for rows in _chunks(own, int(sizes[own].max())):
                number = rows.stop - rows.start
                self._writer.write_table(table.slice(rows.start, number), row_group_size=number)
                self._content[courseid].add(values, rows)
                self._groups[courseid].append(self._number)
                self._rows[courseid] += number
                self._number += 1

    def spaces(self) -> dict[int, SpaceRows]:
        """What was written of each space, by course id."""
        return {
            courseid: SpaceRows(
                rows=self._rows[courseid], checksum=self._checksum[courseid], content=str(self._content[courseid]),
                groups=tuple(self._groups[courseid]),
            )
            for courseid in sorted(self._rows.keys() - self._failures.keys())
        }  # fmt: skip


def _by_space(table: pa.Table) -> Iterator[tuple[int, slice]]:
    """Where the rows of each space are in a table sorted by space."""
    start = 0
    for counted in pc.value_counts(table[SPACE]).to_pylist():
        yield counted["values"], slice(start, start + counted["counts"])
        start += counted["counts"]


def _chunks(rows: slice, largest: int) -> Iterator[slice]:
    """Rows of which the largest has so many bytes of text, no more at a time than a reader should hold."""
    number = max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(1, largest)))
    for start in range(rows.start, rows.stop, number):
        yield slice(start, min(start + number, rows.stop))


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
        for groups in _together(parquet, sorted(owners)):
            some, start = parquet.read_row_groups(groups), 0
            spaces, values = some[SPACE].to_numpy(), Values(some.columns[1:])
            for group in groups:
                own = slice(start, start + parquet.metadata.row_group(group).num_rows)
                courseid, start = owners[group], own.stop
                if (spaces[own] != courseid).any():
                    faults.append(f"{table.file} : le groupe {group} n'est pas à l'espace {courseid}")
                rows[courseid] += own.stop - own.start
                content[courseid].add(values, own)
    for courseid, expected in table.spaces.items():
        if (rows[courseid], str(content[courseid])) != (expected.rows, expected.content):
            faults.append(
                f"{table.file}, espace {courseid} : les lignes relues diffèrent des lignes lues sur le serveur"
            )
    return faults


def _together(parquet: pq.ParquetFile, wanted: Sequence[int]) -> Iterator[list[int]]:
    """Row groups, several at a time: each alone would take as long to open as to read."""
    some: list[int] = []
    held = 0
    for group in wanted:
        some.append(group)
        held += parquet.metadata.row_group(group).total_byte_size
        if held >= _READ_BYTES:
            yield some
            some, held = [], 0
    if some:
        yield some


def _writer(file: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    # Statistics of other columns would only repeat their values in the footer. Row groups are as small as a space: to
    # set zstd up for each of their columns took three quarters of the time of writing, and dictionaries are larger.
    return pq.ParquetWriter(file, schema, compression="lz4", use_dictionary=False, write_statistics=[SPACE, "id"])
