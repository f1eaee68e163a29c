"""The new year's registrations: 500,000 of them read, checked, loaded, written as enrolments. All data is invented."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from benchmarks.campaign import freeze, open_campaign
from benchmarks.platform import COURSE_CONTEXT, FIRST, PREFIX, Size, fill, settings
from benchmarks.process import Measured, alone
from demo.apogee import Row, write_year
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


def measure(engine: sa.Engine, folder: Path) -> Iterator[tuple[str, Measured]]:
    """Each step as (what, its measure): last year's students leave, half of them for the same space again."""
    size = Size(SPACES, SPACES, 0)
    with engine.connect() as connection:
        _build(connection, size)
    _feed(folder / "feed")
    campaign = replace(open_campaign(engine, folder, size, "enrolment"), feed=folder / "feed")
    for what, work in (
        ("apogee_sync: read, checked and loaded", apogee_sync),
        ("who teaches, leaves, stays, arrives", record_people),
        ("freeze of last year's enrolments and roles", freeze),
        ("enrolment: last year out, the new year in", enrolment),
    ):
        yield what, alone(engine, partial(work, campaign))
    maintenance.reopen(campaign)
    _check(campaign)


def _build(connection: sa.Connection, size: Size) -> None:
    """Spaces with their instance of enrol_database; last year's enrolments and roles, as that plugin writes them."""
    create_tables(connection, PREFIX)
    space = f"({FIRST} + (n - 1) DIV {_PER_SPACE})"
    user = f"(10 + (n - 1) % {STUDENTS})"
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
    """The two years' feeds: a space has students in a row, and half of them again the year after."""
    codes = [f"CODE{FIRST + number}" for number in range(SPACES)]
    names = [f"e{number}" for number in range(STUDENTS)]
    for later, year in enumerate((_YEAR - 1, _YEAR)):
        shift = later * _PER_SPACE // 2
        of_year = {"annee": year}
        tables: dict[str, list[Row]] = {
            "element": [
                of_year | {"code": code, "libelle": f"Élément {code}", "nature": "EC", "composante": "SCI",
                           "etat": "ouvert", "fictif": 0}
                for code in codes
            ],
            "element_etape": [
                of_year | {"code": code, "etape": "ETAPE", "version": "1", "libelle_etape": "Licence", "obligatoire": 1}
                for code in codes
            ],
            "etudiant": [of_year | {"code_etudiant": name, "identifiant": name} for name in names],
            "inscription": [
                of_year | {"code_etudiant": names[(number + shift) % STUDENTS], "code": codes[number // _PER_SPACE],
                           "etape": "ETAPE", "version": "1", "statut": "active", "ia_payee": 1}
                for number in range(REGISTRATIONS)
            ],
            "enseignant_affectation": [],
            "exception_calendrier": [],
        }  # fmt: skip
        write_year(folder / str(year), year, tables)


def _check(campaign: Campaign) -> None:
    """Every registration is an enrolment with its role, and nothing else is."""
    ue, ra = campaign.moodle["user_enrolments"], campaign.moodle["role_assignments"]
    with campaign.engine.connect() as connection:
        for table in (ue, ra):
            found = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            if found != REGISTRATIONS:
                raise RuntimeError(f"{table.name} has {found} rows instead of {REGISTRATIONS}")
