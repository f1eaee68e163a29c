"""Which new element may succeed a space that left the model: suggestions, for a person to confirm.

Nothing acts on them. Labels are compared by rapidfuzz, which is imported where it is used.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import sqlalchemy as sa

from transition.apogee import tables as apogee
from transition.apogee.codes import compare_key
from transition.apogee.model import load_model
from transition.campaign import Campaign
from transition.spaces import DecidingCategories, Space, deciding_categories, looks_archived, read_spaces
from transition.state import tables

ALIKE = 80.0  # of 100: below, two labels have little in common
MOST = 3  # suggestions a space
HEADINGS = ("Espace", "Intitulé", "Successeur possible", "Libellé", "Composante", "Nouveau", "A son espace",
            "Ressemblance")  # fmt: skip
# What stands before a title: « ex_ », and a code (a word of letters and digits) with what separates it.
_ARCHIVED = re.compile(r"^\s*ex_", re.IGNORECASE)
_CODE = re.compile(r"^\s*(?=[\w./]*[^\W\d_])(?=[\w./]*\d)[\w./]+\s*[-–—:]\s+")
_LETTERS = str.maketrans({"œ": "oe", "æ": "ae"})


@dataclass(frozen=True)
class Archived:
    """A space that left the model. ``labels``: its titles, its own and that of its element last year."""

    code: str
    fullname: str
    labels: tuple[str, ...]
    component: str = ""

    @property
    def key(self) -> str:
        """The code's compare key."""
        return compare_key(self.code)


@dataclass(frozen=True)
class Candidate:
    """An element taught in the new year. ``new``: last year's model lacked it; ``has_space``: in Moodle."""

    code: str
    label: str
    component: str
    new: bool
    has_space: bool


@dataclass(frozen=True)
class Suggestion:
    """One line of the report; ``likeness``: of 100. The others are as :class:`Archived` and :class:`Candidate` say."""

    code: str
    fullname: str
    successor: str
    label: str
    component: str
    new: bool
    has_space: bool
    likeness: int


def successions(campaign: Campaign) -> list[Suggestion]:
    """The suggestions for the run's archived spaces, by code; none before ``detect_missing``."""
    archived, candidates, modelled = _read(campaign)
    return suggest(archived, candidates, modelled)


def suggest(
    archived: Iterable[Archived], candidates: Sequence[Candidate], modelled: frozenset[str]
) -> list[Suggestion]:
    """At most ``MOST`` elements for each space, best first; pure.

    An element of the very same label comes first; then the likeness counts, and five points for each of: the same
    component, new this year, with a space of its own.
    :param modelled: compare keys of the codes of the new model; a space with one of them is still in use.
    """
    labels = [normalise(candidate.label) for candidate in candidates]
    found = []
    for space in sorted(archived, key=lambda one: (one.code, one.fullname)):
        if space.key in modelled:
            continue
        likeness = _likeness(space, labels)
        ranked = sorted(likeness, key=lambda number: _rank(space, candidates[number], likeness[number]))
        found += [_suggestion(space, candidates[number], likeness[number]) for number in ranked[:MOST]]
    return found


def normalise(label: str) -> str:
    """A title to compare: without ``ex_``, a leading code, accents, case and punctuation."""
    bare = _CODE.sub("", _ARCHIVED.sub("", label))
    plain = unicodedata.normalize("NFKD", bare.casefold().translate(_LETTERS))
    kept = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return " ".join(re.findall(r"\w+", kept.casefold().replace("_", " ")))


def as_csv(suggestions: Iterable[Suggestion]) -> bytes:
    """The suggestions as a table that a spreadsheet opens: semicolons, UTF-8 with its mark."""
    memory = io.StringIO()
    writer = csv.writer(memory, delimiter=";", lineterminator="\r\n")
    writer.writerow(HEADINGS)
    writer.writerows([_cell(value) for value in astuple(suggestion)] for suggestion in suggestions)
    return memory.getvalue().encode("utf-8-sig")


def _cell(value: str | bool | int) -> str:
    if isinstance(value, bool):
        return "oui" if value else "non"
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text  # a title is never a formula


def _likeness(space: Archived, labels: Sequence[str]) -> dict[int, float]:
    """How alike each candidate's label is to the space's nearest title, those that are enough."""
    from rapidfuzz import fuzz, process  # noqa: PLC0415  # the report alone needs it

    best: dict[int, float] = {}
    for title in {normalise(label) for label in space.labels} - {""}:
        alike = process.extract(title, labels, scorer=fuzz.token_sort_ratio, score_cutoff=ALIKE, limit=None)
        for _, score, number in alike:
            best[number] = max(score, best.get(number, 0.0))
    return best


def _rank(space: Archived, candidate: Candidate, likeness: float) -> tuple[bool, float, str]:
    same_component = bool(space.component) and candidate.component == space.component
    points = likeness + 5 * (same_component + candidate.new + candidate.has_space)
    same_label = normalise(candidate.label) in {normalise(label) for label in space.labels}
    return not same_label, -points, candidate.code


def _suggestion(space: Archived, candidate: Candidate, likeness: float) -> Suggestion:
    return Suggestion(
        space.code, space.fullname, candidate.code, candidate.label, candidate.component, candidate.new,
        candidate.has_space, round(likeness),
    )  # fmt: skip


def _read(campaign: Campaign) -> tuple[list[Archived], list[Candidate], frozenset[str]]:
    decision = tables.decision.c
    query = sa.select(decision.courseid, decision.decision).where(decision.run == campaign.run)
    with campaign.engine.connect() as connection:
        decided = dict(connection.execute(query).all())
    if not decided:
        return [], [], frozenset()
    spaces, categories, model = read_spaces(campaign), deciding_categories(campaign), load_model(campaign)
    new, last = _elements(campaign, model.lots[campaign.year]), _elements(campaign, model.lots.get(campaign.year - 1))
    present = {space.key for space in spaces if not looks_archived(space, categories)}
    candidates = [
        Candidate(row.code, row.libelle, row.composante, model.last is not None and key not in model.last,
                  key in present or (row.cle_porteur or "") in present)
        for key, row in new.items()
        if key in model.taught
    ]  # fmt: skip
    archived = [
        _archived(space, last) for space in spaces if _is_archived(space, decided.get(space.courseid, ""), categories)
    ]
    return archived, candidates, model.taught | model.hosts


def _is_archived(space: Space, decision: str, categories: DecidingCategories) -> bool:
    """Archived by this run, or before it; « Espaces complémentaires » are nobody's predecessor."""
    if categories.complementary in space.path:
        return False
    return decision == "archive" or looks_archived(space, categories)


def _archived(space: Space, last: Mapping[str, sa.Row[*tuple[Any, ...]]]) -> Archived:
    element = last.get(space.key)
    if element is None:
        return Archived(space.code, space.fullname, (space.fullname,))
    return Archived(space.code, space.fullname, (space.fullname, element.libelle), element.composante)


def _elements(campaign: Campaign, lot: str | None) -> dict[str, sa.Row[*tuple[Any, ...]]]:
    """The elements of a lot by their compare key; none without a lot."""
    element = apogee.element.c
    query = sa.select(element.cle, element.code, element.libelle, element.composante, element.cle_porteur)
    with campaign.engine.connect() as connection:
        return {row.cle: row for row in connection.execute(query.where(element.lot_id == lot))}
