"""After the stage, Moodle's nightly synchronisations have nothing to do; cohorts, by element and by étape."""

from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa

from tests.enrolment.nightly import enrol_cohort, enrol_database
from tests.enrolment.world import Registration, World
from transition import caps
from transition.campaign import Campaign
from transition.create_spaces import left
from transition.enrolment import stage
from transition.enrolment.people import record_people
from transition.move import archive_table
from transition.report import differences
from transition.report.space_lines import read_lines, read_people
from transition.state import tables

CODES = {2: "LI3INF01", 3: "LI3INF02", 4: "L1MAT101", 5: "M1DRO201", 6: "LETL2H03", 7: "M2CHI305"}
MATHS = 4
REPEATER = Registration("22300003", "LI3INF01", "22300003")  # user 8
STEP = "SL3INF"


def carried_out(world: World, spaces: list[int], registered: list[Registration],
                etapes: list[tuple[str, str, str]] | None = None, run_id: str = "essai") -> Campaign:  # fmt: skip
    campaign = world.campaign(run_id)
    world.decide(campaign, dict.fromkeys(spaces, "reset"))
    world.feed(campaign, registered, etapes=etapes or ())
    record_people(campaign)
    world.freeze(campaign)
    stage.enrolment(campaign)
    return campaign


def detail(campaign: Campaign) -> str:
    """What the journal says of the stage."""
    entries = tables.journal.c
    query = sa.select(entries.detail).where(entries.run == campaign.run, entries.action == "done")
    with campaign.engine.connect() as connection:
        return str(connection.execute(query).scalar_one())


def database_feed(world: World, registered: list[Registration]) -> list[tuple[str, str, str]]:
    """The external table of year N: the registrations, and everybody whom it gives another role today."""
    users = {row["id"]: row["username"] for row in world.rows("user")}
    courses = {row["id"]: row["idnumber"] for row in world.rows("course")}
    codes = {row["id"]: courses[row["courseid"]] for row in world.rows("enrol", enrol="database")}
    roles = {row["id"]: row["shortname"] for row in world.rows("role")}
    held = [
        (codes[row["itemid"]], users[row["userid"]], roles[row["roleid"]])
        for row in world.rows("role_assignments", component="enrol_database")
    ]
    # The spaces that are not reset go on with the students whom the table gives them now.
    kept = [row for row in held if row[2] != "student" or row[0] not in CODES.values()]
    return kept + [(row.code, row.account, "student") for row in registered]


def test_enrol_database_finds_nothing_to_do(world: World) -> None:
    for number in range(3):
        world.add_user(f"e2600000{number}")
    with world.engine.begin() as connection:  # one space without an instance yet
        connection.execute(sa.text("DELETE FROM mdl_role_assignments WHERE itemid = 31"))
        connection.execute(sa.text("DELETE FROM mdl_user_enrolments WHERE enrolid = 31"))
        connection.execute(sa.text("DELETE FROM mdl_enrol WHERE id = 31"))
    known = [f"e2600000{number}" for number in range(3)]
    registered = [
        REPEATER,
        Registration("22300020", "LI3INF01", "22300020"),  # suspended
        Registration("22300021", "LI3INF01", "22300021"),  # by hand so far
        Registration("inconnu", "LI3INF01", "e26000009"),
        Registration("22300004", "L1MAT101", "22300004", depuis=date(2026, 10, 1), jusqu_a=date(2027, 1, 31)),
        *(Registration(name, code, name) for name in known for code in CODES.values()),
    ]
    feed = database_feed(world, registered)
    before = enrol_database(world, feed)
    assert {what for what, _, _ in before} == {"instance", "enrol", "activate", "assign", "unenrol"}, "it sees"
    carried_out(world, list(CODES), registered)
    assert enrol_database(world, feed) == [change for change in before if change[1] not in CODES]
    assert ("unenrol", 2, 8) in enrol_database(world, [row for row in feed if row[1] != "22300003"])


def test_enrol_cohort_finds_nothing_to_do_by_element(world: World) -> None:
    new = world.add_user("e26000001")
    platform = world.with_platform(enrolment="cohort")
    carried_out(platform, [2, MATHS], [REPEATER, Registration("26000001", "L1MAT101", "e26000001")])
    assert [change for change in enrol_cohort(world) if change[1] in (2, MATHS)] == []
    cohorts = {row["idnumber"]: row["id"] for row in world.rows("cohort")}
    assert {code: {row["userid"] for row in world.rows("cohort_members", cohortid=cohorts[code])}
            for code in ("LI3INF01", "L1MAT101")} == {"LI3INF01": {8}, "L1MAT101": {new}}  # fmt: skip


def cohort(world: World, idnumber: str, members: list[int], spaces: list[int]) -> int:
    """A cohort of last year's, linked to some spaces, that enrols its members there."""
    cohortid = world.add("cohort", contextid=1, name=idnumber, idnumber=idnumber, descriptionformat=1, timecreated=1,
                         timemodified=1)  # fmt: skip
    for userid in members:
        world.add("cohort_members", cohortid=cohortid, userid=userid, timeadded=1)
    for courseid in spaces:
        enrolid = world.add("enrol", enrol="cohort", courseid=courseid, customint1=cohortid, customint2=0, roleid=5)
        for userid in members:
            world.add("user_enrolments", enrolid=enrolid, userid=userid)
            world.assign("student", world.context(50, courseid), userid, "enrol_cohort", enrolid)
    return cohortid


def members(world: World, cohortid: int) -> set[int]:
    return {row["userid"] for row in world.rows("cohort_members", cohortid=cohortid)}


def links(world: World, courseid: int) -> set[int]:
    return {row["customint1"] for row in world.rows("enrol", courseid=courseid, enrol="cohort")}


def test_by_etape(world: World) -> None:
    new, other = world.add_user("e26000001"), world.add_user("e26000002")
    ours = cohort(world, "sl3inf", [8, 9, 12, 3], [2])  # a repeater, two who leave it, a teacher
    older = cohort(world, "SL3INF_139", [10], [2, MATHS])
    lettered = cohort(world, "SL3INF_13b", [13], [2])  # a version of another lot
    by_hand = cohort(world, "SL3INF_ALUMNI", [14], [2])
    foreign = cohort(world, "TUTORAT", [11], [])
    platform = world.with_platform(enrolment="cohort", cohorts="etape")
    registered = [
        REPEATER,
        Registration("26000001", "L1MAT101", "e26000001"),
        Registration("26000002", "LI3INF01", "e26000002", etape="SM1DRO"),
        Registration("22300007", "LI3INF01", "22300007", etape="SM1DRO"),  # user 12: the same space, another étape
        Registration("22300002", "LI3INF01", "22300002", statut="annulee"),
    ]
    etapes = [("LI3INF01", STEP, "140"), ("L1MAT101", STEP, "140")]
    world.feed(platform.campaign(), [], etapes=[("LI3INF01", STEP, "13B")])
    campaign = carried_out(platform, [2, MATHS], registered, etapes)
    droit = world.row("cohort", idnumber="SM1DRO")["id"]
    assert (members(world, ours), members(world, older), members(world, droit)) == ({3, 8, new}, set(), {12, other})
    assert (members(world, lettered), members(world, by_hand), members(world, foreign)) == (set(), {14}, {11})
    assert (links(world, 2) >= {ours, droit}, links(world, MATHS)) == (True, {older, ours})
    enrolled = {courseid: world.enrolled(courseid) for courseid in (2, MATHS)}
    assert set(enrolled[2]) == {3, 4, 5, 32, 8, 12, new, other}
    assert set(enrolled[MATHS]) - {3, 4, 5, 32} == {8, new}, "whoever is in the étape is in all of its spaces"
    assert enrolled[2][8] == enrolled[MATHS][new] == {"cohort"}
    # The teacher is a member, whom Moodle has not enrolled by the cohort in the second space yet: as before.
    expected = [("enrol", 2, 14), ("enrol", MATHS, 3)]
    assert [change for change in enrol_cohort(world) if change[1] in (2, MATHS)] == expected
    assert "1 étudiant sorti reviendra par une cohorte liée à son espace : videz-la" in detail(campaign)

    once = {table: world.rows(table) for table in ("cohort", "cohort_members", "enrol", "user_enrolments")}
    stage.enrolment(campaign)
    carried_out(platform, [2, MATHS], registered, etapes, "suivante")
    assert {table: world.rows(table) for table in once} == once
    archived = archive_table(campaign, "cohort_members")
    with campaign.engine.connect() as connection:
        gone = connection.execute(sa.select(archived.c.userid, archived.c.cohortid).order_by(archived.c.userid)).all()
    assert gone == [(9, ours), (10, older), (12, ours), (13, lettered)]


def test_the_differences_count_who_is_enrolled_by_etape(world: World) -> None:
    """More people are to be enrolled than have registered for the space itself: never fewer than nobody is there."""
    world.add_user("e26000001")
    campaign = world.with_platform(enrolment="cohort", cohorts="etape").campaign()
    world.decide(campaign, dict.fromkeys((2, MATHS), "reset"))
    registered = [REPEATER, Registration("26000001", "L1MAT101", "e26000001")]
    world.feed(campaign, registered, etapes=[("LI3INF01", STEP, "140"), ("L1MAT101", STEP, "140")])
    record_people(campaign)
    caps.record(campaign)

    def numbers() -> dict[object, tuple[object, ...]]:
        """Registered, accounts known and unknown, enrolled in Moodle, still to enrol; by code."""
        rows = differences._enrolments(campaign, read_lines(campaign, read_people(campaign)))
        return {code: tuple(counts) for _, code, _, *counts in rows}

    assert numbers() == {"LI3INF01": (1, 1, 0, 0, 2), "L1MAT101": (1, 1, 0, 0, 2)}
    world.freeze(campaign)
    stage.enrolment(campaign)
    assert numbers() == {"LI3INF01": (1, 1, 0, 2, 0), "L1MAT101": (1, 1, 0, 2, 0)}


def test_of_one_version_and_through_a_space_out_of_scope(world: World) -> None:
    new, other = world.add_user("e26000001"), world.add_user("e26000002")
    ours = cohort(world, "SL3INF_140", [8, 9], [2, 5])  # space 5 is not reset by this run
    whole = cohort(world, STEP, [10], [])
    platform = world.with_platform(enrolment="cohort", cohorts="etape")
    registered = [REPEATER, Registration("26000001", "LI3INF01", "e26000001"),
                  Registration("26000002", "LI3INF01", "e26000002", version="141")]  # fmt: skip
    before = world.enrolled(5)
    campaign = carried_out(platform, [2], registered)
    assert (members(world, ours), members(world, whole)) == ({8, 9, new}, {other})
    assert world.enrolled(5) == before, "Moodle would have unenrolled user 9 there"
    assert {8, new, other} <= set(world.enrolled(2))
    assert 9 not in world.enrolled(2)
    said = detail(campaign)
    assert "1 étudiant sorti reviendra par une cohorte qui tient aussi des inscriptions à garder" in said
    assert "1 inscription viendra des cohortes remplies, la nuit prochaine, dans un autre espace" in said
    assert ("enrol", 5, new) in enrol_cohort(world)


@pytest.mark.parametrize("more", [{}, {"enrolment": "cohort"}, {"enrolment": "cohort", "cohorts": "etape"}])
def test_a_space_that_the_run_created_gets_its_students(world: World, more: dict[str, Any]) -> None:
    new, platform = world.add_user("e26000001"), world.with_platform(**more)
    campaign = platform.campaign()
    world.decide(campaign, {2: "reset"})
    created = {"cle": "L1MAT101", "code": "L1MAT101", "libelle": "Analyse", "composante": "", "obstacle": ""}
    with campaign.engine.begin() as connection:
        connection.execute(sa.insert(tables.missing_space).values(run=campaign.run, courseid=MATHS, **created))
    world.feed(campaign, [Registration("26000001", "L1MAT101", "e26000001"), REPEATER])
    record_people(campaign)
    world.freeze(campaign)
    stage.enrolment(campaign)
    assert world.enrolled(MATHS)[new] == {more.get("enrolment", "database")}
    assert list(left(campaign)) == []
    assert [change for change in enrol_cohort(world) if change[1] in (2, MATHS)] == []
