"""Who is enrolled in a space, how, and in which group."""

from __future__ import annotations

from demo import moments
from demo.programmes import Programme
from demo.site import Site
from demo.space import Space

STUDENTS_ROLE = {"database": 0, "cohort": 5, "manual": 5, "self": 5}
GONE = 5
"""Place, among a space's learners, of the one who was unenrolled during the year: traces, and no enrolment."""


class Cohorts:
    """The cohorts of a platform, one a programme, filled with last year's students."""

    def __init__(self, site: Site) -> None:
        self.ids: dict[Programme, int] = {}
        for programme, people in site.university.classes.items():
            cohort = self.ids[programme] = site.rows.add(
                "cohort", contextid=site.system, name=f"{programme.name} 2025-2026", idnumber=programme.step,
                description="", timecreated=moments.OPENING, timemodified=moments.OPENING,
            )  # fmt: skip
            for person in people:
                user = site.users[person.username]
                if not site.is_gone(user):
                    site.rows.add("cohort_members", cohortid=cohort, userid=user, timeadded=moments.OPENING)


def enrol(space: Space, cohorts: Cohorts | None) -> None:
    """Enrol the space's people as its platform does: enrol_database, cohorts, and by hand everywhere."""
    manual = _instance(space, "manual", 0)
    space.add("enrol", enrol="guest", status=1, courseid=space.id, sortorder=1, timecreated=moments.OPENING)
    self_service = _instance(space, "self", 2)
    present = [user for user in space.students if not space.site.is_gone(user) and user != space.students[GONE]]
    if space.plan.fate == "archived":
        _enrol_all(space, manual, "manual", space.teachers, "editingteacher")
        return
    if space.plan.programme and cohorts:
        cohort = _instance(space, "cohort", 3, customint1=cohorts.ids[space.plan.programme])
        _enrol_all(space, cohort, "cohort", present, "student")
        _enrol_all(space, manual, "manual", space.teachers, "editingteacher")
    elif space.plan.programme:
        database = _instance(space, "database", 3)
        _enrol_all(space, database, "database", space.teachers, "editingteacher")
        _enrol_all(space, database, "database", present, "student")
        space.rows.change("user_enrolments", _enrolled(space, database, present[8]), status=1)  # suspended
    else:
        _enrol_all(space, manual, "manual", space.teachers, "editingteacher")
        _enrol_all(space, self_service, "self", present, "student")
    if space.plan.programme:
        _by_hand(space, manual, self_service)


def _by_hand(space: Space, manual: int, self_service: int) -> None:
    """Students of elsewhere: two enrolled by hand, one without any role, one by self-enrolment; and one who teaches."""
    known = set(space.students)
    everyone = [space.site.users[person.username] for person in space.site.university.students]
    elsewhere = [user for user in everyone if user not in known and not space.site.is_gone(user)]
    guests = space.random.sample(elsewhere, 4)
    _enrol_all(space, manual, "manual", guests[:2], "student")
    _enrol_all(space, self_service, "self", guests[2:3], "student")
    space.add("user_enrolments", enrolid=manual, userid=guests[3], modifierid=2, timecreated=moments.FIRST_DAY)
    space.site.assign_role("teacher", space.context, space.students[3])


def _instance(space: Space, method: str, order: int, customint1: int | None = None) -> int:
    return space.add(
        "enrol", enrol=method, status=0, courseid=space.id, sortorder=order, roleid=STUDENTS_ROLE[method],
        customint1=customint1, timecreated=moments.OPENING, timemodified=moments.OPENING,
    )  # fmt: skip


def _enrol_all(space: Space, instance: int, method: str, users: list[int], role: str) -> None:
    owned = method in ("database", "cohort")
    for user in users:
        space.add("user_enrolments", enrolid=instance, userid=user, modifierid=2, timecreated=moments.OPENING,
                  timemodified=moments.OPENING)  # fmt: skip
        space.site.assign_role(role, space.context, user, f"enrol_{method}" if owned else "", instance if owned else 0)


def _enrolled(space: Space, instance: int, user: int) -> int:
    for row in space.rows.each("user_enrolments"):
        if row["enrolid"] == instance and row["userid"] == user:
            return int(row["id"])
    raise LookupError(f"user {user} has no enrolment in instance {instance}")


def group(space: Space) -> None:
    """Two groups in a grouping, with students and a teacher as members, and the conversation of the first."""
    grouping = space.add(
        "groupings", courseid=space.id, name="Groupes de TD", description="", timecreated=moments.OPENING
    )
    for number in (1, 2):
        made = space.add(
            "groups", courseid=space.id, name=f"TD {number}", idnumber=f"{space.plan.shortname}-TD{number}",
            description="", timecreated=moments.OPENING, timemodified=moments.OPENING,
        )  # fmt: skip
        space.add("groupings_groups", groupingid=grouping, groupid=made, timeadded=moments.OPENING)
        space.groups.append(made)
        for user in [space.teacher, *space.learners[number - 1 :: 2]]:
            space.add("groups_members", groupid=made, userid=user, timeadded=moments.OPENING)
    if space.plan.full:
        _conversation(space, space.groups[0])


def _conversation(space: Space, made: int) -> None:
    talk = space.add(
        "message_conversations", type=2, name="TD 1", component="core_group", itemtype="groups", itemid=made,
        contextid=space.context, enabled=1, timecreated=moments.OPENING, timemodified=moments.OPENING,
    )  # fmt: skip
    for user in space.learners[::2]:
        space.add("message_conversation_members", conversationid=talk, userid=user, timecreated=moments.OPENING)
        message = space.add(
            "messages", useridfrom=user, conversationid=talk, fullmessage="Bonjour le groupe", fullmessageformat=0,
            fullmessagehtml="", smallmessage="Bonjour", timecreated=space.when(),
        )  # fmt: skip
        space.add("message_user_actions", userid=user, messageid=message, action=1, timecreated=space.when())
        space.add("message_email_messages", useridto=user, conversationid=talk, messageid=message)
    space.add("message_conversation_actions", userid=space.learners[0], conversationid=talk, action=1,
              timecreated=space.when())  # fmt: skip
