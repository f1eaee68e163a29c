"""Whoever they are, however they were enrolled: who leaves, who stays, who arrives, and nobody who teaches is touched.

One database, one run of the stage, each kind of person twice: registered for year N or not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from demo.server import PrivateMariaDB
from tests.conftest import drop_databases
from tests.enrolment.conftest import OURS, fresh
from tests.enrolment.world import Registration
from transition.enrolment import stage
from transition.enrolment.people import record_people

SPACE, ACTIVITY = 2, 101  # LI3INF01, the context of one of its activities


@dataclass(frozen=True)
class Kind:
    """How somebody is in the space before: roles (shortname, where, method that gave it), enrolments (method, status).

    :param teaches: nothing of theirs may change, registered or not. :param examines: the same, unless registered.
    """

    roles: tuple[tuple[str, str, str], ...] = ()
    enrolments: tuple[tuple[str, int], ...] = ()
    teaches: bool = False
    examines: bool = False
    deleted: bool = False


HAND, BASE, SELF, SUSPENDED = ("manual", 0), ("database", 0), ("self", 0), ("database", 1)
KINDS = {
    "teacher by hand": Kind((("editingteacher", "course", ""),), (HAND,), teaches=True),
    "teacher by database": Kind((("editingteacher", "course", "database"),), (BASE,), teaches=True),
    "non-editing teacher": Kind((("teacher", "course", ""),), (HAND,), teaches=True),
    "teacher who is not enrolled": Kind((("teacher", "course", ""),), teaches=True),
    "suspended teacher": Kind((("editingteacher", "course", ""),), (("manual", 1),), teaches=True),
    "manager of the course": Kind((("manager", "course", ""),), teaches=True),
    "manager of the category": Kind((("manager", "category", ""),), (HAND,), teaches=True),
    "manager of the site": Kind((("manager", "system", ""),), (SELF,), teaches=True),
    "course creator": Kind((("coursecreator", "system", ""),), (HAND,), teaches=True),
    "student and teacher": Kind((("student", "course", "database"), ("teacher", "course", "")), (BASE,), teaches=True),
    "student and manager above": Kind((("student", "course", ""), ("manager", "category", "")), (HAND,), teaches=True),
    "examiner of an activity": Kind((("teacher", "activity", ""),), (HAND,), examines=True),
    "teacher elsewhere": Kind((("editingteacher", "elsewhere", ""), ("student", "course", "")), (HAND,)),
    "student": Kind((("student", "course", "database"),), (BASE,)),
    "suspended student": Kind((("student", "course", "database"),), (SUSPENDED,)),
    "student of a deleted account": Kind((("student", "course", "database"),), (BASE,), deleted=True),
    "unenrolled, with a role": Kind((("student", "course", ""),)),
    "enrolled, with no role": Kind((), (HAND,)),
    "self-enrolled": Kind((("student", "course", ""),), (SELF,)),
    "enrolled by hand": Kind((("student", "course", ""),), (HAND,)),
    "enrolled in every way": Kind((("student", "course", "database"), ("student", "course", "")), (BASE, HAND, SELF)),
    "guest": Kind((("guest", "course", ""),)),
    "student lent a role": Kind((("student", "course", "database"), ("teacher", "activity", "")), (BASE,)),
    "nobody": Kind(),
}


@dataclass(frozen=True)
class Outcome:
    """Users by kind and registration; rows of two tables before and after, by user, in the space's contexts."""

    users: dict[tuple[str, bool], int]
    before: dict[str, dict[int, list[dict[str, Any]]]]
    after: dict[str, dict[int, list[dict[str, Any]]]]
    elsewhere: list[dict[str, Any]]
    elsewhere_after: list[dict[str, Any]]


@pytest.fixture(scope="module")
def outcome(
    enrolment_moodle: Any, server: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outcome]:
    world = fresh(enrolment_moodle, server, tmp_path_factory.mktemp("matrix"))
    places = {
        "course": world.context(50, SPACE), "activity": ACTIVITY, "category": world.context(40, 4),
        "system": world.context(10, 0), "elsewhere": world.context(50, 4),
    }  # fmt: skip
    instance = world.row("enrol", courseid=SPACE, enrol="database")["id"]
    users, registrations = dict[tuple[str, bool], int](), []
    for number, (name, kind) in enumerate(KINDS.items()):
        for registered in (True, False):
            login = f"m{number}.{int(registered)}"
            users[name, registered] = userid = world.add_user(login, deleted=int(kind.deleted))
            for method, status in kind.enrolments:
                world.enrol(SPACE, userid, method, status)
            for role, where, method in kind.roles:
                owned = ("enrol_database", instance) if method else ("", 0)
                world.assign(role, places[where], userid, *owned)
            if registered:
                registrations.append(Registration(login, "LI3INF01", login))
    inside = {places["course"], ACTIVITY}

    def rows(here: bool = True) -> dict[str, list[dict[str, Any]]]:
        instances = {row["id"] for row in world.rows("enrol", courseid=SPACE)}
        return {
            "user_enrolments": [r for r in world.rows("user_enrolments") if (r["enrolid"] in instances) == here],
            "role_assignments": [r for r in world.rows("role_assignments") if (r["contextid"] in inside) == here],
        }

    def by_user() -> dict[str, dict[int, list[dict[str, Any]]]]:
        mine = set(users.values())
        return {
            table: {user: [row for row in found if row["userid"] == user] for user in mine}
            for table, found in rows().items()
        }

    before, elsewhere = by_user(), [row for found in rows(here=False).values() for row in found]
    campaign = world.campaign()
    world.decide(campaign, {SPACE: "reset"})
    world.feed(campaign, registrations)
    record_people(campaign)
    world.freeze(campaign)
    stage.enrolment(campaign)
    yield Outcome(users, before, by_user(), elsewhere, [row for found in rows(here=False).values() for row in found])
    drop_databases(server, OURS)


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_matrix(outcome: Outcome, name: str, registered: bool) -> None:
    kind, user = KINDS[name], outcome.users[name, registered]
    enrolments, roles = (outcome.after[table][user] for table in ("user_enrolments", "role_assignments"))
    arrives = registered and not kind.deleted
    if kind.teaches or (kind.examines and not registered):
        for table, rows in outcome.before.items():
            kept = [row for row in outcome.after[table][user] if row in rows[user] or row["id"] in ids(rows[user])]
            assert len(kept) == len(rows[user]), f"{table}: a row of somebody who teaches is gone"
            if not (registered and any(method == "database" for method, _ in kind.enrolments)):
                assert kept == rows[user]
    else:
        assert len(enrolments) == len(roles) == int(arrives), "by the platform's method alone, or out"
    own = [row for row in enrolments if row["enrolid"] == 25]
    student = [row for row in roles if (row["roleid"], row["component"], row["itemid"]) == (5, "enrol_database", 25)]
    if arrives:
        assert [row["status"] for row in own] == [0]
        assert len(student) == 1


def ids(rows: list[dict[str, Any]]) -> set[int]:
    return {row["id"] for row in rows}


def test_nothing_changes_outside_the_space(outcome: Outcome) -> None:
    assert outcome.elsewhere_after == outcome.elsewhere
