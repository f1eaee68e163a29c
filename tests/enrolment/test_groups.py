"""Groups are filled from Apogée's, as Moodle writes members; what Apogée does not say stays as the purge left it."""

from typing import Any

import sqlalchemy as sa

from tests.enrolment.world import Registration, World
from transition.apogee.tables import groupe, groupe_membre
from transition.campaign import Campaign
from transition.enrolment import stage
from transition.enrolment.groups import unfilled_groups
from transition.enrolment.people import record_people

SPACE, OTHER = 2, 4  # LI3INF01 and L1MAT101
CODES = ("26000001", "26000002", "26000003")


def prepared(world: World, groups: dict[str, tuple[str, tuple[str, ...]]]) -> Campaign:
    """Two spaces emptied of their members; three new students, the last one in the other space only."""
    for code in CODES:
        world.add_user(f"e{code}")
    campaign = world.campaign()
    world.decide(campaign, {SPACE: "reset", OTHER: "reset"})
    spaces = dict(zip(CODES, ("LI3INF01", "LI3INF01", "L1MAT101"), strict=True))
    world.feed(campaign, [Registration(code, space, f"e{code}") for code, space in spaces.items()])
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(campaign.moodle["groups_members"]))
        connection.execute(sa.delete(campaign.moodle["message_conversation_members"]))
        lot = connection.execute(sa.text("SELECT MAX(lot_id) FROM ecampus_transition.run_lot")).scalar_one()
        for code, (label, students) in groups.items():
            row: dict[str, Any] = {"lot_id": lot, "code_groupe": code}
            connection.execute(sa.insert(groupe).values(**row, code="LI3INF01", cle="LI3INF01", libelle=label))
            for student in students:
                connection.execute(sa.insert(groupe_membre).values(**row, code_etudiant=student))
    record_people(campaign)
    world.freeze(campaign)
    return campaign


def members(world: World) -> set[tuple[int, str, str, str]]:
    """Space, group's idnumber, its name, and user name of every membership."""
    groups = {row["id"]: row for row in world.rows("groups")}
    users = {row["id"]: row["username"] for row in world.rows("user")}
    found = [(groups[row["groupid"]], users[row["userid"]]) for row in world.rows("groups_members")]
    return {(group["courseid"], group["idnumber"], group["name"], user) for group, user in found}


def test_found_by_code_by_name_or_created(world: World) -> None:
    before = world.rows("groups")
    campaign = prepared(
        world,
        {
            "a-td1\u00a0": ("TD un", (CODES[0], CODES[2])),  # the code as Moodle has it but for case and a hard space
            "P1": ("Projet 1", (CODES[1],)),
            "NOUVEAU": ("TD 9", (CODES[0], CODES[1])),
        },
    )
    stage.enrolment(campaign)
    assert members(world) == {
        (SPACE, "A-TD1", "TD 1", f"e{CODES[0]}"),  # the third student is not of this space
        (SPACE, "", "Projet 1", f"e{CODES[1]}"),
        (SPACE, "NOUVEAU", "TD 9", f"e{CODES[0]}"),
        (SPACE, "NOUVEAU", "TD 9", f"e{CODES[1]}"),
    }
    after = world.rows("groups")
    assert [row for row in after if row in before] == before
    [new] = [row for row in after if row not in before]
    assert (new["courseid"], new["participation"], new["visibility"], new["enrolmentkey"]) == (SPACE, 1, 0, None)
    for row in world.rows("groups_members"):
        assert (row["component"], row["itemid"]) == ("", 0)
        assert row["timeadded"] > 0
    assert list(unfilled_groups(campaign)) == []


def test_twice_changes_nothing_and_what_is_wrong_is_seen(world: World) -> None:
    campaign = prepared(world, {"A-TD1": ("TD 1", CODES[:2]), "NOUVEAU": ("TD 9", CODES[:1])})
    stage.enrolment(campaign)
    tables = ("groups", "groups_members", "message_conversation_members", "user_enrolments")
    first = {table: world.rows(table) for table in tables}
    stage.enrolment(campaign)
    assert {table: world.rows(table) for table in tables} == first
    [gone, *_] = first["groups_members"]
    with world.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM mdl_groups_members WHERE id = :id"), {"id": gone["id"]})
    stranger = world.row("user", username="22300001")["id"]
    world.add("groups_members", groupid=gone["groupid"], userid=stranger, timeadded=1)
    assert [sentence.split(" ", 3)[2] for sentence in unfilled_groups(campaign)] == ["1", "1"]
    teacher = world.row("user", username="enseignant1")["id"]
    world.add("groups_members", groupid=gone["groupid"], userid=teacher, timeadded=1)
    assert len(list(unfilled_groups(campaign))) == 2, "a teacher may be in any group"


def test_the_groups_conversation_follows_while_it_is_enabled(world: World) -> None:
    group = world.row("groups", courseid=SPACE, idnumber="A-TD1")["id"]
    other = world.row("groups", courseid=SPACE, idnumber="A-TD2")["id"]
    talk = {}
    for groupid, enabled in ((group, 1), (other, 0)):
        with world.engine.begin() as connection:
            connection.execute(
                sa.text("DELETE FROM mdl_message_conversations WHERE itemtype = 'groups' AND itemid = :id"),
                {"id": groupid},
            )
        talk[groupid] = world.add(
            "message_conversations", type=2, component="core_group", itemtype="groups", itemid=groupid,
            contextid=world.context(50, SPACE), enabled=enabled, timecreated=1,
        )  # fmt: skip
    campaign = prepared(world, {"A-TD1": ("TD 1", CODES[:1]), "A-TD2": ("TD 2", CODES[:1])})
    stage.enrolment(campaign)
    joined = world.rows("message_conversation_members", conversationid=talk[group])
    assert [row["userid"] for row in joined] == [world.row("user", username=f"e{CODES[0]}")["id"]]
    assert world.rows("message_conversation_members", conversationid=talk[other]) == []
