"""Moodle's own command line (``admin/cli``), run where Moodle is: here, over ssh, or in a container."""

import re
import subprocess
from dataclasses import dataclass

from transition.errors import TransitionError, UnreachableError

# ssh hands its arguments to a shell at the other end: none may mean anything to it.
_PLAIN = re.compile(r"[A-Za-z0-9_./:=@%+,-]+")


class SlowCommandError(UnreachableError):
    """A script took longer than it may."""


@dataclass(frozen=True)
class CommandLine:
    """How to run a script of ``admin/cli``.

    :param prefix: the words before a script's name; the last one is the folder of the scripts, as in
        ``("ssh", "moodle.example.fr", "php", "/var/www/moodle/admin/cli")``.
    """

    prefix: tuple[str, ...]

    def run(self, script: str, *arguments: str, seconds: float = 600) -> str:
        """Run a script to its end, without a shell; returns what it printed.

        Raises :class:`TransitionError` if the first word is no program or an argument is not plain, and
        :class:`UnreachableError` if the script fails or takes longer than ``seconds`` (:class:`SlowCommandError`): a
        later try may succeed.
        """
        command = [*self.prefix[:-1], f"{self.prefix[-1].rstrip('/')}/{script}", *arguments]
        for argument in arguments:
            if not _PLAIN.fullmatch(argument):
                raise TransitionError(
                    f"La ligne de commande de Moodle refuse l'argument « {argument} » de {script} : ôtez-en les espaces"
                    " et les signes autres que . _ - / : = @ % + ,"
                )
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise SlowCommandError(
                f"La commande de Moodle {script} n'a pas répondu en {seconds:.0f} s : vérifiez la clé moodle_command du"
                " fichier de la plateforme et l'accès au serveur de Moodle."
            ) from None
        except OSError as error:
            raise TransitionError(
                f"La commande de Moodle « {command[0]} » ne se lance pas ({error.strerror}) : corrigez la clé"
                " moodle_command du fichier de la plateforme."
            ) from None
        if done.returncode != 0:
            said = ((done.stderr.strip() or done.stdout.strip()).splitlines() or ["aucun message"])[-1][:200]
            raise UnreachableError(
                f"La commande de Moodle {script} a échoué (code {done.returncode} : {said}) : lancez-la à la main sur"
                " le serveur de Moodle pour en voir la cause."
            )
        return done.stdout
