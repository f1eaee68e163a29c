"""The rows that stay, of a table that is swapped: they go on in Moodle's new table, and the archive holds a copy."""

import sqlalchemy as sa

from transition.checksum import rows_checksum
from transition.moodle.database import quoted


def kept_checksum(connection: sa.Connection, kept: sa.Table, table: sa.Table) -> str:
    """The checksum of the rows that stay, in a table that has others too; ``kept``: their ids."""
    query = (
        sa.select(rows_checksum(table))
        .select_from(kept.join(table, table.c.id == kept.c.id))
        .prefix_with("STRAIGHT_JOIN")
    )
    return str(connection.execute(query).scalar_one())


def drop_named_copies(
    connection: sa.Connection, keys: sa.Table, kept: sa.Table, archive: sa.Table, number: int
) -> None:
    """Delete the copies that a key of another run names: it would pass for a row that was moved.

    Such a run was stopped, or refused, before it moved the table. The keys stay: what they name may still be stranded.
    :param kept: the ids that stayed. :param number: of the run that swapped the table: none of its keys is of these.
    """
    # The keys lead: most often no other run has any.
    connection.execute(
        sa.text(
            f"DELETE t FROM {quoted(keys)} k STRAIGHT_JOIN {quoted(kept)} p ON p.id = k.id"
            f" STRAIGHT_JOIN {quoted(archive)} t ON t.id = p.id WHERE k.run <> :run"
        ),
        {"run": number},
    )
