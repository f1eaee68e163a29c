"""Read a backup: the rows of one space, without touching the rows of the others."""

import pyarrow as pa
import pyarrow.parquet as pq

from transition.backup.manifest import BackupSet
from transition.backup.runs import SPACE


def read_space(backup: BackupSet, table: str, courseid: int) -> pa.Table:
    """The rows of one space in one table, in Moodle's columns, by id; reads the space's own row groups only.

    :param table: its name without Moodle's prefix. Raises :class:`KeyError` if the set holds no row of the space in it.
    """
    file = backup.manifest.tables[table]
    rows = file.spaces[courseid]
    with (backup.folder / file.file).open("rb") as source, pq.ParquetFile(source) as parquet:
        return parquet.read_row_groups(list(rows.groups)).drop_columns([SPACE])
