"""Which indexes an archive table keeps: those by which something finds rows there otherwise than by their ids.

Each row that goes is written into every index, and each that a restore puts back is deleted from every one: of Moodle's
nine indexes on the log, that took most of a restore's time.
"""

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.key_views import is_view, spaces_column
from transition.keys import frozen_keys
from transition.moodle.database import quoted, table_like
from transition.rules.branches import branches

# What is looked up by another column than the rules say.
_ALSO = {
    "files": {"contenthash"},  # the contents that archived rows name, page by page (:mod:`transition.contents`)
    "quiz_attempts": {"uniqueid"},  # the attempt that answers are of (:mod:`transition.restore.part`)
}


def shed_indexes(connection: sa.Connection, campaign: Campaign, name: str) -> None:
    """Drop, of the archive's table ``name``, the indexes that nothing reads; does nothing twice.

    Unique keys go as well: what was unique in Moodle when it moved need not be beside what moves later.
    """
    archive = table_like(campaign.moodle[name], campaign.archive_schema)
    query = sa.text(
        "SELECT index_name, column_name FROM information_schema.statistics WHERE table_schema = :schema"
        " AND table_name = :name AND index_name <> 'PRIMARY' ORDER BY index_name, seq_in_index"
    )
    found: dict[str, list[str]] = {}
    for index, column in connection.execute(query, {"schema": archive.schema, "name": archive.name}):
        found.setdefault(index, []).append(column)
    kept: set[str] = set()
    for by in _looked_up(connection, campaign, name):
        useful = sorted((len(columns), index) for index, columns in found.items() if columns[0] == by)
        kept |= {index for _, index in useful[:1]}
    if shed := found.keys() - kept:
        dropped = ", ".join(f"DROP INDEX {quoted(index)}" for index in sorted(shed))
        connection.execute(sa.text(f"ALTER TABLE {quoted(archive)} {dropped}"))


def _looked_up(connection: sa.Connection, campaign: Campaign, name: str) -> set[str]:
    """The columns by which rows of the table are found in the archive; the primary key finds them by ``id``."""
    paths = [path for of_table in branches(campaign.moodle).values() for path in of_table]
    # A restore looks for the row above, by the column that the row below names.
    columns = {path.to for path in paths if path.parent == name} | _ALSO.get(name, set())
    if is_view(connection, frozen_keys(campaign, name)):  # the view finds a space's rows
        columns.add(spaces_column(connection, campaign, name))
    return columns
