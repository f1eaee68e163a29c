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

    Whatever is moved already is in the archive, as it was. Left out: what a rule that has begun still has to move, what
    Moodle writes at every page view, and enrolments, which the run itself changes before it moves them.
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
    """The traces of the tables that no rule has begun to move: within a rule, a table leads to the rows of another."""
    progress, way = tables.progress.c, tables.way.c
    planned = sa.select(progress.rule, progress.table_name, progress.moved, progress.done)
    swapped = sa.select(way.table_name).where(way.run == campaign.run, way.state.not_in(("", "begun")))
    with campaign.engine.connect() as connection:
        lines = connection.execute(planned.where(progress.run == campaign.run)).all()
        gone = set(connection.execute(swapped).scalars())
    begun = {line.rule for line in lines if line.moved or line.done or line.table_name in gone}
    left_out = begun | {rule.rule for rule in load_rules() if rule.live} | {ENROLMENT}
    names = {line.table_name for line in lines}
    return {
        name: of_table
        for name, of_table in backup_traces(campaign).items()
        if name in names and not left_out & {trace.rule for trace in of_table}
    }
