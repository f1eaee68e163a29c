"""The plan added up, and as a table that fits a terminal."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from transition import caps, missing
from transition.campaign import Campaign
from transition.decisions import DECISION, DECISIONS
from transition.enrolment.instances import shut_out
from transition.enrolment.nightly import taken_away
from transition.enrolment.people import planned_arrivals
from transition.etherpad import pads
from transition.french import counted, moment, number
from transition.rules.model import load_rules
from transition.state import tables
from transition.ways import CHUNKS, FEW, SWAP, load_ways

_WAYS = {CHUNKS: "lots", SWAP: "échange"}
_SPACES_SHOWN = 60
_HELD_SHOWN = 30
_NAME_SHOWN = 24


@dataclass(frozen=True)
class PlanSummary:
    """The run's plan, added up. Decisions count every course; rows will move; arrivals are new enrolments."""

    decisions: dict[str, int]
    by_rule: list[tuple[str, int, int, int]]  # label, tables, spaces, rows; most rows first
    by_space: list[tuple[str, str, int, int]]  # code, decision in French, rows, arrivals; most first
    held: list[tuple[str, str, str]]  # code (else shortname), decision in French, reason: hold and defer
    rows: int


def summarise(campaign: Campaign) -> PlanSummary:
    """Add up the stored plan of the run."""
    labels = {rule.rule: rule.label for rule in load_rules()}
    line, decision = tables.plan_line.c, tables.decision.c
    by_rule = (
        sa.select(line.rule, sa.func.count(line.table_name.distinct()), sa.func.count(line.courseid.distinct()),
                  sa.func.sum(line.rows))
        .where(line.run == campaign.run).group_by(line.rule)
    )  # fmt: skip
    per_space = sa.select(line.courseid, sa.func.sum(line.rows)).where(line.run == campaign.run).group_by(line.courseid)
    with campaign.engine.connect() as connection:
        rules = [(labels.get(rule, "Inscriptions"), t, s, int(n)) for rule, t, s, n in connection.execute(by_rule)]
        rows = {courseid: int(n) for courseid, n in connection.execute(per_space)}
        decided = connection.execute(sa.select(tables.decision).where(decision.run == campaign.run)).all()
    arrivals = planned_arrivals(campaign)
    spaces = [
        (d.code or d.shortname, DECISION[d.decision], rows.get(d.courseid, 0), arrivals.get(d.courseid, 0))
        for d in decided
        if d.in_scope
    ]
    return PlanSummary(
        decisions=dict(Counter(d.decision for d in decided)),
        by_rule=sorted(rules, key=lambda rule: (-rule[3], rule[0])),
        by_space=sorted(spaces, key=lambda space: (-space[2], space[0])),
        held=sorted(
            (d.code or d.shortname, DECISION[d.decision], d.reason) for d in decided if d.decision in ("hold", "defer")
        ),
        rows=sum(rows.values()),
    )


def plan_table(campaign: Campaign) -> str:
    """The plan as plain text, at most 120 columns."""
    parts = _parts(campaign)
    return "\n".join(part if isinstance(part, str) else _text(part) for part in parts)


def plan_markdown(campaign: Campaign) -> str:
    """The plan as Markdown, as Airflow shows it to the person who approves it."""
    parts = _parts(campaign)
    return "\n\n".join(part.strip() if isinstance(part, str) else _pipes(part) for part in parts)


@dataclass(frozen=True)
class _Grid:
    """A table: its head and its rows; columns of numbers go to the right."""

    head: Sequence[str]
    rows: Sequence[tuple[str | int, ...]]

    def cells(self) -> list[list[str]]:
        """The rows as text; cut at 40 characters."""
        return [[number(cell) if isinstance(cell, int) else str(cell)[:40] for cell in row] for row in self.rows]

    def is_number(self) -> list[bool]:
        """Whether each column holds numbers."""
        return [isinstance(cell, int) for cell in (self.rows[0] if self.rows else self.head)]


def _parts(campaign: Campaign) -> list[str | _Grid]:
    plan, shut = summarise(campaign), list(shut_out(campaign))
    decisions = ", ".join(counted(plan.decisions.get(key, 0), DECISION[key], text) for key, text in DECISIONS.items())
    parts: list[str | _Grid] = [
        f"PLAN — {campaign.platform.label}, année {campaign.year}-{campaign.year + 1}",
        *_crossed(campaign),
        feed_sentence(campaign),
        f"Espaces de la plateforme : {decisions}",
        _Grid(("Règle", "Tables", "Espaces", "Lignes", "Voie"), _with_ways(campaign, plan.by_rule)),
        *_large_tables(campaign),
        _Grid(("Espace", "Décision", "Lignes", "Inscriptions"), plan.by_space[:_SPACES_SHOWN]),
        _more(len(plan.by_space) - _SPACES_SHOWN, "autre espace", "autres espaces"),
        *(f"  {code} : {decision} — {reason}" for code, decision, reason in plan.held[:_HELD_SHOWN]),
        _more(
            len(plan.held) - _HELD_SHOWN, "autre espace différé ou en attente", "autres espaces différés ou en attente"
        ),
        *(f"  {sentence}." for sentence in shut[:_HELD_SHOWN]),
        _more(len(shut) - _HELD_SHOWN, "autre espace fermé aux étudiants", "autres espaces fermés aux étudiants"),
        *(f"  {sentence}." for sentence in taken_away(campaign)),
        f"En tout : {counted(plan.rows, 'ligne', 'lignes')} à déplacer dans"
        f" {counted(len(plan.by_space), 'espace', 'espaces')}.",
        pads.sentence(campaign),
        missing.sentence(campaign),
    ]
    return [part for part in parts if part]


def feed_sentence(campaign: Campaign) -> str:
    """When Apogée's data were extracted; '' for a run that has none yet."""
    found = caps.extracted(campaign)
    return f"Données d'Apogée extraites le {moment(found, campaign.platform.zone)}." if found else ""


def crossed_lines(campaign: Campaign) -> list[str]:
    """One sentence for each cap that the run's plan crosses: what, where, how much, the cap."""
    return [_crossing(crossing) for crossing in caps.load(campaign)]


def _crossing(crossing: caps.Crossing) -> str:
    kind = caps.KINDS[crossing.kind]
    where = f"composante {crossing.component[:_NAME_SHOWN]}" if crossing.component else "toute la plateforme"
    figure, allowed = number(crossing.count), number(round(crossing.allowed))
    if crossing.cap == "moved_ratio":
        figure += f", {_decimal(crossing.count / crossing.base, 2)} fois la dernière campagne"
        allowed = f"{crossing.allowed:g} fois".replace(".", ",")
    elif crossing.cap == kind.ratio:
        figure += f" sur {number(crossing.base)} ({_decimal(100 * crossing.count / crossing.base, 1)} %)"
        allowed = f"{100 * crossing.allowed:g} %".replace(".", ",")
    return f"{kind.label} ({where}) : {figure}, seuil {allowed}"


def _decimal(value: float, places: int) -> str:
    return f"{value:.{places}f}".replace(".", ",")


def _crossed(campaign: Campaign) -> list[str]:
    """What is said first of a plan that crosses caps: which, and what to check."""
    lines, kinds = crossed_lines(campaign), {crossing.kind for crossing in caps.load(campaign)}
    if not lines:
        return []
    return [
        "SEUILS DÉPASSÉS : pour s'exécuter, ce plan demande une seconde approbation, par une autre personne.",
        *(f"  {line}." for line in lines),
        *(f"  À vérifier, {kind.label} : {kind.check}" for name, kind in caps.KINDS.items() if name in kinds),
    ]


def _with_ways(
    campaign: Campaign, by_rule: Sequence[tuple[str, int, int, int]]
) -> list[tuple[str, int, int, int, str]]:
    """Each rule with the ways that its tables go."""
    labels = {rule.rule: rule.label for rule in load_rules()}
    line, ways = tables.plan_line.c, load_ways(campaign)
    found: dict[str, set[str]] = {}
    with campaign.engine.connect() as connection:
        query = sa.select(line.rule, line.table_name).where(line.run == campaign.run).distinct()
        for rule, name in connection.execute(query):
            found.setdefault(labels.get(rule, "Inscriptions"), set()).add(_WAYS[ways[name].way])
    return [(*row, " et ".join(sorted(found.get(row[0], set()), reverse=True))) for row in by_rule]


def _large_tables(campaign: Campaign) -> list[str]:
    """The way of each large table, and why."""
    ways = sorted((name, way) for name, way in load_ways(campaign).items() if way.reason != FEW)
    return [f"  {name} par {_WAYS[way.way]} : {way.reason}." for name, way in ways]


def _more(count: int, one: str, many: str) -> str:
    return f"  … et {counted(count, one, many)}." if count > 0 else ""


def _text(grid: _Grid) -> str:
    cells, numbers = grid.cells(), grid.is_number()
    widths = [max(map(len, column)) for column in zip(grid.head, *cells, strict=True)]

    def line(texts: Sequence[str]) -> str:
        aligned = (t.rjust(w) if n else t.ljust(w) for t, w, n in zip(texts, widths, numbers, strict=True))
        return "  " + "  ".join(aligned).rstrip()

    return "\n".join([line(grid.head), "  " + "  ".join("-" * w for w in widths), *map(line, cells)])


def _pipes(grid: _Grid) -> str:
    rule = ["---:" if is_number else "---" for is_number in grid.is_number()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (grid.head, rule, *grid.cells()))
