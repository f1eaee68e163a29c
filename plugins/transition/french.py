"""Numbers and moments as French readers write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def number(value: int) -> str:
    """A number, grouped by three with spaces that do not break."""
    return f"{value:,}".replace(",", "\u00a0")


def decimal(value: float) -> str:
    """A number with one decimal."""
    return f"{value:,.1f}".replace(",", "\u00a0").replace(".", ",")


def duration(seconds: float) -> str:
    """About how long, in the unit that tells most."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02}"


def counted(value: int, one: str, many: str) -> str:
    """A number and what it counts: French has the singular for 0 and 1."""
    return f"{number(value)} {one if abs(value) < 2 else many}"


def moment(utc: datetime, zone: ZoneInfo) -> str:
    """A moment that the state tables store (UTC, without zone), in the platform's time."""
    return f"{utc.replace(tzinfo=UTC).astimezone(zone):%d/%m/%Y à %H:%M}"


def day(utc: datetime, zone: ZoneInfo) -> str:
    """The day of such a moment."""
    return f"{utc.replace(tzinfo=UTC).astimezone(zone):%d/%m/%Y}"
