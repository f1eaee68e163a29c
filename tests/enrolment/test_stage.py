"""Last year's students out, the new year's in, teachers untouched: on the real database."""

from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.enrolment.conftest import WRITTEN
from tests.enrolment.test_nightly import cohort, detail
from tests.enrolment.world import Registration, World
from transition.campaign import Campaign
from transition.enrolment import stage
from transition.enrolment.instances import shut_out
from transition.enrolment.nightly import taken_away
from transition.enrolment.people import planned_arrivals, record_people
from transition.errors import TransitionError
from transition.keys import frozen_keys
from transition.report.plan_table import plan_table
from transition.state import tables

SPACE, ARCHIVED, CONTEXT, STUDENT = 2, 3, 50, 5
TEACHERS = {3, 4, 5, 32}
REPEATER = Registration("22300003", "LI3INF01", "22300003")  # user 8, who was lent a role in an activity
SUSPENDED = Registration("22300020", "LI3INF01", "22300020")  # user 25
BY_HAND = Registration("22300021", "LI3INF01", "22300021")  # user 26
NEW = Registration("26000001", "LI3INF01", "e26000001")


def prepared(world: World, registrations: list[Registration], decisions: dict[int, str] | None = None) -> Campaign:
    campaign = world.campaign()
    world.decide(campaign, decisions or {SPACE: "reset", ARCHIVED: "archive"})
    world.feed(campaign, registrations)
    record_people(campaign)
    world.freeze(campaign)
    return campaign


def state_of(world: World) -> dict[str, list[dict[str, Any]]]:
    return {table: world.rows(table) for table in WRITTEN}


def test_out_and_in(world: World) -> None:
    new = world.add_user("e26000001")
    before = state_of(world)
    campaign = prepared(world, [REPEATER, SUSPENDED, BY_HAND, NEW])
    assert planned_arrivals(campaign) == {SPACE: 2}
    stage.enrolment(campaign)

    enrolled = world.enrolled(SPACE)
    assert set(enrolled) == TEACHERS | {8, 25, 26, new}
    assert {user: enrolled[user] for user in (8, 25, 26, new)} == {user: {"database"} for user in (8, 25, 26, new)}
    assert set(world.enrolled(SPACE, status=0)) == set(enrolled)
    assert set(world.enrolled(ARCHIVED)) == TEACHERS
    roles = [row for row in world.rows("role_assignments", contextid=CONTEXT) if row["userid"] not in TEACHERS]
    assert {(r["userid"], r["roleid"], r["component"], r["itemid"], r["sortorder"]) for r in roles} == {
        (user, STUDENT, "enrol_database", 25, 0) for user in (8, 25, 26, new)
    }
    assert len(roles) == 4
    assert world.rows("role_assignments", contextid=101) == [], "the role lent to a student in an activity"
    after = state_of(world)
    for table in ("user_enrolments", "role_assignments"):
        kept = [row for row in after[table] if row in before[table]]
        assert [row for row in kept if row["userid"] in TEACHERS] == [
            row for row in before[table] if row["userid"] in TEACHERS
        ]
    other = world.row("context", contextlevel=50, instanceid=4)["id"]
    assert [r for r in after["role_assignments"] if r["contextid"] == other] == [
        r for r in before["role_assignments"] if r["contextid"] == other
    ]
    assert after["enrol"] == before["enrol"]


def test_a_new_enrolment_is_written_as_the_plugin_writes_it(world: World) -> None:
    new = world.add_user("e26000001")
    stage.enrolment(prepared(world, [NEW]))
    row = world.row("user_enrolments", userid=new)
    assert {key: row[key] for key in ("status", "enrolid", "timestart", "timeend", "modifierid")} == {
        "status": 0, "enrolid": 25, "timestart": 0, "timeend": 0, "modifierid": 2,
    }  # fmt: skip
    assert row["timecreated"] == row["timemodified"] > 0


def test_a_repeater_keeps_the_very_row_unless_suspended_or_over(world: World) -> None:
    before = world.row("user_enrolments", enrolid=25, userid=8)
    world.enrol(SPACE, ended := world.add_user("e26000001"), "database", timestart=7, timeend=1_000_000_000)
    campaign = prepared(world, [REPEATER, SUSPENDED, NEW])
    stage.enrolment(campaign)
    assert world.row("user_enrolments", enrolid=25, userid=8) == before
    assert world.row("user_enrolments", enrolid=25, userid=25)["status"] == 0
    row = world.row("user_enrolments", enrolid=25, userid=ended)
    assert (row["timestart"], row["timeend"]) == (7, 0)


def test_shifted_registrations_have_their_window(world: World) -> None:
    new = world.add_user("e26000001")
    window = Registration("26000001", "LI3INF01", "e26000001", depuis=date(2026, 10, 1), jusqu_a=date(2027, 1, 31))
    campaign = prepared(world, [window])
    stage.enrolment(campaign)
    row = world.row("user_enrolments", userid=new)
    assert row["timeend"] - row["timestart"] == 123 * 86_400 + 3_600, "October to January, one more hour in autumn"


def test_the_instance_is_created_where_missing(world: World) -> None:
    new = world.add_user("e26000001")
    with world.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM mdl_user_enrolments WHERE enrolid = 25"))
        connection.execute(sa.text("DELETE FROM mdl_enrol WHERE id = 25"))
    stage.enrolment(prepared(world, [NEW]))
    row, real = world.row("enrol", courseid=SPACE, enrol="database"), world.row("enrol", id=26)
    own = {"id", "courseid", "name", "timecreated", "timemodified"}
    assert {key: value for key, value in row.items() if key not in own} == {
        key: value for key, value in real.items() if key not in own
    }
    assert row["name"] is None
    assert world.row("user_enrolments", userid=new)["enrolid"] == row["id"]


def test_who_comes_back_by_a_link_is_announced(world: World) -> None:
    """Users 9, 11 and others leave the space, which is linked to one that is deferred and to one that is archived."""
    for other in (7, ARCHIVED):
        link = world.add("enrol", courseid=SPACE, enrol="meta", customint1=other, sortorder=9, status=0)
        for userid in (9, 11):
            world.add("user_enrolments", enrolid=link, userid=userid)
    before = world.enrolled(7)
    campaign = prepared(world, [REPEATER], {SPACE: "reset", ARCHIVED: "archive", 7: "defer"})
    stage.enrolment(campaign)
    assert not {9, 11} & set(world.enrolled(SPACE))
    assert world.enrolled(7) == before
    left = {userid for userid, standing in world.standings(campaign, SPACE).items() if standing == "leaving"}
    back = len(left & set(before))
    assert 2 < back < len(left)
    said = f" {back} étudiants sortis reviendront par le lien (enrol_meta) de leur espace à un espace non réinitialisé"
    assert said in detail(campaign)


def test_who_leaves_a_waiting_space_by_a_link_is_announced_before(world: World) -> None:
    """Users 9 and 11 leave SPACE, 8 stays; three others are linked to it, of which one is disabled, one not waiting."""
    for other, status in ((7, 0), (6, 0), (5, 1)):
        link = world.add("enrol", courseid=other, enrol="meta", customint1=SPACE, sortorder=9, status=status)
        for userid in (8, 9, 11):
            world.add("user_enrolments", enrolid=link, userid=userid)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE mdl_course SET idnumber = '' WHERE id = 7")
    campaign = prepared(world, [REPEATER], {SPACE: "reset", 7: "hold", 6: "exclude", 5: "defer"})
    [said] = taken_away(campaign)
    code = world.row("course", id=7)["shortname"]
    assert said == (
        f"espace {code}, qui attend : 2 étudiants en sortiront à la prochaine synchronisation de Moodle, par son lien"
        " (enrol_meta) à LI3INF01, d'où l'exécution les désinscrit ; différez aussi LI3INF01, ou inscrivez-les"
        " autrement"
    )
    assert f"  {said}." in plan_table(campaign)


@pytest.mark.parametrize("method", ["database", "cohort"])
def test_a_disabled_instance_is_used_only_where_no_other_is_and_is_named(world: World, method: str) -> None:
    new = world.add_user("e26000001")
    linked = cohort(world, "LI3INF01", [8], [SPACE]) if method == "cohort" else None
    campaign = prepared(world.with_platform(enrolment=method), [REPEATER, NEW])
    [disabled] = [row["id"] for row in world.rows("enrol", courseid=SPACE, enrol=method) if row["customint1"] == linked]
    both = (
        f"espace LI3INF01 : 2 étudiants d'Apogée n'y ont pas accès, sa méthode d'inscription enrol_{method} est"
        " désactivée ; activez-la"
    )
    assert list(shut_out(campaign)) == []
    with world.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE mdl_enrol SET status = 1 WHERE id = {disabled}"))
    assert list(shut_out(campaign)) == [both]
    assert both in plan_table(campaign)
    enabled = world.add("enrol", courseid=SPACE, enrol=method, sortorder=9, roleid=STUDENT, customint1=linked)
    stage.enrolment(campaign)
    assert [row["enrolid"] for row in world.rows("user_enrolments", userid=new)] == [enabled]
    assert list(shut_out(campaign)) == []
    with world.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE mdl_enrol SET status = 1 WHERE id = {enabled}"))
    assert list(shut_out(campaign)) == [both]


def test_twice_changes_nothing_and_a_kill_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add_user("e26000001")
    campaign = prepared(world, [REPEATER, SUSPENDED, BY_HAND, NEW])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "_add_roles", killed)
        stage.enrolment(campaign)
    stage.enrolment(campaign)
    once = state_of(world)
    stage.enrolment(campaign)
    assert state_of(world) == once
    entries = tables.journal.c
    enrolled = sa.select(entries.courseid, entries.rows_after).where(entries.action == "enrolled")
    with campaign.engine.connect() as connection:
        assert connection.execute(enrolled).all() == [(SPACE, 2)]


def test_a_teacher_who_is_registered_stays_a_teacher(world: World) -> None:
    campaign = prepared(world, [Registration("p", "LI3INF01", "enseignant2")])
    stage.enrolment(campaign)
    assert world.enrolled(SPACE)[4] == {"manual", "database"}
    roles = {(r["roleid"], r["component"]) for r in world.rows("role_assignments", contextid=CONTEXT, userid=4)}
    assert roles == {(3, ""), (STUDENT, "enrol_database")}


def test_a_space_set_aside_after_the_freeze_gets_nobody(world: World) -> None:
    new = world.add_user("e26000001")
    campaign = prepared(world, [NEW])
    with campaign.engine.begin() as connection:
        connection.execute(sa.update(tables.decision).values(in_scope=False))
        for table in ("user_enrolments", "role_assignments"):
            connection.execute(sa.delete(frozen_keys(campaign, table)))
    stage.enrolment(campaign)
    assert world.rows("user_enrolments", userid=new) == []


def test_a_dry_run_and_an_unfrozen_run_write_nothing(world: World) -> None:
    before = state_of(world)
    campaign = world.campaign()
    world.decide(campaign, {SPACE: "reset"})
    for refused, sentence in ((campaign, "n'est pas figé"), (world.campaign("blanc", dry_run=True), "à blanc")):
        with pytest.raises(TransitionError, match=sentence):
            stage.enrolment(refused)
    assert state_of(world) == before


def test_an_unknown_student_role_is_named(world: World) -> None:
    world.add_user("e26000001")
    campaign = prepared(world.with_platform(student_role="etudiant"), [NEW])
    with pytest.raises(TransitionError, match=r"rôle « etudiant » n'existe pas.*student_role"):
        stage.enrolment(campaign)


def test_a_linked_cohort_that_brings_students_back_is_journalled(world: World) -> None:
    campaign = prepared(world, [REPEATER])
    stage.enrolment(campaign)
    query = sa.select(tables.journal.c.detail).where(tables.journal.c.action == "done")
    with campaign.engine.connect() as connection:
        assert "; 3 étudiants sortis reviendront par une cohorte" in connection.execute(query).scalar_one()


def test_batches_hold_at_most_the_limit() -> None:
    assert stage._batches([(1, 4), (2, 6), (3, 1), (4, 30), (5, 1)], 10) == [[1, 2], [3], [4], [5]]
    assert stage._batches([], 10) == []


def test_by_cohort(world: World) -> None:
    new = world.add_user("e26000001")
    cohort_world = world.with_platform(enrolment="cohort")
    campaign = prepared(cohort_world, [REPEATER, NEW])
    stage.enrolment(campaign)
    cohort = world.row("cohort", idnumber="LI3INF01")
    assert {row["userid"] for row in world.rows("cohort_members", cohortid=cohort["id"])} == {8, new}
    instance = world.row("enrol", courseid=SPACE, enrol="cohort")
    assert (instance["customint1"], instance["customint2"], instance["roleid"]) == (cohort["id"], 0, STUDENT)
    enrolled = world.enrolled(SPACE)
    assert set(enrolled) == TEACHERS | {8, new}
    assert enrolled[8] == enrolled[new] == {"cohort"}
    role = world.row("role_assignments", userid=new)
    assert (role["component"], role["itemid"], role["contextid"]) == ("enrol_cohort", instance["id"], CONTEXT)

    once = state_of(world)
    stage.enrolment(campaign)
    assert state_of(world) == once
    following = cohort_world.campaign("suivant")
    world.decide(following, {SPACE: "reset"})
    world.feed(following, [NEW])
    record_people(following)
    world.freeze(following)
    stage.enrolment(following)
    assert world.rows("cohort_members", cohortid=cohort["id"]) == [
        row for row in once["cohort_members"] if row["userid"] == new
    ], "whoever stays keeps the very row"
    assert set(world.enrolled(SPACE)) == TEACHERS | {new}


ROLES = ("editingteacher", "teacher", "manager", "student", "guest", None)
PERSON = st.fixed_dictionaries({
    "role": st.sampled_from(ROLES),
    "second": st.sampled_from(ROLES),
    "where": st.sampled_from(("course", "activity", "category", "system")),
    "method": st.sampled_from(("database", "manual", "self", "cohort", None)),
    "status": st.sampled_from((0, 1)),
    "deleted": st.booleans(),
    "registered": st.booleans(),
    "known_by": st.sampled_from(("username", "idnumber", "nothing")),
})  # fmt: skip
PLATFORMS: tuple[dict[str, str], ...] = ({}, {"enrolment": "cohort"}, {"enrolment": "cohort", "cohorts": "etape"})


# Many people a space, few spaces: each costs a run of the stage, and people in one space do not meet.
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(people=st.lists(PERSON, min_size=25, max_size=25), platform=st.sampled_from(PLATFORMS))
def test_nobody_who_teaches_loses_access_and_enrolled_is_registered_and_known(
    world: World, people: list[dict[str, Any]], platform: dict[str, str]
) -> None:
    serial = len(world.rows("course"))
    code = f"HYP{serial}"
    courseid = world.add("course", category=3, fullname=code, shortname=code, idnumber=code, sortorder=30_900 + serial)
    contextid = place(world, 50, courseid, 12)
    places = {
        "course": contextid, "category": world.context(40, 3), "system": 1,
        "activity": place(world, 70, 900_000 + serial, contextid),
    }  # fmt: skip
    users, registrations, teach, kept = set(), [], set(), set()
    for number, person in enumerate(people):
        name = f"{code.lower()}.{number}"
        userid = world.add_user(name, idnumber=f"{serial}-{number}", deleted=int(person["deleted"]))
        users.add(userid)
        if person["method"]:
            world.enrol(courseid, userid, person["method"], person["status"])
        if person["role"]:
            world.assign(person["role"], places[person["where"]], userid)
        if person["second"]:
            world.assign(person["second"], contextid, userid)
        if person["registered"]:
            student = f"{serial}-{number}" if person["known_by"] == "idnumber" else f"x{serial}-{number}"
            account = name if person["known_by"] == "username" else "absent"
            registrations.append(Registration(student, code, account, etape=f"E{serial}"))
            if person["known_by"] != "nothing" and not person["deleted"]:
                kept.add(userid)
        strong = {"editingteacher", "teacher", "manager"}
        examiner = person["second"] != "student" and userid not in kept
        in_course = person["role"] in strong and (person["where"] != "activity" or examiner)
        if person["second"] in strong or in_course:
            teach.add(userid)
    written = ("user_enrolments", "role_assignments")
    before = {table: world.rows(table) for table in written}
    campaign = world.with_platform(**platform).campaign(f"essai-{serial}")
    world.decide(campaign, {courseid: "reset"})
    world.feed(campaign, registrations)
    record_people(campaign)
    world.freeze(campaign)
    stage.enrolment(campaign)

    enrolled = world.enrolled(courseid)
    assert set(enrolled) - teach == kept - teach, "enrolled = registered and known"
    assert all(platform.get("enrolment", "database") in enrolled[userid] for userid in kept)
    for table, rows in before.items():
        after = {row["id"]: row for row in world.rows(table)}
        lost = [row for row in rows if after.get(row["id"]) != row]
        assert [row for row in lost if row["userid"] in teach and row.get("status") != 1] == [], table
        assert [row for row in lost if row["userid"] not in users] == [], "nobody else's rows"
    once = {table: world.rows(table) for table in WRITTEN}
    stage.enrolment(campaign)
    assert {table: world.rows(table) for table in WRITTEN} == once


def place(world: World, level: int, instance: int, above: int) -> int:
    """A context below another one."""
    parent = world.row("context", id=above)
    contextid = world.add("context", contextlevel=level, instanceid=instance, path="", depth=parent["depth"] + 1)
    with world.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE mdl_context SET path = :path WHERE id = :id"),
            {"path": f"{parent['path']}/{contextid}", "id": contextid},
        )
    return contextid
