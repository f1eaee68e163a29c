"""Enrolments that the campaign changed in place: those of repeaters, active again in the new year's window."""

import sqlalchemy as sa

from transition import journal
from transition.backup.manifest import BackupSet
from transition.campaign import Campaign
from transition.enrolment.tables import arrival
from transition.restore import scratch
from transition.restore.history import Reset
from transition.restore.put_back import STAGE

_CHANGED = ("status", "timestart", "timeend", "modifierid", "timemodified")
_TABLE = "user_enrolments"


def put_enrolments_back(campaign: Campaign, courseid: int, reset: Reset, backup: BackupSet) -> int:
    """Give the enrolments of the repeaters of a reset what the backup before it says; returns how many changed.

    Those that somebody has taken away since stay away; newcomers keep theirs. Does nothing twice.
    """
    file = backup.manifest.tables.get(_TABLE)
    if file is None or courseid not in file.spaces:
        return 0
    with scratch.temporary(campaign, "staging") as schema:
        scratch.load(campaign, backup, courseid, schema, only=(_TABLE,))
        now = campaign.moodle[_TABLE]
        then = now.to_metadata(sa.MetaData(), schema=schema).alias("backup")
        repeater = sa.and_(
            arrival.c.run == reset.run, arrival.c.courseid == courseid, arrival.c.userid == then.c.userid
        )
        differs = sa.or_(*(now.c[column] != then.c[column] for column in _CHANGED))
        update = (
            sa.update(now)
            .where(now.c.id == then.c.id, now.c.userid == then.c.userid, repeater, differs)
            .values({now.c[column]: then.c[column] for column in _CHANGED})
        )
        with campaign.engine.begin() as connection:
            changed = connection.execute(update).rowcount
            if changed:
                journal.record(
                    connection, campaign, STAGE, "reverted", table_name=_TABLE, courseid=courseid, rows_after=changed
                )
    return changed
