"""The academic year of the demonstration, as Moodle writes it: seconds since 1970."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")
DAY, HOUR = 86_400, 3_600


def at(year: int, month: int, day: int, hour: int = 8) -> int:
    """Return a moment of Paris time."""
    return int(datetime(year, month, day, hour, tzinfo=PARIS).timestamp())


OPENING = at(2025, 9, 1)
"""The year that ends: spaces open."""
CLOSING = at(2026, 8, 31)
FIRST_DAY, LAST_DAY = at(2025, 9, 8), at(2026, 7, 3)
"""Between them, people work."""
