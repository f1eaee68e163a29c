"""The names of an archived space: its own with the prefix ``ex_``, never twice, never longer than the column."""

from collections.abc import Iterator

ARCHIVED_PREFIX = "ex_"
TRIES = 100  # names to try before a person must look


def with_prefix(name: str) -> str:
    """A name with its prefix, uncut."""
    return name if name.startswith(ARCHIVED_PREFIX) else ARCHIVED_PREFIX + name


def prefixed(name: str, room: int) -> str:
    """A name with its prefix, cut at ``room`` characters."""
    return with_prefix(name)[:room]


def shortnames(shortname: str, last: str, room: int) -> Iterator[str]:
    """Short names for an archived space, best first, all different: some other space may have one already.

    :param last: the academic year that ends, as in « 2025-2026 ».
    """
    endings = ["", f" ({last})", *(f" ({last}, {n})" for n in range(2, TRIES))]
    return (with_prefix(shortname)[: room - len(ending)] + ending for ending in endings)


def idnumbers(code: str, year: int, room: int) -> Iterator[str]:
    """Identification numbers ``ex_<year>_<code>`` for an archived space, best first, all different.

    :param year: the start year of the academic year that ends: the last one that the space served.
    """
    apart = f"{ARCHIVED_PREFIX}{year}_{code}"
    endings = ["", *(f"_{n}" for n in range(2, TRIES + 1))]
    return (apart[: room - len(ending)] + ending for ending in endings)


def last_year(year: int) -> str:
    """The academic year that ends, as in « 2025-2026 ».

    :param year: the start year of the one that opens, as a campaign's.
    """
    return f"{year - 1}-{year}"


def year_category(year: int) -> str:
    """Name of the category below Archives of the spaces that a campaign archives.

    :param year: the start year of the academic year that opens, as a campaign's.
    """
    return f"Archives {last_year(year)}"
