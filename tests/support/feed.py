"""An Apogée feed for tests, written as the files that a university's extraction writes."""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = {
    "element": "annee;code;libelle;nature;periode;composante;etat;fictif;code_porteur",
    "element_etape": "annee;code;etape;version;libelle_etape;obligatoire",
    "etudiant": "annee;code_etudiant;identifiant",
    "inscription": "annee;code_etudiant;code;etape;version;statut;ia_payee;depuis;jusqu_a",
    "enseignant_affectation": "annee;code;identifiant;role;origine;depuis;jusqu_a",
    "exception_calendrier": "annee;cible_type;cible;type;debut;fin;motif;demandeur",
    "groupe": "annee;code_groupe;code;libelle;type",
    "groupe_membre": "annee;code_groupe;code_etudiant",
}
_OPTIONAL = ("groupe", "groupe_membre")
_DEFAULTS: dict[str, dict[str, Any]] = {
    "element": {"nature": "EC", "composante": "SCI", "etat": "ouvert", "fictif": 0},
    "element_etape": {"version": "140", "libelle_etape": "Licence 3", "obligatoire": 1},
    "inscription": {"etape": "SL3INF", "version": "140", "statut": "active", "ia_payee": 1},
    "enseignant_affectation": {"role": "editingteacher", "origine": "ADE"},
    "exception_calendrier": {"motif": "rentrée décalée", "demandeur": "ingénieure pédagogique"},
}


def write_year(
    folder: Path, year: int, tables: Mapping[str, Iterable[Mapping[str, Any]]], only: Sequence[str] = ()
) -> None:
    """Write ``folder/<year>`` and its manifest: the tables of the layout, or ``only`` those.

    Without rows a table is empty; groups are then left out.
    """
    target = folder / str(year)
    target.mkdir(parents=True, exist_ok=True)
    counts, digests = {}, {}
    for name, header in COLUMNS.items():
        if (name in _OPTIONAL and name not in tables) or (only and name not in only):
            continue
        rows = [{"annee": year, **_DEFAULTS.get(name, {}), **row} for row in tables.get(name, ())]
        path = target / f"{name}.csv"
        _write(path, header.split(";"), rows)
        counts[name], digests[name] = len(rows), hashlib.sha256(path.read_bytes()).hexdigest()
    manifest = {
        "lot_id": f"apogee-{year}", "source": "csv", "annee": year, "extrait_le": f"{year}-08-14T02:00:00+02:00",
        "complet": 1, "nb_lignes": json.dumps(counts), "sha256": json.dumps(digests),
    }  # fmt: skip
    _write(target / "lot.csv", list(manifest), [manifest])


def element(code: str, libelle: str = "", **more: Any) -> dict[str, Any]:
    """An element of the curriculum model."""
    return {"code": code, "libelle": libelle or f"Élément {code}", **more}


def registrations(registered: Mapping[str, Sequence[str]]) -> dict[str, list[dict[str, Any]]]:
    """Tables etudiant and inscription of the students registered in each code; student codes are their user names."""
    students = sorted({student for students in registered.values() for student in students})
    return {
        "etudiant": [{"code_etudiant": student, "identifiant": student} for student in students],
        "inscription": [
            {"code_etudiant": student, "code": code} for code, students in registered.items() for student in students
        ],
    }


def _write(path: Path, columns: list[str], rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter=";", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
