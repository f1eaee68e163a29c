"""``course.cacherev``: the number by which each Moodle server knows that a space's cached structure is out of date."""

import time
from collections.abc import Collection

import sqlalchemy as sa

from transition.moodle.database import MoodleDatabase


def next_revision(course: sa.Table, moment: int) -> sa.ColumnElement[int]:
    """The next ``cacherev`` of a course, as Moodle's ``increment_revision_number`` counts.

    :param moment: seconds since 1970.
    """
    return sa.case(
        (course.c.cacherev < moment, moment), (course.c.cacherev > moment + 3600, moment), else_=course.c.cacherev + 1
    )


def raise_revisions(connection: sa.Connection, moodle: MoodleDatabase, courses: Collection[int]) -> None:
    """Raise ``cacherev`` of some courses."""
    course = moodle["course"]
    raised = sa.update(course).where(course.c.id.in_(courses))
    connection.execute(raised.values(cacherev=next_revision(course, int(time.time()))))
