"""Caps: what crosses one, by platform and by component; what a crossed one asks for before the first write."""

from dataclasses import replace
from datetime import date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tests.enrolment.conftest import enrolment_moodle, world  # noqa: F401  (fixtures)
from tests.enrolment.world import YEAR, Registration, World
from tests.support.campaign import LEFT_THE_MODEL, add_newcomers, reference_feed, reference_platform, run_chain
from tests.support.dump import compare, dump
from tests.support.feed import element, registrations, write_year
from transition import caps, journal, plan
from transition.apogee import tables as apogee
from transition.apogee.stage import apogee_sync
from transition.campaign import Campaign, now
from transition.caps import KINDS, PLATFORM, Crossing, Figure, crossings, refuse_same_person
from transition.enrolment.people import record_people
from transition.enrolment.tables import ex_change
from transition.errors import TransitionError
from transition.platforms import Limits, load_platform, platform_names
from transition.report.plan_table import crossed_lines, plan_markdown, plan_table
from transition.state import tables

FLOOR = 10
ROWS = 10**12
COUNTED = {kind: facts for kind, facts in KINDS.items() if facts.ratio and facts.number}  # by component, too
CAPS = [(kind, cap) for kind, facts in COUNTED.items() for cap in (facts.ratio, facts.number)]

shares = st.decimals(0, 1, places=2).map(float)
one_level = {
    "archived_share": shares, "unenrolled_share": shares, "moved_ratio": st.decimals(0, 9, places=2).map(float),
    "archived_number": st.integers(0, 50), "unenrolled_number": st.integers(0, 50), "moved_number": st.integers(0, 50),
}  # fmt: skip
limits = st.builds(
    Limits.model_validate,
    st.fixed_dictionaries(
        {**one_level, "fewer_share": shares, "free_space_gib": st.just(1.0),
         "component": st.fixed_dictionaries({**one_level, "floor": st.integers(0, 20)})}
    ),
)  # fmt: skip
figures = st.lists(
    st.builds(
        Figure, kind=st.sampled_from(sorted(COUNTED)), component=st.sampled_from([PLATFORM, "SCI", "DRO"]),
        count=st.integers(0, 60), base=st.integers(0, 60), spaces=st.integers(0, 30),
    ),
    unique_by=lambda figure: (figure.kind, figure.component),
)  # fmt: skip


def places(found: list[Crossing]) -> set[tuple[str, str]]:
    return {(crossing.cap, crossing.component) for crossing in found}


@given(figures, limits)
def test_a_cap_is_crossed_by_more_than_its_value_and_by_nothing_else(some: list[Figure], given_: Limits) -> None:
    expected = set()
    for figure in some:
        level: Any = given_.component if figure.component else given_
        many = figure.component == PLATFORM or figure.spaces >= given_.component.floor
        of_base, number = KINDS[figure.kind].ratio, KINDS[figure.kind].number
        if many and figure.base and Fraction(figure.count, figure.base) > Fraction(repr(getattr(level, of_base))):
            expected.add((of_base, figure.component))
        if number and figure.count > getattr(level, number):
            expected.add((number, figure.component))
    assert places(crossings(some, given_)) == expected


@given(figures, limits, st.sampled_from(CAPS), st.booleans(), st.integers(1, 5))
def test_raising_a_limit_never_adds_a_crossing(
    some: list[Figure], given_: Limits, kind_and_cap: tuple[str, str], component: bool, more: int
) -> None:
    cap = kind_and_cap[1]
    level: Any = given_.component if component else given_
    raised = level.model_copy(update={cap: getattr(level, cap) + more})
    higher = given_.model_copy(update={"component": raised}) if component else raised
    before, after = places(crossings(some, given_)), places(crossings(some, higher))
    assert after <= before
    assert {pair for pair in before - after if pair[0] != cap or bool(pair[1]) != component} == set()


@pytest.mark.parametrize("component", [PLATFORM, "SCI"])
@pytest.mark.parametrize(("kind", "cap"), CAPS)
def test_cap_and_cap_plus_one(kind: str, cap: str, component: str) -> None:
    """0.29 × 100: 28.999… in floating point, 29 as it is written."""
    share = cap == KINDS[kind].ratio
    level: dict[str, Any] = dict.fromkeys(("archived_number", "unenrolled_number", "moved_number"), ROWS)
    level[cap] = 0.29 if share else 29
    named = Limits.model_validate(
        {"free_space_gib": 1, "component": {**level, "floor": FLOOR}} if component else {"free_space_gib": 1, **level}
    )
    base = 100 if share else 0
    assert crossings([Figure(kind, component, 29, base, FLOOR)], named) == []
    found = crossings([Figure(kind, component, 30, base, FLOOR)], named)
    assert found == [Crossing(kind, cap, component, 30, base, level[cap])]
    if component and share:
        assert crossings([Figure(kind, component, 30, base, FLOOR - 1)], named) == [], "very few spaces: numbers only"


@pytest.mark.parametrize("platform", platform_names())
def test_no_component_may_do_more_than_its_platform(platform: str) -> None:
    declared = load_platform(platform).limits
    for kind in COUNTED.values():
        assert getattr(declared.component, kind.number) <= getattr(declared, kind.number)
    assert declared.component.floor * declared.component.archived_share >= 1, "one space never crosses a share"


def test_who_approves_twice() -> None:
    refuse_same_person("Ada", "Bruno")
    with pytest.raises(TransitionError, match="« ada » a déjà approuvé le plan"):
        refuse_same_person("Ada", " ada ")


SPACE, ARCHIVED, EXCLUDED = 2, 3, 8  # LI3INF01, LI3INF02, ESPCOMP01
TIGHT = {"archived_share": 0, "archived_number": 0, "unenrolled_share": 0, "unenrolled_number": 0, "moved_ratio": 0,
         "moved_number": 0}  # fmt: skip
EVERYTHING = {"limits": {"free_space_gib": 0, **TIGHT, "component": {**TIGHT, "floor": 1}}}


def found(campaign: Campaign) -> dict[tuple[str, str], tuple[int, int]]:
    """Count and base of every crossed cap, by cap and component."""
    caps.record(campaign)
    return {(crossing.cap, crossing.component): (crossing.count, crossing.base) for crossing in caps.load(campaign)}


def last_year(campaign: Campaign, run_id: str, rows: dict[int, int], verified: set[int]) -> None:
    """An earlier campaign's run that moved rows out of courses, and the courses of it that were verified."""
    before = replace(campaign, year=YEAR - 1, run_id=run_id)
    with campaign.engine.begin() as connection:
        for courseid, moved in rows.items():
            journal.record(connection, before, "purge", "moved", rule="forum", courseid=courseid, rows_moved=moved)
        for courseid in verified:
            values = {"year": YEAR - 1, "courseid": courseid, "run": before.run, "verified_at": now()}
            connection.execute(sa.insert(tables.space_reset).values(values))


def test_the_figures_on_the_real_database(world: World) -> None:  # noqa: F811
    campaign = world.with_platform(**EVERYTHING).campaign()
    world.decide(campaign, {SPACE: "reset", ARCHIVED: "archive", EXCLUDED: "exclude", 5: "defer"})
    world.feed(campaign, [Registration("22300003", "LI3INF01", "22300003")])  # LI3INF02 is of no model here
    record_people(campaign)
    plan.store_lines(campaign, {("forum", "forum_posts", SPACE): 40, ("quiz", "quiz_attempts", ARCHIVED): 25})
    students = {
        courseid: {user for user, standing in world.standings(campaign, courseid).items() if standing != "teacher"}
        for courseid in (SPACE, ARCHIVED)
    }
    everyone = students[SPACE] | students[ARCHIVED]
    figures_ = found(campaign)
    category = next(component for _, component in figures_ if component not in (PLATFORM, "SCI"))
    assert figures_ == {
        ("archived_share", PLATFORM): (1, 3), ("archived_number", PLATFORM): (1, 3),
        ("archived_share", category): (1, 2), ("archived_number", category): (1, 2),
        ("unenrolled_share", PLATFORM): (len(everyone) - 1, len(everyone)),
        ("unenrolled_number", PLATFORM): (len(everyone) - 1, len(everyone)),
        ("unenrolled_share", "SCI"): (len(students[SPACE]) - 1, len(students[SPACE])),
        ("unenrolled_number", "SCI"): (len(students[SPACE]) - 1, len(students[SPACE])),
        ("unenrolled_share", category): (len(students[ARCHIVED] - {8}), len(students[ARCHIVED])),
        ("unenrolled_number", category): (len(students[ARCHIVED] - {8}), len(students[ARCHIVED])),
        ("moved_number", PLATFORM): (65, 0), ("moved_number", "SCI"): (40, 0), ("moved_number", category): (25, 0),
    }  # fmt: skip
    assert len(everyone) < len(students[SPACE]) + len(students[ARCHIVED]), "nobody is in both: people or enrolments?"

    # Last year: two runs of it (one was killed), a space that was not verified, a course that is gone since.
    last_year(campaign, "killed", {SPACE: 10, 4: 1_000}, set())
    last_year(campaign, "last", {SPACE: 6, ARCHIVED: 5, 777: 4}, {SPACE, ARCHIVED, 777})
    with_last = found(campaign)
    assert with_last["moved_ratio", PLATFORM] == (65, 25)
    assert with_last["moved_ratio", "SCI"] == (40, 16)
    assert with_last["moved_ratio", category] == (25, 5)

    # Of this year's campaign, what is done and verified counts among the modelled spaces.
    with campaign.engine.begin() as connection:
        values = {"year": YEAR, "courseid": EXCLUDED, "run": campaign.run, "verified_at": now()}
        connection.execute(sa.insert(tables.space_reset).values(values))
    assert found(campaign)["archived_share", PLATFORM] == (1, 4)
    # One that came back from Archives this year is a change of the year as well, and not archived.
    for archived_in, count in ((YEAR - 1, 1), (None, 2)):
        with campaign.engine.begin() as connection:
            connection.execute(sa.delete(ex_change))
            words = ("fullname", "shortname", "idnumber")
            names = dict.fromkeys((*words, *(f"new_{word}" for word in words)), "")
            numbers = dict.fromkeys(("category", "place", "timemodified", "visible", "new_visible"), 1)
            row = {"year": YEAR, "courseid": EXCLUDED, "run": campaign.run, "at": now(), "archived_in": archived_in}
            connection.execute(sa.insert(ex_change).values(**row, **names, **numbers))
        assert found(campaign)["archived_share", PLATFORM] == (count, 4)

    # Who only changes spaces is not unenrolled.
    world.feed(campaign, [Registration(f"223000{n:02}", "AUTRE", f"223000{n:02}") for n in range(1, 25)])
    record_people(campaign)
    assert found(campaign)["unenrolled_number", PLATFORM][0] < len(everyone) - 20


def test_a_feed_older_than_its_cap_is_for_a_second_person_to_approve(world: World) -> None:  # noqa: F811
    limits_ = {"free_space_gib": 0, "archived_share": 1, "feed_days": 7}
    campaign = world.with_platform(limits=limits_).campaign(day=date(2026, 8, 16))
    world.decide(campaign, {SPACE: "reset"})
    world.feed(campaign, [Registration("22300003", "LI3INF01", "22300003")])
    record_people(campaign)

    def crossed(extracted: datetime) -> list[str]:
        with campaign.engine.begin() as connection:
            mine = sa.select(apogee.run_lot.c.lot_id).where(apogee.run_lot.c.run == campaign.run).scalar_subquery()
            connection.execute(sa.update(apogee.lot).where(apogee.lot.c.lot_id == mine).values(extrait_le=extracted))
        caps.record(campaign)
        return crossed_lines(campaign)

    assert crossed(datetime(2026, 8, 8, 23, 30)) == [], "the ninth, in the platform's summer"
    what = "jours entre l'extraction des données d'Apogée et aujourd'hui (toute la plateforme)"
    assert crossed(datetime(2026, 8, 30)) == [f"{what} : 14, seuil 7"], "no clock is that fast: what is its age?"
    assert crossed(datetime(2026, 8, 8, 22, 30)) == [f"{what} : 8, seuil 7"]
    shown = plan.fingerprint(campaign)
    plan.store_fingerprint(campaign, shown)
    plan.approve(campaign, shown, by="approbation automatique")
    with pytest.raises(TransitionError, match=r"dépasse des seuils : rien n'a été écrit(.|\n)* : 8, seuil 7"):
        plan.check_approved(campaign)
    plan.approve(campaign, shown, by="Bruno", exceeding=True)
    plan.check_approved(campaign)


def test_a_feed_with_half_of_last_years_registrations_asks_for_a_second_person(
    world: World,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Of last year's lots, that of the same day counts: in mid-August registrations are incomplete every year."""
    campaign = replace(world.campaign(), feed=tmp_path)

    def load(year: int, students: int, day: str = "") -> Campaign:
        people = [f"226{n:05}" for n in range(students)]
        write_year(tmp_path, year, {"element": [element("LI3INF01")], **registrations({"LI3INF01": people})})
        manifest = tmp_path / str(year) / "lot.csv"
        text = manifest.read_text("utf-8").replace(f"apogee-{year}", f"lot-{year}-{students}")
        manifest.write_text(text.replace(f"{year}-08-14", day or f"{year}-08-14"), "utf-8")
        run = campaign if year == YEAR else replace(campaign, year=year, run_id=f"{year}-{students}")
        apogee_sync(run)
        return run

    load(YEAR - 1, 100)
    load(YEAR - 1, 400, f"{YEAR}-06-30")
    load(YEAR, 50)
    world.decide(campaign, {SPACE: "reset"})
    record_people(campaign)
    caps.record(campaign)
    assert caps.load(campaign) == [], "half of those of the same day is not less than half"
    before = plan.fingerprint(campaign)

    load(YEAR, 49)
    caps.record(campaign)
    assert caps.load(campaign) == [Crossing("fewer", "fewer_share", PLATFORM, 51, 100, 0.5)]
    line = "inscrits de moins qu'il y a un an (toute la plateforme) : 51 sur 100 (51,0 %), seuil 50 %"
    assert crossed_lines(campaign) == [line]
    shown = plan.fingerprint(campaign)
    assert shown != before
    plan.store_fingerprint(campaign, shown)
    plan.approve(campaign, shown, by="Ada")
    with pytest.raises(TransitionError, match="Ce plan dépasse des seuils") as refusal:
        plan.check_approved(campaign)
    assert line in str(refusal.value)
    plan.approve(campaign, shown, by="Bruno", exceeding=True)
    plan.check_approved(campaign)


BEFORE_APPROVAL = ("preflight", "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan")
CROSSED = [
    "espaces archivés (toute la plateforme) : 1 sur 6 (16,7 %), seuil 10 %",
    "espaces archivés (composante SCI) : 1, seuil 0",
]


def assert_shown_first(campaign: Campaign) -> None:
    assert crossed_lines(campaign) == CROSSED
    shown = plan_table(campaign)
    title, first, *lines = shown.splitlines()
    assert (title.split()[0], first.split(" :")[0]) == ("PLAN", "SEUILS DÉPASSÉS")
    assert [line.strip(" .") for line in lines[:2]] == CROSSED
    assert lines[2].startswith("  À vérifier, espaces archivés : le lot d'Apogée")
    assert max(map(len, shown.splitlines())) <= 120
    extracted = "Données d'Apogée extraites le 14/08/2026 à 01:00."
    assert all(line in plan_markdown(campaign) for line in [*CROSSED, extracted])
    assert extracted in shown


def journalled(campaign: Campaign) -> list[str]:
    """The lines of the last second approval in the journal."""
    entry = tables.journal.c
    query = sa.select(entry.detail).where(entry.run == campaign.run, entry.action == "exceeded")
    with campaign.engine.connect() as connection:
        return str(connection.execute(query.order_by(entry.id.desc())).scalars().first()).split("\n")


def test_a_plan_that_crosses_caps_moves_nothing_until_a_second_person_approves_that_very_plan(
    world: World,  # noqa: F811
    tmp_path: Path,
) -> None:
    engine = world.engine
    add_newcomers(engine)
    reference_feed(tmp_path / "feed")
    limits_ = {"archived_share": 0.1, "component": {"archived_number": 0}, "free_space_gib": 0.1}
    platform = reference_platform(tmp_path / "storage", limits=limits_)
    campaign = Campaign(platform, YEAR, "exceeding", engine, dry_run=False, feed=tmp_path / "feed",
                        courses=(LEFT_THE_MODEL,))  # fmt: skip
    moodle = str(engine.url.database)
    before = dump(engine, moodle)

    def refused(sentence: str) -> None:
        with pytest.raises(TransitionError, match=sentence) as refusal:
            run_chain(campaign, ["freeze"])
        if sentence.startswith("Ce plan"):
            assert all(line in str(refusal.value) for line in CROSSED)

    run_chain(campaign, BEFORE_APPROVAL)
    assert_shown_first(campaign)
    refused("n'est pas approuvé")
    own = plan.stored_fingerprint(campaign)
    plan.approve(campaign, own, by="Ada")
    refused("Ce plan dépasse des seuils")

    # The second approval of another plan of the same run: here, of one that crossed another cap.
    loose = replace(
        campaign, platform=reference_platform(tmp_path / "storage", limits={**limits_, "archived_share": 1})
    )
    caps.record(loose)
    other = plan.fingerprint(loose)
    assert other != own
    plan.store_fingerprint(campaign, other)
    with pytest.raises(TransitionError, match="a changé depuis la question"):
        plan.approve(campaign, own, by="Bruno", exceeding=True)
    plan.approve(campaign, other, by="Bruno", exceeding=True)
    caps.record(campaign)
    plan.store_fingerprint(campaign, own)
    refused("Ce plan dépasse des seuils")

    plan.approve(campaign, own, by="ada", exceeding=True)
    refused("une autre personne doit approuver")
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(tables.approval).where(tables.approval.c.approved_by == "ada"))

    # The limits are read again: a lower one since the plan is another crossing, which nobody approved.
    plan.approve(campaign, own, by="Bruno", exceeding=True)
    lower = replace(
        campaign, platform=reference_platform(tmp_path / "storage", limits={**limits_, "archived_share": 0})
    )
    with pytest.raises(TransitionError, match="Le plan approuvé est périmé"):
        run_chain(lower, ["freeze"])
    assert crossed_lines(campaign) == CROSSED

    assert compare(before, dump(engine, moodle)) == {}

    run_chain(campaign, ["freeze", "ex_rename"])
    assert plan.is_frozen(campaign)
    assert journalled(campaign) == [f"par Bruno, plan {own[:12]}", *CROSSED]
    with engine.connect() as connection:
        renamed = sa.text(f"SELECT shortname FROM mdl_course WHERE shortname LIKE '%{LEFT_THE_MODEL}'")
        assert connection.execute(renamed).scalar() == f"ex_{LEFT_THE_MODEL}"
