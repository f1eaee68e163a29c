"""What the tables of a feed must look like: columns, keys, allowed values.

Columns, lengths, types and nullability are those of ``apogee/tables.py``; this module adds what SQL does not say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from transition.apogee import tables

CODES = {"code": "cle", "code_porteur": "cle_porteur", "cible": "cle"}  # code column: the column of its compare key
_OURS = {"lot_id", "cle", "cle_porteur", "ligne"}  # columns that no feed brings


@dataclass(frozen=True)
class Canonical:
    """One table of the feed.

    :param key: the columns that make a row unique; codes count by their compare key.
    :param choices: the values that a column may take.
    :param may_be_empty: columns that must be there and may hold nothing.
    :param ignored: columns that the feed may bring and that are not loaded (of people, only what enrolment needs is).
    :param personal: columns about a person or in free text, whose values no message repeats.
    :param own_year: whether ``annee`` is required on each row.
    """

    table: sa.Table
    key: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    may_be_empty: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    personal: frozenset[str] = frozenset()
    own_year: bool = True

    @property
    def name(self) -> str:
        """The table's name, and its file's."""
        return self.table.name

    @cached_property
    def columns(self) -> tuple[sa.Column[Any], ...]:
        """The columns that are loaded from the feed."""
        return tuple(column for column in self.table.columns if column.name not in _OURS)

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Names that the header must hold."""
        names = tuple(column.name for column in self.columns if not column.nullable)
        return ("annee", *names) if self.own_year else names

    @cached_property
    def known(self) -> frozenset[str]:
        """Names that the header may hold."""
        return self.ignored | {"annee"} | {column.name for column in self.columns}


CANONICAL: dict[str, Canonical] = {
    canonical.name: canonical
    for canonical in (
        Canonical(
            tables.element,
            key=("code",),
            choices={"etat": ("ouvert", "ferme", "suspendu")},
            ignored=frozenset({"modifie_le"}),
        ),
        Canonical(tables.element_etape, key=("code", "etape", "version")),
        Canonical(
            tables.etudiant,
            key=("code_etudiant",),
            may_be_empty=frozenset({"identifiant"}),  # no account yet
            ignored=frozenset({"nom", "prenom", "courriel"}),
            personal=frozenset({"code_etudiant", "identifiant"}),
            own_year=False,
        ),
        Canonical(
            tables.inscription,
            key=("code_etudiant", "code", "etape", "version"),
            choices={"statut": ("active", "prise_en_compte", "dispense", "annulee")},
            personal=frozenset({"code_etudiant"}),
        ),
        Canonical(
            tables.enseignant_affectation,
            key=("code", "identifiant", "role"),
            personal=frozenset({"identifiant"}),
        ),
        Canonical(tables.groupe, key=("code_groupe", "code")),
        Canonical(
            tables.groupe_membre,
            key=("code_groupe", "code_etudiant"),
            personal=frozenset({"code_etudiant"}),
        ),
        Canonical(
            tables.exception_calendrier,
            choices={
                "cible_type": ("element", "etape", "cours"),
                "type": ("ouverture_precoce", "fermeture_tardive", "decale", "exclu"),
            },
            personal=frozenset({"motif", "demandeur"}),
        ),
    )
}

YEAR_N = (
    "element",
    "etudiant",
    "inscription",
    "enseignant_affectation",
    "exception_calendrier",
)  # element_etape, groupe and groupe_membre: optional
BY_HAND = ("enseignant_affectation", "exception_calendrier")  # what Apogée does not know
SNAPSHOT = ("element",)  # what year N-1 must bring
NEVER_EMPTY = frozenset({"element", "etudiant", "inscription"})  # where they are required
