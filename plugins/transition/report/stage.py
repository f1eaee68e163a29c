"""Stage report: the campaign's summary, as a page (HTML) and as data (JSON)."""

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from transition import journal, storage
from transition.campaign import Campaign, now
from transition.etherpad import pads
from transition.report.plan_table import DECISIONS, number, summarise
from transition.report.teachers import workbook
from transition.rules.model import load_rules
from transition.state import tables

STAGES = {
    "preflight": "Contrôles préalables", "july_backup": "Sauvegarde de juillet", "grade_exports": "Export des notes",
    "apogee_sync": "Synchronisation Apogée", "detect_missing": "Décisions", "plan": "Plan", "approval": "Approbation",
    "freeze": "Plan figé", "ex_rename": "Archivage ex_", "purge": "Purge", "file_contents": "Contenus des fichiers",
    "enrolment": "Inscriptions",
    "verify": "Vérification",
}  # fmt: skip
_OUTCOMES = {"done": "fait", "failed": "échec", "started": "inachevé", "approved": "approuvé"}


@dataclass(frozen=True)
class StageLine:
    """What the journal says last of a stage, or of a rule of the purge."""

    stage: str
    rule: str
    outcome: str
    seconds: float | None
    attempt: int
    detail: str


@dataclass(frozen=True)
class Moved:
    """Rows of a rule or of a space: planned, moved, left behind."""

    name: str
    planned: int
    moved: int
    left: int


def report(campaign: Campaign) -> None:
    """Write ``<storage>/<platform>/<year>/reports/<run>.html`` and ``.json``: counts and course codes, no person.

    Beside them, ``<run>-dates.xlsx``: what teachers have to check (:mod:`transition.report.teachers`).
    """
    with journal.stage(campaign, "report") as closing:
        facts = gather(campaign)
        folder = storage.folder(campaign, "reports")
        storage.make_private(folder)
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in campaign.run_id)
        dates, facts["dates"] = workbook(campaign)
        (folder / f"{stem}-dates.xlsx").write_bytes(dates)
        facts["dates_file"] = f"{stem}-dates.xlsx"
        (folder / f"{stem}.json").write_text(
            json.dumps(facts, ensure_ascii=False, indent=1, default=str), encoding="utf-8"
        )
        page = folder / f"{stem}.html"
        page.write_text(_template().render(**facts), encoding="utf-8")
        closing["detail"] = str(page)
    print(f"Rapport : {page}")


def gather(campaign: Campaign) -> dict[str, Any]:
    """Everything that the report says, as plain data."""
    plan, stages = summarise(campaign), _stages(campaign)
    rules = load_rules()
    labels = {rule.rule: rule.label for rule in rules}
    with campaign.engine.connect() as connection:
        run = connection.execute(sa.select(tables.run).where(tables.run.c.number == campaign.run)).one()
        approval = tables.approval.c
        approved = connection.execute(
            sa.select(approval.approved_by, approval.approved_at).where(approval.run == campaign.run)
        ).first()
        decision = tables.decision.c
        spaces = connection.execute(
            sa.select(decision.courseid, decision.code, decision.fullname, decision.category, decision.decision,
                      decision.reason)
            .where(decision.run == campaign.run).order_by(decision.category, decision.code, decision.fullname)
        ).all()  # fmt: skip
        by_rule = _moved(connection, campaign, "rule")
        by_space = {line.name: line for line in _moved(connection, campaign, "courseid")}
    failed = [line for line in stages if line.outcome not in {"done", "approved"}]
    return {
        "platform": campaign.platform.label, "site": campaign.platform.site, "year": campaign.year,
        "run_id": campaign.run_id,
        "actor": campaign.actor, "started_at": run.started_at, "reported_at": now(),
        "approved_by": approved.approved_by if approved else None, "fingerprint": run.fingerprint,
        "success": not failed and any(line.stage == "verify" for line in stages),
        "stages": [{**asdict(line), "title": STAGES.get(line.stage, line.stage)} for line in stages],
        "decisions": {text: plan.decisions.get(key, 0) for key, text in DECISIONS.items()},
        "rules": [{**asdict(line), "name": labels.get(line.name, line.name)} for line in by_rule],
        "spaces": [_space(space, by_space.get(str(space.courseid))) for space in spaces],
        "rows": plan.rows, "moved": sum(line.moved for line in by_rule),
        "checks": [{"label": rule.label, "check": rule.check} for rule in rules if rule.check],
        "archive": campaign.archive_schema, "pads": pads.sentence(campaign),
    }  # fmt: skip


def _space(space: sa.Row[*tuple[Any, ...]], rows: Moved | None) -> dict[str, Any]:
    planned, moved = (rows.planned, rows.moved) if rows else (0, 0)
    return {**space._mapping, "decision": DECISIONS[space.decision], "planned": planned, "moved": moved}


def _stages(campaign: Campaign) -> list[StageLine]:
    """The last entry of each stage and rule, in the chain's order."""
    entries = tables.journal.c
    query = (
        sa.select(entries.stage, entries.rule, entries.action, entries.seconds, entries.attempt, entries.detail)
        .where(entries.run == campaign.run, entries.action.in_(_OUTCOMES), entries.stage != "report")
        .order_by(entries.id)
    )
    with campaign.engine.connect() as connection:
        last = {(line.stage, line.rule): StageLine(*line) for line in connection.execute(query)}
    order = list(STAGES)
    return sorted(last.values(), key=lambda line: (order.index(line.stage) if line.stage in order else 99, line.rule))


def _moved(connection: sa.Connection, campaign: Campaign, column: str) -> list[Moved]:
    """Planned, moved and left rows by ``rule`` or by ``courseid``; most planned rows first."""
    line, entry = tables.plan_line.c, tables.journal.c
    planned = sa.select(line[column], sa.func.sum(line.rows)).where(line.run == campaign.run).group_by(line[column])
    moved = (
        sa.select(entry[column], sa.func.sum(entry.rows_moved), sa.func.sum(entry.rows_after))
        .where(entry.run == campaign.run, entry.action == "moved")
        .group_by(entry[column])
    )
    done = {key: (int(gone), int(left)) for key, gone, left in connection.execute(moved)}
    lines = [Moved(str(key), int(rows), *done.get(key, (0, int(rows)))) for key, rows in connection.execute(planned)]
    return sorted(lines, key=lambda moved: (-moved.planned, moved.name))


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["number"] = number
    environment.filters["outcome"] = lambda action: _OUTCOMES[action]
    return environment.get_template("report.html.j2")
