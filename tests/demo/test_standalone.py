"""Stopping the demonstration ends all that it started, and nothing else."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from demo import standalone

# A leader that leaves a stubborn child behind, as Airflow's standalone command does.
LEADER = """
import signal, subprocess, sys, time
child = '''
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(300)
'''
subprocess.Popen([sys.executable, "-c", child])
time.sleep(300)
"""


@pytest.fixture(autouse=True)
def session_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "airflow.session"
    monkeypatch.setattr(standalone, "SESSION_FILE", file)
    monkeypatch.setattr(standalone, "STOP_SECONDS", 1)
    return file


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", LEADER], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def members(session: int) -> list[int]:
    return list(standalone._members(session))


def test_every_process_of_the_session_ends(leader: subprocess.Popen[str], session_file: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    session_file.write_text(f"{leader.pid} {standalone._birth(leader.pid)}")
    assert len(members(leader.pid)) == 2
    assert standalone.is_running()
    assert standalone.stop()
    assert not standalone.is_running()
    assert members(leader.pid) == []
    assert not session_file.exists()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    assert not standalone.stop()


def test_what_a_dead_leader_left_ends_too(leader: subprocess.Popen[str], session_file: Path) -> None:
    session_file.write_text(f"{leader.pid} {standalone._birth(leader.pid)}")
    leader.kill()
    leader.wait()
    time.sleep(0.1)
    assert len(members(leader.pid)) == 1
    assert standalone.stop()
    assert members(leader.pid) == []


def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(
    leader: subprocess.Popen[str], session_file: Path
) -> None:
    session_file.write_text(f"{leader.pid} 12")  # born at another moment
    assert not standalone.stop()
    assert len(members(leader.pid)) == 2
    session_file.write_text(f"{leader.pid} {standalone._birth(leader.pid)}")
    assert standalone.stop()


def test_nothing_to_stop(session_file: Path) -> None:
    assert not standalone.stop()
    session_file.write_text("rubbish")
    assert not standalone.stop()


def test_what_is_only_read_is_asked_again_when_the_answer_comes_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Late(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.command)
            if len(asked) == 1 or self.command == "POST":
                time.sleep(1)
            with suppress(BrokenPipeError):  # nobody waits any more
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"state": "running"}')

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(standalone, "TIMEOUT", 0.3)
    with ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        api = standalone.Api(server.server_port, "")
        assert api.state("dag", "run") == "running"
        with pytest.raises(requests.ReadTimeout):
            api.trigger("dag", {})
        server.shutdown()
    assert asked == ["GET", "GET", "POST"], "what starts something is asked once"
