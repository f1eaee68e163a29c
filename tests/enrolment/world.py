"""A campaign on a real Moodle database, brought by hand to the point where enrolment and ex_ renaming start."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.support.campaign import reference_platform
from transition.apogee import tables as apogee
from transition.apogee.codes import compare_key
from transition.campaign import Campaign, now
from transition.enrolment.people import enrolment_traces
from transition.keys import create_frozen_keys, frozen_keys
from transition.move import create_archive_table
from transition.rules.compile import Scope, compile_rule
from transition.rules.model import load_rule
from transition.spaces import record_contexts
from transition.state import schema, tables
from transition.traces import without_given

YEAR = 2026
_LOTS = count(1)


@dataclass(frozen=True)
class Registration:
    """One row of ``inscription`` and its student; ``account`` is ``etudiant.identifiant``."""

    student: str
    code: str
    account: str = ""
    statut: str = "active"
    depuis: date | None = None
    jusqu_a: date | None = None
    etape: str = "SL3INF"
    version: str = "140"


@dataclass(frozen=True)
class Group:
    """A group of Apogée, for one element, and its students."""

    code: str
    label: str
    students: tuple[str, ...] = ()
    element: str = "LI3INF01"


@dataclass
class World:
    """The database; ``more``: what the platform's file says besides."""

    engine: sa.Engine
    storage: Path
    more: Mapping[str, Any] = field(default_factory=dict)

    def campaign(self, run_id: str = "essai", **fields: Any) -> Campaign:
        campaign = Campaign(
            reference_platform(self.storage, **self.more), YEAR, run_id, self.engine, **{"dry_run": False, **fields}
        )
        schema.upgrade(campaign)
        return campaign

    def decide(self, campaign: Campaign, decisions: Mapping[int, str]) -> None:
        """Record the contexts, and a decision for some courses."""
        record_contexts(campaign)
        campaign.take_fence()
        with campaign.engine.begin() as connection:
            connection.execute(sa.delete(tables.decision).where(tables.decision.c.run == campaign.run))
            for courseid, decision in decisions.items():
                course = self.row("course", id=courseid)
                connection.execute(
                    sa.insert(tables.decision).values(
                        run=campaign.run, courseid=courseid, code=course["idnumber"], shortname=course["shortname"],
                        fullname=course["fullname"], category="", decision=decision, reason="essai",
                        in_scope=decision in ("reset", "archive"),
                    )
                )  # fmt: skip

    def feed(
        self, campaign: Campaign, registrations: Iterable[Registration], hosts: Mapping[str, str] | None = None,
        groups: Iterable[Group] = (), etapes: Iterable[tuple[str, str, str]] = (),
    ) -> None:  # fmt: skip
        """Load a lot of year N. ``hosts``: the porteur of an element; ``etapes``: element, étape, version."""
        lot = f"lot-{next(_LOTS)}"
        registrations, hosts = list(registrations), hosts or {}
        etapes = list(etapes)
        of_etapes = {code for code, _, _ in etapes}
        codes = sorted({r.code for r in registrations} | set(hosts) | set(hosts.values()) | of_etapes)
        rows: list[tuple[sa.Table, dict[str, Any]]] = [
            (apogee.lot, {"source": "csv", "annee": YEAR, "extrait_le": now(), "nb_lignes": "{}", "sha256": "0" * 64}),
        ]
        for code in codes:
            host = hosts.get(code)
            rows.append((apogee.element, {
                "code": code, "cle": compare_key(code), "libelle": code, "nature": "EC", "composante": "SCI",
                "etat": "ouvert", "fictif": False, "code_porteur": host, "cle_porteur": host and compare_key(host),
            }))  # fmt: skip
        for student, account in {r.student: r.account for r in registrations}.items():
            rows.append((apogee.etudiant, {"code_etudiant": student, "identifiant": account}))
        rows += [
            (apogee.inscription, {
                "code_etudiant": r.student, "code": r.code, "etape": r.etape, "version": r.version,
                "cle": compare_key(r.code), "statut": r.statut, "depuis": r.depuis, "jusqu_a": r.jusqu_a,
            })
            for r in registrations
        ]  # fmt: skip
        for code, etape, version in etapes:
            rows.append((apogee.element_etape, {
                "code": code, "etape": etape, "version": version, "libelle_etape": etape, "obligatoire": True,
            }))  # fmt: skip
        for group in groups:
            rows.append((apogee.groupe, {
                "code_groupe": group.code, "code": group.element, "cle": compare_key(group.element),
                "libelle": group.label,
            }))  # fmt: skip
            rows += [(apogee.groupe_membre, {"code_groupe": group.code, "code_etudiant": s}) for s in group.students]
        with campaign.engine.begin() as connection:
            connection.execute(sa.delete(apogee.run_lot).where(apogee.run_lot.c.run == campaign.run))
            connection.execute(sa.insert(apogee.run_lot).values(run=campaign.run, annee=YEAR, lot_id=lot))
            for table, values in rows:
                connection.execute(sa.insert(table).values(lot_id=lot, **values))

    def freeze(self, campaign: Campaign, rules: Collection[str] = ("enrolment",)) -> None:
        """Freeze the keys of some rules, as the freeze stage does for every rule."""
        scope = Scope(campaign.run)
        traces = [trace for name in rules for trace in compile_rule(load_rule(name), campaign.moodle, scope)]
        traces = [without_given(campaign, trace) for trace in traces] + enrolment_traces(campaign, scope)
        with campaign.server.begin() as connection:
            connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {campaign.archive_schema}"))
        with campaign.engine.begin() as connection:
            for name in sorted({trace.table for trace in traces}):
                create_archive_table(connection, campaign, name)
                create_frozen_keys(connection, frozen_keys(campaign, name))
        with campaign.engine.begin() as connection:
            connection.execute(sa.delete(tables.progress).where(tables.progress.c.run == campaign.run))
            for rule, name in sorted({(trace.rule, trace.table) for trace in traces}):
                values = {"run": campaign.run, "rule": rule, "table_name": name, "last_id": 0, "moved": 0}
                connection.execute(sa.insert(tables.progress).values(**values, done=False))
            for trace in traces:
                rows = trace.rows.add_columns(sa.literal(trace.rule), sa.literal(campaign.run))
                columns = ["id", "courseid", "rule", "run"]
                keys = frozen_keys(campaign, trace.table)
                connection.execute(sa.insert(keys).prefix_with("IGNORE").from_select(columns, rows))
            connection.execute(sa.update(tables.run).where(tables.run.c.number == campaign.run).values(frozen_at=now()))

    def rows(self, table: str, **where: Any) -> list[dict[str, Any]]:
        """Rows of a Moodle table, by id."""
        conditions = " AND ".join(f"`{column}` = :{column}" for column in where) or "1"
        query = sa.text(f"SELECT * FROM mdl_{table} WHERE {conditions} ORDER BY id")
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query, where).mappings()]

    def row(self, table: str, **where: Any) -> dict[str, Any]:
        (found,) = self.rows(table, **where)
        return found

    def add(self, table: str, **values: Any) -> int:
        """Insert a row into a Moodle table; returns its id."""
        columns = ", ".join(f"`{column}`" for column in values)
        marks = ", ".join(f":{column}" for column in values)
        with self.engine.begin() as connection:
            return int(
                connection.execute(sa.text(f"INSERT INTO mdl_{table} ({columns}) VALUES ({marks})"), values).lastrowid
            )

    def add_user(self, username: str, **values: Any) -> int:
        return self.add("user", **{"username": username, "mnethostid": 1, "confirmed": 1, **values})

    def context(self, level: int, instance: int) -> int:
        return int(self.row("context", contextlevel=level, instanceid=instance)["id"])

    def enrol(self, courseid: int, userid: int, method: str, status: int = 0, **values: Any) -> int:
        """Enrol somebody through the course's instance of a method, created if missing; returns the instance's id."""
        instances = self.rows("enrol", courseid=courseid, enrol=method)
        enrolid = instances[0]["id"] if instances else self.add("enrol", courseid=courseid, enrol=method, sortorder=9)
        self.add("user_enrolments", enrolid=enrolid, userid=userid, status=status, **values)
        return int(enrolid)

    def assign(self, role: str, contextid: int, userid: int, component: str = "", itemid: int = 0) -> int:
        roleid = self.row("role", shortname=role)["id"]
        return self.add("role_assignments", roleid=roleid, contextid=contextid, userid=userid, component=component,
                        itemid=itemid, timemodified=1, modifierid=2)  # fmt: skip

    def enrolled(self, courseid: int, status: int | None = None) -> dict[int, set[str]]:
        """Who is enrolled in a course, and by which methods."""
        query = (
            "SELECT ue.userid, e.enrol FROM mdl_user_enrolments ue JOIN mdl_enrol e ON e.id = ue.enrolid"
            " WHERE e.courseid = :courseid AND (:status IS NULL OR ue.status = :status)"
        )
        found: dict[int, set[str]] = {}
        with self.engine.connect() as connection:
            for userid, method in connection.execute(sa.text(query), {"courseid": courseid, "status": status}):
                found.setdefault(userid, set()).add(method)
        return found

    def standings(self, campaign: Campaign, courseid: int) -> dict[int, str]:
        people = tables.standing.c
        query = sa.select(people.userid, people.standing).where(people.run == campaign.run, people.courseid == courseid)
        with campaign.engine.connect() as connection:
            return dict(connection.execute(query).all())

    def with_platform(self, **more: Any) -> "World":
        return replace(self, more=more)
