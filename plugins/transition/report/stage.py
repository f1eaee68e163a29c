"""Stage report: the campaign's summary, as a page (HTML) and as data (JSON)."""

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from transition import journal, missing, storage
from transition.campaign import Campaign, now
from transition.decisions import DECISION, DECISIONS
from transition.etherpad import pads
from transition.french import counted, moment, number
from transition.report import differences
from transition.report.plan_table import crossed_lines, feed_sentence, summarise
from transition.report.teachers import workbook
from transition.rules.model import load_rules
from transition.state import tables
from transition.successions import as_csv, successions

STAGES = {
    "preflight": "Contrôles préalables", "july_backup": "Sauvegarde de juillet", "grade_exports": "Export des notes",
    "apogee_sync": "Synchronisation Apogée", "detect_missing": "Décisions", "plan": "Plan", "approval": "Approbation",
    "create_spaces": "Création d'espaces",
    "maintenance_on": "Mise en maintenance", "freeze": "Plan figé", "ex_rename": "Archivage ex_", "purge": "Purge",
    "file_contents": "Contenus des fichiers", "enrolment": "Inscriptions", "verify": "Vérification",
    "maintenance_off": "Fin de la maintenance",
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

    Beside them, ``<run>-dates.xlsx``: what teachers have to check (:mod:`transition.report.teachers`),
    ``differences-<run>.xlsx``: before and after (:mod:`transition.report.differences`), and
    ``<run>-successions.csv``: what may succeed the archived spaces (:mod:`transition.successions`).
    """
    with journal.stage(campaign, "report") as closing:
        facts = gather(campaign)
        folder, stem = storage.folder(campaign, "reports"), storage.stem(campaign)
        storage.make_private(folder)
        compared = differences.write(campaign)
        facts["differences_file"] = compared.name if compared else None
        dates, facts["dates"] = workbook(campaign)
        (folder / f"{stem}-dates.xlsx").write_bytes(dates)
        facts["dates_file"] = f"{stem}-dates.xlsx"
        suggestions = successions(campaign)
        (folder / f"{stem}-successions.csv").write_bytes(as_csv(suggestions))
        facts["successions"] = [asdict(suggestion) for suggestion in suggestions]
        facts["successions_file"] = f"{stem}-successions.csv"
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
        approvals = sa.select(approval.exceeding, approval.approved_by).where(approval.run == campaign.run)
        approved = {bool(exceeding): by for exceeding, by in connection.execute(approvals)}
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
        "actor": campaign.actor, "started_at": moment(run.started_at, campaign.platform.zone),
        "reported_at": moment(now(), campaign.platform.zone),
        "approved_by": approved.get(False), "fingerprint": run.fingerprint,
        "feed": feed_sentence(campaign), "crossed": crossed_lines(campaign), "exceeded_by": approved.get(True),
        "success": not failed and any(line.stage == "verify" for line in stages),
        "stages": [{**asdict(line), "title": STAGES.get(line.stage, line.stage)} for line in stages],
        "decisions": {text: plan.decisions.get(key, 0) for key, text in DECISIONS.items()},
        "rules": [{**asdict(line), "name": labels.get(line.name, line.name)} for line in by_rule],
        "spaces": [_space(space, by_space.get(str(space.courseid))) for space in spaces],
        "rows": plan.rows, "moved": sum(line.moved for line in by_rule),
        "checks": [{"label": rule.label, "check": rule.check} for rule in rules if rule.check],
        "archive": campaign.archive_schema, "pads": pads.sentence(campaign),
        "missing": missing.listed(campaign), "missing_file": missing.CSV_NAME,
    }  # fmt: skip


def _space(space: sa.Row[*tuple[Any, ...]], rows: Moved | None) -> dict[str, Any]:
    planned, moved = (rows.planned, rows.moved) if rows else (0, 0)
    return {**space._mapping, "decision": DECISION[space.decision], "planned": planned, "moved": moved}


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
    environment.filters |= {"number": number, "counted": counted}
    environment.filters["outcome"] = lambda action: _OUTCOMES[action]
    return environment.get_template("report.html.j2")
