"""Airflow for the demonstration: a session of processes of its own, spoken to by REST, stopped process by process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from demo import settings

SESSION_FILE = settings.FOLDER / "airflow.session"
LOG = settings.FOLDER / "airflow.log"
START_SECONDS, STOP_SECONDS = 300, 60
TIMEOUT = 30


class AirflowError(RuntimeError):
    """Airflow does not do what it is asked; the message says where to read why."""


def start(variables: dict[str, str]) -> None:
    """Start Airflow's scheduler, DAG processor, triggerer and UI in the background."""
    stop()
    # Beside this Python, which PATH may not name; standalone itself looks for `airflow` in PATH.
    programs = Path(sys.executable).parent
    path = os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)])
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            [str(programs / "airflow"), "standalone"],
            env={**os.environ, **variables, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=settings.PROJECT,
            start_new_session=True,
        )
    SESSION_FILE.write_text(f"{process.pid} {_birth(process.pid)}")


def is_running() -> bool:
    """Tell whether a process of the session that `start` opened is alive."""
    session = _session()
    return session is not None and any(_members(session))


def stop() -> bool:
    """End every process of the session that `start` opened; tell whether there was any.

    Signalled one by one: standalone does not hand a signal on to what it started.
    """
    session, found = _session(), False
    if session is None:
        return False
    for asked in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_SECONDS
        signalled: set[int] = set()
        while (members := set(_members(session))) and time.monotonic() < deadline:
            found = True
            for pid in members - signalled:
                _signal(pid, asked)
            signalled |= members
            time.sleep(0.2)
    SESSION_FILE.unlink(missing_ok=True)
    return found


def _session() -> int | None:
    """Return the session that `start` opened, unless its pid belongs to somebody else by now."""
    try:
        session, birth = SESSION_FILE.read_text().split()
    except (OSError, ValueError):
        return None
    leader_birth = _birth(int(session))
    return int(session) if leader_birth in ("", birth) else None


def _signal(pid: int, asked: signal.Signals) -> None:
    try:
        os.kill(pid, asked)
    except ProcessLookupError:
        return  # it ended meanwhile


def _members(session: int) -> Iterator[int]:
    """Yield the living processes of a session (field 6 of /proc/<pid>/stat, after the name in brackets)."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        fields = _stat(path)
        if fields and int(fields[3]) == session and fields[0] != "Z":
            yield int(path.parent.name)


def _birth(pid: int) -> str:
    """Return when the process started, in ticks since boot ('' for none): a pid alone may have been given again."""
    fields = _stat(Path(f"/proc/{pid}/stat"))
    return fields[19] if fields else ""


def _stat(path: Path) -> list[str]:
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _patient_session() -> requests.Session:
    """A session that asks again for what it only reads: on a busy machine an answer may come too late."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=Retry(total=None, connect=0, read=5, allowed_methods={"GET"})))
    return session


@dataclass
class Api:
    """The REST API of the demonstration's Airflow, as its only account."""

    port: int
    password: str
    _session: requests.Session = field(default_factory=_patient_session)

    @property
    def address(self) -> str:
        """Address of the UI."""
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> None:
        """Wait until the UI answers and the scheduler is healthy, then log in; AirflowError after five minutes."""
        deadline = time.monotonic() + START_SECONDS
        while is_running() and time.monotonic() < deadline:
            if self._is_healthy():
                credentials = {"username": settings.LOGIN, "password": self.password}
                answer = self._session.post(f"{self.address}/auth/token", json=credentials, timeout=TIMEOUT)
                answer.raise_for_status()
                self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
                return
            time.sleep(1)
        raise AirflowError(f"Airflow ne répond pas : voir {LOG}.")

    def wait_for_dag(self, dag: str) -> None:
        """Wait until the DAG is known, and let it run. Raise AirflowError if it does not appear."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._call("GET", f"dags/{dag}", missing_ok=True):
                self._call("PATCH", f"dags/{dag}", json={"is_paused": False})
                return
            time.sleep(1)
        errors = self._call("GET", "importErrors")["import_errors"]
        reason = errors[0]["stack_trace"][-800:] if errors else f"voir {LOG}"
        raise AirflowError(f"Airflow ne trouve pas le DAG {dag} : {reason}")

    def trigger(self, dag: str, form: dict[str, Any]) -> str:
        """Start a run with these parameters and return its id."""
        return str(self._call("POST", f"dags/{dag}/dagRuns", json={"logical_date": None, "conf": form})["dag_run_id"])

    def state(self, dag: str, run: str) -> str:
        """Return the state of a run: queued, running, success or failed."""
        return str(self._call("GET", f"dags/{dag}/dagRuns/{run}")["state"])

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Return the task instances of a run, 100 at most, as the API gives them."""
        path = f"dags/{dag}/dagRuns/{run}/taskInstances?limit=100"
        return list(self._call("GET", path)["task_instances"])

    def _is_healthy(self) -> bool:
        try:
            health = self._session.get(f"{self.address}/api/v2/monitor/health", timeout=TIMEOUT).json()
        except (requests.RequestException, ValueError):
            return False
        return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))

    def _call(self, method: str, path: str, json: Any = None, missing_ok: bool = False) -> Any:
        answer = self._session.request(method, f"{self.address}/api/v2/{path}", json=json, timeout=TIMEOUT)
        if missing_ok and answer.status_code == requests.codes.not_found:
            return None
        if not answer.ok:
            raise AirflowError(f"Airflow refuse {method} {path} ({answer.status_code}) : {answer.text[:500]}")
        return answer.json()
