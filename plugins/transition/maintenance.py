"""Moodle closed while its rows move, and put back as it was: the setup and the teardown of the writing stages.

With Moodle's command line (the platform's ``moodle_command``), the site is closed to everybody, its cron included, what
that one runs already is waited for, and its caches are purged before it opens again. Without it, only the row
``maintenance_enabled`` of the table ``config`` is written, which Moodle may not read before its cache of settings
expires; the journal says so.
"""

import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from transition import journal
from transition.campaign import Campaign, now
from transition.errors import TransitionError, UnreachableError
from transition.french import counted, moment
from transition.frozen import write_keys_ahead
from transition.moodle.command_line import CommandLine
from transition.moodle.revisions import raise_revisions
from transition.plan import is_frozen
from transition.reopened import refuse_changes
from transition.state import tables

_log = logging.getLogger(__name__)
_SETTING = "maintenance_enabled"
PATIENCE = 15 * 60  # seconds for the tasks of a cron that ran before Moodle closed
LOOK = 5  # seconds between two looks at them
_CRASHED = 24 * 3600  # seconds after which a task that still seems to run is one of a cron that was killed
# The last line of `maintenance.php`, in the site's language (strings clistatusenabled, clistatusenabledlater and
# clistatusdisabled of the component admin).
_OPEN = re.compile(r"\b(disabled|désactivée?|will be enabled on .*|sera activée? .*)\W*$", re.IGNORECASE)
_CLOSED = re.compile(r"\b(enabled|activée?)\W*$", re.IGNORECASE)


@dataclass(frozen=True)
class _Before:
    """The site before the campaign closed it; ``value``: of the setting, None if it had no row."""

    closed: bool
    value: str | None

    @property
    def by_page(self) -> bool:
        """Closed by its administration page, which sets the setting; the command line resets it (maintenance.php)."""
        return self.closed and self.value not in (None, "", "0")

    def stays(self, command: CommandLine | None) -> bool:
        """Whether it is closed as it must be. By its page it is not: cron goes on, and administrators work in it."""
        return self.closed and not (command and self.by_page)


def check_command(campaign: Campaign) -> Iterator[str]:
    """For preflight: Moodle's command line, where the platform declares one, answers and is understood."""
    try:
        _present(campaign)
    except UnreachableError as error:
        yield str(error)


def close(campaign: Campaign) -> None:
    """Put Moodle into maintenance mode, after writing down what it was; does nothing twice.

    A run that was killed left Moodle closed: its successor takes over what that run had found. Raises
    :class:`TransitionError` for a dry run, when another run has taken the platform, when cron does not stop, or when
    Moodle was open since the freeze and traces changed in it; Moodle is then put back as it was.
    """
    campaign.check_fence()
    write_keys_ahead(campaign)  # of a log, for hours: not while Moodle is closed
    with campaign.lock("maintenance"), journal.stage(campaign, "maintenance_on") as closing:
        opened = _was_open(campaign)
        before = _remember(campaign)
        closing["detail"] = _enable(campaign, before)
        try:
            _wait_for_cron(campaign)
            if opened:
                refuse_changes(campaign)
        except Exception:  # a setup that failed has no teardown
            _put_back(campaign, before)
            _forget(campaign)
            raise
        _log.info("%s : %s.", campaign.platform.label, closing["detail"])


def reopen(campaign: Campaign) -> None:
    """Purge Moodle's caches and put its maintenance mode back as :func:`close` found it; does nothing twice.

    Does nothing once another run has closed Moodle in turn, which that run opens. One that has only taken the platform
    may never come to that: this run still opens what it closed. Caches that cannot be purged do not keep Moodle closed:
    it opens, then :class:`UnreachableError` is raised, and a retry purges them.
    """
    with campaign.lock("maintenance"):  # a successor that is closing Moodle is waited for
        before = _left_closed(campaign, campaign.run)
        if before is not None:
            _reopen(campaign, before)


def _reopen(campaign: Campaign, before: _Before) -> None:
    with journal.stage(campaign, "maintenance_off") as closing:
        failure = _refresh(campaign)
        _put_back(campaign, before)
        closing["detail"] = "Moodle reste en maintenance, comme avant" if before.closed else "Moodle est rouvert"
        if _command(campaign) is None:
            closing["detail"] += " ; purgez ses caches (Administration du site > Développement > Purger les caches)"
        if failure:
            raise failure
        _forget(campaign)
        _log.info("%s : %s.", campaign.platform.label, closing["detail"])


def _was_open(campaign: Campaign) -> bool:
    """Whether Moodle was open after the run's freeze: what it moves may then have changed since its backup."""
    if not is_frozen(campaign):
        return False
    never_opened = _left_closed(campaign, campaign.run) is not None
    return not (never_opened and _present(campaign).closed)


def _remember(campaign: Campaign) -> _Before:
    """What the site was before the campaign, written down before the first change."""
    row = tables.maintenance
    before = _left_closed(campaign) or _present(campaign)
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(row).where(sa.or_(row.c.reopened_at.is_(None), row.c.run == campaign.run)))
        values = {"run": campaign.run, "was_closed": before.closed, "value": before.value, "closed_at": now()}
        connection.execute(sa.insert(row).values(values))
    return before


def _forget(campaign: Campaign) -> None:
    """Write down that the run has put back what it had found."""
    row = tables.maintenance
    with campaign.engine.begin() as connection:
        connection.execute(sa.update(row).where(row.c.run == campaign.run).values(reopened_at=now()))


def _left_closed(campaign: Campaign, run: int | None = None) -> _Before | None:
    """What a run (any run, by default) found that has not put it back; None if there is none."""
    row = tables.maintenance.c
    query = sa.select(row.was_closed, row.value).where(row.reopened_at.is_(None))
    if run is not None:
        query = query.where(row.run == run)
    with campaign.engine.connect() as connection:
        found = connection.execute(query).one_or_none()
    return _Before(bool(found.was_closed), found.value) if found else None


def _present(campaign: Campaign) -> _Before:
    config, command = campaign.moodle["config"], _command(campaign)
    with campaign.engine.connect() as connection:
        value = connection.execute(sa.select(config.c.value).where(config.c.name == _SETTING)).scalar()
    if command is None:
        return _Before(value not in (None, "", "0"), value)
    status = (command.run("maintenance.php").strip().splitlines() or [""])[-1]
    if _OPEN.search(status):
        return _Before(False, value)
    if _CLOSED.search(status):
        return _Before(True, value)
    raise TransitionError(
        f"La commande maintenance.php répond « {status[:200]} », ni activée ni désactivée, en français ou en anglais :"
        " vérifiez la clé moodle_command du fichier de la plateforme et la langue du site."
    )


def _enable(campaign: Campaign, before: _Before) -> str:
    """Close the site; returns how, in French."""
    command = _command(campaign)
    if before.stays(command):
        return "Moodle était déjà en maintenance, il y restera"
    if command:
        command.run("maintenance.php", "--enable")
        return "Moodle est en maintenance"
    _set(campaign, "1")
    return (
        "Moodle est en maintenance par sa table config, que son cache peut lui cacher, et son cron continue :"
        " déclarez moodle_command, ou fermez-le à la main"
    )


def _wait_for_cron(campaign: Campaign) -> None:
    """Return once the cron that ran before Moodle closed runs no task: it looks for the maintenance at its start only.

    Without Moodle's command line, cron goes on anyway.
    """
    command = _command(campaign)
    if command is None:
        return
    command.run("cron.php", "--stop")  # after its present task, it takes no other
    until, said = time.monotonic() + PATIENCE, ""
    while running := _running(campaign):
        if time.monotonic() >= until:
            raise TransitionError(
                f"Après {PATIENCE // 60} min de maintenance, le cron de Moodle exécute encore {running} : attendez-en"
                " la fin, ou arrêtez ce cron sur le serveur de Moodle, puis relancez la tâche approval.maintenance_on ;"
                " Moodle est remis comme il était."
            )
        if running != said:
            _log.info("La mise en maintenance attend la fin de ce que le cron de Moodle exécute : %s.", running)
            said = running
        time.sleep(LOOK)


def _running(campaign: Campaign) -> str:
    """The tasks that Moodle's cron runs, in French: the oldest, and how many others; '' if there is none."""
    since, found = int(time.time()) - _CRASHED, list[tuple[int, str]]()
    with campaign.engine.connect() as connection:
        for name in ("task_scheduled", "task_adhoc"):
            task = campaign.moodle[name].c
            query = sa.select(task.timestarted, task.classname).where(task.timestarted > since)
            found += [(started, task_class) for started, task_class in connection.execute(query)]
    if not found:
        return ""
    started, task_class = min(found)
    others = f" et {counted(len(found) - 1, 'autre tâche', 'autres tâches')}" if len(found) > 1 else ""
    return f"{task_class} (depuis le {moment(datetime.fromtimestamp(started, UTC), campaign.platform.zone)}){others}"


def _put_back(campaign: Campaign, before: _Before) -> None:
    """Open the site, unless it was closed before the campaign."""
    command = _command(campaign)
    if before.stays(command):
        return
    if command:
        command.run("maintenance.php", "--disable")
        if before.by_page:
            command.run("maintenance.php", "--enableold")
    else:
        _set(campaign, before.value)


def _set(campaign: Campaign, value: str | None) -> None:
    """Write the setting; None: remove its row."""
    config = campaign.moodle["config"]
    mine = config.c.name == _SETTING
    with campaign.engine.begin() as connection:
        if value is None:
            connection.execute(sa.delete(config).where(mine))
        elif connection.execute(sa.select(config.c.id).where(mine).with_for_update()).first():
            connection.execute(sa.update(config).where(mine).values(value=value))
        else:
            connection.execute(sa.insert(config).values(name=_SETTING, value=value))


def _refresh(campaign: Campaign) -> UnreachableError | None:
    """Make Moodle read again what SQL changed below it; returns why its caches could not be purged."""
    _raise_revisions(campaign)
    if command := _command(campaign):
        try:
            command.run("purge_caches.php", seconds=1800)
        except UnreachableError as error:
            return error
    return None


def _raise_revisions(campaign: Campaign) -> None:
    """Of the spaces in scope, whose rows went and came by SQL."""
    decision = tables.decision.c
    courses = sa.select(decision.courseid).where(decision.run == campaign.run, decision.in_scope == sa.true())
    with campaign.engine.begin() as connection:
        raise_revisions(connection, campaign.moodle, list(connection.execute(courses).scalars()))


def _command(campaign: Campaign) -> CommandLine | None:
    prefix = campaign.platform.moodle_command
    return CommandLine(prefix) if prefix else None
