"""The coverage audit: every table that names people is purged by a rule or kept for a reason, or the campaign stops.

Runs in preflight, on the connected database. Nothing here follows the rules' own paths: what holds rows in the scope is
found by the columns' names (:mod:`transition.moodle.references`).
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from transition import journal
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.location import rows_in_spaces
from transition.moodle.database import MoodleDatabase
from transition.moodle.references import References
from transition.rules.compile import absent_tables, is_installed, moved_tables
from transition.rules.kept import Kept, kept_reasons, kept_rows, load_kept
from transition.rules.model import KeptRows, Rule, load_rules
from transition.rules.skeleton import skeleton
from transition.spaces import deciding_categories
from transition.state import tables

STAGE = "preflight"


@dataclass(frozen=True)
class Uncovered:
    """What neither a rule nor ``kept_tables.yaml`` names.

    :param activities: installed activities without a rule. :param naming: tables that name people, directly or not.
    :param others: tables that name nobody.
    """

    activities: frozenset[str]
    naming: frozenset[str]
    others: frozenset[str]


def uncovered(moodle: MoodleDatabase, rules: Collection[Rule], kept: Kept) -> Uncovered:
    """Compare the schema with the rules. Raises :class:`TransitionError` for a table both purged and kept whole."""
    moved = {table for rule in rules for table in moved_tables(rule, moodle)}
    if both := sorted(moved & kept.reasons.keys() | {t for rule in rules for t in rule.tables_kept if t in moved}):
        raise TransitionError(
            f"Tables à la fois déplacées par une règle et déclarées conservées : {', '.join(both)} ; retirez-les de la"
            " règle, ou de kept_tables.yaml et de « tables_kept »."
        )
    known = {rule.activity for rule in rules} | {activity for rule in rules for activity in rule.activities_kept}
    activities = frozenset(moodle.activities) - known
    rest = moodle.tables.keys() - moved - kept_reasons(rules, kept).keys() - activities
    # Of an activity without a rule, every table: which of them hold answers cannot be told by their names.
    references = References(moodle)
    naming = {table for table in rest if references.refers_to_people(table) or _activity_of(table, activities)}
    return Uncovered(activities, frozenset(naming), frozenset(rest - naming))


def audit(campaign: Campaign) -> list[str]:
    """French findings, each with a rule to start from; needs the run's contexts. Remarks go to the journal."""
    references, rules, spaces = References(campaign.moodle), load_rules(), _spaces(campaign)
    found = uncovered(campaign.moodle, rules, load_kept())
    with campaign.engine.connect() as connection:
        used = _activities_used(connection, campaign, found.activities)
        # Of an activity that no space uses, no row can be in the scope.
        unused = found.activities - used.keys()
        rows = {
            table: rows_in_spaces(connection, campaign, references, table, spaces)
            for table in sorted(found.naming)
            if not _activity_of(table, unused)
        }
    rows = {table: count for table, count in rows.items() if count}
    _remark(campaign, found, found.naming - rows.keys())
    return [
        *unknown_to(references, kept_rows(rules, load_kept())),
        *_activity_findings(references, used, rows),
        *_table_findings(references, rows, used),
    ]


def unknown_to(references: References, rows: Iterable[KeptRows]) -> list[str]:
    """French findings: what the rows declared to stay name and the schema lacks."""
    moodle, findings = references.moodle, []
    for entry in rows:
        if entry.table not in moodle:
            continue
        named = [column if "." in column else f"{entry.table}.{column}" for column in entry.where]
        named += [f"{entry.table}.{entry.users.column}"] if entry.users else []
        named += [entry.named_by] if entry.named_by else []
        named += [f"{entry.table}.{entry.by}"] if entry.by else []
        above = {step.parent for step in references.links(entry.table)}
        for owner, column in (name.split(".") for name in named):
            if f"{owner}.{column}" == entry.named_by and owner not in moodle:
                continue  # of a module that is not installed
            linked = entry.by or owner in above or f"{owner}.{column}" == entry.named_by or owner == entry.table
            if not linked or owner not in moodle or column not in moodle[owner].c:
                findings.append(
                    f"lignes gardées de la table {entry.table} : {owner}.{column} n'existe pas ou n'est pas citée par"
                    " elle, corrigez kept_tables.yaml ou la règle"
                )
    return findings


def journal_absent(campaign: Campaign) -> None:
    """Say in the journal, once a run, which tables and activities that the rules name this Moodle does not have."""
    entries = tables.journal.c
    known = sa.select(sa.func.count()).where(
        entries.run == campaign.run, entries.stage == STAGE, entries.action == "skipped", entries.rule != ""
    )
    with campaign.engine.begin() as connection:
        if connection.execute(known).scalar():
            return
        for rule in load_rules():
            if not is_installed(rule, campaign.moodle):
                detail = f"l'activité {rule.activity} n'est pas installée : la règle n'a rien à faire"
                journal.record(connection, campaign, STAGE, "skipped", rule=rule.rule, detail=detail)
            for absent in {(absent.table, absent.variant) for absent in absent_tables(rule, campaign.moodle)}:
                name, variant = absent
                detail = f"la table {name} n'existe pas ici (variante : {variant}) : rien à y déplacer"
                journal.record(
                    connection, campaign, STAGE, "skipped", rule=rule.rule, table_name=name, detail=detail
                )  # fmt: skip


def _spaces(campaign: Campaign) -> sa.Select[int]:
    """The course ids that the run may change: those that it concerns, aside from the two excluded categories."""
    space, course, category = tables.space_context, campaign.moodle["course"], campaign.moodle["course_categories"]
    joined = space.join(course, course.c.id == space.c.courseid).join(category, category.c.id == course.c.category)
    query = sa.select(space.c.courseid).select_from(joined).where(space.c.run == campaign.run).distinct()
    try:
        excluded = deciding_categories(campaign)
    except TransitionError:
        return query  # check_categories says so; meanwhile nothing is excluded
    for id_ in (excluded.complementary, excluded.archives):
        query = query.where(sa.func.concat(category.c.path, "/").not_like(f"%/{id_}/%"))
    return query


def _activities_used(connection: sa.Connection, campaign: Campaign, activities: Collection[str]) -> dict[str, int]:
    """How many course modules in the spaces are of these activities."""
    cm, modules = campaign.moodle["course_modules"], campaign.moodle["modules"]
    query = (
        sa.select(modules.c.name, sa.func.count())
        .select_from(modules.join(cm, cm.c.module == modules.c.id))
        .where(modules.c.name.in_(activities), cm.c.course.in_(_spaces(campaign)))
        .group_by(modules.c.name)
    )
    return dict(connection.execute(query).all()) if activities else {}


def _activity_findings(references: References, used: dict[str, int], rows: Collection[str]) -> Iterator[str]:
    for activity, count in sorted(used.items()):
        own = [name for name in references.moodle.tables if _activity_of(name, {activity}) and name != activity]
        holding = ", ".join(name for name in own if name in rows) or "aucune table"
        yield (
            f"l'activité {activity} n'a pas de règle ; elle est {count} fois dans les espaces concernés, avec des"
            f" lignes dans {holding} : écrivez include/rules/{activity}.yaml (docs/regles.md), en partant de"
            + _indented(skeleton(references, activity, own, activity=True))
        )


def _table_findings(references: References, rows: dict[str, int], used: Collection[str]) -> Iterator[str]:
    for table, count in rows.items():
        if _activity_of(table, used):
            continue  # in its activity's finding
        people = ", ".join(references.people(table)) or "par une autre table"
        yield (
            f"la table {table} nomme des personnes ({people}), {count} de ses lignes peuvent être dans les espaces"
            " concernés, et aucune règle ne dit ce qu'elles deviennent : ajoutez-la à la règle de son module,"
            f" inscrivez-la avec un motif dans include/kept_tables.yaml, ou écrivez include/rules/{table}.yaml en"
            " partant de" + _indented(skeleton(references, table, [table], activity=False))
        )


def _remark(campaign: Campaign, found: Uncovered, empty: Collection[str]) -> None:
    remarks = {
        "tables inconnues qui nomment des personnes, sans ligne dans les espaces concernés": empty,
        "activités sans règle, dont aucune n'est dans les espaces concernés": found.activities,
        "tables inconnues qui ne nomment personne": found.others,
    }
    with campaign.engine.begin() as connection:
        for what, names in remarks.items():
            if names:
                journal.record(connection, campaign, STAGE, "remark", detail=f"{what} : {', '.join(sorted(names))}")


def _activity_of(table: str, activities: Collection[str]) -> str | None:
    """The activity, among these, whose table it is: ``quiz`` of ``quiz_attempts`` and of ``quizaccess_x``."""
    own = [activity for activity in activities if table == activity or table.startswith(f"{activity}_")]
    return max(own, key=len, default=None)


def _indented(text: str) -> str:
    return "\n" + "\n".join(f"        {line}" for line in text.splitlines())
