"""Stage plan: what would move, counted; what was approved; whether it is still true."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from transition import caps, journal, missing
from transition.apogee.tables import lot, run_lot
from transition.calendars.entries import standing as standing_entries
from transition.calendars.tables import calendar_entry
from transition.campaign import Campaign, now
from transition.enrolment import people
from transition.enrolment.tables import cohort_space, route
from transition.enrolment.unknown import list_unknown
from transition.errors import TransitionError, refuse_all
from transition.etherpad import pads
from transition.files import rules_folder
from transition.french import counted, number
from transition.keys import count_rows
from transition.leftovers import foreseen
from transition.report import differences
from transition.report.plan_table import crossed_lines, plan_table
from transition.rules.compile import Scope
from transition.rules.model import load_rules
from transition.spaces import record_contexts
from transition.state import tables
from transition.traces import all_traces
from transition.ways import store_ways

# What to do about a plan that crosses caps; the caps follow, one a line.
EXCEEDING = (
    "Ce plan dépasse des seuils : rien n'a été écrit. Vérifiez ce que dit le plan, puis faites approuver ces"
    ' dépassements par une autre personne que le plan (tâche approval.exceed, ou EXCEED="Nom" en ligne de commande) ;'
    " s'ils sont voulus chaque année, relevez « limits » dans include/platforms/{platform}.yaml :"
)
Lines = dict[tuple[str, str, int], int]  # (rule, table, courseid): rows
_TENTH, _MANY = 10, 1_000


def plan(campaign: Campaign) -> None:
    """Count what every rule would move from every space, store it with its fingerprint, print it.

    Whoever approves it also gets ``differences-<run>.xlsx``: what the run would change, space by space; the report of
    an executing run writes it anew. Changes nothing in Moodle. A run whose plan is frozen keeps it.
    """
    with journal.stage(campaign, "plan") as closing:
        if not is_frozen(campaign):
            record_contexts(campaign)  # activities added since preflight: this plan may come days later
            people.record_people(campaign)
            lines = count_lines(campaign)
            store_lines(campaign, lines)
            refuse_all(
                f"Le plan ({campaign.platform.label}) oublierait des traces ; corrigez les règles, ou déclarez"
                " les lignes qui restent (rows_kept d'une règle, rows de kept_tables.yaml) :",
                list(foreseen(campaign)),
            )
            store_ways(campaign, lines)
            pads.record(campaign)
            caps.record(campaign)
            store_fingerprint(campaign, fingerprint(campaign))
        closing["rows_moved"] = sum(load_lines(campaign).values())
        closing["detail"] = counted(closing["rows_moved"], "ligne à déplacer", "lignes à déplacer")
        compared = differences.write(campaign)
    print(plan_table(campaign))
    if sentence := list_unknown(campaign):
        print(sentence)
    print(f"Différences, par composante et par espace : {compared}")


def count_lines(campaign: Campaign) -> Lines:
    """Rows that would move, by rule, table and space; a row reached twice counts once."""
    lines: Lines = {}
    with campaign.engine.connect() as connection:
        for name, traces in all_traces(campaign, Scope(campaign.run)).items():
            counts = count_rows(connection, campaign, name, traces)
            lines |= {(rule, name, courseid): rows for (rule, courseid), rows in counts.items()}
    return lines


def store_lines(campaign: Campaign, lines: Lines) -> None:
    """Replace the run's plan."""
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(tables.plan_line).where(tables.plan_line.c.run == campaign.run))
        insert_lines(connection, campaign, lines)


def insert_lines(connection: sa.Connection, campaign: Campaign, lines: Lines) -> None:
    """Add lines to the run's plan."""
    rows = [
        {"run": campaign.run, "rule": rule, "table_name": name, "courseid": courseid, "rows": count}
        for (rule, name, courseid), count in lines.items()
    ]
    if rows:
        connection.execute(sa.insert(tables.plan_line), rows)


def load_lines(campaign: Campaign) -> Lines:
    """The run's plan."""
    with campaign.engine.connect() as connection:
        return _lines_of(connection, campaign.run)


def _lines_of(connection: sa.Connection, run: int) -> Lines:
    line = tables.plan_line.c
    query = sa.select(line.rule, line.table_name, line.courseid, line.rows).where(line.run == run)
    return {(rule, name, courseid): rows for rule, name, courseid, rows in connection.execute(query)}


def unlike(approved: Lines, present: Lines) -> list[str]:
    """The rules of which many more, or many fewer, rows go than were approved, a French phrase each.

    Between the two, people and Moodle's cron go on working in the spaces, and what they leave goes as well: that is no
    other plan. A tenth of a rule's rows and a thousand of them at once is: somebody restored or deleted courses.
    ``live`` rules do not count, Moodle adds rows to them at every page view.
    """
    live = {rule.rule for rule in load_rules() if rule.live}
    before, after = Counter[str](), Counter[str]()
    for lines, totals in ((approved, before), (present, after)):
        for (rule, _, _), rows in lines.items():
            totals[rule] += rows
    return [
        f"{rule} : {counted(before[rule], 'ligne', 'lignes')} au plan, {number(after[rule])} maintenant"
        for rule in sorted((before.keys() | after.keys()) - live)
        if abs(after[rule] - before[rule]) > max(_MANY, before[rule] // _TENTH)
    ]


def fingerprint(campaign: Campaign) -> str:
    """SHA-256 of all that the plan follows from.

    Rules, feed, engineers' entries, decisions, who enters where, who teaches, who leaves, how many enrolments go, pads,
    the caps that it crosses, spaces to create. Not how many traces go: Moodle stays open until the plan is carried out,
    and one view of one page adds some (:func:`unlike` compares them). For the same reason, of a crossed cap its value
    counts, not by how much it is crossed. The people of spaces that the run has created since are left out as well: the
    plan says that their students follow.

    Who enters is named by registrations, which the feed and the routes to the spaces give, not by accounts: in late
    August hundreds a day log in for the first time. They have an account then, and a place in the space if Moodle's own
    synchronisation was first (``staying``); they lose nothing by it. One leaver or teacher more or less: another plan.
    """
    digest = hashlib.sha256(rules_hash().encode())
    lots = sa.select(lot.c.annee, lot.c.lot_id, lot.c.sha256).join(run_lot, run_lot.c.lot_id == lot.c.lot_id)
    entry = calendar_entry.c
    decision, standing, line, pad = tables.decision.c, tables.standing.c, tables.plan_line.c, tables.pad.c
    crossed = tables.cap_crossed.c
    queries = [
        lots.where(run_lot.c.run == campaign.run).order_by(lot.c.annee),
        sa.select(entry.id, entry.cible_type, entry.cle, entry.type, entry.debut, entry.fin)
        .where(standing_entries(campaign)).order_by(entry.id),
        sa.select(decision.courseid, decision.code, decision.decision, decision.in_scope)
        .where(decision.run == campaign.run).order_by(decision.courseid),
        sa.select(standing.courseid, standing.userid, standing.standing)
        .where(standing.run == campaign.run, standing.standing != "staying")
        .order_by(standing.courseid, standing.userid),
        *(
            sa.select(way.c.courseid, name)
            .join(tables.decision, sa.and_(decision.run == way.c.run, decision.courseid == way.c.courseid))
            .where(way.c.run == campaign.run).order_by(way.c.courseid, name)
            for way, name in ((route, route.c.cle), (cohort_space, cohort_space.c.idnumber))
        ),
        sa.select(line.table_name, line.courseid, line.rows).where(line.run == campaign.run, line.rule == people.RULE)
        .order_by(line.table_name, line.courseid),
        sa.select(pad.courseid, pad.padid).where(pad.run == campaign.run).order_by(pad.padid),
        sa.select(crossed.cap, crossed.component, crossed.allowed)
        .where(crossed.run == campaign.run).order_by(crossed.cap, crossed.component),
    ]  # fmt: skip
    if missing.creates(campaign):
        new = tables.missing_space.c
        columns = sa.select(new.cle, new.code, new.category, new.obstacle)
        queries.append(columns.where(new.run == campaign.run).order_by(new.cle))
    with campaign.engine.connect() as connection:
        for query in queries:
            digest.update(b"\n--\n")
            _update(digest, connection.execution_options(stream_results=True).execute(query))
    return digest.hexdigest()


def rules_hash() -> str:
    """SHA-256 of all the rule files."""
    digest = hashlib.sha256()
    for path in sorted(rules_folder().glob("*.yaml")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", rows: Iterable[sa.Row[Any]]) -> None:
    for row in rows:
        digest.update(json.dumps(list(row), default=str).encode() + b"\n")


def store_fingerprint(campaign: Campaign, value: str) -> None:
    """Set the fingerprint of the run's plan."""
    with campaign.engine.begin() as connection:
        connection.execute(sa.update(tables.run).where(tables.run.c.number == campaign.run).values(fingerprint=value))


def stored_fingerprint(campaign: Campaign) -> str:
    """The fingerprint of the run's plan; raises :class:`TransitionError` if the run has none yet."""
    with campaign.engine.connect() as connection:
        value = connection.execute(
            sa.select(tables.run.c.fingerprint).where(tables.run.c.number == campaign.run)
        ).scalar()
    if not value:
        raise TransitionError(f"L'exécution {campaign.run_id} n'a pas encore de plan : lancez d'abord la tâche plan.")
    return str(value)


def is_frozen(campaign: Campaign) -> bool:
    """Whether the run's plan is frozen: approved, checked again, its keys written down."""
    with campaign.engine.connect() as connection:
        query = sa.select(tables.run.c.frozen_at).where(tables.run.c.number == campaign.run)
        return connection.execute(query).scalar() is not None


def approve(campaign: Campaign, shown: str, *, by: str, exceeding: bool = False) -> None:
    """Record that ``by`` approved the run's plan: for this run or, if it is dry, the next run with the same plan.

    :param shown: the fingerprint of what ``by`` was shown, read before it was shown. Raises :class:`TransitionError` if
        the run has another plan since.
    :param exceeding: the second approval, without which a plan that crosses caps is not frozen.
    """
    if stored_fingerprint(campaign) != shown:
        raise TransitionError(
            f"Le plan, ou la liste, de l'exécution {campaign.run_id} a changé depuis la question posée à {by} : rien"
            " n'est approuvé ; réinitialisez cette tâche (en ligne de commande, relancez la commande), lisez ce qu'elle"
            " montre, puis répondez."
        )
    approval = {"year": campaign.year, "fingerprint": shown, "exceeding": exceeding, "approved_by": by,
                "approved_at": now(), "planned": campaign.run,
                "run": None if campaign.dry_run else campaign.run}  # fmt: skip
    detail = f"par {by}, plan {shown[:12]}"
    if exceeding:
        detail = "\n".join([detail, *crossed_lines(campaign)])
    with campaign.engine.begin() as connection:
        connection.execute(sa.insert(tables.approval).values(approval))
        journal.record(connection, campaign, "approval", "exceeded" if exceeding else "approved", detail=detail)


def approved_by(campaign: Campaign, *, exceeding: bool = False) -> str | None:
    """Who approved the run's plan; takes an approval that waits for a run with this very plan. None: nobody yet.

    :param exceeding: who gave the second approval (:func:`approve`).
    """
    approval = tables.approval
    same = sa.and_(
        approval.c.year == campaign.year, approval.c.fingerprint == stored_fingerprint(campaign),
        approval.c.exceeding == sa.literal(exceeding),
    )  # fmt: skip
    with campaign.engine.begin() as connection:
        mine = sa.select(approval.c.approved_by).where(same, approval.c.run == campaign.run)
        if by := connection.execute(mine).scalar():
            return str(by)
        waiting = sa.select(approval).where(same, approval.c.run.is_(None))
        row = connection.execute(waiting.order_by(approval.c.id.desc()).limit(1)).one_or_none()
        if row is None or unlike(_lines_of(connection, row.planned), _lines_of(connection, campaign.run)):
            return None
        connection.execute(sa.update(approval).where(approval.c.id == row.id).values(run=campaign.run))
        return str(row.approved_by)


def check_approved(campaign: Campaign) -> None:
    """Raise :class:`TransitionError` unless the run's plan is approved, twice and by two people if it crosses caps."""
    first = approved_by(campaign)
    if first is None:
        raise TransitionError(f"Le plan de l'exécution {campaign.run_id} n'est pas approuvé : approuvez-le d'abord.")
    crossed = crossed_lines(campaign)
    if not crossed:
        return
    second = approved_by(campaign, exceeding=True)
    if second is None:
        refuse_all(EXCEEDING.format(platform=campaign.platform.name), crossed)
    else:
        caps.refuse_same_person(first, second)
