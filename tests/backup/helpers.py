"""What the tests of the backup share."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from transition.backup.manifest import BackupSet, verified_sets
from transition.campaign import Campaign
from transition.state import tables

LI3INF01, LI3INF02, L1MAT101 = 2, 3, 4
SPACES = {2, 3, 4, 5, 6, 7, 8, 9}
SUBMIT = """INSERT INTO mdl_assign_submission (id, assignment, userid, timecreated, timemodified, status, groupid,
 attemptnumber, latest) SELECT 999999, id, 2, 1, 1, 'submitted', 0, 99, 0 FROM mdl_assign WHERE course = 4 LIMIT 1"""
WITHDRAW = "DELETE FROM mdl_assign_submission WHERE id = 999999"


def folder_of(campaign: Campaign) -> Path:
    return Path(campaign.platform.storage) / campaign.platform.name / str(campaign.year) / "backup"


def the_set(campaign: Campaign) -> BackupSet:
    """The latest verified set."""
    return next(verified_sets(campaign, []))


def journalled(campaign: Campaign, action: str) -> list[Any]:
    journal = tables.journal
    with campaign.engine.connect() as connection:
        query = sa.select(journal).where(journal.c.stage == "july_backup", journal.c.action == action)
        return list(connection.execute(query.order_by(journal.c.id)))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def become_a_folder(path: Path) -> None:
    """What is there and cannot be read, whoever asks."""
    path.unlink()
    path.mkdir()
