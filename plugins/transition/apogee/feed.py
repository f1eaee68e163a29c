"""A feed as a source reads it: the one interface between the sources (files, SQL, REST) and the checks."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Protocol

import pandas as pd


@dataclass(frozen=True)
class Manifest:
    """What the extraction says of itself: the row of ``lot.csv``.

    :param where: what a message calls it, ``2026/lot.csv, ligne 2``.
    :param extrait_le: end of the extraction, UTC without zone.
    :param rows: rows by table. :param sha256: hash by table.
    """

    where: str
    lot_id: str
    source: str
    annee: int
    extrait_le: datetime
    complet: bool
    rows: Mapping[str, int]
    sha256: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the year and the tables' own hashes: two lots with the same one hold the same rows."""
        content = json.dumps([self.annee, sorted(self.sha256.items())])
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class RawTable:
    """One table as received, every value still text.

    :param where: what a message calls it, ``2026/element.csv``.
    :param frame: a column of text for each name of the header.
    :param lines: the line (or page) of each row of ``frame``. :param sha256: of what was received.
    """

    where: str
    frame: pd.DataFrame
    lines: Sequence[int]
    sha256: str
    unit: str = "ligne"

    @property
    def name(self) -> str:
        """Its name without its year: ``element.csv``."""
        return self.where.rpartition("/")[2]

    def place(self, position: int) -> str:
        """Where the row at that position is, for a message."""
        return f"{self.where}, {self.unit} {self.lines[position]}"


@dataclass(frozen=True)
class Feed:
    """One year of a feed.

    :param findings: French sentences on what could not be read; a table named there is missing from ``tables``.
    """

    where: str
    year: int
    manifest: Manifest | None = None
    tables: Mapping[str, RawTable] = field(default_factory=dict)
    findings: Sequence[str] = ()


class Source(Protocol):
    """Where feeds come from. A source that fails raises or records a finding; it never returns less than all.

    A server that does not answer, or not wholly, raises :class:`transition.errors.UnreachableError`; what a person must
    mend raises :class:`transition.errors.TransitionError`.
    """

    @property
    def live(self) -> bool:
        """Whether a past year is read as it is today: a snapshot that was loaded in its time is then truer."""

    def check(self, year: int) -> list[str]:
        """What can be told of that year in a moment, for preflight: French findings."""

    def years(self) -> Sequence[int]:
        """The years that the source holds."""

    def read(self, year: int, *, snapshot: bool = False) -> Feed:
        """That year, whole; as a ``snapshot``, a source may leave out all but the curriculum model."""


def received(
    where: str, columns: Sequence[str], values: Sequence[Sequence[str]], unit: str, lines: Sequence[int]
) -> RawTable:
    """A table received from a server. :param values: for each column, the text of each row.

    Its hash does not depend on the order of rows or columns, which no server promises.
    """
    given = dict(zip(columns, values, strict=True))
    names = sorted(given)
    total = 0
    for row in zip(*(given[name] for name in names), strict=True):
        total += int.from_bytes(hashlib.sha256(repr(row).encode()).digest())
    digest = hashlib.sha256(repr((names, total)).encode()).hexdigest()
    return RawTable(where, pd.DataFrame(given, dtype=str), lines, digest, unit)


def own_manifest(where: str, source: str, year: int, tables: Mapping[str, RawTable]) -> Manifest:
    """The manifest of tables whose source has none and has counted them itself.

    The lot's name follows from its content: the same rows read again the same day are the same lot.
    """
    rows = {name: len(raw.frame) for name, raw in tables.items()}
    digests = {name: raw.sha256 for name, raw in tables.items()}
    now = datetime.now(UTC).replace(tzinfo=None)
    draft = Manifest(where, "", source, year, now, True, rows, digests)
    return replace(draft, lot_id=f"{source}-{year}-{now:%Y%m%d}-{draft.fingerprint[:12]}")


def as_text(value: object) -> str:
    """A value of a database or of a JSON document, as a CSV file would hold it; a composite one raises ValueError."""
    match value:
        case None:
            return ""
        case str():
            return value
        case int() | float() | Decimal():  # True is 1
            return str(int(value)) if value % 1 == 0 else str(value)
        case datetime():
            return value.date().isoformat() if value.time() == time.min else value.isoformat()
        case date():
            return value.isoformat()
    raise ValueError(type(value).__name__)


class Texts(dict[Any, str]):
    """Values as text (:func:`as_text`); equal ones are converted, and kept in memory, once."""

    def __missing__(self, value: Any) -> str:
        text = self[value] = as_text(value)
        return text
