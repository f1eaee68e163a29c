"""The campaign of the benchmark: the real stages, on spaces whose decision is written down by the benchmark."""

from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from benchmarks.platform import PREFIX, SITE, Size
from transition import maintenance, snapshot
from transition.backup.coverage import stale_spaces
from transition.campaign import Campaign, now
from transition.freeze import open_progress
from transition.frozen import freeze_keys
from transition.move import move_rule
from transition.plan import load_lines, store_lines
from transition.platforms import Platform
from transition.restore.stage import Request
from transition.restore.stage import restore as restore_space
from transition.spaces import record_contexts
from transition.state import schema, tables


def open_campaign(engine: sa.Engine, folder: Path, size: Size, run_id: str) -> Campaign:
    """A run that may write, with the contexts of all spaces and the decision to reset the first ``size.going``."""
    facts = {
        "name": "bench", "label": "Banc d'essai", "site": SITE, "timezone": "Europe/Paris",
        "table_prefix": PREFIX, "connections": {"moodle": "bench", "apogee": "bench"},
        "categories": {"complementary": 2, "archives": 3}, "enrolment": "database", "student_role": "student",
        "dates": {"transition": "0 2 16 8 *"}, "storage": str(folder), "approval": "automatic",
        "limits": {"archived_share": 1.0, "unenrolled_share": 1.0, "feed_days": 36_500, "free_space_gib": 0.1},
    }  # fmt: skip
    campaign = Campaign(Platform.model_validate(facts), 2026, run_id, engine, dry_run=False)
    schema.upgrade(campaign)
    campaign.take_fence()
    record_contexts(campaign)
    course, decision = campaign.moodle["course"], tables.decision
    chosen = sa.select(
        sa.literal(campaign.run), course.c.id, course.c.idnumber, course.c.shortname, course.c.fullname,
        sa.literal(""), sa.literal("reset"), sa.literal(""), course.c.id <= size.last_going,
    )  # fmt: skip
    with campaign.engine.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {campaign.archive_schema}"))
        connection.execute(sa.insert(decision).from_select([column.name for column in decision.c], chosen))
    return campaign


def freeze(campaign: Campaign) -> None:
    """Write the keys down, and open the progress: what the stage ``freeze`` does besides :func:`check`."""
    maintenance.close(campaign)
    lines = freeze_keys(campaign)
    store_lines(campaign, lines)
    with campaign.engine.begin() as connection:
        open_progress(connection, campaign, lines)
        connection.execute(sa.update(tables.run).where(tables.run.c.number == campaign.run).values(frozen_at=now()))


def check(campaign: Campaign) -> None:
    """Compare every space with its backup, and take the checksums of what stays: what the stage ``freeze`` checks."""
    if stale := stale_spaces(campaign):
        raise RuntimeError(f"{len(stale)} spaces differ from their backup, of which {min(stale)}: {stale[min(stale)]}")
    snapshot.take(campaign, {name for _, name, _ in load_lines(campaign)}, ())


def purge(campaign: Campaign, *rules: str) -> int:
    """Move the rows of some rules, or of all, and open Moodle again; returns their number."""
    progress = tables.progress.c
    maintenance.close(campaign)
    with campaign.engine.connect() as connection:
        query = sa.select(progress.rule).where(progress.run == campaign.run).distinct().order_by(progress.rule)
        found = [rule for rule in connection.execute(query).scalars() if not rules or rule in rules]
    moved = sum(move_rule(campaign, rule) for rule in found)
    maintenance.reopen(campaign)
    return moved


def restore(campaign: Campaign, code: str) -> int:
    """Put one space back in a run of its own; returns its rows."""
    given = replace(campaign, run_id=f"restore {code}")
    restore_space(given, Request(code))
    entry = tables.journal.c
    query = sa.select(entry.rows_moved).where(entry.run == given.run, entry.action == "whole")
    with given.engine.connect() as connection:
        return int(connection.execute(query).scalar_one())
