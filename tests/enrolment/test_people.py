"""Who teaches, leaves, stays, arrives: on the real database, and the matrix of roles."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from tests.enrolment.world import Registration, World
from transition import caps
from transition.campaign import Campaign, now
from transition.enrolment.people import enrolment_traces, planned_arrivals, record_people
from transition.enrolment.tables import arrival, unknown_student
from transition.errors import TransitionError
from transition.plan import fingerprint
from transition.rules.compile import Scope
from transition.state import tables

SPACE, ARCHIVED = 2, 3  # LI3INF01, LI3INF02
TEACHERS = {3, 4, 5, 32}  # three teachers, one of them by hand, and a non-editing one
REPEATER, SUSPENDED, BY_HAND, NO_ROLE, DELETED, UNENROLLED = 8, 25, 26, 31, 24, 23


def arrivals(campaign: Campaign, courseid: int) -> dict[int, tuple[int, int]]:
    query = sa.select(arrival.c.userid, arrival.c.timestart, arrival.c.timeend).where(
        arrival.c.run == campaign.run, arrival.c.courseid == courseid
    )
    with campaign.engine.connect() as connection:
        return {userid: (start, end) for userid, start, end in connection.execute(query)}


def recorded(world: World, registrations: list[Registration], **hosts: str) -> Campaign:
    campaign = world.campaign()
    world.decide(campaign, {SPACE: "reset", ARCHIVED: "archive", 8: "exclude"})
    world.feed(campaign, registrations, hosts)
    record_people(campaign)
    return campaign


def test_standing_on_the_real_database(world: World) -> None:
    campaign = recorded(world, [Registration("22300003", "LI3INF01", "22300003"), Registration("n1", "LI3INF02")])
    found = world.standings(campaign, SPACE)
    enrolled = set(world.enrolled(SPACE))
    assert {user for user, standing in found.items() if standing == "teacher"} == TEACHERS
    assert {user for user, standing in found.items() if standing == "staying"} == {REPEATER}
    assert {user for user, standing in found.items() if standing == "leaving"} == enrolled - TEACHERS - {REPEATER}
    assert {SUSPENDED, BY_HAND, NO_ROLE} < {user for user, standing in found.items() if standing == "leaving"}
    assert world.standings(campaign, 8) == {}
    assert set(world.standings(campaign, ARCHIVED).values()) == {"teacher", "leaving"}, "nobody is registered there"
    assert arrivals(campaign, ARCHIVED) == {}


def test_accounts_by_username_else_by_idnumber(world: World) -> None:
    by_name = world.add_user("e26000001")
    by_number = world.add_user("autre.nom", idnumber="26000002")
    world.add_user("efface", idnumber="26000003", deleted=1)
    world.add_user("jumeau1", idnumber="26000004")
    world.add_user("jumeau2", idnumber="26000004")
    world.add_user("e26000005", mnethostid=9)
    world.add_user("lea", idnumber="")
    campaign = recorded(world, [
        Registration("26000001", "LI3INF01", "E26000001"),  # Moodle's user names are lower case, LDAP's may not be
        Registration("26000002", "LI3INF01", "inconnu"),
        Registration("26000003", "LI3INF01", "efface"),
        Registration("26000004", "LI3INF01"),  # two accounts carry it: no guess
        Registration("26000005", "LI3INF01", "e26000005"),
        Registration("26000006", "LI3INF01", "léa"),  # the column's collation takes é for e
        Registration("26000007", "L1MAT101", "inconnu"),  # not in a space of the run
    ])  # fmt: skip
    assert set(arrivals(campaign, SPACE)) == {by_name, by_number}
    query = sa.select(unknown_student.c.code_etudiant).where(unknown_student.c.run == campaign.run)
    with campaign.engine.connect() as connection:
        assert sorted(connection.execute(query).scalars()) == [f"2600000{n}" for n in (3, 4, 5, 6)]


def test_only_active_registrations_of_the_element_or_of_one_it_hosts(world: World) -> None:
    registered = [
        Registration("22300001", "LI3INF01", "22300001", statut="annulee"),
        Registration("22300002", "LI3INF01", "22300002", statut="dispense"),
        Registration("22300003", "li3inf01\u00a0", "22300003"),
        Registration("22300004", "PORTE1", "22300004"),
        Registration("22300005", "PORTE2", "22300005"),
    ]
    campaign = recorded(world, registered, PORTE1="LI3INF01", PORTE2="L1MAT101")
    assert set(arrivals(campaign, SPACE)) == {8, 9}


def test_the_widest_window_of_all_registrations(world: World) -> None:
    september, december, june = date(2026, 9, 1), date(2026, 12, 31), date(2027, 6, 30)
    campaign = recorded(world, [
        Registration("22300001", "LI3INF01", "22300001"),
        Registration("22300002", "LI3INF01", "22300002", depuis=september, jusqu_a=december),
        Registration("22300002", "LI3INF01", "22300002", depuis=december, jusqu_a=june, etape="SM1INF"),
        Registration("22300003", "LI3INF01", "22300003", depuis=september, jusqu_a=june),
        Registration("22300003", "LI3INF01", "22300003", etape="SM1INF"),
    ])  # fmt: skip
    found = arrivals(campaign, SPACE)
    start = int(datetime(2026, 8, 31, 23, tzinfo=UTC).timestamp())  # midnight of London's summer
    end = int(datetime(2027, 6, 30, 23, tzinfo=UTC).timestamp())  # the last day is included
    assert found == {6: (0, 0), 7: (start, end), 8: (0, 0)}


def test_recording_again_replaces(world: World) -> None:
    campaign = recorded(world, [Registration("22300003", "LI3INF01", "22300003")])
    before = world.standings(campaign, SPACE)
    record_people(campaign)
    assert world.standings(campaign, SPACE) == before
    world.feed(campaign, [Registration("22300004", "LI3INF01", "22300004")])
    record_people(campaign)
    assert set(arrivals(campaign, SPACE)) == {9}


def test_planned_arrivals_counts_those_not_enrolled_by_the_platform_method(world: World) -> None:
    new = world.add_user("e26000001")
    assert new
    campaign = recorded(world, [
        Registration("22300003", "LI3INF01", "22300003"),
        Registration("22300021", "LI3INF01", "22300021"),  # by hand so far
        Registration("26000001", "LI3INF01", "e26000001"),
    ])  # fmt: skip
    assert planned_arrivals(campaign) == {SPACE: 2}


def test_the_cap_of_a_run_of_few_spaces_is_that_of_the_platform(world: World) -> None:
    """Everybody has left the one space that is due; students of the space that August reset are registered."""
    world = world.with_platform(limits={"archived_share": 1, "unenrolled_share": 0.5, "free_space_gib": 0})
    context, other = world.context(50, SPACE), 4
    with world.engine.begin() as connection:
        students = f"contextid = {context} AND roleid = (SELECT id FROM mdl_role WHERE shortname = 'student')"
        connection.execute(sa.text(f"DELETE FROM mdl_role_assignments WHERE {students}"))
        enrolled = f"enrolid IN (SELECT id FROM mdl_enrol WHERE courseid = {SPACE}) AND userid NOT IN (3, 4, 5, 32)"
        connection.execute(sa.text(f"DELETE FROM mdl_user_enrolments WHERE {enrolled}"))
    for name in ("diplome1", "diplome2"):
        user = world.add_user(name)
        world.enrol(SPACE, user, "database")
        world.assign("student", context, user)
    there = [Registration(f"223000{n:02}", "L1MAT101", f"223000{n:02}") for n in range(1, 31)]

    def crossed(run_id: str, people: list[Registration], **fields: Any) -> list[tuple[str, int, int]]:
        campaign = world.campaign(run_id, **fields)
        world.decide(campaign, {SPACE: "reset", other: "exclude"})
        with campaign.engine.begin() as connection:
            done = {"year": 2026, "courseid": other, "run": campaign.run, "verified_at": now()}
            connection.execute(sa.insert(tables.space_reset).prefix_with("IGNORE").values(done))
        world.feed(campaign, [*people, Registration("n1", "LI3INF01")])
        record_people(campaign)
        caps.record(campaign)
        return [
            (crossing.cap, crossing.count, crossing.base)
            for crossing in caps.load(campaign)
            if crossing.kind == "unenrolled" and not crossing.component
        ]

    assert crossed("due", there, courses=("LI3INF01",)) == []
    assert crossed("all", there) == [("unenrolled_share", 2, 2)]
    [(cap, gone, students_)] = crossed("cut", [], courses=("LI3INF01",))
    assert (cap, gone) == ("unenrolled_share", students_), "a feed cut short is seen, though few spaces are due"


def test_without_a_lot_of_the_year_nothing_is_recorded(world: World) -> None:
    campaign = world.campaign()
    world.decide(campaign, {SPACE: "reset"})
    with pytest.raises(TransitionError, match="n'a pas de lot Apogée de l'année 2026"):
        record_people(campaign)


@pytest.mark.parametrize("platform", [
    {"enrolment": "database"}, {"enrolment": "cohort"}, {"enrolment": "cohort", "cohorts": "etape"},
])  # fmt: skip
def test_traces_start_from_the_small_side(world: World, platform: dict[str, str]) -> None:
    campaign = recorded(world.with_platform(**platform), [Registration("22300003", "LI3INF01", "22300003")])
    with campaign.engine.connect() as connection:  # not what the server guesses of tables that were just filled
        connection.exec_driver_sql("ANALYZE TABLE mdl_enrol, mdl_user_enrolments, mdl_role_assignments, mdl_context")
    scopes = [Scope(campaign.run, everything) for everything in (False, True)]
    for trace in (trace for scope in scopes for trace in enrolment_traces(campaign, scope)):
        with campaign.engine.connect() as connection:
            compiled = trace.rows.compile(
                connection, schema_translate_map={"state": campaign.state_schema}, render_schema_translate=True
            )
            plan = connection.exec_driver_sql("EXPLAIN " + str(compiled), tuple(
                compiled.params[name] for name in compiled.positiontup or ())).mappings().all()  # fmt: skip
        assert plan[0]["table"] in ("decision", "space_context", "own_cohort"), plan
        assert not [row["table"] for row in plan[1:] if row["type"] == "ALL"], plan


WAYS = [{"enrolment": "database"}, {"enrolment": "cohort"}, {"enrolment": "cohort", "cohorts": "etape"}]


def planned(world: World) -> tuple[Campaign, str]:
    """A campaign with a repeater and a student whom Moodle does not know yet; the fingerprint of its plan."""
    campaign = world.campaign()
    world.decide(campaign, {SPACE: "reset", ARCHIVED: "archive"})
    registered = [Registration("22300003", "LI3INF01", "22300003"), Registration("26000001", "LI3INF01", "e26000001")]
    world.feed(campaign, registered, etapes=[("LI3INF01", "SL3INF", "140")])
    record_people(campaign)
    return campaign, fingerprint(campaign)


@pytest.mark.parametrize("platform", WAYS)
def test_a_registered_student_who_gets_an_account_leaves_the_plan_as_it_is(
    world: World, platform: dict[str, str]
) -> None:
    campaign, approved = planned(world.with_platform(**platform))
    assert set(arrivals(campaign, SPACE)) == {REPEATER}
    new = world.add_user("e26000001")
    record_people(campaign)
    assert fingerprint(campaign) == approved
    assert set(arrivals(campaign, SPACE)) == {REPEATER, new}, "and nobody else"
    world.assign("student", world.context(50, SPACE), new, "enrol_database", world.enrol(SPACE, new, "database"))
    record_people(campaign)  # enrol_database synchronises whoever logs in
    assert world.standings(campaign, SPACE)[new] == "staying"
    assert fingerprint(campaign) == approved
    world.add_user("e26000002")  # of whom the approved registrations say nothing
    record_people(campaign)
    assert set(arrivals(campaign, SPACE)) == {REPEATER, new}


def examiner(world: World) -> int:
    """Somebody who only teaches in an activity."""
    user = world.add_user("examinatrice")
    world.assign("teacher", world.context(70, world.rows("course_modules", course=SPACE)[0]["id"]), user)
    return user


@pytest.mark.parametrize("platform", WAYS)
@pytest.mark.parametrize(("who", "was"), [(lambda _: BY_HAND, "leaving"), (examiner, "teacher")])
def test_whoever_leaves_or_teaches_and_is_recognised_since_as_a_student_makes_another_plan(
    world: World, platform: dict[str, str], who: Callable[[World], int], was: str
) -> None:
    user = who(world)
    campaign, approved = planned(world.with_platform(**platform))
    assert world.standings(campaign, SPACE)[user] == was
    with world.engine.begin() as connection:  # as LDAP writes it at night
        connection.execute(sa.text("UPDATE mdl_user SET idnumber = '26000001' WHERE id = :user"), {"user": user})
    record_people(campaign)
    assert world.standings(campaign, SPACE)[user] == "staying"
    assert fingerprint(campaign) != approved


@pytest.mark.parametrize("platform", WAYS)
def test_who_stayed_until_another_account_took_the_registration_makes_another_plan(
    world: World, platform: dict[str, str]
) -> None:
    with world.engine.begin() as connection:
        statement = "UPDATE mdl_user SET username = 'ancien', idnumber = '22300003' WHERE id = :user"
        connection.execute(sa.text(statement), {"user": REPEATER})
    campaign, approved = planned(world.with_platform(**platform))
    assert world.standings(campaign, SPACE)[REPEATER] == "staying"
    world.add_user("22300003")
    record_people(campaign)
    assert world.standings(campaign, SPACE)[REPEATER] == "leaving"
    assert fingerprint(campaign) != approved
