"""Enrolments that the campaign changed in place: those of repeaters, active again in the new year's window."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from transition import journal
from transition.backup.manifest import BackupSet
from transition.campaign import Campaign
from transition.enrolment.tables import arrival
from transition.moodle.database import quoted, table_like
from transition.restore import scratch
from transition.restore.history import Space
from transition.restore.put_back import STAGE
from transition.state import tables

_CHANGED = ("status", "timestart", "timeend", "modifierid", "timemodified")
_TABLE = "user_enrolments"


def renewed_enrolments(campaign: Campaign, space: Space, backup: BackupSet) -> int:
    """How many enrolments of the repeaters of a space's resets must stay, unlike what the backup says.

    Somebody has changed them since the resets, or a later campaign registers these people in the space again: what
    they had the year before would lock them out.
    """
    with _loaded(campaign, space, backup) as (now, then):
        query = sa.select(sa.func.count()).select_from(then.join(now, now.c.id == then.c.id))
        query = query.where(_differs(space, now, then), ~_as_left(space, now, then)).prefix_with("STRAIGHT_JOIN")
        with campaign.engine.connect() as connection:
            return connection.execute(query).scalar_one()


def put_enrolments_back(campaign: Campaign, space: Space, backup: BackupSet) -> int:
    """Give the enrolments of the repeaters of a space's resets what the backup before them says; returns how many.

    Those that somebody has taken away since stay away; newcomers, and :func:`renewed_enrolments`, keep theirs. Does
    nothing twice.
    """
    with _loaded(campaign, space, backup) as (now, then):
        update = (
            sa.update(now)
            .where(now.c.id == then.c.id, _differs(space, now, then), _as_left(space, now, then))
            .values({now.c[column]: then.c[column] for column in _CHANGED})
        )
        with campaign.engine.begin() as connection:
            changed = connection.execute(update).rowcount
            if changed:
                journal.record(
                    connection, campaign, STAGE, "reverted", table_name=_TABLE, courseid=space.courseid,
                    rows_after=changed,
                )  # fmt: skip
    return changed


@contextmanager
def _loaded(campaign: Campaign, space: Space, backup: BackupSet) -> Iterator[tuple[sa.Table, sa.FromClause]]:
    """Moodle's enrolments as they are, those of the space as the backup has them."""
    now = campaign.moodle[_TABLE]
    with scratch.temporary(campaign, "staging") as schema:
        then = table_like(now, schema)
        with campaign.engine.begin() as connection:  # a backup without any enrolment loads no table
            connection.execute(sa.text(f"CREATE TABLE {quoted(then)} LIKE {quoted(now)}"))
        scratch.load(campaign, backup, space.courseid, schema, only=(_TABLE,))
        yield now, then.alias("backup")


def _differs(space: Space, now: sa.Table, then: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether the enrolment of a repeater is not what the backup says."""
    repeater = sa.exists().where(*_registered(space, then), _by_resets(space)).correlate(now, then)
    other = sa.or_(*(now.c[column] != then.c[column] for column in _CHANGED))
    return sa.and_(now.c.userid == then.c.userid, other, repeater)


def _as_left(space: Space, now: sa.Table, then: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether an enrolment is as a reset of the space wrote it, and no later campaign relies on it.

    The moment of the row does not tell: where years have no dates, a later campaign finds nothing to write.
    """
    run = tables.run
    start = sa.case((arrival.c.timestart != 0, arrival.c.timestart), else_=then.c.timestart)
    written = (
        sa.exists()
        .where(*_registered(space, then), _by_resets(space))
        .where(now.c.status == 0, now.c.timestart == start, now.c.timeend == arrival.c.timeend)
    )
    later = (
        sa.exists()
        .select_from(arrival.join(run, run.c.number == arrival.c.run))
        .where(*_registered(space, then), run.c.frozen_at > space.resets[-1].frozen_at)
    )
    return sa.and_(written.correlate(now, then), ~later.correlate(now, then))


def _registered(space: Space, then: sa.FromClause) -> list[sa.ColumnElement[bool]]:
    return [arrival.c.courseid == space.courseid, arrival.c.userid == then.c.userid]


def _by_resets(space: Space) -> sa.ColumnElement[bool]:
    return arrival.c.run.in_([reset.run for reset in space.resets])
