"""Where the demonstration lives, and the environment that makes the project work on it."""

from __future__ import annotations

import json
import os
import secrets
import shlex
from pathlib import Path

import yaml

from demo.server import PrivateMariaDB, free_port
from demo.university import PLATFORMS

PROJECT = Path(__file__).resolve().parents[1]
FOLDER = PROJECT / ".demo"
MARIADB, FEEDS, STORAGE = FOLDER / "mariadb", FOLDER / "apogee", FOLDER / "storage"
PLATFORM_FILES, AIRFLOW, ENVIRONMENT = FOLDER / "platforms", FOLDER / "airflow", FOLDER / "environment"
PASSWORDS = AIRFLOW / "passwords.json"
LOGIN = "admin"
UI_PORT = 8080
FREE_SPACE_GIB = 0.5
FEED_DAYS = 36_500  # its feeds bear a fixed date


def write_platform_files() -> None:
    """Copy the platform files, with what the demonstration needs: a storage of its own, an automatic approval."""
    PLATFORM_FILES.mkdir(parents=True, exist_ok=True)
    for platform in PLATFORMS:
        text = (PROJECT / "include" / "platforms" / f"{platform}.yaml").read_text(encoding="utf-8")
        facts = yaml.safe_load(text)
        facts["storage"], facts["approval"] = str(STORAGE), "automatic"
        facts["limits"] |= {"free_space_gib": FREE_SPACE_GIB, "feed_days": FEED_DAYS}
        copy = yaml.safe_dump(facts, allow_unicode=True, sort_keys=False)
        (PLATFORM_FILES / f"{platform}.yaml").write_text(copy, encoding="utf-8")


def ui_port() -> int:
    """Return the port of the UI: the usual one, else any that is free."""
    return free_port(UI_PORT)


def environment(server: PrivateMariaDB, port: int) -> dict[str, str]:
    """Return the variables that the demonstration's processes need: connections, folders, Airflow's settings."""
    return {**airflow(port), **_connections(server), **_project()}


def write_environment(variables: dict[str, str]) -> None:
    """Keep the variables in a file for `source`, so that the project's other commands can work on the demonstration."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    ENVIRONMENT.touch(mode=0o600)
    ENVIRONMENT.write_text("".join(lines), encoding="utf-8")


def password() -> str:
    """Return the password of the UI's only account, made up at the first call."""
    if not PASSWORDS.exists():
        AIRFLOW.mkdir(parents=True, exist_ok=True)
        PASSWORDS.touch(mode=0o600)
        PASSWORDS.write_text(json.dumps({LOGIN: secrets.token_urlsafe(9)}), encoding="utf-8")
    return str(json.loads(PASSWORDS.read_text(encoding="utf-8"))[LOGIN])


def _project() -> dict[str, str]:
    return {
        "TRANSITION_PLATFORMS": str(PLATFORM_FILES),
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "plugins"), str(PROJECT)]),
    }


def _connections(server: PrivateMariaDB) -> dict[str, str]:
    found = {}
    for platform in PLATFORMS:
        found[f"AIRFLOW_CONN_MOODLE_{platform.upper()}"] = json.dumps(server.airflow_connection(platform))
        feed = {"conn_type": "fs", "extra": {"path": str(FEEDS / platform)}}
        found[f"AIRFLOW_CONN_APOGEE_{platform.upper()}"] = json.dumps(feed)
    return found


def airflow(port: int) -> dict[str, str]:
    """Return Airflow's settings: all on this machine, one account, few processes."""
    settings = {
        "CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "4",  # each worker is a process: a laptop has few cores
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",  # whatever the shell says: a login is asked for
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{LOGIN}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(PASSWORDS),
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port(8793)),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port(8794)),
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    variables = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    return variables | {"AIRFLOW_HOME": str(AIRFLOW), "SCARF_ANALYTICS": "false"}
