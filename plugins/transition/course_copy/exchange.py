"""Moodle's backup file of a space, in the folder that its command line and Airflow share, and gone afterwards."""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from transition.campaign import Campaign
from transition.course_copy.settings import held
from transition.course_copy.spaces import Activity, Pair
from transition.errors import TransitionError
from transition.french import counted
from transition.moodle.command_line import CommandLine
from transition.moodle.mbz import Mbz, UnusableMbzError, read_mbz, site_hash

WITHOUT_USERS = {("backup", "backup_general_users"): "0"}
_HOURS = 2


@contextmanager
def backup_file(
    campaign: Campaign, command: CommandLine, folder: Path, pair: Pair, activities: Collection[Activity]
) -> Iterator[Path]:
    """A checked backup of the archived space without users; no file of it is left when the block ends.

    Raises :class:`TransitionError` if Moodle made no such file, or one that holds users' data, is another space's, or
    lacks an activity.
    """
    courseid = pair.source.courseid
    known = set(_files(folder, courseid))
    try:
        with held(campaign, command, WITHOUT_USERS):
            said = command.run("backup.php", f"--courseid={courseid}", f"--destination={folder}", seconds=_HOURS * 3600)
        made = set(_files(folder, courseid)) - known
        if len(made) != 1:
            raise TransitionError(
                f"Moodle a laissé {counted(len(made), 'fichier', 'fichiers')} de sauvegarde de l'espace"
                f" {pair.source.shortname} dans {folder}"
                f" ({_last_line(said)}) : vérifiez que son serveur web peut y écrire, puis relancez."
            )
        # A short name may hold what the command line refuses.
        path = made.pop().rename(folder / f"copie-moodle2-course-{courseid}-{pair.target.courseid}-nu.mbz")
        _check(campaign, path, pair, activities)
        yield path
    finally:
        for file in set(_files(folder, courseid)) - known:
            file.unlink(missing_ok=True)


def sweep(folder: Path, pair: Pair) -> None:
    """Remove what a killed copy left in the folder: nothing else backs a space up without users."""
    for left in _files(folder, pair.source.courseid, "-nu"):
        left.unlink(missing_ok=True)


def _files(folder: Path, courseid: int, end: str = "") -> list[Path]:
    """Backup files of a course, as ``backup_plan_dbops::get_default_backup_filename`` names them.

    The first word is in the site's language; ``-nu`` ends the name of one without users.
    """
    return sorted(folder.glob(f"*-moodle2-course-{courseid}-*{end}.mbz"))


def _check(campaign: Campaign, path: Path, pair: Pair, activities: Collection[Activity]) -> None:
    try:
        mbz = read_mbz(path)
    except UnusableMbzError as error:
        raise TransitionError(
            f"Le fichier de sauvegarde de l'espace {pair.source.shortname} {error} : rien n'a été restauré, vérifiez la"
            " place libre sur le serveur de Moodle, puis relancez."
        ) from None
    if faults := list(_faults(campaign, mbz, pair, activities)):
        raise TransitionError(
            f"Le fichier de sauvegarde de l'espace {pair.source.shortname} {' ; '.join(faults)} : rien n'a été"
            " restauré, il a été supprimé."
        )


def _faults(campaign: Campaign, mbz: Mbz, pair: Pair, activities: Collection[Activity]) -> Iterator[str]:
    if mbz.with_users:
        accounts = counted(len(mbz.users), "compte", "comptes")
        yield (
            f"contient des données d'utilisateurs ({accounts}) alors que backup_general_users est à 0 : vérifiez que"
            " ce réglage n'est pas fixé dans le config.php de Moodle"
        )
    if mbz.course != pair.source.courseid:
        yield f"est celui du cours {mbz.course}"
    identifier = campaign.moodle.config.get("siteidentifier")
    if identifier and mbz.site != site_hash(identifier):
        yield "est celui d'un autre site Moodle : corrigez moodle_command"
    if missing := Counter(activity.kind for activity in activities if activity.cmid not in mbz.activities):
        listed = ", ".join(f"{number} « {kind} »" for kind, number in sorted(missing.items()))
        yield (
            f"ne contient pas toutes les activités, il manque {listed} : vérifiez les réglages par défaut des"
            " sauvegardes de Moodle et que ces activités se sauvegardent, ou copiez l'espace à la main"
        )


def _last_line(said: str) -> str:
    return (said.strip().splitlines() or ["aucun message"])[-1][:200]
