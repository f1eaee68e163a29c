"""What Moodle's nightly synchronisations would do now, told without doing it: models of the two plugins.

Written from the behaviour of Moodle 4.5: ``enrol_database_plugin::sync_enrolments`` with its default action on
what left the feed (unenrol), and ``enrol_cohort_sync`` with the ``groups_sync_with_enrolment`` that ends it.
"""

from collections import defaultdict
from collections.abc import Iterable

import sqlalchemy as sa

from tests.enrolment.world import World

Change = tuple[str, int, int]  # what is done, in which course, to whom


def enrol_database(world: World, feed: Iterable[tuple[str, str, str]]) -> list[Change]:
    """What the plugin would change, if its external table held ``feed``: course idnumber, user name, role shortname."""
    requested: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for code, username, role in feed:
        requested[code][username].add(role)
    roles = {row["shortname"]: row["id"] for row in world.rows("role")}
    users = {row["username"]: row["id"] for row in world.rows("user", deleted=0, mnethostid=1)}
    instances = {row["courseid"]: row["id"] for row in world.rows("enrol", enrol="database")}
    changes: list[Change] = []
    for course in world.rows("course"):
        code, courseid = course["idnumber"], course["id"]
        if not code or courseid not in instances:
            changes += [("instance", courseid, 0)] if code in requested else []
            continue
        wanted = {
            users[name]: {roles[role] for role in names} for name, names in requested[code].items() if name in users
        }
        changes += _in_course(world, courseid, instances[courseid], wanted)
    return changes


def _in_course(world: World, courseid: int, enrolid: int, wanted: dict[int, set[int]]) -> list[Change]:
    alive = {row["id"] for row in world.rows("user", deleted=0)}
    status = {row["userid"]: row["status"] for row in world.rows("user_enrolments", enrolid=enrolid)}
    held: dict[int, set[int]] = defaultdict(set)
    for row in world.rows("role_assignments", component="enrol_database", itemid=enrolid):
        if row["userid"] in alive:
            held[row["userid"]].add(row["roleid"])
    changes: list[Change] = []
    for userid, roles in wanted.items():
        if userid not in held or userid not in status:  # the plugin sees an enrolment through its roles alone
            changes.append(("enrol", courseid, userid))
        elif status[userid]:
            changes.append(("activate", courseid, userid))
        changes += [("assign", courseid, userid)] * len(roles - held.get(userid, set()))
        changes += [("unassign", courseid, userid)] * len(held.get(userid, set()) - roles)
    return changes + [("unenrol", courseid, userid) for userid in held if userid not in wanted]


_COHORT = {
    "enrol": """SELECT e.courseid, cm.userid FROM mdl_cohort_members cm
        JOIN mdl_enrol e ON e.customint1 = cm.cohortid AND e.enrol = 'cohort' AND e.status = 0
        JOIN mdl_user u ON u.id = cm.userid AND u.deleted = 0
        LEFT JOIN mdl_user_enrolments ue ON ue.enrolid = e.id AND ue.userid = cm.userid
        WHERE ue.id IS NULL OR ue.status = 1""",
    "unenrol": """SELECT e.courseid, ue.userid FROM mdl_user_enrolments ue
        JOIN mdl_enrol e ON e.id = ue.enrolid AND e.enrol = 'cohort'
        LEFT JOIN mdl_cohort_members cm ON cm.cohortid = e.customint1 AND cm.userid = ue.userid WHERE cm.id IS NULL""",
    "assign": """SELECT e.courseid, ue.userid FROM mdl_user_enrolments ue
        JOIN mdl_enrol e ON e.id = ue.enrolid AND e.enrol = 'cohort' AND e.status = 0
        JOIN mdl_role r ON r.id = e.roleid
        JOIN mdl_context c ON c.instanceid = e.courseid AND c.contextlevel = 50
        JOIN mdl_user u ON u.id = ue.userid AND u.deleted = 0
        LEFT JOIN mdl_role_assignments ra ON ra.contextid = c.id AND ra.userid = ue.userid AND ra.itemid = e.id
          AND ra.component = 'enrol_cohort' AND ra.roleid = e.roleid
        WHERE ue.status = 0 AND ra.id IS NULL""",
    "unassign": """SELECT e.courseid, ra.userid FROM mdl_role_assignments ra
        JOIN mdl_context c ON c.id = ra.contextid AND c.contextlevel = 50
        JOIN mdl_enrol e ON e.id = ra.itemid AND e.enrol = 'cohort'
        LEFT JOIN mdl_user_enrolments ue ON ue.enrolid = e.id AND ue.userid = ra.userid AND ue.status = 0
        WHERE ra.component = 'enrol_cohort' AND (ue.id IS NULL OR e.status <> 0)""",
    "leave group": """SELECT e.courseid, gm.userid FROM mdl_groups_members gm
        JOIN mdl_groups g ON g.id = gm.groupid
        JOIN mdl_enrol e ON e.enrol = 'cohort' AND e.courseid = g.courseid
        JOIN mdl_user_enrolments ue ON ue.userid = gm.userid AND ue.enrolid = e.id
        WHERE gm.component = 'enrol_cohort' AND gm.itemid = e.id AND g.id <> e.customint2""",
    "join group": """SELECT e.courseid, ue.userid FROM mdl_user_enrolments ue
        JOIN mdl_enrol e ON e.id = ue.enrolid AND e.enrol = 'cohort'
        JOIN mdl_groups g ON g.courseid = e.courseid AND g.id = e.customint2
        JOIN mdl_user u ON u.id = ue.userid AND u.deleted = 0
        LEFT JOIN mdl_groups_members gm ON gm.groupid = g.id AND gm.userid = ue.userid WHERE gm.id IS NULL""",
}  # fmt: skip


def enrol_cohort(world: World) -> list[Change]:
    """What the plugin would change."""
    with world.engine.connect() as connection:
        return sorted(
            (what, courseid, userid)
            for what, query in _COHORT.items()
            for courseid, userid in connection.execute(sa.text(query))
        )
