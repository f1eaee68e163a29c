"""The new year's registrations: 500,000 of them read, checked, loaded, written as enrolments. All data is invented."""

import csv
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from benchmarks.campaign import freeze, open_campaign
from benchmarks.platform import COURSE_CONTEXT, FIRST, PREFIX, Size, fill, settings
from demo.catalogue import create_tables
from transition import maintenance
from transition.apogee.stage import apogee_sync
from transition.campaign import Campaign
from transition.enrolment.people import record_people
from transition.enrolment.stage import enrolment

SPACES, STUDENTS = 2_000, 30_000
REGISTRATIONS = 500_000
_YEAR, _STUDENT = 2026, 5  # role.id, as Moodle installs it
_PER_SPACE = REGISTRATIONS // SPACES


def measure(engine: sa.Engine, folder: Path) -> Iterator[tuple[str, int, float]]:
    """Each step as (what, rows, seconds): last year's students leave, half of them for the same space again."""
    size = Size(SPACES, SPACES, 0)
    with engine.connect() as connection:
        _build(connection, size)
    _feed(folder / "feed")
    campaign = replace(open_campaign(engine, folder, size, "enrolment"), feed=folder / "feed")
    for what, rows, work in (
        ("apogee_sync: read, checked and loaded", REGISTRATIONS, apogee_sync),
        ("who teaches, leaves, stays, arrives", REGISTRATIONS, record_people),
        ("freeze of last year's enrolments and roles", REGISTRATIONS, freeze),
        ("enrolment: last year out, the new year in", REGISTRATIONS, enrolment),
    ):
        begun = time.perf_counter()
        work(campaign)
        yield what, rows, time.perf_counter() - begun
    maintenance.reopen(campaign)
    _check(campaign)


def _student(year: int, number: str) -> str:
    """The student of a registration, from 0: a space has students in a row, and half of them again the year after."""
    return f"({number} + {(year - 2025) * _PER_SPACE // 2}) % {STUDENTS}"


def _build(connection: sa.Connection, size: Size) -> None:
    """Spaces with their instance of enrol_database; last year's enrolments and roles, as that plugin writes them."""
    create_tables(connection, PREFIX)
    space = f"({FIRST} + (n - 1) DIV {_PER_SPACE})"
    user = f"(10 + {_student(2025, '(n - 1)')})"
    more = [
        ("role", 1, {"id": f"{_STUDENT}", "shortname": "'student'", "archetype": "'student'"}),
        ("user", STUDENTS, {"id": "9 + n", "username": "CONCAT('e', n - 1)", "mnethostid": "1", "confirmed": "1"}),
        ("enrol", SPACES, {"id": f"{FIRST} + n - 1", "enrol": "'database'", "courseid": f"{FIRST} + n - 1",
                           "roleid": f"{_STUDENT}"}),
        ("user_enrolments", REGISTRATIONS, {"enrolid": space, "userid": user}),
        ("role_assignments", REGISTRATIONS, {
            "roleid": f"{_STUDENT}", "contextid": COURSE_CONTEXT.format(c=space), "userid": user,
            "component": "'enrol_database'", "itemid": space,
        }),
    ]  # fmt: skip
    for name, rows, values in (*settings(size), *more):
        fill(connection, name, rows, values)
    connection.exec_driver_sql(
        f"ANALYZE TABLE {PREFIX}user_enrolments, {PREFIX}role_assignments, {PREFIX}user, {PREFIX}context"
    ).all()


def _feed(folder: Path) -> None:
    """The two years' feeds, as an extraction of Apogée writes them."""
    codes = [f"CODE{FIRST + number}" for number in range(SPACES)]
    for year in (_YEAR - 1, _YEAR):
        shift = (year - 2025) * _PER_SPACE // 2
        registered = (
            (year, f"e{(number + shift) % STUDENTS}", codes[number // _PER_SPACE], "ETAPE", "1", "active", 1)
            for number in range(REGISTRATIONS)
        )
        tables: dict[str, tuple[str, Iterable[Sequence[object]]]] = {
            "element": (
                "annee;code;libelle;nature;composante;etat;fictif",
                ((year, code, f"Élément {code}", "EC", "SCI", "ouvert", 0) for code in codes),
            ),
            "element_etape": (
                "annee;code;etape;version;libelle_etape;obligatoire",
                ((year, code, "ETAPE", "1", "Licence", 1) for code in codes),
            ),
            "etudiant": (
                "annee;code_etudiant;identifiant",
                ((year, f"e{number}", f"e{number}") for number in range(STUDENTS)),
            ),
            "inscription": ("annee;code_etudiant;code;etape;version;statut;ia_payee", registered),
            "enseignant_affectation": ("annee;code;identifiant;role;origine", ()),
            "exception_calendrier": ("annee;cible_type;cible;type;debut;fin;motif;demandeur", ()),
        }
        _write_year(folder / str(year), year, tables)


def _write_year(folder: Path, year: int, tables: dict[str, tuple[str, Iterable[Sequence[object]]]]) -> None:
    folder.mkdir(parents=True)
    counts, digests = {}, {}
    for name, (header, rows) in tables.items():
        path = folder / f"{name}.csv"
        counts[name] = _write(path, header, rows)
        digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    facts = (
        f"apogee-{year}", "csv", year, f"{year}-08-14T02:00:00+02:00", 1, json.dumps(counts), json.dumps(digests),
    )  # fmt: skip
    _write(folder / "lot.csv", "lot_id;source;annee;extrait_le;complet;nb_lignes;sha256", [facts])


def _write(path: Path, header: str, rows: Iterable[Sequence[object]]) -> int:
    written = -1
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\n")
        for written, row in enumerate((header.split(";"), *rows)):  # noqa: B007 (counts the rows after the header)
            writer.writerow(row)
    return written


def _check(campaign: Campaign) -> None:
    """Every registration is an enrolment with its role, and nothing else is."""
    ue, ra = campaign.moodle["user_enrolments"], campaign.moodle["role_assignments"]
    with campaign.engine.connect() as connection:
        for table in (ue, ra):
            found = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            if found != REGISTRATIONS:
                raise RuntimeError(f"{table.name} has {found} rows instead of {REGISTRATIONS}")
