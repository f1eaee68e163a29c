"""The environment of the demonstration: what the project and Airflow read, and what stays private."""

import json
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from demo import settings
from demo.server import PrivateMariaDB
from demo.university import PLATFORMS
from transition.platforms import load_platform


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PLATFORM_FILES", "AIRFLOW", "ENVIRONMENT", "STORAGE", "FEEDS"):
        monkeypatch.setattr(settings, name, tmp_path / getattr(settings, name).name)
    monkeypatch.setattr(settings, "PASSWORDS", tmp_path / "airflow" / "passwords.json")
    return tmp_path


def test_platform_files_are_the_project_s_but_for_three_keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.write_platform_files()
    for name in PLATFORMS:
        own = load_platform(name)
        monkeypatch.setenv("TRANSITION_PLATFORMS", str(settings.PLATFORM_FILES))
        demo = load_platform(name)
        monkeypatch.delenv("TRANSITION_PLATFORMS")
        assert demo.approval == "automatic"
        assert demo.storage == str(folder / "storage")
        kept = {"approval", "storage", "limits"}
        assert demo.model_dump(exclude=kept) == own.model_dump(exclude=kept)
        own_limits = {"free_space_gib", "feed_days"}
        assert demo.limits.model_dump(exclude=own_limits) == own.limits.model_dump(exclude=own_limits)


def test_variables_survive_the_shell(folder: Path) -> None:
    server = PrivateMariaDB(folder / "mariadb")
    server.port, server.password = 3307, 'it\'s a "secret" $HOME'
    variables = settings.environment(server, 8080)
    settings.write_environment(variables)
    assert stat.S_IMODE(settings.ENVIRONMENT.stat().st_mode) == 0o600
    script = f'source {shlex.quote(str(settings.ENVIRONMENT))} && printf %s "$AIRFLOW_CONN_MOODLE_ECAMPUS"'
    read = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(read) == {
        "conn_type": "mysql", "host": "127.0.0.1", "port": 3307, "login": "transition",
        "password": "it's a \"secret\" $HOME", "schema": "ecampus",
    }  # fmt: skip


def test_the_password_is_made_up_once(folder: Path) -> None:
    first = settings.password()
    assert len(first) >= 12
    assert settings.password() == first
    assert stat.S_IMODE(settings.PASSWORDS.stat().st_mode) == 0o600
