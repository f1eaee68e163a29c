"""A transition starts on its night, or not at all."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import timezone
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from hypothesis import given
from hypothesis import strategies as st

from transition_airflow import timetable
from transition_airflow.timetable import GRACE, PunctualCronTimetable

NIGHT = PunctualCronTimetable("0 2 16 8 *", timezone="Europe/Paris")
ANY_TIME = TimeRestriction(earliest=None, latest=None, catchup=False)
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))


def at(*parts: int) -> Any:
    return timezone.datetime(*parts)


def next_slot(now: datetime, last: datetime | None = None) -> datetime:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timetable, "_now", lambda: timezone.coerce_datetime(now))
        done = None if last is None else DataInterval.exact(timezone.coerce_datetime(last))
        found = NIGHT.next_dagrun_info(last_automated_data_interval=done, restriction=ANY_TIME)
    assert isinstance(found, DagRunInfo)
    slot: datetime = found.run_after
    return slot


@pytest.mark.parametrize("last", [None, at(2025, 8, 16), at(2024, 8, 16)])
def test_unpaused_in_november_nothing_starts(last: datetime | None) -> None:
    assert next_slot(at(2026, 11, 23, 9), last) == at(2027, 8, 16)


def test_two_in_the_morning_in_paris() -> None:
    assert next_slot(at(2026, 6, 1)).astimezone(UTC) == datetime(2026, 8, 16, 0, 0, tzinfo=UTC)


def test_a_scheduler_that_was_away_for_three_hours_still_starts_it() -> None:
    assert next_slot(at(2026, 8, 16, 3)) == at(2026, 8, 16)


def test_a_day_later_it_is_too_late() -> None:
    assert next_slot(at(2026, 8, 17, 1)) == at(2027, 8, 16)


def test_a_night_that_ran_is_over() -> None:
    assert next_slot(at(2026, 8, 16, 3), last=at(2026, 8, 16)) == at(2027, 8, 16)


@given(now=MOMENTS, last=st.none() | MOMENTS)
def test_never_late_never_twice(now: datetime, last: datetime | None) -> None:
    slot = next_slot(now, last)
    assert slot >= now - GRACE
    assert last is None or slot > last
    local = slot.astimezone(NIGHT._timezone)
    assert (local.month, local.day, local.hour, local.minute) == (8, 16, 2, 0)
    # The very next such night: none is left out.
    assert slot - max(now - GRACE, last or now - GRACE) <= timedelta(days=366, hours=1)


def test_airflow_finds_it_again_in_a_stored_dag(airflow: None) -> None:
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable

    found = decode_timetable(encode_timetable(NIGHT))
    assert isinstance(found, PunctualCronTimetable)
    assert found == NIGHT
