"""Cohorts that would fill an archived space with new students: their links are disabled while it is in Archives."""

from collections.abc import Collection

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.enrolment.tables import cohort_space, ex_link, own_cohort

_ENABLED, _DISABLED = 0, 1  # ENROL_INSTANCE_ENABLED, ENROL_INSTANCE_DISABLED


def filling_links(connection: sa.Connection, campaign: Campaign, courseid: int) -> list[int]:
    """Ids of a space's enabled instances of enrol_cohort whose cohort the campaign fills, or empties, for others."""
    enrol = campaign.moodle["enrol"]
    own = sa.exists().where(
        cohort_space.c.run == own_cohort.c.run, cohort_space.c.idnumber == own_cohort.c.idnumber,
        cohort_space.c.courseid == enrol.c.courseid,
    )  # fmt: skip
    query = (
        sa.select(enrol.c.id)
        .join(own_cohort, own_cohort.c.cohortid == enrol.c.customint1)
        .where(own_cohort.c.run == campaign.run, ~own)
        .where(enrol.c.courseid == courseid, enrol.c.enrol == "cohort", enrol.c.status == _ENABLED)
        .order_by(enrol.c.id)
    )
    return list(connection.execute(query).scalars())


def disable(connection: sa.Connection, campaign: Campaign, courseid: int, links: Collection[int]) -> None:
    """Disable instances of a space, as ``enrol_plugin::update_status`` does, and write down that they were enabled."""
    if not links:
        return
    enrol = campaign.moodle["enrol"]
    rows = [
        {"year": campaign.year, "courseid": courseid, "enrolid": id_, "status": _ENABLED, "new_status": _DISABLED}
        for id_ in links
    ]
    connection.execute(sa.insert(ex_link).prefix_with("IGNORE"), rows)
    connection.execute(sa.update(enrol).where(enrol.c.id.in_(links)).values(status=_DISABLED))


def undo(connection: sa.Connection, campaign: Campaign, courseid: int, year: int, undone_by: int | None = None) -> None:
    """Give the instances of a space the status that they had before the campaign of a year; nothing if it changed none.

    One whose status somebody has changed since keeps it. The change is forgotten.
    :param undone_by: the year to whose campaign the opposite change belongs from now on.
    """
    enrol = campaign.moodle["enrol"]
    here = sa.and_(ex_link.c.year == year, ex_link.c.courseid == courseid)
    changes = connection.execute(sa.select(ex_link).where(here)).all()
    for change in changes:
        ours = sa.and_(enrol.c.id == change.enrolid, enrol.c.status == change.new_status)
        connection.execute(sa.update(enrol).where(ours).values(status=change.status))
    connection.execute(sa.delete(ex_link).where(here))
    if undone_by is not None and changes:
        opposite = [
            {"year": undone_by, "courseid": courseid, "enrolid": change.enrolid, "status": change.new_status,
             "new_status": change.status}
            for change in changes
        ]  # fmt: skip
        connection.execute(sa.insert(ex_link), opposite)
