"""Names, categories and ranks come back, whatever the order in which spaces were archived and are restored."""

from typing import Any

import pytest
import sqlalchemy as sa

from tests.enrolment.conftest import enrolment_moodle, world  # noqa: F401  (fixtures)
from tests.enrolment.world import Registration, World
from transition import ex_rename
from transition.campaign import Campaign
from transition.enrolment.people import record_people
from transition.moodle.categories import create_category, fix_sortorder, move_context
from transition.restore.names import name_conflicts, put_name_back

CATEGORY, SPACES = 4, (2, 3, 4, 5, 6, 7)


@pytest.fixture
def campaign(world: World) -> Campaign:  # noqa: F811
    """Six spaces in one category; the platform sets their identification numbers apart."""
    world.more = {"archived_idnumber": "apart"}
    campaign = world.campaign()
    course = campaign.moodle["course"]
    with world.engine.begin() as connection:
        for rank, courseid in enumerate((5, 2, 7, 3, 6, 4), start=1):
            values = {"category": CATEGORY, "sortorder": 40_000 + rank}
            connection.execute(sa.update(course).where(course.c.id == courseid).values(values))
            move_context(connection, campaign.moodle, courseid, CATEGORY)
        fix_sortorder(connection, campaign.moodle, (3, 4, 5, 6), 10_000)
        create_category(connection, campaign.moodle, "Archives 2025-2026", 9)
    return campaign


def rows(world: World) -> list[dict[str, Any]]:  # noqa: F811
    """Everything of courses, categories and contexts but the revision of the cache."""
    found = [row for table in ("course", "course_categories", "context") for row in world.rows(table)]
    return [{name: value for name, value in row.items() if name != "cacherev"} for row in found]


def archive(world: World, order: tuple[int, ...]) -> None:  # noqa: F811
    for courseid in order:
        campaign = world.campaign(f"archive-{courseid}")
        world.decide(campaign, {courseid: "archive"})
        world.feed(campaign, [Registration("22300003", "LI3INF01", "22300003")])
        record_people(campaign)
        world.freeze(campaign)
        ex_rename.ex_rename(campaign)


def ranked(world: World) -> list[int]:  # noqa: F811
    """Spaces of the category, in their order."""
    found = world.rows("course", category=CATEGORY)
    return [row["id"] for row in sorted(found, key=lambda row: row["sortorder"])]


@pytest.mark.parametrize(("archived", "restored"), [
    ((2, 7, 3), (2, 7, 3)),
    ((2, 7, 3), (3, 7, 2)),
    ((5, 4, 3, 2), (3, 5, 2, 4)),
    ((4, 6, 3, 7, 2, 5), (7, 4, 5, 3, 6, 2)),
])  # fmt: skip
def test_in_any_order(
    world: World, campaign: Campaign, archived: tuple[int, ...], restored: tuple[int, ...]  # noqa: F811
) -> None:  # fmt: skip
    before, order = rows(world), ranked(world)
    archive(world, archived)
    assert all(row["idnumber"] == f"ex_2025_{row['shortname'][3:]}" for row in world.rows("course", category=11))
    assert ranked(world) == [courseid for courseid in order if courseid not in archived]
    for done, courseid in enumerate(restored, start=1):
        assert put_name_back(campaign, courseid)
        assert ranked(world) == [one for one in order if one not in restored[done:]]
    assert rows(world) == before
    assert not put_name_back(campaign, restored[0]), "twice does nothing"


def test_a_name_chosen_since_stays(world: World, campaign: Campaign) -> None:  # noqa: F811
    archive(world, (3,))
    with world.engine.begin() as connection:
        connection.execute(sa.text("UPDATE mdl_course SET fullname = 'Bases de données avancées' WHERE id = 3"))
    put_name_back(campaign, 3)
    course = world.row("course", id=3)
    assert (course["fullname"], course["shortname"]) == ("Bases de données avancées", "LI3INF02")


def test_a_name_or_a_category_that_is_no_longer_free(world: World, campaign: Campaign) -> None:  # noqa: F811
    archive(world, (3,))
    with campaign.engine.begin() as connection:
        taken = "UPDATE mdl_course SET shortname = 'LI3INF02', idnumber = 'LI3INF02' WHERE id = 9"
        connection.execute(sa.text(taken))
        connection.execute(sa.text(f"DELETE FROM mdl_course_categories WHERE id = {CATEGORY}"))
    with campaign.engine.begin() as connection:
        assert name_conflicts(connection, campaign, 3) == [
            "course : le nom abrégé « LI3INF02 » est celui de l'espace 9",
            "course : le numéro d'identification « LI3INF02 » est celui de l'espace 9",
            f"course_categories : la catégorie {CATEGORY} de l'espace n'existe plus",
        ]
        assert name_conflicts(connection, campaign, 2) == [], "it never lost them"
