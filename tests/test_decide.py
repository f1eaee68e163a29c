"""What the campaign decides about a space: the whole matrix, in memory."""

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transition.apogee.calendar import CalendarException
from transition.apogee.model import Model
from transition.decisions import APPLIED, Facts, decide
from transition.spaces import DecidingCategories, Space

TODAY = date(2026, 8, 16)
COMPLEMENTARY, ARCHIVES = 7, 9
PATHS = {"course": (2, 3), "complementary": (7, 8), "complementary itself": (7,), "archives": (9, 10), "root": (9,)}

dates = st.dates(TODAY - timedelta(400), TODAY + timedelta(400))
exceptions = st.builds(
    CalendarException,
    line=st.integers(2, 9),
    target_type=st.sampled_from(["element", "etape", "cours"]),
    target=st.just("SINF501"),
    type=st.sampled_from(["ouverture_precoce", "fermeture_tardive", "decale", "exclu"]),
    begin=dates,
    end=dates,
)
prefixes = st.sampled_from(["", "ex_"])
spaces = st.builds(
    Space,
    courseid=st.just(4),
    code=st.sampled_from(["", "\u00a0", "SINF501", "sinf501\u00a0"]),
    shortname=prefixes.map(lambda prefix: f"{prefix}SINF501"),
    fullname=prefixes.map(lambda prefix: f"{prefix}SINF501 - Réseaux"),
    category=st.just("UFR des Sciences / Licence 3"),
    path=st.sampled_from(sorted(PATHS.values())),
    visible=st.booleans(),
    apart=st.booleans(),
)
maybe = st.sampled_from([frozenset[str](), frozenset({"SINF501"})])
models = st.builds(
    Model,
    year=st.just(2026),
    lots=st.just({2026: "lot-2026", 2025: "lot-2025"}),
    taught=maybe,
    hosts=maybe,
    states=st.sampled_from([{}, {"SINF501": "fermé"}]),
    last=st.none() | maybe,
    registered=maybe,
)
facts = st.builds(
    Facts,
    categories=st.just(DecidingCategories(COMPLEMENTARY, ARCHIVES)),
    model=models,
    today=st.just(TODAY),
    exceptions=st.lists(exceptions, max_size=3).map(lambda some: {"SINF501": some}),
    spaces_by_key=st.sampled_from([{"SINF501": 1}, {"SINF501": 2}]),
    ours=st.sampled_from([frozenset[int](), frozenset({4})]),
    before=st.sampled_from([{}, {4: ""}, {4: "la catégorie 4 de l'espace n'existe plus"}]),
    ambiguous=st.sampled_from([{}, {4: "le forum « Actualités », à discussion unique, en contient 2"}]),
)


unhurried = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine draws slowly


def expected(space: Space, known: Facts) -> str:
    """The decision by the policy's own words, written apart from the code: the first line that holds."""
    model, mine = known.model, space.courseid in known.ours
    inside = "SINF501" if space.key else ""
    asked = known.exceptions["SINF501"] if inside else []
    archived = space.path[0] == ARCHIVES or "ex_" in space.shortname or "ex_" in space.fullname
    wanted = bool(inside and (model.taught or model.hosts or model.registered))
    replaced = space.apart and bool(model.last)  # its code has been another space's since last year
    twins = known.spaces_by_key["SINF501"] > (0 if replaced else 1)
    foreign = archived and not mine
    table = [
        (space.path[0] == COMPLEMENTARY, "exclude"),
        (foreign and not wanted, "exclude"),
        (foreign and twins, "exclude" if replaced else "hold"),
        (foreign and known.before.get(space.courseid) != "", "hold"),  # by a person, or something is in the way
        (any(one.type == "exclu" for one in asked), "exclude"),
        (any(one.type in ("fermeture_tardive", "decale") and (one.end or TODAY) > TODAY for one in asked), "defer"),
        (any(one.type == "ouverture_precoce" and (one.begin or TODAY) <= TODAY for one in asked), "hold"),
        (bool(known.ambiguous), "hold"),
        (archived and mine and not wanted, "archive"),
        (archived and mine and twins, "archive" if replaced else "hold"),
        (archived and mine and known.before.get(space.courseid) != "", "hold"),
        (not inside, "hold"),
        (space.apart and not archived, "hold"),
        (known.spaces_by_key["SINF501"] > 1, "hold"),
        (wanted and not space.visible, "hold"),
        (wanted, "reset"),
        (not model.last, "hold"),
    ]
    return next((decision for holds, decision in table if holds), "archive")


@unhurried
@given(spaces, facts)
def test_the_matrix(space: Space, known: Facts) -> None:
    decision, reason = decide(space, known)
    assert decision == expected(space, known)
    assert reason and len(reason) < 1000


@unhurried
@given(spaces, facts)
def test_a_protected_space_is_never_applied(space: Space, known: Facts) -> None:
    protected = space.path[0] == COMPLEMENTARY or (
        bool(space.key) and any(one.verdict(TODAY) for one in known.exceptions["SINF501"])
    )
    if protected:
        assert decide(space, known)[0] not in APPLIED


@unhurried
@given(spaces, facts, st.booleans())
def test_a_registration_never_archives_and_its_absence_never_does_alone(
    space: Space, known: Facts, registered: bool
) -> None:
    without = decide(space, replace(known, model=replace(known.model, registered=frozenset())))[0]
    with_one = decide(space, replace(known, model=replace(known.model, registered=frozenset({"SINF501"}))))[0]
    if without != with_one:
        # "defer": of an archived space that comes back, on its own date.
        assert with_one in ({"reset", "hold", "defer"} if without == "exclude" else {"reset", "hold"})
        assert not (known.model.taught | known.model.hosts)


@given(exceptions, dates)
def test_a_late_closing_ends_on_its_day(exception: CalendarException, today: date) -> None:
    verdict = replace(exception, type="fermeture_tardive").verdict(today)
    assert (verdict is not None) == (today < (exception.end or today))
    if verdict:
        assert verdict[0] == "defer"
        assert f"{exception.end:%d/%m/%Y}" in verdict[1]
