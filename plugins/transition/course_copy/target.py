"""The space that gets the content, before and after: what came, and that nothing else did."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.course_copy.spaces import read_activities
from transition.french import counted
from transition.moodle.database import MoodleDatabase, last_id

# What Moodle would overwrite with the archived space's own (the restore's setting « overwrite_conf »).
_OWN = ("fullname", "shortname", "idnumber", "category", "format", "visible", "startdate", "enddate")


@dataclass(frozen=True)
class Before:
    """The target before the copy.

    :param activities: ids of its course modules. :param course: its own settings, as text.
    :param last: the highest id of each table of people (:func:`_people`).
    """

    activities: tuple[int, ...]
    course: Mapping[str, str]
    last: Mapping[str, int]

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def load(cls, text: str) -> "Before":
        """From JSON."""
        facts = json.loads(text)
        return cls(tuple(facts["activities"]), facts["course"], facts["last"])


def look(connection: sa.Connection, campaign: Campaign, courseid: int) -> Before:
    """The target as it is now."""
    return Before(
        tuple(activity.cmid for activity in read_activities(connection, campaign, courseid)),
        _course(connection, campaign, courseid),
        {name: last_id(connection, campaign.moodle[name]) for name in _people(campaign.moodle, courseid)},
    )


def differences(
    connection: sa.Connection, campaign: Campaign, courseid: int, before: Before, expected: Mapping[str, int]
) -> Iterator[str]:
    """What is not as a copy without users leaves it, in French.

    :param expected: number of activities that the backup file holds, by kind.
    """
    present = read_activities(connection, campaign, courseid)
    if gone := set(before.activities) - {activity.cmid for activity in present}:
        lost = counted(len(gone), "activité qui s'y trouvait a", "activités qui s'y trouvaient ont")
        yield f"{lost} disparu"
    came = Counter(activity.kind for activity in present if activity.cmid not in before.activities)
    for kind, number in expected.items():
        if came[kind] < number:
            yield f"activités « {kind} » ajoutées : {came[kind]} sur {number}"
    for name, value in _course(connection, campaign, courseid).items():
        if value != before.course[name]:
            yield f"son réglage {name} est passé de « {before.course[name]} » à « {value} »"
    for name, rows in _people(campaign.moodle, courseid).items():
        added = connection.execute(
            sa.select(sa.func.count()).select_from(rows).where(rows.c.id > before.last[name])
        ).scalar_one()
        if added:
            rows_added = counted(added, "ligne ajoutée", "lignes ajoutées")
            yield f"{rows_added} dans {name} pendant la copie (une inscription du moment, ou la copie)"


def _course(connection: sa.Connection, campaign: Campaign, courseid: int) -> dict[str, str]:
    course = campaign.moodle["course"].c
    row = connection.execute(sa.select(*(course[name] for name in _OWN)).where(course.id == courseid)).one()
    return {name: str(value) for name, value in row._mapping.items()}


def _people(moodle: MoodleDatabase, courseid: int) -> dict[str, sa.Subquery]:
    """Ids of a space's enrolments, roles, grades, group members and completions, by table."""
    enrol, items, groups, cm = (moodle[name].c for name in ("enrol", "grade_items", "groups", "course_modules"))
    context = moodle["context"]
    own, below = context.alias("own"), context.alias("below")
    contexts = (
        sa.select(below.c.id)
        .select_from(own.join(below, below.c.path.like(sa.func.concat(own.c.path, "/%")) | (below.c.id == own.c.id)))
        .where(own.c.contextlevel == 50, own.c.instanceid == courseid)
    )
    places = {
        "user_enrolments": ("enrolid", sa.select(enrol.id).where(enrol.courseid == courseid)),
        "role_assignments": ("contextid", contexts),
        "grade_grades": ("itemid", sa.select(items.id).where(items.courseid == courseid)),
        "groups_members": ("groupid", sa.select(groups.id).where(groups.courseid == courseid)),
        "course_modules_completion": ("coursemoduleid", sa.select(cm.id).where(cm.course == courseid)),
    }
    return {
        name: sa.select(moodle[name].c.id).where(moodle[name].c[column].in_(place)).subquery()
        for name, (column, place) in places.items()
    }
