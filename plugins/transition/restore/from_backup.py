"""A space out of the off-server backup: its rows in a schema, with the keys that the archive schema had for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import sqlalchemy as sa

from transition.backup.manifest import BackupSet
from transition.backup.read import read_space
from transition.backup.rows import within
from transition.campaign import Campaign
from transition.keys import create_frozen_keys, insert_keys
from transition.moodle.database import MoodleDatabase, table_like
from transition.restore import scratch
from transition.restore.held import Held
from transition.restore.history import Reset
from transition.restore.put_back import Wanted
from transition.rules.branches import branches
from transition.rules.compile import Scope, in_areas
from transition.state import tables
from transition.traces import rule_traces


@dataclass(frozen=True)
class _Overlaid(MoodleDatabase):
    """Moodle's tables, some of them replaced by those of a schema that holds rows out of it."""

    overlaid: Mapping[str, sa.Table] = field(default_factory=dict, compare=False)

    @cached_property
    def tables(self) -> Mapping[str, sa.Table]:
        """Every table, by its name without prefix."""
        return self.overlaid


def hold(campaign: Campaign, courseid: int, sets: Sequence[tuple[Reset, BackupSet]], schema: str) -> Held:
    """Load the space's rows into the schema and select, for each reset, those that it had chosen to move.

    A backup holds more than what was moved: everybody's rows, whoever stayed. The rules are compiled for the run that
    reset the space (its people, its contexts), with the loaded tables instead of Moodle's: they select what they had
    selected then. A row that a later set holds as well had not been moved before: the later one counts.
    """
    for _, backup in sets:
        scratch.load(campaign, backup, courseid, schema)
    loaded = sorted(
        {name for _, backup in sets for name, file in backup.manifest.tables.items() if courseid in file.spaces}
    )
    _add_kept_parents(campaign, schema, set(loaded))
    for reset, _ in sets:
        _select_keys(campaign, courseid, reset, schema, loaded)
    return Held(campaign, schema, courseid)


def without_path(
    campaign: Campaign, held: Held, sets: Sequence[tuple[Reset, BackupSet]], wanted: Wanted
) -> dict[str, int]:
    """Wanted rows that a reset had planned to move and whose path is gone from Moodle (a deleted activity, a module
    that was removed, a rule that was narrowed), by table.

    Of several resets, the one that misses most counts: what one planned and did not come to move, the next one planned
    again.
    """
    line, known = tables.plan_line.c, set(held.names())
    planned = sa.select(line.table_name, line.run, sa.func.sum(line.rows)).where(
        line.run.in_([reset.run for reset, _ in sets]), line.courseid == held.courseid, *wanted.of(line.rule)
    )
    backups = {reset.run: backup for reset, backup in sets}
    lost: dict[str, int] = {}
    with campaign.engine.connect() as connection:
        for name, run, rows in connection.execute(planned.group_by(line.table_name, line.run)).all():
            found = set[int]()
            if name in known:
                keys = held.keys(name)
                of_run = sa.select(keys.c.id).where(keys.c.run == run, *wanted.of(keys.c.rule))
                found = set(connection.execute(of_run).scalars())
                if len(sets) > 1:  # the rules select from all of them at once
                    found &= _ids(backups[run], name, held.courseid)
            if rows > len(found):
                lost[name] = max(lost.get(name, 0), int(rows) - len(found))
    return lost


def _ids(backup: BackupSet, name: str, courseid: int) -> set[int]:
    """The ids of a space's rows in one table of a set."""
    file = backup.manifest.tables.get(name)
    return set(read_space(backup, name, courseid)["id"].to_pylist()) if file and courseid in file.spaces else set()


def _add_kept_parents(campaign: Campaign, schema: str, loaded: set[str]) -> None:
    """Copy, beside the rows of the backup, those that never left Moodle and that they hang from.

    A table may hold both: a teacher's example among the students' works. No rule selects the copies: they were kept.
    """
    paths = [path for found in branches(campaign.moodle).values() for path in found]
    with campaign.engine.begin() as connection:
        for path in sorted(paths, key=lambda path: -path.depth):
            if isinstance(path.by, str) and {path.table, path.parent} <= loaded:
                child = table_like(campaign.moodle[path.table], schema)
                source = campaign.moodle[path.parent]
                target = table_like(source, schema)
                named = sa.select(child.c[path.by].label("value")).distinct()
                if path.areas:
                    named = named.where(in_areas(child, path.areas))
                wanted = named.subquery()
                named_by = source.c[path.to] == wanted.c.value
                indexed = campaign.moodle.index(source, path.to)
                rows = (
                    sa.select(*source.c)
                    .select_from(wanted.join(source, named_by) if indexed else source.join(wanted, named_by))
                    .prefix_with("STRAIGHT_JOIN")
                )
                insert = sa.insert(target).from_select([column.name for column in source.c], rows)
                connection.execute(insert.prefix_with("IGNORE"))  # what the backup holds stays as it is there


def _select_keys(campaign: Campaign, courseid: int, reset: Reset, schema: str, loaded: Sequence[str]) -> None:
    moodle = campaign.moodle
    overlay = {name: table_like(moodle[name], schema) for name in loaded if name in moodle}
    then = replace(campaign, run_id=reset.run_id)
    # The campaign's own tables of Moodle are computed once: here they are given.
    vars(then)["moodle"] = _Overlaid(moodle.engine, moodle.prefix, overlaid={**moodle.tables, **overlay})
    held = Held(campaign, schema, courseid)
    with campaign.engine.begin() as connection:
        for name, traces in rule_traces(then, Scope(reset.run)).items():
            if name in overlay:
                keys = held.keys(name)
                create_frozen_keys(connection, keys)
                for trace in traces:
                    own = {"run": reset.run, "rule": trace.rule}
                    insert_keys(connection, keys, within(trace, [courseid]), own)
