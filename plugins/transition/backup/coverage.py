"""Which spaces have no backup that may be relied upon, and why."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from transition import storage
from transition.backup.file_contents import missing_contents
from transition.backup.manifest import BackupSet, state_of, verified_sets
from transition.backup.rows import backup_traces, concerned_spaces, reads_whole, selected_rows
from transition.campaign import Campaign
from transition.rules.model import load_rules

SPACES_AT_ONCE = 200  # bounds a manifest, the row groups of a file, and what a kill can cost


@dataclass(frozen=True)
class Held:
    """A space in the latest verified set that holds it. ``damage``: what is wrong with its files there, or ''."""

    created_at: datetime
    state: str
    damage: str


def stale_spaces(campaign: Campaign, spaces: Mapping[int, str] | None = None) -> dict[int, str]:
    """The spaces whose backup is missing, damaged, of another site or older than their last change, and the reason.

    A space that has no trace, or no longer any, is not stale once there are backups: nothing could be lost there.
    :param spaces: course id to code; by default all that the run concerns.
    """
    spaces = concerned_spaces(campaign) if spaces is None else spaces
    rejected: list[str] = []
    held = held_spaces(campaign, spaces, rejected)
    if not held and not rejected:  # the very first backup: no need to read everything twice
        return dict.fromkeys(spaces, "aucune sauvegarde vérifiée")
    present = present_states(campaign, list(spaces))
    reasons = {courseid: _reason(campaign, held.get(courseid), present[courseid], rejected) for courseid in spaces}
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

    :param lasting: leave out the tables that Moodle writes at every page view (of which only rules ``live`` tell).
    """
    found: dict[int, dict[str, tuple[int, int]]] = {courseid: {} for courseid in courses}
    traces = backup_traces(campaign)
    if lasting:
        live = {rule.rule for rule in load_rules() if rule.live}
        traces = {name: of_table for name, of_table in traces.items() if {trace.rule for trace in of_table} - live}
    for name, of_table in traces.items():
        # Without keys a table is read once for all spaces; the keys of all at once would fill the server's disk.
        for part in [courses] if reads_whole(campaign, of_table, courses) else slices(courses):
            with selected_rows(campaign, name, of_table, part) as selected:
                for courseid, state in selected.states().items():
                    found[courseid][name] = (state.rows, state.checksum)
    return {courseid: state_of(tables) if tables else "" for courseid, tables in found.items()}


def slices(courses: list[int]) -> Iterator[list[int]]:
    """The spaces, some at a time, in their order."""
    for start in range(0, len(courses), SPACES_AT_ONCE):
        yield courses[start : start + SPACES_AT_ONCE]


def _reason(campaign: Campaign, held: Held | None, present: str, rejected: list[str]) -> str:
    if not present:
        return ""
    if held is None:
        return " ; ".join(["aucune sauvegarde vérifiée", *rejected])
    if held.damage:
        return held.damage
    if held.state != present:
        moment = held.created_at.replace(tzinfo=UTC).astimezone(campaign.platform.zone)
        return f"modifié depuis la sauvegarde du {moment:%d/%m/%Y à %H:%M}"
    return ""


def _damage(backup: BackupSet, courses: set[int]) -> dict[int, str]:
    """The spaces, among these, whose rows lie in a file that is no longer what was verified."""
    damaged: dict[int, str] = {}
    for table in backup.manifest.tables.values():
        if concerned := courses & table.spaces.keys():
            path = backup.folder / table.file
            if not path.exists():
                fault = "est absent"
            elif (size := path.stat().st_size) != table.bytes:
                fault = f"fait {size} octets au lieu de {table.bytes}"
            elif storage.sha256(path) != table.sha256:
                fault = "a été altéré"
            else:
                continue
            damaged |= dict.fromkeys(concerned, f"sauvegarde {backup.manifest.name} : le fichier {table.file} {fault}")
    return damaged
