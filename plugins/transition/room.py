"""Whether the disk of Moodle's database holds a copy of what stays of a table."""

import logging
import shutil
import socket
from pathlib import Path

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.french import decimal

_SPARE = 1.5  # free space asked for, in sizes of what is copied
_log = logging.getLogger(__name__)


def check_room(connection: sa.Connection, campaign: Campaign, source: sa.Table, kept: sa.Table) -> None:
    """Refuse a copy that the server's disk cannot hold, as far as this machine can see that disk.

    :param kept: the ids of the rows that are copied.
    """
    size, rows = connection.execute(
        sa.text(
            "SELECT data_length + index_length, table_rows FROM information_schema.tables"
            " WHERE table_schema = :schema AND table_name = :name"
        ),
        {"schema": source.schema, "name": source.name},
    ).one()
    copied = connection.execute(sa.select(sa.func.count()).select_from(kept)).scalar_one()
    needed = _SPARE * size * min(1, copied / max(1, rows))
    host, folder = connection.execute(sa.text("SELECT @@hostname, @@datadir")).one()
    if host != socket.gethostname() or not Path(folder).is_dir():
        _log.warning(
            "Le disque de la base (%s) n'est pas visible d'ici : l'échange de %s y demande %s Gio libres.",
            host, source.name, decimal(needed / 2**30),
        )  # fmt: skip
        return
    free = shutil.disk_usage(folder).free
    if free < needed + campaign.platform.limits.free_space_gib * 2**30:
        raise TransitionError(
            f"Le disque de la base ({folder}) n'a plus que {decimal(free / 2**30)} Gio : il en faut"
            f" {decimal(needed / 2**30)} pour {source.name}, plus la marge de « limits » ; libérez-en,"
            " puis relancez cette tâche."
        )
