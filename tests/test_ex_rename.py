"""Spaces that left the model: prefix, Archives, teachers kept, as Moodle itself would leave its tables."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.enrolment.conftest import WRITTEN, enrolment_moodle, world  # noqa: F401  (fixtures)
from tests.enrolment.nightly import enrol_cohort
from tests.enrolment.test_nightly import STEP, cohort, members
from tests.enrolment.world import Registration, World
from transition import ex_rename, snapshot
from transition.campaign import Campaign
from transition.enrolment import stage
from transition.enrolment.people import record_people
from transition.enrolment.tables import ex_change, ex_link
from transition.errors import TransitionError
from transition.ex_names import TRIES, idnumbers, prefixed, shortnames
from transition.ex_return import bring_back
from transition.moodle.categories import create_category, fix_sortorder, move_context
from transition.restore.names import put_name_back
from transition.state import schema, tables

SPACE, SIBLING, CONTEXT = 3, 2, 51  # LI3INF02, left the model; LI3INF01, in the same category
ARCHIVES, CATEGORY = 9, 4


def prepared(world: World, decisions: dict[int, str] | None = None, run_id: str = "essai") -> Campaign:  # noqa: F811
    campaign = world.campaign(run_id)
    world.decide(campaign, decisions or {SPACE: "archive", SIBLING: "reset"})
    world.feed(campaign, [Registration("22300003", "LI3INF01", "22300003")])
    record_people(campaign)
    world.freeze(campaign)
    return campaign


def set_course(world: World, courseid: int, **values: Any) -> None:  # noqa: F811
    marks = ", ".join(f"{column} = :{column}" for column in values)
    with world.engine.begin() as connection:
        connection.execute(
            sa.text(f"UPDATE mdl_course SET {marks} WHERE id = :courseid"), {**values, "courseid": courseid}
        )


def journalled(campaign: Campaign, action: str) -> list[tuple[int | None, str]]:
    entries = tables.journal.c
    query = sa.select(entries.courseid, entries.detail).where(entries.action == action, entries.stage == "ex_rename")
    with campaign.engine.connect() as connection:
        return [(courseid, detail) for courseid, detail in connection.execute(query)]


def assert_as_moodle_keeps_it(world: World) -> None:  # noqa: F811
    """What fix_course_sortorder and build_all_paths would find nothing to change in."""
    contexts = {row["id"]: row for row in world.rows("context")}
    at = {(row["contextlevel"], row["instanceid"]): row for row in contexts.values()}
    for category in world.rows("course_categories"):
        courses = sorted(world.rows("course", category=category["id"]), key=lambda row: row["sortorder"])
        assert category["coursecount"] == len(courses)
        assert [c["sortorder"] for c in courses] == [category["sortorder"] + n for n in range(1, len(courses) + 1)]
        for course in courses:
            context, above = at[50, course["id"]], at[40, category["id"]]
            assert context["path"] == f"{above['path']}/{context['id']}"
    assert [category["sortorder"] for category in _in_depth(world, 0)] == [
        10_000 * n for n in range(1, 1 + len(world.rows("course_categories")))
    ]
    for context in contexts.values():
        parent, own = ["", *context["path"].strip("/").split("/")][-2:]
        assert own == str(context["id"])
        assert context["depth"] == context["path"].count("/")
        if parent:
            assert context["path"] == f"{contexts[int(parent)]['path']}/{own}"


def _in_depth(world: World, parent: int) -> Iterator[dict[str, Any]]:  # noqa: F811
    """Categories as ``_fix_course_cats`` walks them: each one before what is below it."""
    for category in sorted(world.rows("course_categories", parent=parent), key=lambda row: row["sortorder"]):
        yield category
        yield from _in_depth(world, category["id"])


def test_archived_as_moodle_would(world: World) -> None:  # noqa: F811
    before = {table: world.rows(table) for table in WRITTEN}
    below = [row["id"] for row in before["context"] if row["path"].startswith("/1/11/12/13/51/")]
    campaign = prepared(world)
    ex_rename.ex_rename(campaign)

    course = world.row("course", id=SPACE)
    assert (course["fullname"], course["shortname"]) == ("ex_Bases de données", "ex_LI3INF02")
    year = world.row("course_categories", name="Archives 2025-2026")
    own = world.row("context", contextlevel=40, instanceid=year["id"])
    assert (course["category"], course["sortorder"], course["idnumber"]) == (year["id"], 110_001, "LI3INF02")
    assert {key: year[key] for key in year if key not in {"id", "timemodified"}} == {
        "name": "Archives 2025-2026", "idnumber": None, "description": "", "descriptionformat": 0, "parent": ARCHIVES,
        "sortorder": 110_000, "coursecount": 1, "visible": 1, "visibleold": 1, "depth": 2, "path": f"/9/{year['id']}",
        "theme": None,
    }  # fmt: skip
    assert (own["path"], own["depth"], own["locked"]) == (f"/1/18/{own['id']}", 3, 0)
    assert journalled(campaign, "created") == [(None, f"catégorie « Archives 2025-2026 » ({year['id']}) créée")]
    old = next(row for row in before["course"] if row["id"] == SPACE)
    changed = {"fullname", "shortname", "category", "sortorder", "timemodified", "cacherev"}
    assert {key for key in course if course[key] != old[key]} == changed
    assert course["cacherev"] > old["cacherev"]
    assert world.row("context", id=CONTEXT)["path"] == f"{own['path']}/51"
    assert len(below) > 40
    assert all(world.row("context", id=id_)["path"].startswith(f"{own['path']}/51/") for id_ in below)
    assert_as_moodle_keeps_it(world)

    moved = {CONTEXT, own["id"], *below}
    assert [row for row in world.rows("context") if row["id"] not in moved] == [
        row for row in before["context"] if row["id"] not in moved
    ]
    # Of the other spaces, only the rank of the one that follows in the category it left.
    for row, was in zip(world.rows("course"), before["course"], strict=True):
        if row["id"] != SPACE:
            assert {**row, "sortorder": 0} == {**was, "sortorder": 0}
            assert row["sortorder"] == (40_001 if row["id"] == SIBLING else was["sortorder"])
    for table in ("user", "enrol", "cohort", "cohort_members", "config_plugins", "role"):
        assert world.rows(table) == before[table]


def test_a_later_run_takes_back_what_a_stopped_one_archived(world: World) -> None:  # noqa: F811
    """Its model wants the space after all: it is again as it was, and nothing says that it was ever archived."""
    before = {table: world.rows(table) for table in ("course", "context")}
    ex_rename.ex_rename(prepared(world))
    assert world.row("course", id=SPACE)["fullname"].startswith("ex_")
    later = prepared(world, {SPACE: "reset", SIBLING: "reset"}, run_id="suivante")
    for _ in range(2):
        ex_rename.ex_rename(later)
        after = {table: world.rows(table) for table in ("course", "context")}
        untold = {"timemodified": 0, "cacherev": 0}
        assert [{**row, **untold} for row in after["course"]] == [{**row, **untold} for row in before["course"]]
        assert [row for row in after["context"] if row in before["context"]] == before["context"]
    assert_as_moodle_keeps_it(world)
    with later.engine.connect() as connection:
        assert connection.execute(sa.select(ex_change)).all() == []
    assert journalled(later, "returned") == [(SPACE, "ex_LI3INF02 redevient LI3INF02, archivé par la campagne 2026")]
    ex_rename.ex_rename(prepared(world, run_id="encore"))
    assert world.row("course", id=SPACE)["fullname"] == "ex_Bases de données"


def test_teachers_of_the_feed_are_enrolled_by_hand(world: World) -> None:  # noqa: F811
    before = {table: world.rows(table) for table in ("user_enrolments", "role_assignments")}
    campaign = prepared(world)
    ex_rename.ex_rename(campaign)
    enrolled = world.enrolled(SPACE)
    assert {user: enrolled[user] for user in (3, 4, 5)} == {
        3: {"database", "manual"},
        4: {"manual"},
        5: {"database", "manual"},
    }
    new = [row for row in world.rows("role_assignments") if row not in before["role_assignments"]]
    assert [(r["roleid"], r["contextid"], r["userid"], r["component"], r["itemid"]) for r in new] == [
        (3, CONTEXT, 3, "", 0), (3, CONTEXT, 5, "", 0)
    ]  # fmt: skip
    for table, rows in before.items():
        assert [row for row in rows if row not in world.rows(table)] == [], "nothing is taken away"
    assert journalled(campaign, "archived") == [
        (SPACE, "LI3INF02 devient ex_LI3INF02 ; 2 enseignants inscrits à la main")
    ]


def test_a_missing_manual_instance_is_made_with_the_defaults_of_the_site(world: World) -> None:  # noqa: F811
    real = world.row("enrol", courseid=SIBLING, enrol="manual")
    with world.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM mdl_user_enrolments WHERE enrolid = 4"))
        connection.execute(sa.text("DELETE FROM mdl_enrol WHERE id = 4"))
    ex_rename.ex_rename(prepared(world))
    made = world.row("enrol", courseid=SPACE, enrol="manual")
    own = {"id", "courseid", "sortorder", "timecreated", "timemodified"}
    assert {k: v for k, v in made.items() if k not in own} == {k: v for k, v in real.items() if k not in own}
    assert made["sortorder"] == 5, "after the others"
    assert "manual" in world.enrolled(SPACE)[3]


def test_a_suspended_teacher_stays_suspended_and_a_needless_suspension_ends(world: World) -> None:  # noqa: F811
    suspended, twice, student = (world.add_user(name) for name in ("e.un", "e.deux", "e.trois"))
    for user in (suspended, twice):
        world.assign("editingteacher", CONTEXT, user, "enrol_database", 26)
    world.enrol(SPACE, suspended, "database", status=1)
    world.enrol(SPACE, twice, "database")
    world.enrol(SPACE, twice, "manual", status=1)
    world.assign("manager", world.context(40, CATEGORY), student)
    world.assign("student", CONTEXT, student, "enrol_database", 26)
    world.enrol(SPACE, student, "database")
    ex_rename.ex_rename(prepared(world))
    assert world.row("user_enrolments", enrolid=4, userid=suspended)["status"] == 1
    assert world.row("user_enrolments", enrolid=4, userid=twice)["status"] == 0
    assert world.rows("user_enrolments", enrolid=4, userid=student) == [], "a manager of the category needs none"


def test_twice_changes_nothing_nor_does_the_next_run(world: World) -> None:  # noqa: F811
    campaign = prepared(world)
    ex_rename.ex_rename(campaign)
    once = {table: world.rows(table) for table in WRITTEN}
    ex_rename.ex_rename(campaign)
    ex_rename.ex_rename(prepared(world, run_id="suivant"))
    assert {table: world.rows(table) for table in WRITTEN} == once
    with campaign.engine.connect() as connection:
        (kept,) = connection.execute(sa.select(ex_change)).mappings()
    assert (kept["fullname"], kept["shortname"], kept["idnumber"], kept["category"], kept["place"]) == (
        "Bases de données", "LI3INF02", "LI3INF02", CATEGORY, 1
    )  # fmt: skip


def test_the_categories_behind_archives_make_room_with_their_spaces(world: World) -> None:  # noqa: F811
    with world.engine.begin() as connection:
        for categories, step in (("9, 10", -20_000), ("7, 8", 20_000)):
            for table, column in (("course_categories", "id"), ("course", "category")):
                statement = f"UPDATE mdl_{table} SET sortorder = sortorder + {step} WHERE {column} IN ({categories})"
                connection.execute(sa.text(statement))
        connection.execute(sa.text("UPDATE mdl_course_categories SET visible = 0 WHERE id = 9"))
    assert_as_moodle_keeps_it(world)
    ex_rename.ex_rename(prepared(world))
    assert_as_moodle_keeps_it(world)
    year = world.row("course_categories", name="Archives 2025-2026")
    assert (year["sortorder"], year["visible"], year["visibleold"]) == (90_000, 0, 1)
    assert world.row("course_categories", id=8)["sortorder"] == 110_000


def test_into_the_category_of_the_year_when_it_exists(world: World) -> None:  # noqa: F811
    with world.engine.begin() as connection:
        year = create_category(connection, world.campaign().moodle, "Archives 2025-2026", ARCHIVES)
    ex_rename.ex_rename(prepared(world, {SPACE: "archive", 4: "archive"}))
    assert [world.row("course", id=id_)["category"] for id_ in (SPACE, 4)] == [year, year]
    assert [world.row("course", id=id_)["sortorder"] for id_ in (SPACE, 4)] == [110_001, 110_002]
    assert_as_moodle_keeps_it(world)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300).map(lambda text: text[:255])
maybe_prefixed = st.builds(str.__add__, st.sampled_from(["", "ex_", "ex_ex_"]), texts)


@given(maybe_prefixed, st.integers(20, 255))
def test_names_are_prefixed_once_cut_and_told_apart(name: str, room: int) -> None:
    long = prefixed(name, room)
    assert long == ("ex_" + name.removeprefix("ex_"))[:room]
    for candidates in (list(shortnames(name, "2025-2026", room)), list(idnumbers(name, 2025, room))):
        assert len(set(candidates)) == len(candidates) == TRIES
        assert all(len(candidate) <= room and candidate.startswith("ex_") for candidate in candidates)
    assert next(shortnames(name, "2025-2026", room)) == long
    assert next(idnumbers(name, 2025, room)) == f"ex_2025_{name}"[:room]


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fullname=st.text(alphabet="aé_-ex 🙂", max_size=254), code=st.text(alphabet="Aé-_9", min_size=1, max_size=100),
    shortname=st.text(alphabet="aé_-ex ", min_size=1, max_size=255), apart=st.booleans(), taken=st.booleans(),
)  # fmt: skip
def test_whatever_its_names_were_it_gets_them_back(
    world: World, *, fullname: str, shortname: str, code: str, apart: bool, taken: bool  # noqa: F811
) -> None:  # fmt: skip
    """Archived as any other, with a shortname and an idnumber of its own, whatever others have taken."""
    set_course(world, SPACE, fullname=fullname, shortname=shortname, idnumber=code)
    names = ("fullname", "shortname", "idnumber")
    before = world.row("course", id=SPACE)
    others = {9: next(shortnames(shortname, "2025-2026", 255)), 8: f"ex_2025_{code}"[:100]} if taken else {}
    for other, name in others.items():
        set_course(world, other, shortname=name, idnumber=name[:100])
    platform = world.with_platform(archived_idnumber="apart" if apart else "keep")
    campaign = platform.campaign()
    with campaign.engine.begin() as connection:
        ex_rename._archive(connection, campaign, SPACE, ARCHIVES, ARCHIVES)
    archived = world.row("course", id=SPACE)
    assert archived["fullname"] == prefixed(fullname, 254)
    for name in ("shortname", "idnumber") if apart else ("shortname",):
        assert archived[name].startswith("ex_")
        assert [row["id"] for row in world.rows("course", **{name: archived[name]})] == [SPACE]
    assert (archived["idnumber"] == code) or (apart and not code.startswith("ex_"))
    assert put_name_back(campaign, SPACE)
    after = world.row("course", id=SPACE)
    assert {key: after[key] for key in (*names, "category", "sortorder")} == {
        key: before[key] for key in (*names, "category", "sortorder")
    }


def test_one_space_that_fails_does_not_block_the_others(world: World) -> None:  # noqa: F811
    campaign = prepared(world, {SPACE: "archive", 4: "archive", 5: "archive"})
    with world.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE mdl_context SET instanceid = 904 WHERE contextlevel = 50 AND instanceid = 4")
        )
    before = world.row("course", id=4)
    with pytest.raises(TransitionError, match=r"non archivés.*\n  - L1MAT101 : .*contexte"):
        ex_rename.ex_rename(campaign)
    assert world.row("course", id=4) == before
    year = world.row("course_categories", parent=ARCHIVES, name="Archives 2025-2026")["id"]
    assert [world.row("course", id=id_)["category"] for id_ in (SPACE, 5)] == [year, year]
    assert [courseid for courseid, _ in journalled(campaign, "failed") if courseid] == [4]
    with world.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE mdl_context SET instanceid = 4 WHERE contextlevel = 50 AND instanceid = 904")
        )
    ex_rename.ex_rename(campaign)
    assert_as_moodle_keeps_it(world)


def test_a_space_excluded_since_the_plan_is_left_alone(world: World) -> None:  # noqa: F811
    campaign = prepared(world)
    set_course(world, SPACE, category=8)
    before = world.row("course", id=SPACE)
    ex_rename.ex_rename(campaign)
    assert world.row("course", id=SPACE) == before
    assert journalled(campaign, "skipped") == [(SPACE, "exclu depuis le plan")]


def test_a_full_category_is_refused(world: World) -> None:  # noqa: F811
    with world.engine.connect() as connection, pytest.raises(TransitionError, match="« UFR des Sciences » est pleine"):
        fix_sortorder(connection, world.campaign().moodle, [3], room=2)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.tuples(st.integers(2, 9), st.integers(2, 10)), min_size=1, max_size=8))
def test_any_moves_leave_paths_ranks_and_counts_right(world: World, moves: list[tuple[int, int]]) -> None:  # noqa: F811
    moodle = world.campaign().moodle
    course = moodle["course"]
    with world.engine.begin() as connection:
        for courseid, category in moves:
            left = connection.execute(sa.select(course.c.category).where(course.c.id == courseid)).scalar_one()
            connection.execute(sa.update(course).where(course.c.id == courseid).values(category=category))
            move_context(connection, moodle, courseid, category)
            fix_sortorder(connection, moodle, (left, category), 10_000)
    assert_as_moodle_keeps_it(world)


def test_a_cohort_that_is_filled_again_enrols_nobody_in_an_archived_space(world: World) -> None:  # noqa: F811
    new, prof = world.add_user("e26000001"), world.add_user("prof")
    ours, other = cohort(world, STEP, [8, 9], [SIBLING, SPACE]), cohort(world, "TUTORAT", [11], [SPACE])
    link = world.row("enrol", enrol="cohort", courseid=SPACE, customint1=ours)
    world.add("cohort_members", cohortid=ours, userid=prof, timeadded=1)
    world.add("user_enrolments", enrolid=link["id"], userid=prof)
    world.assign("editingteacher", CONTEXT, prof, "enrol_cohort", link["id"])
    before = world.rows("enrol")
    campaign = world.with_platform(enrolment="cohort", cohorts="etape").campaign()
    world.decide(campaign, {SPACE: "archive", SIBLING: "reset"})
    registered = [Registration(name, "LI3INF01", name) for name in ("22300003", "e26000001")]
    world.feed(campaign, registered, etapes=[("LI3INF01", STEP, "140")])
    record_people(campaign)
    world.freeze(campaign)
    of_run = sa.select(tables.progress.c.table_name).where(tables.progress.c.run == campaign.run)
    with campaign.engine.connect() as connection:
        keyed = set(connection.execute(of_run).scalars())
    snapshot.take(campaign, keyed, ())
    for _ in range(2):
        ex_rename.ex_rename(campaign)
        stage.enrolment(campaign)
    assert [finding for compare in snapshot.differences(campaign) for finding in compare()] == []
    assert members(world, ours) == {8, new, prof}
    assert members(world, other) == {11}
    assert world.row("enrol", id=link["id"]) == {**link, "status": 1}
    assert [row for row in world.rows("enrol") if row["id"] != link["id"]][: len(before) - 1] == [
        row for row in before if row["id"] != link["id"]
    ]
    # Those of cohorts that the campaign does not know, and a role that is the person's by hand.
    expected = {*(("enrol", SPACE, userid) for userid in (11, 12, 13)), ("unassign", SPACE, prof)}
    assert {change for change in enrol_cohort(world) if change[1] == SPACE} == expected
    assert (world.enrolled(SPACE, status=0)[prof], world.enrolled(SPACE)[3]) == (
        {"cohort", "manual"},
        {"database", "manual"},
    )
    (entry,) = [detail for courseid, detail in journalled(campaign, "archived") if courseid == SPACE]
    assert entry.endswith(" ; 1 inscription par cohorte désactivée")

    def status() -> int:
        return int(world.row("enrol", id=link["id"])["status"])

    following = replace(campaign, year=2027, run_id="2027")
    schema.upgrade(following)
    with following.engine.begin() as connection:
        bring_back(connection, following, "essai", SPACE)
    assert status() == 0, "its code is in the model again"
    put_name_back(following, SPACE)
    assert status() == 1, "as in Archives"
    put_name_back(campaign, SPACE)
    assert world.row("enrol", id=link["id"]) == link
    with campaign.engine.connect() as connection:
        assert connection.execute(sa.select(ex_link)).all() == []
