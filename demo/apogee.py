"""The Apogée feeds of a platform, as the university would deliver them: CSV files, one folder a year.

Of 2026 everything; of 2025 only the model, the snapshot from which the campaign tells what left. The feed of 2026 says:
an element that moved to a host (porteur), one closed, some gone, one whose code carries a non-breaking space, two new
ones; students who repeat, move up or arrive, two without an account, registrations cancelled; shifted calendars.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

from demo.people import Person
from demo.plan import YEAR, Space, University, plan
from demo.programmes import Programme

Row = dict[str, object]
COLUMNS = {
    "element": "annee code libelle nature periode composante etat fictif code_porteur",
    "element_etape": "annee code etape version libelle_etape obligatoire",
    "etudiant": "annee code_etudiant identifiant nom prenom courriel",
    "inscription": "annee code_etudiant code etape version statut ia_payee depuis jusqu_a",
    "enseignant_affectation": "annee code identifiant role origine depuis jusqu_a",
    "exception_calendrier": "annee cible_type cible type debut fin motif demandeur",
}
NO_BREAK_SPACE = "\u00a0"
SPACED_CODE, CLOSED = "SINF504", "HLET206"
REPEATERS, MOVERS = slice(0, None, 9), slice(1, None, 9)
"""Places, in a class, of those who repeat the year, and of those who go on to the next programme."""


def write_feeds(folder: Path, platform: str) -> None:
    """Write the feeds of 2025 and 2026 below `folder` (`2025/`, `2026/`), in place of what was there."""
    university = plan(platform)
    write_year(folder / str(YEAR - 1), YEAR - 1, _last_model(university))
    write_year(folder / str(YEAR), YEAR, _new_year(university))


def _last_model(university: University) -> dict[str, list[Row]]:
    spaces = [space for space in university.modelled() if space.in_last_model]
    return {"element": [_element(space, YEAR - 1) for space in spaces]}


def _new_year(university: University) -> dict[str, list[Row]]:
    elements = list(_elements(university))
    registered = list(_registrations(university))
    named = {str(row["code_etudiant"]) for row in registered}
    people = (*university.students, *university.newcomers, *university.strangers)
    teaching = [row for space in university.modelled() if space.in_model for row in _teaching(space, university)]
    return {
        "element": elements,
        "element_etape": list(_steps(university)),
        "etudiant": [_student(person) for person in people if person.number in named],
        "inscription": registered,
        "enseignant_affectation": teaching,
        "exception_calendrier": list(_exceptions(university)),
    }


def _code(space: Space) -> str:
    """Return the code under which the new model names the space's element."""
    if space.fate == "host":
        return f"{space.code}M"
    return space.code + NO_BREAK_SPACE if space.code == SPACED_CODE else space.code


def _element(space: Space, year: int, **changes: object) -> Row:
    programme = space.programme
    if programme is None:
        raise ValueError(f"{space.code} is not of the curriculum")
    title = space.title.removeprefix(f"{space.code} - ")
    facts: Row = {
        "annee": year, "code": space.code, "libelle": title, "nature": "EC", "periode": "S1",
        "composante": programme.component, "etat": "ouvert", "fictif": 0, "code_porteur": "",
    }  # fmt: skip
    return facts | changes


def _elements(university: University) -> Iterator[Row]:
    for space in university.modelled():
        if space.in_model:
            yield _element(space, YEAR, code=_code(space), code_porteur=space.code if space.fate == "host" else "")
        elif space.code == CLOSED:
            yield _element(space, YEAR, etat="ferme")
    programme = next(iter(university.classes))
    for number, title in ((901, "Intelligence artificielle"), (902, "Sobriété numérique")):
        yield {"annee": YEAR, "code": f"{programme.prefix}{number}", "libelle": title, "nature": "EC", "periode": "S2",
               "composante": programme.component, "etat": "ouvert", "fictif": 0, "code_porteur": ""}  # fmt: skip
    yield {"annee": YEAR, "code": f"{programme.prefix}000", "libelle": "Calcul de la moyenne (élément fictif)",
           "nature": "FICT", "periode": "", "composante": programme.component, "etat": "ouvert", "fictif": 1,
           "code_porteur": ""}  # fmt: skip


def _steps(university: University) -> Iterator[Row]:
    for space in university.modelled():
        if space.in_model and space.programme:
            programme = space.programme
            yield {"annee": YEAR, "code": _code(space), "etape": programme.step, "version": programme.version,
                   "libelle_etape": programme.name, "obligatoire": 1}  # fmt: skip


def _registrations(university: University) -> Iterator[Row]:
    for programme, people in _new_classes(university).items():
        spaces = [space for space in university.modelled() if space.programme == programme and space.in_model]
        for place, person in enumerate(people):
            for number, space in enumerate(spaces):
                # a repeater does not follow again what was passed; somebody gave up after registering
                status = {(0, 1): "prise_en_compte", (3, 0): "annulee"}.get((place, number), "active")
                yield {
                    "annee": YEAR, "code_etudiant": person.number, "code": _code(space), "etape": programme.step,
                    "version": programme.version, "statut": status, "ia_payee": 1,
                }  # fmt: skip


def _new_classes(university: University) -> dict[Programme, list[Person]]:
    """Return who is registered where: repeaters first, then those of the programme before, newcomers, strangers."""
    programmes = list(university.classes)
    classes: dict[Programme, list[Person]] = {}
    for place, programme in enumerate(programmes):
        before = university.classes[programmes[place - 1]]
        classes[programme] = [
            *university.classes[programme][REPEATERS], *before[MOVERS], *university.newcomers[place :: len(programmes)],
        ]  # fmt: skip
    classes[programmes[0]] += university.strangers
    return classes


def _student(person: Person) -> Row:
    return {"annee": YEAR, "code_etudiant": person.number, "identifiant": person.username, "nom": person.lastname,
            "prenom": person.firstname, "courriel": person.email}  # fmt: skip


def _teaching(space: Space, university: University) -> Iterator[Row]:
    """Yield the space's first teacher of last year, and another one."""
    first = university.teachers.index(space.teachers[0])
    for teacher in (space.teachers[0], university.teachers[(first + 3) % len(university.teachers)]):
        yield {"annee": YEAR, "code": _code(space), "identifiant": teacher.username, "role": "editingteacher",
               "origine": "ADE"}  # fmt: skip


def _exceptions(university: University) -> Iterator[Row]:
    asked = {"annee": YEAR, "demandeur": "ingénierie pédagogique"}
    for space in university.modelled():
        if space.fate == "late":
            yield asked | {"cible_type": "element", "cible": space.code, "type": "fermeture_tardive",
                           "fin": f"{YEAR + 1}-01-31", "motif": "Seconde session reportée en janvier"}  # fmt: skip
        elif space.fate == "shifted":
            yield asked | {"cible_type": "cours", "cible": space.code, "type": "decale", "debut": f"{YEAR}-11-02",
                           "fin": f"{YEAR + 1}-06-30", "motif": "Stage d'une année à l'autre"}  # fmt: skip


def write_year(folder: Path, year: int, tables: dict[str, list[Row]]) -> None:
    """Write one year's feed and its manifest; a column that a row lacks is empty."""
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    for name, rows in tables.items():
        data = _csv(COLUMNS[name].split(), rows)
        (folder / f"{name}.csv").write_bytes(data)
        digests[name] = hashlib.sha256(data).hexdigest()
    manifest: Row = {
        "lot_id": f"demonstration-{year}", "source": "csv", "annee": year, "extrait_le": f"{year}-08-10T02:07:31Z",
        "complet": 1, "nb_lignes": json.dumps({name: len(rows) for name, rows in tables.items()}),
        "sha256": json.dumps(digests),
    }  # fmt: skip
    (folder / "lot.csv").write_bytes(_csv(list(manifest), [manifest]))


def _csv(columns: list[str], rows: list[Row]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, restval="", delimiter=";", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode("utf-8")
