"""`make stop`: end the demonstration, every process that it started, and nothing else."""

from __future__ import annotations

import sys

from demo import settings, standalone
from demo.server import PrivateMariaDB, ServerError
from demo.story import say


def main() -> int:
    """Stop Airflow, then the private MariaDB; return 0 when nothing of them is left."""
    airflow = standalone.stop()
    server = PrivateMariaDB(settings.MARIADB)
    ran = server.pid is not None
    try:
        server.stop()
    except ServerError as error:
        say(str(error))
        return 1
    if airflow or ran:
        say("La démonstration est arrêtée. « make demo » la recommence.")
    else:
        say("Rien à arrêter : la démonstration ne tourne pas.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
