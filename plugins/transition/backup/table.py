"""One table's file in a backup set: written from the server's rows, read back from the file."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from upath import UPath

from transition import storage
from transition.backup.manifest import Column, SpaceRows, TableFile
from transition.backup.rows import Keyed, State

SPACE = "_space"  # the course id that a row belongs to; Moodle has columns named courseid, never one like this


class Content:
    """A digest of rows as Python values (integer, float, Decimal, text, bytes, None), columns in order, rows by id."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, columns: Iterable[Sequence[Any]]) -> None:
        """Add some rows, given as columns."""
        for values in columns:
            # repr tells None from 'None', 1 from '1' and Decimal('1.0') from Decimal('1.00'), and delimits every value.
            self._digest.update(repr(list(values)).encode("utf-8", "surrogatepass"))

    def __str__(self) -> str:
        return self._digest.hexdigest()


@dataclass
class WrittenTable:
    """What was written of a table: its file (None without rows) and, by course id, why a space's rows were not."""

    file: TableFile | None = None
    failures: dict[int, str] = field(default_factory=dict)


def arrow_schema(table: sa.Table) -> pa.Schema:
    """The columns of a table file: the space, then Moodle's columns, in Moodle's order."""
    return pa.schema([(SPACE, pa.int64()), *((column.name, _arrow_type(column.type)) for column in table.c)])


def write_table(keyed: Keyed, states: dict[int, State], path: UPath) -> WrittenTable:
    """Write the rows of a table into a new Parquet file, row groups cut at the borders of spaces.

    A value that does not fit its column's type fails its space only: it is left out of the result's ``spaces``.
    """
    written = WrittenTable()
    schema = arrow_schema(keyed.table)
    spaces: dict[int, SpaceRows] = {}
    content: dict[int, Content] = {}
    with storage.create(path) as file, _writer(file, schema) as writer:
        group = 0
        for courseid, rows in keyed.chunks(states):
            if courseid in written.failures:
                continue
            *columns, space = zip(*rows, strict=True)
            try:
                batch = pa.record_batch(
                    [pa.array(v, f.type) for v, f in zip((space, *columns), schema, strict=True)], schema=schema
                )
            except (ValueError, TypeError, OverflowError) as error:  # Arrow's own errors are kinds of these
                written.failures[courseid] = f"table {keyed.table.name} : valeur inattendue ({type(error).__name__})"
                spaces.pop(courseid, None)
                continue
            writer.write_batch(batch, row_group_size=len(rows))
            content.setdefault(courseid, Content()).add(columns)
            begun = spaces.get(courseid)
            spaces[courseid] = SpaceRows(
                rows=(begun.rows if begun else 0) + len(rows),
                checksum=states[courseid].checksum, content=str(content[courseid]),
                first_group=begun.first_group if begun else group, groups=(begun.groups if begun else 0) + 1,
            )  # fmt: skip
            group += 1
    written.file = TableFile(
        file=path.name, bytes=path.stat().st_size, sha256=storage.sha256(path),
        rows=sum(space.rows for space in spaces.values()),
        columns=[Column(name=f.name, type=str(f.type)) for f in schema], spaces=spaces,
    )  # fmt: skip
    return written


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
            for group in range(expected.first_group, expected.first_group + expected.groups):
                space, *columns = parquet.read_row_group(group).columns
                if pc.min_max(space).as_py() != {"min": courseid, "max": courseid}:
                    faults.append(f"{table.file} : le groupe {group} n'est pas à l'espace {courseid}")
                rows += len(space)
                content.add(column.to_pylist() for column in columns)
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
