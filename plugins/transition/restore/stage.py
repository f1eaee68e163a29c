"""Restore a space that was reset: by its code, exactly as it was."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from transition import contents, filedir, journal, preflight
from transition.backup.manifest import BackupSet, rules_hash
from transition.campaign import Campaign
from transition.errors import TransitionError, refuse_all
from transition.french import counted
from transition.restore import scratch
from transition.restore.caches import purge_caches
from transition.restore.conflicts import COMING, find_conflicts
from transition.restore.enrolments import put_enrolments_back, renewed_enrolments
from transition.restore.from_backup import hold, without_path
from transition.restore.held import Held
from transition.restore.history import ENROLMENTS, WHOLE, Reset, Space, backup_sets, find_space
from transition.restore.missing import missing_rows
from transition.restore.names import name_conflicts, put_name_back
from transition.restore.part import find_activity, find_student, keep_part, person
from transition.restore.put_back import GRADES, STAGE, Wanted, pick_rows, put_back
from transition.restore.tables import restore_row
from transition.rules.branches import branches, parents_first
from transition.state import schema, tables

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to restore.

    :param code: Apogée code of the space. :param name: give an ``ex_`` space its name and category back as well.
    :param enrolments: bring last year's enrolments and roles back as well; those of the new year stay.
    :param activity: id or name of a course module: that activity only. :param student: user name: that person's traces.
    :param conflicts: when rows cannot come back: ``stop`` before anything is written, or ``skip`` those rows and what
        hangs from them. ``scratch``: in any case, write to a schema of its own and not to Moodle.
    """

    code: str
    name: bool = False
    enrolments: bool = False
    conflicts: Literal["stop", "skip", "scratch"] = "stop"
    activity: str = ""
    student: str = ""

    @property
    def whole(self) -> bool:
        """Whether the whole space is asked for."""
        return not (self.activity or self.student)


@dataclass(frozen=True)
class _Work:
    """A request, the space it names, its rows out of Moodle and those wanted of them.

    ``lost``: rows by table that have nothing to hang from, or that the archive schema has lost. ``before``: the backup
    that says what repeaters' enrolments were; None: they stay as they are. ``renewed``: how many of them stay in any
    case.
    """

    campaign: Campaign
    request: Request
    space: Space
    held: Held
    wanted: Wanted
    lost: dict[str, int]
    before: BackupSet | None
    renewed: int


def restore(campaign: Campaign, request: Request) -> str:
    """Put a reset space back, from the archive schema while it has all of it, else from the off-server backup.

    Everything that stands in the way is listed before anything is written in Moodle. Safe to run again after a kill at
    any point; twice changes nothing. Returns what was done, a French sentence. Raises :class:`TransitionError` for a
    code that is unknown or was not reset, another site's database, a campaign under way, conflicts (``stop``).
    """
    refuse_all(f"Restauration de {request.code} :", list(preflight.other_site(campaign)))
    schema.upgrade(campaign)
    # Before this lock is taken: another restore that holds it is one of those writers.
    others = (preflight.other_writers, under_way, unfinished_swaps)
    refuse_all(f"Restauration de {request.code} :", [finding for other in others for finding in other(campaign)])
    with campaign.lock(STAGE), journal.stage(campaign, STAGE) as closing:
        # Once it is taken, as the expiry does with its own: what a restore reads may be what that deletes.
        refuse_all(f"Restauration de {request.code} :", list(preflight.running(campaign, ["expiry"])))
        space = find_space(campaign, request.code)
        if not space.in_moodle and request.conflicts != "scratch":
            raise TransitionError(
                f"L'espace {request.code} a été supprimé de Moodle : restaurez-le dans un schéma d'essai (conflits :"
                " scratch)."
            )
        before = _enrolments_before(campaign, request, space)
        # Before the rows: both use one schema, and what stands in the way is known before anything is written.
        renewed = renewed_enrolments(campaign, space, before) if before else 0
        with _held(campaign, request, space) as (held, wanted, lost):
            closing["detail"] = _restore(_Work(campaign, request, space, held, wanted, lost, before, renewed))
    _log.info("%s", closing["detail"])
    return str(closing["detail"])


def under_way(campaign: Campaign) -> Iterator[str]:
    """A campaign between two of its writing tasks holds no lock: it has not put Moodle's maintenance mode back."""
    run, closed = tables.run, tables.maintenance
    query = sa.select(run.c.run_id).join(closed, closed.c.run == run.c.number).where(closed.c.reopened_at.is_(None))
    with campaign.engine.connect() as connection:
        for run_id in connection.execute(query).scalars():
            yield (
                f"l'exécution {run_id} tient Moodle en maintenance : attendez sa fin ou, si elle est arrêtée, relancez"
                " sa tâche maintenance_off"
            )


def unfinished_swaps(campaign: Campaign) -> Iterator[str]:
    """After its RENAME, a swap that was killed has left rows that neither Moodle nor the keys of the archive show."""
    run, way = tables.run, tables.way
    query = sa.select(run.c.run_id, way.c.table_name).join(way, way.c.run == run.c.number)
    with campaign.engine.connect() as connection:
        for run_id, name in connection.execute(query.where(way.c.state == "ready")):
            yield (
                f"l'exécution {run_id} n'a pas terminé l'échange de la table {name} : relancez sa tâche purge, ou une"
                " nouvelle exécution, qui le terminera"
            )


def _enrolments_before(campaign: Campaign, request: Request, space: Space) -> BackupSet | None:
    """Of several resets, the first one found the enrolments as nobody had changed them. Without a backup, they stay."""
    if not (request.enrolments and request.whole) or request.conflicts == "scratch":
        return None
    try:
        return backup_sets(campaign, space)[-1][1]
    except TransitionError as error:
        _log.warning("Les inscriptions des redoublants restent celles de la nouvelle année. %s", error)
        return None


@contextmanager
def _held(campaign: Campaign, request: Request, space: Space) -> Iterator[tuple[Held, Wanted, dict[str, int]]]:
    """Where the space's rows are, which are wanted, and how many, by table, cannot come back from there: those that the
    archive schema has lost, those of a backup that have nothing to hang from.

    Rows leave the archive as they come back; a backup keeps them. Of a space that came back whole it has none to give:
    what is not in Moodle any more was deleted since.
    """
    archive = Held(campaign, campaign.archive_schema, space.courseid)
    everything = Wanted(traces=True, enrolments=request.enrolments)
    due = Wanted(traces=WHOLE not in space.back, enrolments=request.enrolments and ENROLMENTS not in space.back)
    archived = archive.knows([reset.run for reset in space.resets])
    lost = _lost_from_archive(archive, space, due) if archived else {}
    sets = _sets_instead(campaign, space) if lost else []
    if archived and not sets:
        yield archive, everything, lost
        return
    wanted = everything if request.conflicts == "scratch" else due
    if not (wanted.traces or wanted.enrolments):
        yield archive, wanted, {}
        return
    # Of an older set, a scratch schema writes nothing in Moodle.
    sets = sets or backup_sets(campaign, space, older=request.conflicts == "scratch")
    _log.info(
        "Le schéma d'archive %s n'a plus ce que la campagne avait pris : l'espace %s vient de la sauvegarde %s.",
        campaign.archive_schema, space.code, ", ".join(backup.manifest.name for _, backup in sets),
    )  # fmt: skip
    with scratch.temporary(campaign, "staging") as name:
        held = hold(campaign, space.courseid, sets, name)
        # What hangs from a deleted activity is not of the one that is asked for.
        lost = {} if request.activity else without_path(campaign, held, sets, wanted)
        changed = [backup.manifest.name for _, backup in sets if backup.manifest.rules != rules_hash()]
        if lost and changed:
            _log.warning(
                "Les règles de include/rules ne sont plus celles de la sauvegarde %s : des lignes qu'elles ne prennent"
                " plus comptent aussi comme celles d'une activité supprimée.", ", ".join(changed),
            )  # fmt: skip
        yield held, wanted, lost


def _lost_from_archive(archive: Held, space: Space, due: Wanted) -> dict[str, int]:
    lost = missing_rows(archive, space, due)
    if lost:
        _log.warning(
            "Le schéma d'archive %s n'a plus toutes les lignes prises à l'espace %s : %s.", archive.schema, space.code,
            ", ".join(f"{name} ({counted(rows, *_DISAPPEARED)})" for name, rows in lost.items()),
        )  # fmt: skip
    return lost


def _sets_instead(campaign: Campaign, space: Space) -> list[tuple[Reset, BackupSet]]:
    """The backups to take the space from, where the archive schema has lost some of it; none that can be relied upon:
    the archive gives what it still has."""
    try:
        return backup_sets(campaign, space)
    except TransitionError as error:
        _log.warning("Ces lignes ne peuvent pas venir de la sauvegarde. %s", error)
        return []


def _restore(work: _Work) -> str:
    campaign, request, held = work.campaign, work.request, work.held
    with campaign.engine.begin() as connection:
        names = pick_rows(connection, held, work.wanted)
        if request.activity:
            activity = find_activity(connection, campaign, held.courseid, request.activity)
            names = keep_part(connection, held, names, activity.own, activity)
        if request.student:
            names = keep_part(connection, held, names, person(find_student(connection, campaign, request.student)))
    if request.conflicts == "scratch":
        target = scratch.create(campaign, "scratch")
        rows = scratch.copy_picked(held, names, target)
        copied = counted(rows, "ligne copiée", "lignes copiées")
        besides = "".join(f" ; {line}" for line in _lost_lines(work))
        return f"{request.code} : {copied} dans le schéma {target}{besides} ; rien n'a changé dans Moodle."
    nowhere = _lost_contents(work, names)
    with campaign.engine.begin() as connection:
        conflicts = find_conflicts(connection, held, names, nowhere)
        of_name = name_conflicts(connection, campaign, held.courseid) if request.name else []
    findings = [
        *map(str, conflicts),
        *_lost_lines(work),
        *([f"user_enrolments : {counted(work.renewed, *_RENEWED)}"] if work.renewed else []),
    ]
    if request.conflicts == "stop":
        refuse_all(_STOPPED.format(code=request.code), findings + of_name)
    for finding in findings + of_name:
        _log.warning("Laissé de côté : %s", finding)
    # Parents first: stopped between two tables, the restore leaves nothing in Moodle that hangs from nothing.
    present = [name for name in parents_first(names, branches(campaign.moodle)) if not held.lost(name)]
    aside = sum(len(conflict.ids) for conflict in conflicts) + sum(work.lost.values())
    outdates = not request.whole or GRADES in {conflict.table for conflict in conflicts} | work.lost.keys()
    with_name = request.name and not of_name
    done = _write(work, present, with_name=with_name, whole=request.whole and not aside, outdates=outdates)
    left = aside + work.renewed
    return f"{done} {counted(left, 'ligne laissée', 'lignes laissées')} de côté." if left else done


def _lost_lines(work: _Work) -> Iterator[str]:
    """What cannot come back from where the rows are held, a table a line."""
    campaign = work.campaign
    for name, rows in work.lost.items():
        if work.held.schema == campaign.archive_schema:
            yield f"{name} : {counted(rows, *_DISAPPEARED)} du schéma d'archive {campaign.archive_schema}"
        else:
            gone = "dont l'activité a été supprimée" if name in campaign.moodle else "d'une table que Moodle n'a plus"
            alone = " (dans la sauvegarde seule)" if work.request.conflicts == "scratch" else ""
            yield f"{name} : {counted(rows, 'ligne', 'lignes')}, {gone}{alone}"


_DISAPPEARED = ("ligne disparue", "lignes disparues")
_RENEWED = (
    "inscription d'un redoublant, changée ou renouvelée depuis la réinitialisation",
    "inscriptions de redoublants, changées ou renouvelées depuis la réinitialisation",
)
_STOPPED = (
    "Rien n'a été écrit : l'espace {code} ne peut pas revenir en entier. Réglez ces points, ou relancez en les laissant"
    " de côté (conflits : skip), ou dans un schéma d'essai (conflits : scratch) :"
)


def _write(work: _Work, names: Sequence[str], *, with_name: bool, whole: bool, outdates: bool) -> str:
    campaign, request = work.campaign, work.request
    campaign.take_fence()  # a run that has not ended yet starts again from its preflight: its plan is not true any more
    hashes = _put_contents_back(work, names)
    rows = put_back(work.held, names, outdates)
    contents.forget(campaign, hashes)
    renamed = with_name and put_name_back(campaign, work.space.courseid)
    reverted = put_enrolments_back(campaign, work.space, work.before) if work.before else 0
    if whole:
        _declare_back(work, rows)
    if not (rows or renamed or reverted):
        return f"{request.code} : déjà restauré, rien n'a changé."
    parts = [
        f"{counted(rows, 'ligne remise', 'lignes remises')} dans Moodle",
        "nom et catégorie rendus" if renamed else "",
        f"{counted(reverted, 'inscription rendue', 'inscriptions rendues')} à leur état" if reverted else "",
    ]
    return f"{request.code} : {', '.join(part for part in parts if part)}. {purge_caches(campaign)}"


def _declare_back(work: _Work, rows: int) -> None:
    """From now on a run of the year may reset the space again. Of a space that is back in part only, it must not:
    what its new students have done would go too."""
    campaign, space, reset = work.campaign, work.space, tables.space_reset
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(reset).where(reset.c.year == campaign.year, reset.c.courseid == space.courseid))
        journal.record(connection, campaign, STAGE, WHOLE, courseid=space.courseid, rows_moved=rows)
        if work.request.enrolments:
            journal.record(connection, campaign, STAGE, ENROLMENTS, courseid=space.courseid)


def _put_contents_back(work: _Work, names: Sequence[str]) -> list[str]:
    """The contents of the files first: a row of ``files`` never shows without its content. Returns their hashes."""
    campaign, hashes = work.campaign, _coming_contents(work, names)
    filedir.put_back(campaign, hashes)
    if nowhere := _lost_contents(work, names):
        raise TransitionError(
            f"{counted(len(nowhere), 'contenu a', 'contenus ont')} disparu de l'archive pendant la restauration, dont"
            f" {min(nowhere)} ; aucune ligne n'a été remise : rebranchez le stockage, puis relancez."
        )
    # What says that a content was lost before the campaign stays until the rows are back: run again, a restore that was
    # killed looks at it again.
    contents.forget(campaign, hashes, kept=contents.LOST_BEFORE)
    return hashes


def _coming_contents(work: _Work, names: Sequence[str]) -> list[str]:
    """The contents that the coming rows of ``files`` name."""
    if "files" not in names:
        return []
    campaign, rows, files = work.campaign, restore_row, work.held.table("files")
    query = (
        sa.select(files.c.contenthash)
        .select_from(rows.join(files, files.c.id == rows.c.id))
        .where(rows.c.run == campaign.run, rows.c.table_name == "files", rows.c.state.in_(COMING))
        .distinct()
    )
    with campaign.engine.connect() as connection:
        return list(connection.execute(query).scalars())


def _lost_contents(work: _Work, names: Sequence[str]) -> set[str]:
    """The contents of coming files that are nowhere any more, and that Moodle still held when it was backed up."""
    lost = filedir.held_nowhere(work.campaign, _coming_contents(work, names))
    states = contents.states(work.campaign, sorted(lost))
    lost -= {contenthash for contenthash in lost if states.get(contenthash) in contents.LOST_BEFORE}
    # Of a content that other spaces use too, the campaign recorded nothing.
    return lost - (_lost_when_backed_up(work) - states.keys()) if lost else lost


def _lost_when_backed_up(work: _Work) -> set[str]:
    try:
        sets = backup_sets(work.campaign, work.space)
    except TransitionError:  # rows of the archive schema come back without any
        return set()
    spaces = [backup.manifest.spaces[work.held.courseid] for _, backup in sets]
    return {contenthash for space in spaces if space.contents for contenthash in space.contents.lost}
