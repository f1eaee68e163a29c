"""Exceptions and days: where a space stands in its own calendar."""

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.test_decide import exceptions, facts, spaces
from transition.apogee.calendar import CalendarException
from transition.decisions import APPLIED, Facts, decide
from transition.spaces import Space

days = st.dates(date(2026, 1, 1), date(2027, 12, 31))


@given(exceptions, days)
def test_on_each_day_it_is_at_exactly_one_moment(exception: CalendarException, today: date) -> None:
    assert exception.begin and exception.end
    early, until = exception.type == "ouverture_precoce", exception.type in ("fermeture_tardive", "decale")
    table = {
        "excluded": exception.type == "exclu",
        "deferred": until and today < exception.end,
        "waiting": early and today < exception.begin - timedelta(7),
        "due": (until and exception.end <= today) or (early and timedelta(0) < exception.begin - today <= timedelta(7)),
        "opened": early and exception.begin <= today,
    }
    assert [moment for moment, holds in table.items() if holds] == [exception.moment(today)]
    imposed = {"excluded": "exclude", "deferred": "defer", "opened": "hold", "waiting": None, "due": None}
    verdict = exception.verdict(today)
    assert (verdict and verdict[0]) == imposed[exception.moment(today)]


@given(exceptions, days)
def test_moments_follow_each_other_and_none_comes_back(exception: CalendarException, first: date) -> None:
    order = {"excluded": [0], "ouverture_precoce": [1, 2, 3], "fermeture_tardive": [4, 5], "decale": [4, 5]}
    ranks = {"waiting": 1, "due": 2 if exception.type == "ouverture_precoce" else 5, "opened": 3, "deferred": 4}
    met = [ranks.get(exception.moment(first + timedelta(n)), 0) for n in range(0, 800, 3)]
    assert met == sorted(met)
    assert set(met) <= set(order.get(exception.type, [0]))


@given(spaces, facts, exceptions)
def test_a_late_closing_that_has_ended_changes_no_decision(space: Space, known: Facts, late: CalendarException) -> None:
    """From its date on, the space is decided as if it had never been deferred: by the model."""
    ended = replace(late, type="fermeture_tardive", end=known.today)
    without = {**known.exceptions}
    with_it = {**known.exceptions, "SINF501": [*known.exceptions["SINF501"], ended]}
    assert decide(space, replace(known, exceptions=with_it)) == decide(space, replace(known, exceptions=without))
    before = replace(known, exceptions=with_it, today=known.today - timedelta(1))
    if space.key:
        assert decide(space, before)[0] not in APPLIED
