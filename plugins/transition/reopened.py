"""What changed while Moodle was open between two halves of a run, which then must not go on: it has no backup of it."""

from collections.abc import Iterator

import sqlalchemy as sa

from transition.backup.coverage import present_tables
from transition.backup.manifest import BackupSet, verified_sets
from transition.backup.rows import State, backup_traces, concerned_spaces
from transition.campaign import Campaign
from transition.enrolment.people import RULE as ENROLMENT
from transition.errors import refuse_all
from transition.rules.model import load_rules
from transition.state import tables
from transition.traces import Traces


def refuse_changes(campaign: Campaign) -> None:
    """Raise :class:`TransitionError` if a space in scope differs from its backup in a table that is still to be moved.

    Whatever is moved already is in the archive, as it was. Left out: what Moodle writes at every page view, and
    enrolments, which the run itself changes before it moves them.
    """
    refuse_all(
        f"Moodle a été ouvert depuis le gel ({campaign.platform.label}), et des traces à déplacer ne sont plus celles"
        " de la sauvegarde : rien de plus n'est déplacé. Lancez une nouvelle exécution, qui les sauvegarde d'abord et"
        " reprend ce qui reste :",
        list(_changes(campaign)),
    )


def _changes(campaign: Campaign) -> Iterator[str]:
    traces, spaces = _untouched(campaign), concerned_spaces(campaign, in_scope=True)
    present = present_tables(campaign, list(spaces), traces)
    missing = set(spaces)
    for backup in verified_sets(campaign, []):
        for courseid in sorted(missing & backup.manifest.spaces.keys()):
            missing.discard(courseid)
            states = present[courseid]
            changed = [name for name in sorted(traces) if states.get(name, State()) != _held(backup, name, courseid)]
            if changed:
                yield f"espace {spaces[courseid]} : {', '.join(changed)}"
        if not missing:
            return
    yield from (
        f"espace {spaces[courseid]} : n'a plus de sauvegarde" for courseid in sorted(missing) if present[courseid]
    )


def _held(backup: BackupSet, name: str, courseid: int) -> State:
    table = backup.manifest.tables.get(name)
    rows = table.spaces.get(courseid) if table else None
    return State(rows.rows, rows.checksum) if rows else State()


def _untouched(campaign: Campaign) -> Traces:
    """The traces of the tables of which the run has moved nothing yet."""
    progress, way = tables.progress.c, tables.way.c
    waiting = (
        sa.select(progress.table_name)
        .where(progress.run == campaign.run)
        .group_by(progress.table_name)
        .having(sa.func.sum(progress.moved) == 0, sa.func.max(progress.done) == 0)
    )
    swapped = sa.select(way.table_name).where(way.run == campaign.run, way.state.not_in(("", "begun")))
    left_out = {rule.rule for rule in load_rules() if rule.live} | {ENROLMENT}
    with campaign.engine.connect() as connection:
        names = set(connection.execute(waiting).scalars()) - set(connection.execute(swapped).scalars())
    return {
        name: of_table
        for name, of_table in backup_traces(campaign).items()
        if name in names and not left_out & {trace.rule for trace in of_table}
    }
