"""Large tables read once for all the sets of a backup: their rows wait on this machine's disk, divided among the sets.

Set by set, the server would go through almost every page of the log once for each: its rows lie in the order of time.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from transition.backup.rows import CHUNK_ROWS, reads_whole, selected_rows
from transition.backup.runs import SPACE, TableRows, in_runs, read_rows, run_schema
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.french import decimal
from transition.moodle.database import last_id
from transition.progress import Progress
from transition.rules.compile import Trace

Parts = Sequence[Sequence[int]]  # the spaces of each set; in ascending order, from one set to the next as well


@dataclass(frozen=True)
class DividedTable:
    """The rows of a table, of one snapshot, in one file for each set; ``source``: what was read of them all."""

    source: TableRows
    parts: Parts
    files: Sequence[BinaryIO]

    def rows(self, number: int) -> TableRows:
        """The rows of the set ``number``, counted from 0."""
        failures = {
            courseid: self.source.failures[courseid]
            for courseid in self.parts[number]
            if courseid in self.source.failures
        }
        return TableRows(self.source.table, in_runs(_batches(self.files[number])), failures)


@contextmanager
def divided_tables(
    campaign: Campaign, traces_by_table: Mapping[str, Sequence[Trace]], parts: Parts
) -> Iterator[dict[str, DividedTable]]:
    """Each table that is read from end to end (:func:`~transition.backup.rows.reads_whole`), if several sets want it.

    The files have no name: whatever ends this process, they go with it. Raises :class:`TransitionError` if the disk for
    temporary files (TMPDIR) is too small for a table.
    """
    spaces = [courseid for part in parts for courseid in part]
    with ExitStack() as files:
        divided = {}
        if len(parts) > 1:
            for name, traces in traces_by_table.items():
                if reads_whole(campaign, traces, spaces):
                    _check_disk(campaign, name)
                    own = [files.enter_context(tempfile.TemporaryFile()) for _ in parts]
                    with selected_rows(campaign, name, traces, spaces) as selected:
                        last = last_id(selected.connection, selected.table)
                        divided[name] = divide(read_rows(selected), parts, own, last)
        yield divided


def divide(rows: TableRows, parts: Parts, files: Sequence[BinaryIO], last: int) -> DividedTable:
    """Write each run of rows to the files of the sets that its spaces are in; ``last``: id of the whole table."""
    schema, firsts = run_schema(rows.table), [part[0] for part in parts[1:]]
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with ExitStack() as closing:
        writers = [closing.enter_context(pa.ipc.new_stream(file, schema, options=options)) for file in files]
        progress = Progress(f"Lecture de {rows.table.name} pour {len(parts)} jeux", last, "identifiants", "lignes")
        for run in rows.runs:
            read = run[-1]["id"][-1].as_py()
            table = pa.Table.from_batches(run).sort_by(SPACE)
            run.clear()
            borders = np.searchsorted(table[SPACE].to_numpy(), firsts)
            for writer, (start, end) in zip(writers, pairwise([0, *borders, len(table)]), strict=True):
                writer.write_table(table.slice(start, end - start), max_chunksize=CHUNK_ROWS)
            progress.step(len(table), read - progress.done)
    return DividedTable(rows, parts, files)


def _batches(file: BinaryIO) -> Iterator[pa.RecordBatch]:
    file.seek(0)
    with pa.ipc.open_stream(file) as reader:
        yield from reader


def _check_disk(campaign: Campaign, name: str) -> None:
    """Refuse to divide a table that this machine's disk cannot hold: its rows take about what they take in the base."""
    table = campaign.moodle[name]
    query = sa.text(
        "SELECT data_length FROM information_schema.tables WHERE table_schema = :schema AND table_name = :name"
    )
    with campaign.engine.connect() as connection:
        needed = connection.execute(query, {"schema": table.schema, "name": table.name}).scalar_one()
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise TransitionError(
            f"Le dossier de travail {folder} n'a plus que {decimal(free / 2**30)} Gio libres : la sauvegarde en demande"
            f" {decimal(needed / 2**30)} pour {table.name} ; libérez-en, ou nommez un autre dossier par la variable"
            " TMPDIR, puis relancez cette tâche."
        )
