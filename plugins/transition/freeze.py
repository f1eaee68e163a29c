"""Stage approval.freeze: the approved plan, checked once more, becomes the list of rows that move."""

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from transition import caps, journal, snapshot
from transition.backup.stage import complete_backup, complete_mbz
from transition.campaign import Campaign, now
from transition.decisions import still_excluded
from transition.enrolment import people
from transition.enrolment.cohorts import MEMBERS, keep_members
from transition.errors import TransitionError
from transition.etherpad import pads
from transition.frozen import freeze_keys
from transition.grades import grade_exports, missing_exports
from transition.key_views import forget_space
from transition.keys import count_keys, frozen_keys
from transition.plan import (
    Lines,
    check_approved,
    fingerprint,
    insert_lines,
    is_frozen,
    load_lines,
    store_lines,
    stored_fingerprint,
    unlike,
)
from transition.spaces import record_contexts
from transition.state import tables


def freeze(campaign: Campaign) -> None:
    """Write down, in the archive schema, the key of every row that moves; changes nothing in Moodle.

    Raises :class:`TransitionError` if the plan is not approved, or crosses caps and that is not. The plan is computed
    again: raises if it is no longer the approved one. Spaces that changed since their backup or their grade export get
    new ones; a space that stays without either, or that was excluded since, is set aside: none of its rows move, and
    verify reports it. Does nothing twice.
    """
    campaign.check_fence()
    with campaign.lock("freeze"), journal.stage(campaign, "freeze") as closing:
        if is_frozen(campaign):
            closing["detail"] = "déjà figé"
            return
        check_approved(campaign)
        record_contexts(campaign)  # activities added while the plan waited; from now on they stay as they are
        unmade = complete_mbz(campaign)  # before the keys: Moodle logs each
        people.record_people(campaign)
        pads.record(campaign)
        lines = freeze_keys(campaign)
        _refuse_stale(campaign, lines)
        aside = _to_set_aside(campaign, unmade)
        going = _without(campaign, lines, aside)
        snapshot.take(campaign, {name for _, name, _ in going}, aside)
        # At once: until then the decisions and the lines are those approved, which a second try has to find.
        with campaign.engine.begin() as connection:
            _set_aside(connection, campaign, aside, going)
            open_progress(connection, campaign, going)
            connection.execute(sa.update(tables.run).where(tables.run.c.number == campaign.run).values(frozen_at=now()))
        closing["rows_moved"] = sum(going.values())


def _refuse_stale(campaign: Campaign, lines: Lines) -> None:
    """Compare with the approved plan. The lines replace the stored ones: what was left in the spaces since goes too."""
    approved, stored, crossed = stored_fingerprint(campaign), load_lines(campaign), caps.load(campaign)
    store_lines(campaign, lines)
    caps.record(campaign)
    changed = unlike(stored, lines)
    if fingerprint(campaign) == approved and not changed:
        return
    store_lines(campaign, stored)
    caps.store(campaign, crossed)
    what = f" ({' ; '.join(changed)})" if changed else ""
    raise TransitionError(
        "Le plan approuvé est périmé : règles, calendriers, décisions, inscriptions, pads, seuils ou, de beaucoup, le"
        f" nombre de lignes ont changé depuis{what} ; relancez les tâches à partir de detect_missing, puis approuvez le"
        " plan de nouveau."
    )


def _to_set_aside(campaign: Campaign, unmade: Mapping[int, str]) -> dict[int, str]:
    """The spaces in scope of which nothing may be moved, and why; ``unmade``: those without Moodle's own backup."""
    if missing_exports(campaign):
        grade_exports(campaign)  # grades that were given while the plan waited
    aside = {**unmade, **complete_backup(campaign), **missing_exports(campaign)}
    aside |= dict.fromkeys(still_excluded(campaign), "espace exclu depuis le plan")
    decided = tables.decision.c
    with campaign.engine.connect() as connection:
        query = sa.select(decided.courseid).where(decided.run == campaign.run, decided.in_scope == sa.true())
        in_scope = set(connection.execute(query).scalars())
    return {courseid: reason for courseid, reason in sorted(aside.items()) if courseid in in_scope}


def _without(campaign: Campaign, lines: Lines, aside: Collection[int]) -> Lines:
    """The lines of the other spaces, once the keys of those set aside are deleted; a second try writes keys anew.

    A cohort may enrol in spaces of both kinds: whoever it enrols in one that is set aside stays its member.
    """
    for name, courseid in sorted({(name, courseid) for _, name, courseid in lines if courseid in aside}):
        with campaign.engine.begin() as connection:
            forget_space(connection, campaign, frozen_keys(campaign, name), courseid)
    going = {line: rows for line, rows in lines.items() if line[2] not in aside}
    others = {line: rows for line, rows in going.items() if line[1] != MEMBERS}
    if not aside or others == going:
        return going
    with campaign.engine.begin() as connection:
        keep_members(connection, campaign, aside)
        left = count_keys(connection, frozen_keys(campaign, MEMBERS), campaign.run)
    return others | {(rule, MEMBERS, courseid): rows for (rule, courseid), rows in left.items()}


def _set_aside(connection: sa.Connection, campaign: Campaign, reasons: Mapping[int, str], going: Lines) -> None:
    """Take spaces out of the run's scope: no lines, decision `hold` with the reason.

    ``going``: the lines of the others, of which those of cohort members may be lower for it, or gone.
    """
    line, decision = tables.plan_line, tables.decision
    if reasons:
        members = {key: rows for key, rows in going.items() if key[1] == MEMBERS}
        connection.execute(sa.delete(line).where(line.c.run == campaign.run, line.c.table_name == MEMBERS))
        insert_lines(connection, campaign, members)
    for courseid, reason in reasons.items():
        connection.execute(sa.delete(line).where(line.c.run == campaign.run, line.c.courseid == courseid))
        connection.execute(
            sa.update(decision)
            .where(decision.c.run == campaign.run, decision.c.courseid == courseid)
            .values(decision="hold", in_scope=False, reason=f"mis de côté : {reason}"[:1000])
        )
        journal.record(connection, campaign, "freeze", "set_aside", courseid=courseid, detail=reason)


def open_progress(connection: sa.Connection, campaign: Campaign, lines: Lines) -> None:
    """Let every rule's move of the lines' tables begin."""
    rows = [
        {"run": campaign.run, "rule": rule, "table_name": name, "last_id": 0, "moved": 0, "done": False}
        for rule, name in sorted({(rule, name) for rule, name, _ in lines})
    ]
    connection.execute(sa.delete(tables.progress).where(tables.progress.c.run == campaign.run))
    if rows:
        connection.execute(sa.insert(tables.progress), rows)
