"""What the operator's command becomes when it is interrupted: it opens Moodle, if the run had closed it, and ends.

Its arguments are that run and the folder of the throw-away Airflow, which it removes; the order is in the environment,
standard output is the terminal, and standard error the technical log. Signals stay blocked: it is soon done.
"""

import os
import shutil
import sys
import traceback

from transition import maintenance
from transition_airflow.command import INTERRUPTED, Order, campaign_of, listen
from transition_airflow.terminal import Terminal


def main(run_id: str, home: str) -> int:
    """Put Moodle back as the run found it."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        os.dup2(2, 1)  # what Airflow says goes where it went before
        terminal = Terminal(stream)
        listen(terminal)
        try:
            maintenance.reopen(campaign_of(Order.read(os.environ), run_id))
        except Exception as error:
            traceback.print_exc()
            terminal.say(
                f"La réouverture de Moodle a échoué : {error}\nVérifiez s'il est encore en maintenance. S'il l'est,"
                " relancez la même commande, qui le rouvre à sa fin, ou ouvrez-le sur son serveur :"
                " php admin/cli/maintenance.php --disable"
            )
        finally:
            shutil.rmtree(home, ignore_errors=True)
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
