"""Which spaces have no backup that may be relied upon, and why."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

import sqlalchemy as sa
from upath import UPath

from transition import storage
from transition.backup.file_contents import missing_contents
from transition.backup.manifest import BackupSet, TableFile, state_of, verified_sets
from transition.backup.rows import State, backup_traces, concerned_spaces, reads_whole, selected_rows
from transition.campaign import Campaign
from transition.progress import Progress
from transition.rules.compile import Trace
from transition.rules.model import load_rules
from transition.side_by_side import side_by_side
from transition.traces import Traces

# The ordinary reasons to back up: how the one begins, and the other, unless the journal knows a backup of the space.
CHANGED, NONE = "modifié depuis", "aucune sauvegarde vérifiée"
SPACES_AT_ONCE = 200  # bounds a manifest, the row groups of a file, and what a kill can cost
_BACKUPS = "backups"  # the rule of Moodle's own backups and recycle bin
_RANGES, _IDS_AT_ONCE = 16, 1_000_000  # a table read whole is read in so many parts, but none of fewer ids


@dataclass(frozen=True)
class Held:
    """A space in the latest verified set that holds it. ``damage``: what is wrong with its files there, or ''."""

    created_at: datetime
    state: str
    damage: str


def stale_spaces(
    campaign: Campaign, spaces: Mapping[int, str] | None = None, rejected: list[str] | None = None
) -> dict[int, str]:
    """The spaces whose backup is missing, damaged, of another site or older than their last change, and the reason.

    A space that has no trace, or no longer any, is not stale once there are backups: nothing could be lost there.
    :param spaces: course id to code; by default all that the run concerns.
    :param rejected: receives the sets set aside, and why.
    """
    spaces = concerned_spaces(campaign) if spaces is None else spaces
    if not spaces:  # nothing was backed up again: no manifest need be opened
        return {}
    rejected = [] if rejected is None else rejected
    held = held_spaces(campaign, spaces, rejected)
    if not held and not rejected:  # the very first backup: no need to read everything twice
        return dict.fromkeys(spaces, NONE)
    present = present_states(campaign, list(spaces))
    reasons = {courseid: _reason(campaign, held.get(courseid), present[courseid]) for courseid in spaces}
    return {courseid: reason for courseid, reason in reasons.items() if reason}


def held_spaces(campaign: Campaign, spaces: Collection[int], rejected: list[str]) -> dict[int, Held]:
    """Each space's latest verified set; files are read whole to compare their SHA-256, and every
    content of their files must be there with its size. ``rejected``: receives the sets set aside, and why."""
    held: dict[int, Held] = {}
    for backup in verified_sets(campaign, rejected):
        new = {courseid for courseid in backup.manifest.spaces if courseid in spaces and courseid not in held}
        if new:
            damaged = _damage(backup, new)
            damaged |= missing_contents(campaign, backup, new - damaged.keys())
            held |= {
                courseid: Held(
                    backup.manifest.created_at, backup.manifest.spaces[courseid].state, damaged.get(courseid, "")
                )
                for courseid in new
            }
    return held


def present_states(campaign: Campaign, courses: list[int], *, lasting: bool = False) -> dict[int, str]:
    """The state (:func:`~transition.backup.manifest.state_of`) of each space in the database now; '' without traces.

    :param lasting: only what a .mbz is made again for (:func:`_lasting`).
    """
    traces = _lasting(backup_traces(campaign)) if lasting else backup_traces(campaign)
    found = present_tables(campaign, courses, traces)
    return {courseid: state_of(tables) if tables else "" for courseid, tables in found.items()}


def present_tables(campaign: Campaign, courses: list[int], traces: Traces) -> dict[int, dict[str, State]]:
    """The state of each space in the database now, by table of these traces; a table without rows is absent."""
    found: dict[int, dict[str, State]] = {courseid: {} for courseid in courses}
    lock = Lock()

    def read(part: _Part) -> None:
        with selected_rows(campaign, part.table, traces[part.table], part.courses) as selected:
            states = selected.states(part.ids)
        with lock:
            for courseid, state in states.items():
                found[courseid][part.table] = found[courseid].get(part.table, State()).joined(state)

    parts = (part for name, of_table in traces.items() for part in _parts(campaign, name, of_table, courses))
    side_by_side(read, parts)
    return found


def _lasting(traces: Traces) -> Traces:
    """Without those of rules ``live``, which Moodle writes at every page view, and of rule ``backups``.

    No .mbz holds the space's own backups nor its recycle bin, and to make one leaves a folder's row in that area of
    ``files``: every file would be outdated once made.
    """
    left_out = {rule.rule for rule in load_rules() if rule.live} | {_BACKUPS}
    lasting = {name: [trace for trace in of_table if trace.rule not in left_out] for name, of_table in traces.items()}
    return {name: of_table for name, of_table in lasting.items() if of_table}


@dataclass(frozen=True)
class _Part:
    """Some of a table's rows, whose states are read by one statement. ``ids``: None, all of these spaces."""

    table: str
    courses: list[int]
    ids: range | None


def _parts(campaign: Campaign, name: str, traces: Sequence[Trace], courses: list[int]) -> Iterator[_Part]:
    """Ranges of ids of a table that is read whole; else some spaces: the keys of all would fill the server's disk."""
    if not reads_whole(campaign, traces, courses):
        yield from (_Part(name, part, None) for part in slices(courses))
        return
    id_ = campaign.moodle[name].c.id
    with campaign.engine.connect() as connection:
        first, last = connection.execute(sa.select(sa.func.min(id_), sa.func.max(id_))).one()
    if first is not None:
        step = max(_IDS_AT_ONCE, (last - first) // _RANGES + 1)
        for start in range(first, last + 1, step):
            yield _Part(name, courses, range(start, start + step))


def slices(courses: list[int]) -> Iterator[list[int]]:
    """The spaces, some at a time, in their order."""
    for start in range(0, len(courses), SPACES_AT_ONCE):
        yield courses[start : start + SPACES_AT_ONCE]


def _reason(campaign: Campaign, held: Held | None, present: str) -> str:
    if not present:
        return ""
    if held is None:
        return NONE
    if held.damage:
        return held.damage
    if held.state != present:
        moment = held.created_at.replace(tzinfo=UTC).astimezone(campaign.platform.zone)
        return f"{CHANGED} la sauvegarde du {moment:%d/%m/%Y à %H:%M}"
    return ""


def _damage(backup: BackupSet, courses: set[int]) -> dict[int, str]:
    """The spaces, among these, whose rows lie in a file that is no longer what was verified."""
    damaged: dict[int, str] = {}
    concerned = [table for table in backup.manifest.tables.values() if courses & table.spaces.keys()]
    progress = Progress(f"Relecture du jeu {backup.manifest.name}", len(concerned), "fichiers", "Mo")
    for table in concerned:
        if fault := _fault(backup.folder / table.file, table):
            reason = f"sauvegarde {backup.manifest.name} : le fichier {table.file} {fault}"
            damaged |= dict.fromkeys(courses & table.spaces.keys(), reason)
        progress.step(table.bytes / 1e6)
    return damaged


def _fault(path: UPath, table: TableFile) -> str:
    """What makes a file other than what was verified, or ''; it is read whole."""
    try:
        if not path.exists():
            return "est absent"
        if (size := path.stat().st_size) != table.bytes:
            return f"fait {size} octets au lieu de {table.bytes}"
        return "" if storage.sha256(path) == table.sha256 else "a été altéré"
    except OSError as error:
        return f"ne peut pas être lu ({storage.fault(error)})"
