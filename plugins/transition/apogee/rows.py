"""What each table of a feed must satisfy on its own: years, types, values, keys, dates.

Findings are French sentences that name the file, the line, the column and, unless it is about a person, the value.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa

from transition.apogee.canonical import CODES, Canonical
from transition.apogee.codes import compare_key
from transition.apogee.feed import RawTable
from transition.french import counted

_LISTED = 5  # rows of one fault that are listed
_SHOWN = 60  # characters of a value that are shown
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")  # fromisoformat alone takes week dates too
_LAST_YEAR = "2100"  # an end after it is none
_NEEDED = {"fermeture_tardive": "fin", "decale": "fin", "ouverture_precoce": "debut"}  # by type of exception


@dataclass
class Findings:
    """What was found: ``refused`` stops the campaign, ``warned`` goes into the journal."""

    refused: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def rows(self, raw: RawTable, faulty: pd.Series, describe: Callable[[int], str]) -> None:
        """Add one finding for each row where ``faulty`` is true: the first ones in full, the others by their number."""
        positions = faulty.to_numpy().nonzero()[0].tolist()
        self.refused += [f"{raw.place(position)}, {describe(position)}" for position in positions[:_LISTED]]
        if len(positions) > _LISTED:
            others = counted(len(positions) - _LISTED, "autre ligne", "autres lignes")
            self.refused.append(f"{raw.where} : même défaut sur {others}.")


def check_rows(raw: RawTable, canonical: Canonical, year: int, findings: Findings) -> None:
    """Check a table's rows. Its frame gets the compare keys of its codes; its other values are trimmed, and an end that
    is none is emptied."""
    frame = raw.frame
    for name in frame.columns:
        if name not in CODES:
            frame[name] = frame[name].str.strip()
    for column, key in CODES.items():
        if column in frame.columns:
            known = {value: compare_key(value) for value in frame[column].unique()}
            frame[key] = frame[column].map(known).astype(str)
    if "jusqu_a" in frame.columns:
        frame["jusqu_a"] = frame["jusqu_a"].map({value: _end(value) for value in frame["jusqu_a"].unique()}).astype(str)
    if "annee" in frame.columns:
        years = frame["annee"]
        findings.rows(
            raw,
            years != str(year),
            lambda p: f"colonne annee : « {shown(years.iloc[p])} », {year} attendu.",
        )
    for column_ in canonical.columns:
        if column_.name in frame.columns:
            _check_column(raw, canonical, column_, findings)
    _check_key(raw, canonical, findings)
    _check_windows(raw, findings)
    if "cible_type" in canonical.choices:
        _check_exceptions(raw, year, findings)


def shown(value: str) -> str:
    """A value as a message shows it: short, its invisible characters made visible."""
    text = "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _check_column(raw: RawTable, canonical: Canonical, column: sa.Column[Any], findings: Findings) -> None:
    values = raw.frame[column.name]
    private = column.name in canonical.personal
    problems: dict[str, list[str]] = {}
    for value in values.unique():
        problem = _problem(canonical, column, value)
        if problem:
            problems.setdefault(problem, []).append(value)
    for problem, bad in problems.items():

        def describe(position: int, problem: str = problem) -> str:
            value = values.iloc[position]
            quoted = f" « {shown(value)} »" if value and not private else ""
            return f"colonne {column.name} :{quoted} {problem}."

        findings.rows(raw, values.isin(bad), describe)


def _problem(canonical: Canonical, column: sa.Column[Any], value: str) -> str | None:
    """What is wrong with a value of that column, in French; None if nothing is."""
    key = compare_key(value) if column.name in CODES else value
    if not key:
        empty_allowed = (not value and column.nullable) or column.name in canonical.may_be_empty
        return None if empty_allowed else "valeur obligatoire absente"
    if column.name in canonical.choices:
        known = canonical.choices[column.name]
        return None if value in known else f"n'est pas l'une des valeurs {', '.join(known)}"
    return _type_problem(column.type, value, max(len(value), len(key)))


def _type_problem(kind: sa.types.TypeEngine[Any], value: str, length: int) -> str | None:
    if isinstance(kind, sa.Boolean) and value not in {"0", "1"}:
        return "doit être 0 ou 1"
    if isinstance(kind, sa.Date) and not _is_date(value):
        return "n'est pas une date AAAA-MM-JJ"
    if isinstance(kind, sa.String) and kind.length and length > kind.length:
        return f"est trop long ({kind.length} caractères au plus)"
    return None


def _is_date(value: str) -> bool:
    if not _DATE.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _end(value: str) -> str:
    """An end as it is kept: of registrations without one, databases say 31 December 9999, which has no next day."""
    return "" if _is_date(value) and value[:4] > _LAST_YEAR else value


def _check_key(raw: RawTable, canonical: Canonical, findings: Findings) -> None:
    """Refuse two rows with the same key, where codes count by their compare key."""
    if not canonical.key:
        return
    frame = raw.frame
    keys = [CODES.get(name, name) for name in canonical.key]
    twice = frame.duplicated(keys)
    if not twice.any():
        return
    tuples = frame[keys].itertuples(index=False, name=None)
    first = {key: position for position, key in reversed(list(enumerate(tuples)))}
    public = [name for name in canonical.key if name not in canonical.personal]

    def describe(position: int) -> str:
        original = raw.lines[first[tuple(frame[name].iloc[position] for name in keys)]]
        values = ", ".join(f"{name} « {shown(frame[name].iloc[position])} »" for name in public)
        return (
            f"colonne {', '.join(canonical.key)} : doublon de la {raw.unit} {original}"
            f"{f' ({values})' if values else ''} ; la casse et les espaces insécables ne comptent pas."
        )

    findings.rows(raw, twice, describe)


def _check_windows(raw: RawTable, findings: Findings) -> None:
    frame = raw.frame
    for begin, end in (("depuis", "jusqu_a"), ("debut", "fin")):
        if begin in frame.columns and end in frame.columns:
            first, last = frame[begin], frame[end]
            crossed = (first != "") & (last != "") & (first > last)  # ISO dates compare as text
            sentence = f"colonnes {begin} et {end} : la fin précède le début."
            findings.rows(raw, crossed, lambda _, sentence=sentence: sentence)  # type: ignore[misc]


def _check_exceptions(raw: RawTable, year: int, findings: Findings) -> None:
    """A calendar exception without its date, or with a mistyped year, would protect nothing, or protect for ever.

    Early is before 1 September, late and shifted are after: a date on the wrong side is that of another year.
    """
    frame = raw.frame
    for column in ("debut", "fin"):
        concerned = frame["type"].map(_NEEDED) == column
        values = frame[column] if column in frame.columns else pd.Series("", index=frame.index)
        absent = f"colonne {column} : date obligatoire pour ce type d'exception."
        findings.rows(raw, concerned & (values == ""), lambda _, absent=absent: absent)  # type: ignore[misc]
        dated = concerned & (values != "")
        this_year = values.str[:4].isin([str(year), str(year + 1)])
        early = values < f"{year}-09-01"  # ISO dates compare as text
        wrong, side = (~early, "n'est pas avant") if column == "debut" else (early, "est avant")
        for faulty, problem in (
            (~this_year, f"n'est ni en {year} ni en {year + 1}"),
            (this_year & wrong, f"{side} le 1er septembre {year} : corrigez la date, ou le type d'exception"),
        ):

            def describe(position: int, column: str = column, values: pd.Series = values, what: str = problem) -> str:
                return f"colonne {column} : « {shown(values.iloc[position])} » {what}."

            findings.rows(raw, dated & faulty, describe)
