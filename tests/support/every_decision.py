"""A world where every decision is present, for tests that carry a whole campaign through it once."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.rules.expected_rows import EXPECTED, IN
from tests.support.campaign import (
    LEFT_THE_MODEL,
    MODELLED,
    NEWCOMERS,
    REPEATERS,
    add_newcomers,
    reference_platform,
    run_chain,
)
from tests.support.dump import Rows, dump
from tests.support.feed import element, registrations, write_year
from transition.apogee import tables as apogee
from transition.campaign import Campaign, now
from transition.moodle.database import open_engine
from transition.state import schema

MOODLE, NAME = "moodle_every_decision", "matrice"
SCHEMAS = {MOODLE, f"{NAME}_transition", f"{NAME}_2026"}
WITHOUT_ACCOUNT = "22600099"
# course ids: 4 is given the code of 7 in other letters; 6 is excluded by an exception, 8 and 9 by their categories
SPACES = {"reset": {2}, "archive": {3}, "defer": {5}, "exclude": {6, 8, 9}, "hold": {4, 7}}
ALL = frozenset().union(*SPACES.values())
UNTIL_PLAN = ("preflight", "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan")
AFTER_PLAN = (
    "approval", "maintenance_on", "freeze", "ex_rename", "purge", "file_contents", "enrolment", "verify",
    "maintenance_off", "report",
)  # fmt: skip
_COMPONENTS = {"M1DRO201": "DRO", "LETL2H03": "LET", "ESPCOMP01": "VIE"}


@dataclass(frozen=True)
class Done:
    """A campaign carried out, and the whole database before and after.

    :param planned: ``differences-essai.xlsx`` as the plan wrote it, before the approval.
    :param traces: by course id and table, the ids that the policy would move out of that space, were it in scope.
    """

    campaign: Campaign
    planned: bytes
    before: dict[str, Rows]
    after: dict[str, Rows]
    traces: dict[int, dict[str, frozenset[int]]]

    @property
    def storage(self) -> Path:
        return Path(self.campaign.platform.storage) / NAME / "2026"

    def column(self, query: str) -> set[int]:
        """The first column of a query on the campaign's schemas."""
        with self.campaign.server.connect() as connection:
            return set(connection.execute(sa.text(query)).scalars())


def write_feed(folder: Path) -> None:
    """Students are registered in every code, also in those of the spaces that must not get them."""
    kept = [code for code in MODELLED if code != LEFT_THE_MODEL]
    common = [element(code, composante=_COMPONENTS.get(code, "SCI")) for code in (*kept, "ESPCOMP01")]
    last = [
        *common, element(LEFT_THE_MODEL), element("PARTI01"), element("SUSPENDU1"), element("FERME00", etat="ferme"),
        element("RETOUR01", etat="ferme"), element("PORTE01", code_porteur="L1MAT101"),
    ]  # fmt: skip
    this = [
        *({**one, "composante": "SHS"} if one["code"] == "LETL2H03" else one for one in common),
        element("SUSPENDU1", etat="suspendu"), element("RETOUR01"), element("ANCIEN01"), element("FICTIF01", fictif=1),
        element("PORTE01", code_porteur="LI3INF01"), element("NEUF01", "=NEUF(1)", code_porteur="LI3INF01"),
    ]  # fmt: skip
    people = registrations(
        {**dict.fromkeys((*kept, "ESPCOMP01"), NEWCOMERS), "LI3INF01": (*REPEATERS, *NEWCOMERS, WITHOUT_ACCOUNT)}
    )
    people["inscription"].append({"code_etudiant": NEWCOMERS[0], "code": LEFT_THE_MODEL, "statut": "annulee"})
    exceptions = [
        {"cible_type": "element", "cible": "M1DRO201", "type": "fermeture_tardive", "fin": "2027-12-31"},
        {"cible_type": "cours", "cible": "LETL2H03", "type": "exclu"},
    ]
    teachers = [{"code": code, "identifiant": "enseignant1"} for code in kept]
    write_year(folder, 2025, {"element": last})
    write_year(
        folder, 2026,
        {"element": this, "enseignant_affectation": teachers, "exception_calendrier": exceptions, **people},
    )  # fmt: skip


def carried_out(server: PrivateMariaDB, reference: Path, folder: Path) -> Iterator[Done]:
    drop_databases(server, SCHEMAS)
    load_dump(server, reference / DUMP, MOODLE)
    engine = open_engine(server.url(MOODLE), poolclass=sa.NullPool)
    add_newcomers(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE mdl_course SET idnumber = 'm2chi305' WHERE id = 4"))
        connection.execute(sa.text("UPDATE mdl_course SET fullname = CONCAT('=', fullname) WHERE id = 2"))
    write_feed(folder / "feed")
    platform = reference_platform(folder / "storage", name=NAME)
    campaign = Campaign(platform, 2026, "essai", engine, feed=folder / "feed", dry_run=False)
    _keep_older_lot(campaign)
    before, traces = dump(engine, MOODLE), {courseid: _traces(engine, courseid) for courseid in ALL}
    run_chain(campaign, UNTIL_PLAN)
    planned = (folder / "storage" / NAME / "2026" / "reports" / "differences-essai.xlsx").read_bytes()
    run_chain(campaign, AFTER_PLAN)
    yield Done(campaign, planned, before, dump(engine, MOODLE), traces)
    engine.dispose()
    drop_databases(server, SCHEMAS)


def _keep_older_lot(campaign: Campaign) -> None:
    """What the campaign of 2024 left: an element that was open then, and not in 2025."""
    schema.upgrade(campaign)
    facts = {"lot_id": "apogee-2024", "source": "csv", "annee": 2024, "extrait_le": now(), "nb_lignes": "{}"}
    old = {"code": "ANCIEN01", "cle": "ANCIEN01", "libelle": "", "nature": "EC", "composante": "SCI", "etat": "ouvert"}
    with campaign.engine.begin() as connection:
        connection.execute(sa.insert(apogee.lot).values(**facts, sha256="0" * 64, charge_le=now()))
        connection.execute(sa.insert(apogee.element).values(lot_id="apogee-2024", fictif=False, **old))


def _traces(engine: sa.Engine, courseid: int) -> dict[str, frozenset[int]]:
    """By the policy's own SQL, cut down to one space; without the two tables that depend on more than the space."""
    found = {}
    with engine.connect() as connection:
        for table, where in EXPECTED.items():
            if table not in ("user_preferences", "user_enrolments", "role_assignments"):
                query = sa.text(f"SELECT id FROM mdl_{table} WHERE {where.replace(IN, f'IN ({courseid})')}")
                found[table] = frozenset(connection.execute(query).scalars())
    return found
