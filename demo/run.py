"""`make demo`: an invented university, and its annual transition carried out for real before one's eyes.

Starts the private MariaDB, creates both platforms anew and their Apogée feeds, starts Airflow, runs the transition of
Ecampus, and says what happened. All that runs stays up for a visit; `make stop` ends it. Everything is under `.demo/`.
"""

from __future__ import annotations

import shutil
import sys
import time

from demo import apogee, settings, standalone, story, university
from demo.plan import YEAR
from demo.server import PrivateMariaDB, ServerError
from demo.story import say

DAG = "annual_transition_ecampus"
PLATFORM = "ecampus"
FORM = {"year": YEAR, "dry_run": False, "courses": []}
PATIENCE = 3600


def main() -> int:
    """Run the demonstration; return 0 when the transition succeeded."""
    settings.FOLDER.mkdir(exist_ok=True)
    if standalone.stop():
        say("La démonstration précédente est arrêtée ; elle recommence à neuf.")
    try:
        server = PrivateMariaDB(settings.MARIADB).start()
        say(f"MariaDB privé démarré sur le port {server.port} (celui de la machine, s'il existe, n'est pas touché).")
        api = start_airflow(server)
        create_university(server)
        say("Airflow démarre…")
        api.wait()
        api.wait_for_dag(DAG)
        return carry_out(api)
    except (ServerError, standalone.AirflowError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("\nInterrompu. La démonstration tourne encore : « make stop » l'arrête.")
        return 130


def start_airflow(server: PrivateMariaDB) -> standalone.Api:
    """Start Airflow in the background, so that it gets ready while the university is created."""
    settings.write_platform_files()
    port, password = settings.ui_port(), settings.password()
    if port != settings.UI_PORT:
        say(f"Le port {settings.UI_PORT} est déjà pris : l'interface sera sur le port {port}.")
    variables = settings.environment(server, port)
    settings.write_environment(variables)
    for file in settings.AIRFLOW.glob("airflow.db*"):  # a run that was stopped would go on, on another university
        file.unlink()
    standalone.start(variables)
    return standalone.Api(port, password)


def create_university(server: PrivateMariaDB) -> None:
    """Create both platforms and their feeds anew, and forget what an earlier demonstration kept of them."""
    shutil.rmtree(settings.STORAGE, ignore_errors=True)
    shutil.rmtree(settings.FEEDS, ignore_errors=True)
    for platform in university.PLATFORMS:
        story.drop_leftovers(server, platform)
        begun = time.monotonic()
        rows = university.create(server.url(platform), platform)
        apogee.write_feeds(settings.FEEDS / platform, platform)
        say(f"Plateforme {platform} créée : {story.number(rows)} lignes en {time.monotonic() - begun:.0f} s.")


def carry_out(api: standalone.Api) -> int:
    """Trigger the transition, show its progress, and tell how it ended."""
    run = api.trigger(DAG, FORM)
    say(f"\nTransition d'Ecampus vers {YEAR}-{YEAR + 1} : {api.address}/dags/{DAG}/runs/{run}")
    state = follow(api, run)
    if state == "success":
        say("")
        say(story.summary(settings.STORAGE / PLATFORM / str(YEAR) / "reports"))
    else:
        say(f"\nLa transition n'a pas abouti (état : {state}).")
        for sentence in story.refusals(settings.AIRFLOW / "logs" / f"dag_id={DAG}" / f"run_id={run}"):
            say(f"  {sentence}")
    say(f"\nInterface d'Airflow : {api.address}   identifiant : {settings.LOGIN}   mot de passe : {api.password}")
    say("Pour essayer les autres commandes sur cette démonstration : source .demo/environment, puis par exemple")
    say(f"  make transition PLATFORM=collegium_sante YEAR={YEAR}")
    say("« make stop » arrête tout ce qui a été démarré.")
    return 0 if state == "success" else 1


def follow(api: standalone.Api, run: str) -> str:
    """Print each task as it ends, and return the state of the run once it is over."""
    told: set[str] = set()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        state = api.state(DAG, run)
        ended = [task for task in api.tasks(DAG, run) if task["task_id"] not in told and task["state"] in story.ENDS]
        for task in sorted(ended, key=lambda task: task["end_date"] or ""):
            told.add(task["task_id"])
            if task["task_id"] != "watcher":
                say(story.task_line(task))
        if state in ("success", "failed"):
            return state
        time.sleep(2)
    return "trop longue"


if __name__ == "__main__":
    sys.exit(main())
