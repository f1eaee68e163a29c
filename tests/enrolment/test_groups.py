"""Groups are filled from Apogée's, as Moodle writes members; what Apogée does not say stays as the purge left it."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from tests.enrolment.world import Group, Registration, World
from transition.campaign import Campaign
from transition.enrolment import stage
from transition.enrolment.groups import unfilled_groups
from transition.enrolment.people import record_people
from transition.keys import count_keys, frozen_keys
from transition.move import move_rule

SPACE, OTHER = 2, 4  # LI3INF01 and L1MAT101
CODES = ("26000001", "26000002", "26000003")
REPEATER = Registration("22300003", "LI3INF01", "22300003")  # user 8, in « TD 3 » so far


@pytest.fixture
def newcomers(world: World) -> World:
    for code in CODES:
        world.add_user(f"e{code}")
    return world


def prepared(world: World, groups: Sequence[Group], run_id: str = "essai") -> Campaign:
    """Two spaces, the keys of their members frozen; three new students, the last one in the other space only."""
    campaign = world.campaign(run_id)
    world.decide(campaign, {SPACE: "reset", OTHER: "reset"})
    spaces = dict(zip(CODES, ("LI3INF01", "LI3INF01", "L1MAT101"), strict=True))
    registered = [Registration(code, space, f"e{code}") for code, space in spaces.items()]
    world.feed(campaign, [*registered, REPEATER], groups=groups)
    record_people(campaign)
    world.freeze(campaign, ("enrolment", "groups", "conversations"))
    return campaign


def carried_out(world: World, groups: Sequence[Group], run_id: str = "essai") -> Campaign:
    campaign = prepared(world, groups, run_id)
    for rule in ("groups", "conversations"):
        move_rule(campaign, rule)
    stage.enrolment(campaign)
    return campaign


def members(world: World) -> set[tuple[int, str, str, str]]:
    """Space, group's idnumber, its name, and user name of every membership in the two spaces."""
    groups = {row["id"]: row for row in world.rows("groups") if row["courseid"] in (SPACE, OTHER)}
    users = {row["id"]: row["username"] for row in world.rows("user")}
    found = [(groups.get(row["groupid"]), users[row["userid"]]) for row in world.rows("groups_members")]
    return {(group["courseid"], group["idnumber"], group["name"], user) for group, user in found if group}


def test_found_by_code_by_name_or_created(newcomers: World) -> None:
    world, before = newcomers, newcomers.rows("groups")
    others = {row["id"] for row in before if row["courseid"] not in (SPACE, OTHER)}
    elsewhere = [row for row in world.rows("groups_members") if row["groupid"] in others]
    campaign = carried_out(world, [
        Group("a-td1\u00a0", "TD un", (CODES[0], CODES[2])),  # as Moodle has it but for case and a hard space
        Group("P1", "Projet 1", (CODES[1], "inconnue")),
        Group("NOUVEAU", "TD 9", (CODES[0], CODES[1])),
    ])  # fmt: skip
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
    rows = world.rows("groups_members")
    assert [row for row in rows if row["groupid"] in others] == elsewhere
    written = [row for row in rows if row["groupid"] not in others]
    assert {(row["component"], row["itemid"]) for row in written} == {("", 0)}
    assert all(row["timeadded"] > 0 for row in written)
    assert list(unfilled_groups(campaign)) == []


def test_two_groups_of_one_label_are_two_groups(newcomers: World) -> None:
    """The element's and the hosted element's; neither is the one that Moodle has by that name."""
    world = newcomers
    by_hand = world.add("groups", courseid=SPACE, idnumber="", name="TD1", timecreated=1, timemodified=1)
    campaign = world.campaign()
    world.decide(campaign, {SPACE: "reset"})
    registered = [Registration(CODES[0], "LI3INF01", f"e{CODES[0]}"), Registration(CODES[1], "MIR", f"e{CODES[1]}")]
    groups = [Group("INF-1", "TD1", CODES[:1]), Group("MIR-1", "TD1", CODES[1:2], "MIR"), Group("P1", "Projet 1")]
    world.feed(campaign, registered, hosts={"MIR": "LI3INF01"}, groups=groups)
    record_people(campaign)
    world.freeze(campaign, ("enrolment", "groups", "conversations"))
    for rule in ("groups", "conversations"):
        move_rule(campaign, rule)
    stage.enrolment(campaign)
    assert world.rows("groups_members", groupid=by_hand) == []
    here = {member for member in members(world) if member[0] == SPACE}
    assert here == {(SPACE, "INF-1", "TD1", f"e{CODES[0]}"), (SPACE, "MIR-1", "TD1", f"e{CODES[1]}")}
    assert len(world.rows("groups", courseid=SPACE, name="Projet 1")) == 1, "one only wants that name"
    assert list(unfilled_groups(campaign)) == []


def test_twice_changes_nothing_nor_does_a_second_run_and_what_is_wrong_is_seen(newcomers: World) -> None:
    world = newcomers
    given = [Group("A-TD1", "TD 1", CODES[:2]), Group("A-TD3", "TD 3", ("22300003",)), Group("N", "TD 9", CODES[:1])]
    group = world.row("groups", idnumber="A-TD3", courseid=SPACE)["id"]
    same = world.row("groups_members", groupid=group, userid=8)
    campaign = carried_out(world, given)
    tables = ("groups", "groups_members", "message_conversation_members", "user_enrolments")
    first = {table: world.rows(table) for table in tables}
    assert world.rows("groups_members", groupid=group) == [same], "the repeater is in the same group: the very row"
    stage.enrolment(campaign)
    assert {table: world.rows(table) for table in tables} == first
    again = carried_out(world, given, "suivante")
    assert {table: world.rows(table) for table in tables} == first
    with again.engine.connect() as connection:
        assert count_keys(connection, frozen_keys(again, "groups_members"), again.run) == {}

    [gone, *_] = world.rows("groups_members", groupid=world.row("groups", idnumber="A-TD1", courseid=SPACE)["id"])
    with world.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM mdl_groups_members WHERE id = :id"), {"id": gone["id"]})
    world.add("groups_members", groupid=gone["groupid"], userid=6, timeadded=1)
    assert [sentence.split(" ", 3)[2] for sentence in unfilled_groups(again)] == ["1", "1"]
    world.add("groups_members", groupid=gone["groupid"], userid=3, timeadded=1)
    assert len(list(unfilled_groups(again))) == 2, "a teacher may be in any group"


def test_the_groups_conversation_follows_while_it_is_enabled(newcomers: World) -> None:
    world, talk = newcomers, dict[int, int]()
    first, second = (world.row("groups", courseid=SPACE, idnumber=code)["id"] for code in ("A-TD1", "A-TD2"))
    for groupid, enabled in ((first, 1), (second, 0)):
        with world.engine.begin() as connection:
            connection.execute(
                sa.text("DELETE FROM mdl_message_conversations WHERE itemtype = 'groups' AND itemid = :id"),
                {"id": groupid},
            )
        talk[groupid] = world.add(
            "message_conversations", type=2, component="core_group", itemtype="groups", itemid=groupid,
            contextid=world.context(50, SPACE), enabled=enabled, timecreated=1,
        )  # fmt: skip
    for userid in (8, 9):  # the repeater, whom Apogée gives again, and another
        world.add("message_conversation_members", conversationid=talk[first], userid=userid, timecreated=1)
    carried_out(world, [Group("A-TD1", "TD 1", (CODES[0], "22300003")), Group("A-TD2", "TD 2", CODES[:1])])
    joined = {row["userid"]: row["timecreated"] for row in world.rows("message_conversation_members",
                                                                      conversationid=talk[first])}  # fmt: skip
    new = world.row("user", username=f"e{CODES[0]}")["id"]
    assert joined.keys() == {8, new}
    assert joined[8] == 1, "the very row"
    assert world.rows("message_conversation_members", conversationid=talk[second]) == []
