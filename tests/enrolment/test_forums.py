"""Forums with automatic subscription: the new year's students are in them as if Moodle had enrolled them itself."""

from typing import Any

import pytest
import sqlalchemy as sa

from tests.enrolment.test_nightly import detail
from tests.enrolment.world import Registration, World
from transition.campaign import Campaign
from transition.enrolment import stage
from transition.enrolment.forums import unsubscribed
from transition.enrolment.people import record_people
from transition.keys import frozen_keys
from transition.move import move_rule

SPACE, OTHER, OUT = 2, 4, 5  # LI3INF01, L1MAT101, and one that the run does not reset
AUTOMATIC, FORCED, OPTIONAL, ELSEWHERE, OUTSIDE = 9, 11, 12, 19, 20  # forums: three of SPACE, one of each other
TEACHER, LEAVER, REPEATER, STUDENT = 4, 6, 8, 5  # users; the last one is a role
CAPABILITY = "mod/forum:allowforcesubscribe"
# ``mod_forum_observer::role_assigned``, for everybody who holds the student role in a course.
OBSERVER = """SELECT f.course, f.id, ra.userid FROM mdl_role_assignments ra
    JOIN mdl_context x ON x.id = ra.contextid AND x.contextlevel = 50
    JOIN mdl_forum f ON f.course = x.instanceid AND f.forcesubscribe = 2
    JOIN mdl_course_modules cm ON cm.instance = f.id JOIN mdl_modules m ON m.id = cm.module AND m.name = 'forum'
    LEFT JOIN mdl_forum_subscriptions s ON s.forum = f.id AND s.userid = ra.userid
    WHERE s.id IS NULL AND ra.roleid = 5"""


@pytest.fixture
def forums(world: World) -> World:
    """Forums of every kind, in spaces that the run resets and in one that it does not; two new students."""
    for kind, chosen in ((2, (AUTOMATIC, ELSEWHERE, OUTSIDE)), (1, (FORCED,)), (0, (OPTIONAL,))):
        for forum in chosen:
            execute(world, f"UPDATE mdl_forum SET forcesubscribe = {kind} WHERE id = {forum}")
    for name in ("n1", "n2"):
        world.add_user(name)
    return world


def execute(world: World, statement: str) -> None:
    with world.engine.begin() as connection:
        connection.execute(sa.text(statement))


def carried_out(world: World, run_id: str = "essai") -> Campaign:
    campaign = world.campaign(run_id)
    world.decide(campaign, {SPACE: "reset", OTHER: "reset"})
    registered = [("22300003", "LI3INF01", "22300003"), ("n1", "LI3INF01", "n1"), ("n2", "L1MAT101", "n2")]
    world.feed(campaign, [Registration(*one) for one in registered])
    record_people(campaign)
    world.freeze(campaign, ("enrolment", "forum"))
    move_rule(campaign, "forum")
    stage.enrolment(campaign)
    return campaign


def subscribed(world: World, forum: int) -> dict[int, int]:
    """Users who are subscribed to a forum, with the id of the row."""
    return {row["userid"]: row["id"] for row in world.rows("forum_subscriptions", forum=forum)}


def user(world: World, name: str) -> int:
    return int(world.row("user", username=name)["id"])


def due(world: World, *courses: int) -> set[tuple[int, int]]:
    """Forum and user of what Moodle would do in some spaces, did it see their students arrive."""
    with world.engine.connect() as connection:
        return {(forum, userid) for course, forum, userid in connection.execute(sa.text(OBSERVER)) if course in courses}


def missing(campaign: Campaign) -> list[tuple[Any, ...]]:
    query = unsubscribed(campaign)
    assert query is not None
    with campaign.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_the_new_students_are_subscribed_the_repeaters_still_and_nobody_else(forums: World) -> None:
    world, ids = forums, (AUTOMATIC, FORCED, OPTIONAL, ELSEWHERE, OUTSIDE)
    before = {forum: subscribed(world, forum) for forum in ids}
    assert all({TEACHER, LEAVER, REPEATER} <= before[forum].keys() for forum in (AUTOMATIC, FORCED, OPTIONAL))
    assert before[ELSEWHERE].keys() > {TEACHER, REPEATER}
    campaign = carried_out(world)
    after = {forum: subscribed(world, forum) for forum in ids}
    n1, n2 = user(world, "n1"), user(world, "n2")
    assert after[AUTOMATIC].keys() == {TEACHER, REPEATER, n1}
    assert after[ELSEWHERE].keys() == {TEACHER, n2}, "who repeats in one space only left the other"
    for userid in (TEACHER, REPEATER):
        assert after[AUTOMATIC][userid] == before[AUTOMATIC][userid], "the very row"
    assert after[FORCED] == {TEACHER: before[FORCED][TEACHER]}
    assert after[OPTIONAL] == {TEACHER: before[OPTIONAL][TEACHER]}
    assert after[OUTSIDE] == before[OUTSIDE]
    assert due(world, SPACE, OTHER) == set()
    assert missing(campaign) == []
    assert "2 abonnements aux forums" in detail(campaign)


def test_twice_changes_nothing_nor_does_a_second_run(forums: World) -> None:
    world = forums
    campaign = carried_out(world)
    once = world.rows("forum_subscriptions")
    stage.enrolment(campaign)
    assert world.rows("forum_subscriptions") == once
    again = carried_out(world, "suivante")
    assert world.rows("forum_subscriptions") == once
    keys = frozen_keys(again, "forum_subscriptions")
    with again.engine.connect() as connection:
        of_run = sa.select(sa.func.count()).select_from(keys).where(keys.c.run == again.run)
        assert connection.execute(of_run).scalar() == 0, "what the first run wrote stays"


def test_what_a_kill_left_undone_is_seen_and_written(forums: World) -> None:
    world = forums
    campaign = carried_out(world)
    once = {forum: subscribed(world, forum).keys() for forum in (AUTOMATIC, ELSEWHERE)}
    execute(world, f"DELETE FROM mdl_forum_subscriptions WHERE forum = {AUTOMATIC} AND userid <> {TEACHER}")
    assert missing(campaign) == [(SPACE, "LI3INF01", 2)]
    stage.enrolment(campaign)
    assert {forum: subscribed(world, forum).keys() for forum in (AUTOMATIC, ELSEWHERE)} == once


def test_a_forum_about_to_be_deleted_gets_nobody(forums: World) -> None:
    world = forums
    module = world.row("modules", name="forum")["id"]
    execute(world, f"UPDATE mdl_course_modules SET deletioninprogress = 1 WHERE module = {module} AND instance = 9")
    campaign = carried_out(world)
    assert subscribed(world, AUTOMATIC).keys() == {TEACHER}
    assert missing(campaign) == []


@pytest.mark.parametrize(
    ("given", "follows"),
    [
        ({"system": None}, False),
        ({"category": -1}, False),
        ({"course": -1}, False),
        ({"forum": -1}, False),
        ({"course": -1, "forum": 1}, True),
        ({"course": -1000, "forum": 1}, False),
        ({"system": None, "course": 1}, True),
    ],
)
def test_whoever_may_not_be_subscribed_is_not(forums: World, given: dict[str, int | None], follows: bool) -> None:
    """The capability as Moodle finds it: the deepest permission counts, but for one that prohibits."""
    world = forums
    module = world.row("modules", name="forum")["id"]
    places = {
        "system": 1, "category": world.context(40, world.row("course", id=SPACE)["category"]),
        "course": world.context(50, SPACE),
        "forum": world.context(70, world.row("course_modules", module=module, instance=AUTOMATIC)["id"]),
    }  # fmt: skip
    for place, permission in given.items():
        if permission is None:
            execute(
                world, f"DELETE FROM mdl_role_capabilities WHERE roleid = {STUDENT} AND capability = '{CAPABILITY}'"
            )
        else:
            world.add("role_capabilities", contextid=places[place], roleid=STUDENT, capability=CAPABILITY,
                      permission=permission, timemodified=1, modifierid=2)  # fmt: skip
    campaign = carried_out(world)
    students = {REPEATER, user(world, "n1")} if follows else set()
    assert subscribed(world, AUTOMATIC).keys() == {TEACHER} | students
    assert missing(campaign) == []


def test_without_the_module_nothing_is_done(forums: World) -> None:
    world = forums
    names = ("forum", "forum_subscriptions")
    for name in names:
        execute(world, f"RENAME TABLE mdl_{name} TO gone_{name}")
    try:
        campaign = world.campaign()
        world.decide(campaign, {SPACE: "reset"})
        world.feed(campaign, [Registration("n1", "LI3INF01", "n1")])
        record_people(campaign)
        world.freeze(campaign)
        stage.enrolment(campaign)
        assert unsubscribed(campaign) is None
        assert user(world, "n1") in world.enrolled(SPACE)
    finally:
        for name in names:
            execute(world, f"RENAME TABLE gone_{name} TO mdl_{name}")
