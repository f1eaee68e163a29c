"""Copy the content of an archived space into the one that succeeds it, through Moodle's own command line.

« A teacher recovers the content of an `ex_` space by backup and restore into the new space. » No row of people comes
along: neither accounts, enrolments and roles, nor what Moodle counts as users' data (messages, entries, attempts).
"""

import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from transition import journal, preflight
from transition.campaign import Campaign, now
from transition.course_copy.exchange import backup_file, sweep
from transition.course_copy.settings import held, put_back
from transition.course_copy.spaces import (
    Activity,
    Pair,
    added_by_moodle,
    content_state,
    find_pair,
    read_activities,
)
from transition.course_copy.tables import course_copy
from transition.course_copy.target import Before, differences, look
from transition.errors import TransitionError, UnreachableError, refuse_all
from transition.french import counted, moment
from transition.moodle.command_line import CommandLine
from transition.restore.stage import under_way
from transition.state import schema

STAGE = "copy_archived_course"
# Neither enrolment methods nor the archived space's own names come along (`restore_root_task`, `overwrite_conf`).
CONTENT_ONLY = {("restore", "restore_general_enrolments"): "0", ("restore", "restore_merge_overwrite_conf"): "0"}
_HOURS = 2
_LISTED = 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to copy.

    :param source: the archived space's Apogée code, short name or id. :param target: the new space's Apogée code.
    :param confirm_not_empty: add to a target that already has activities. :param again: copy what was copied before.
    """

    source: str
    target: str
    confirm_not_empty: bool = False
    again: bool = False


@dataclass(frozen=True)
class _Work:
    """A request and the two spaces it names. ``state``: of the source's content; ``activities``: the source's."""

    campaign: Campaign
    request: Request
    command: CommandLine
    folder: Path
    pair: Pair
    state: str
    activities: Collection[Activity]

    @property
    def names(self) -> str:
        """The pair, for a sentence."""
        return f"{self.pair.source.shortname} vers {self.pair.target.code}"


def copy_archived_course(campaign: Campaign, request: Request) -> str:
    """Add the content of an archived space to another one, without users' data; returns what was done, in French.

    Everything that stands in the way is told before anything is written. A pair that was copied already is left alone
    unless ``again`` says otherwise. Moodle's restore is not one transaction: after a stop in its midst nothing is
    tried again by itself, a person must look at the target first. Raises :class:`TransitionError`.
    """
    intro = f"Copie de {request.source} vers {request.target} :"
    refuse_all(intro, list(preflight.other_site(campaign)))
    command, folder = _means(campaign)
    schema.upgrade(campaign)
    # Before this lock is taken: another copy that holds it is one of those writers.
    refuse_all(intro, [*preflight.other_writers(campaign), *under_way(campaign)])
    with campaign.lock(STAGE), journal.stage(campaign, STAGE) as closing:
        # Once it is taken, as that backup does with its own: it uses the settings of Moodle that a copy changes.
        refuse_all(intro, list(preflight.running(campaign, ["july_backup"])))
        put_back(campaign, command)  # what a killed copy left
        pair = find_pair(campaign, request.source, request.target)
        sweep(folder, pair)
        with campaign.engine.connect() as connection:
            state = content_state(connection, campaign, pair.source.courseid)
            activities = read_activities(connection, campaign, pair.source.courseid)
        work = _Work(campaign, request, command, folder, pair, state, activities)
        closing["courseid"] = pair.target.courseid
        closing["detail"] = _known(work) or _copy(work)
    _log.info("%s", closing["detail"])
    return str(closing["detail"])


def _means(campaign: Campaign) -> tuple[CommandLine, Path]:
    """Moodle's command line and the shared folder; raises :class:`TransitionError` if the platform lacks one."""
    platform = campaign.platform
    if not platform.moodle_command or not platform.exchange:
        missing = [key for key in ("moodle_command", "exchange") if not getattr(platform, key)]
        raise TransitionError(
            f"La copie d'un espace passe par la ligne de commande de Moodle : déclarez {' et '.join(missing)} dans"
            f" include/platforms/{platform.name}.yaml."
        )
    folder = Path(platform.exchange)
    if not folder.is_dir():
        raise TransitionError(
            f"Le dossier d'échange {folder} n'existe pas : créez-le, ouvert en écriture à Moodle et à Airflow, ou"
            f" corrigez exchange dans include/platforms/{platform.name}.yaml."
        )
    return CommandLine(platform.moodle_command), folder


def _known(work: _Work) -> str:
    """What an earlier copy of this pair makes of this one: a sentence if nothing is left to do, '' to go on.

    Raises :class:`TransitionError` after a copy that stopped in the middle, or that is not as it should be.
    """
    with work.campaign.engine.connect() as connection:
        last = connection.execute(sa.select(course_copy).where(_row(work))).one_or_none()
    if last is None or work.request.again:
        return ""
    zone = work.campaign.platform.zone
    if last.restored_at is None:
        raise TransitionError(
            f"La copie de {work.names} commencée le {moment(last.started_at, zone)} s'est arrêtée pendant la"
            " restauration : l'espace d'arrivée peut en contenir une partie. Ôtez-y dans Moodle ce qu'elle a laissé,"
            " puis relancez avec « again »."
        )
    if last.verified_at is None:
        return _verify(work, Before.load(last.before), json.loads(last.activities))
    if last.source_state != work.state:
        return ""
    verified = moment(last.verified_at, zone)
    return f"{work.names} : déjà copié le {verified}, rien n'a changé (« again » pour recopier)."


def _copy(work: _Work) -> str:
    campaign, target = work.campaign, work.pair.target.courseid
    with campaign.engine.connect() as connection:
        _refuse_content(work, connection)
        expected = Counter(activity.kind for activity in work.activities)
    _refuse_old_moodle(work)
    campaign.take_fence()  # a run that has not ended yet starts again from its preflight: its plan is not true any more
    with backup_file(campaign, work.command, work.folder, work.pair, work.activities) as path:
        _record(work, "backed_up", rows_before=len(work.activities), courseid=work.pair.source.courseid)
        with held(campaign, work.command, CONTENT_ONLY):
            with campaign.engine.begin() as connection:
                before = look(connection, campaign, target)
                _open(work, connection, before, expected)
            _restore(work, path)
            _mark(work, restored_at=now())
    return _verify(work, before, expected)


def _refuse_content(work: _Work, connection: sa.Connection) -> None:
    """Refuse a source without activities, and a target that has some, unless the request says that it may."""
    if not work.activities:
        raise TransitionError(
            f"L'espace {work.pair.source.shortname} n'a aucune activité à copier : vérifiez la source."
        )
    courseid = work.pair.target.courseid
    own = added_by_moodle(connection, work.campaign, courseid)
    present = [a for a in read_activities(connection, work.campaign, courseid) if a.cmid not in own]
    if present and not work.request.confirm_not_empty:
        listed = [f"{activity.name} ({activity.kind})" for activity in present[:_LISTED]]
        more = [f"… et {counted(len(present) - _LISTED, 'autre', 'autres')}"] if len(present) > _LISTED else []
        refuse_all(
            f"L'espace {work.pair.target.code} a déjà {counted(len(present), 'activité', 'activités')}, la copie s'y"
            " ajouterait : relancez avec « confirm_not_empty » si c'est voulu.",
            listed + more,
        )


def _refuse_old_moodle(work: _Work) -> None:
    """``restore_backup.php`` restores into an existing course only where it has the option ``--courseid``."""
    if "--courseid" not in work.command.run("restore_backup.php", "--help"):
        release = work.campaign.moodle.config.get("release", "inconnue")
        raise TransitionError(
            f"Le restore_backup.php de Moodle {release} ne restaure pas dans un cours existant (pas d'option"
            f" --courseid) : copiez {work.pair.source.shortname} à la main, par « Importer », ou mettez Moodle à jour."
        )


def _restore(work: _Work, path: Path) -> None:
    """Moodle's restore; it adds (``TARGET_EXISTING_ADDING``), and where it stopped, nobody knows what it had added."""
    arguments = f"--file={path}", f"--courseid={work.pair.target.courseid}"
    try:
        work.command.run("restore_backup.php", *arguments, seconds=_HOURS * 3600)
    except UnreachableError as error:
        raise TransitionError(
            f"La restauration dans {work.pair.target.code} a échoué et peut y avoir laissé une partie du contenu."
            f" {error} Ôtez dans Moodle ce qu'elle a laissé, puis relancez avec « again »."
        ) from None


def _verify(work: _Work, before: Before, expected: Mapping[str, int]) -> str:
    campaign, target = work.campaign, work.pair.target
    with campaign.engine.connect() as connection:
        found = list(differences(connection, campaign, target.courseid, before, expected))
        present = len(read_activities(connection, campaign, target.courseid))
    refuse_all(
        f"La copie de {work.names} n'est pas conforme ; regardez l'espace d'arrivée dans Moodle, corrigez, puis"
        " relancez :",
        found,
    )
    _mark(work, verified_at=now())
    came = present - len(before.activities)
    _record(
        work, "copied", courseid=target.courseid, table_name="course_modules", rows_before=len(before.activities),
        rows_moved=came, rows_after=present, detail=f"de {work.pair.source.shortname} (id {work.pair.source.courseid})",
    )  # fmt: skip
    return (
        f"{work.names} : {counted(came, 'activité copiée', 'activités copiées')} sans données d'utilisateurs, vérifié."
    )


def _open(work: _Work, connection: sa.Connection, before: Before, expected: Mapping[str, int]) -> None:
    """Write down that the restore begins, in the place of an earlier copy of this pair."""
    connection.execute(sa.delete(course_copy).where(_row(work)))
    values = {
        "source": work.pair.source.courseid, "target": work.pair.target.courseid, "run": work.campaign.run,
        "source_state": work.state, "activities": json.dumps(expected), "before": before.dump(), "started_at": now(),
    }  # fmt: skip
    connection.execute(sa.insert(course_copy).values(values))


def _mark(work: _Work, **moments: object) -> None:
    with work.campaign.engine.begin() as connection:
        connection.execute(sa.update(course_copy).where(_row(work)).values(**moments))


def _row(work: _Work) -> sa.ColumnElement[bool]:
    pair = work.pair
    return sa.and_(course_copy.c.source == pair.source.courseid, course_copy.c.target == pair.target.courseid)


def _record(work: _Work, action: str, **values: object) -> None:
    with work.campaign.engine.begin() as connection:
        journal.record(connection, work.campaign, STAGE, action, **values)
