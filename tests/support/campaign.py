"""Campaigns for tests: the platform of the real database, and the chain run without Airflow."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from demo.server import PrivateMariaDB
from tests.conftest import DUMP, drop_databases, load_dump
from tests.support.feed import element, registrations, write_year
from transition.campaign import Campaign
from transition.moodle.database import open_engine
from transition.platforms import Platform

# The spaces of the reference database (course.idnumber), those of Apogée's model first.
MODELLED = ("LI3INF01", "LI3INF02", "L1MAT101", "M1DRO201", "LETL2H03", "M2CHI305")
LEFT_THE_MODEL = "LI3INF02"
REPEATERS = ("22300003", "22300009")
NEWCOMERS = ("22600001", "22600002", "22600003")
# Stages, until nothing but the work itself is left to do.
UNTIL_FROZEN = (
    "preflight", "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan", "approval", "freeze",
)  # fmt: skip


def reference_platform(storage: Path, **more: Any) -> Platform:
    """The platform whose database the reference data is."""
    facts: dict[str, Any] = {
        "name": "ecampus", "label": "Ecampus", "site": "http://127.0.0.1:8045", "timezone": "Europe/London",
        "table_prefix": "mdl_", "connections": {"moodle": "moodle_ecampus", "apogee": "apogee_ecampus"},
        "categories": {"complementary": "ESP-COMP", "archives": "ARCHIVES"}, "enrolment": "database",
        "student_role": "student", "dates": {"transition": "0 2 16 8 *"}, "storage": str(storage),
        "limits": {"archived_share": 0.5, "unenrolled_share": 1.0, "free_space_gib": 0.1}, "approval": "automatic",
    }  # fmt: skip
    facts |= more
    facts["limits"] = {"feed_days": 36_500, **facts["limits"]}  # the tests' feeds bear a fixed date
    return Platform.model_validate(facts)


def write_platform(platform: Platform, folder: Path) -> Path:
    """Write a platform's file into ``platforms`` there, for a process of its own; returns that folder."""
    platforms = folder / "platforms"
    platforms.mkdir()
    facts = platform.model_dump(mode="json", exclude={"name"}, exclude_none=True)
    (platforms / f"{platform.name}.yaml").write_text(yaml.safe_dump(facts, allow_unicode=True), encoding="utf-8")
    return platforms


# Groups of LI3INF01: one that Moodle has by its idnumber, one by its name, one that it has not.
GROUPS = {
    "A-TD1": ("TD 1", (REPEATERS[0], NEWCOMERS[0])),
    "P1": ("Projet 1", (NEWCOMERS[1],)),
    "A-TD9": ("TD 9", (REPEATERS[1], NEWCOMERS[2])),
}


def reference_feed(folder: Path, groups: bool = False) -> None:
    """Years 2025 and 2026 for the reference database: one space left the model, two students repeat, three are new."""
    old, new = [element(code) for code in MODELLED], [element(code) for code in MODELLED if code != LEFT_THE_MODEL]
    registered: dict[str, tuple[str, ...]] = {code: NEWCOMERS for code in MODELLED if code != LEFT_THE_MODEL}
    registered["LI3INF01"] = (*REPEATERS, *NEWCOMERS)
    teachers = [{"code": code, "identifiant": "enseignant1"} for code in registered]
    write_year(folder, 2025, {"element": old})
    year = {"element": new, "enseignant_affectation": teachers, **registrations(registered)}
    if groups:
        year["groupe"] = [{"code_groupe": g, "code": "LI3INF01", "libelle": label} for g, (label, _) in GROUPS.items()]
        year["groupe_membre"] = [
            {"code_groupe": group, "code_etudiant": student} for group, (_, all_) in GROUPS.items() for student in all_
        ]
    write_year(folder, 2026, year)


def add_newcomers(engine: sa.Engine) -> None:
    """Accounts of the new year's students, as Moodle creates them at their first login: copies of an old student's."""
    with engine.begin() as connection:
        columns = [row[0] for row in connection.execute(sa.text("SHOW COLUMNS FROM mdl_user")) if row[0] != "id"]
        own = {
            "username": ":name",
            "idnumber": ":name",
            "email": "CONCAT(:name, '@etu.example')",
            "firstname": "'Nouvelle'",
        }
        values = ", ".join(own.get(column, f"`{column}`") for column in columns)
        names = ", ".join(f"`{column}`" for column in columns)
        for name in NEWCOMERS:
            connection.execute(
                sa.text(f"INSERT INTO mdl_user ({names}) SELECT {values} FROM mdl_user WHERE username = '22300001'"),
                {"name": name},
            )


def swap_every_table(patch: pytest.MonkeyPatch) -> None:
    """Have every table swapped that can be, however few of its rows go."""
    patch.setattr("transition.ways.SWAP_ROWS", 1)
    patch.setattr("transition.ways.SWAP_SHARE", 0.0)


def run_chain(campaign: Campaign, stages: Sequence[str] = ()) -> None:
    """Run the stages of the chain in their order, without Airflow: all, or those named."""
    from transition import (
        contents,
        create_spaces,
        decisions,
        ex_rename,
        freeze,
        grades,
        maintenance,
        plan,
        preflight,
        purge,
        verify,
    )  # fmt: skip
    from transition.apogee import stage as apogee
    from transition.backup import stage as backup
    from transition.enrolment import stage as enrolment
    from transition.report import stage as report
    from transition.rules.model import rule_names

    def purge_all(campaign: Campaign) -> None:
        for rule in rule_names():
            if rule != "enrolment":
                purge.purge(campaign, rule)

    def approve(campaign: Campaign) -> None:
        if plan.approved_by(campaign) is None:
            plan.approve(campaign, plan.stored_fingerprint(campaign), by="test")

    chain = {
        "preflight": preflight.preflight, "july_backup": backup.july_backup, "grade_exports": grades.grade_exports,
        "apogee_sync": apogee.apogee_sync, "detect_missing": decisions.detect_missing, "plan": plan.plan,
        "approval": approve, "create_spaces": create_spaces.create_spaces, "maintenance_on": maintenance.close,
        "freeze": freeze.freeze, "ex_rename": ex_rename.ex_rename, "purge": purge_all,
        "file_contents": contents.file_contents,
        "enrolment": enrolment.enrolment, "verify": verify.verify,
        "maintenance_off": maintenance.reopen, "report": report.report,
    }  # fmt: skip
    for name, function in chain.items():
        if not stages or name in stages:
            function(campaign)


@contextmanager
def new_campaign(server: PrivateMariaDB, reference: Path, folder: Path, name: str, **fields: Any) -> Iterator[Campaign]:
    """An executing run on a platform ``<name>``, whose database is a copy of the real one; nothing is run yet."""
    databases = {f"{name}_moodle", f"{name}_transition", f"{name}_2026"}
    drop_databases(server, databases)
    load_dump(server, reference / DUMP, f"{name}_moodle")
    engine = open_engine(server.url(f"{name}_moodle"))
    add_newcomers(engine)
    reference_feed(folder / "feed")
    platform = reference_platform(folder / "storage", name=name)
    yield Campaign(platform, 2026, "essai", engine, dry_run=False, feed=folder / "feed", **fields)
    engine.dispose()
    drop_databases(server, databases)
