"""A private MariaDB server: its own data folder, port and account, never the machine's.

Used by the tests (`tests/conftest.py`), by `make demo` and by the benchmarks. Only TCP on 127.0.0.1 is used: the socket
stays inside the data folder, under a relative name, so that a deep folder cannot overflow the 107 bytes of its path.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.exc import OperationalError

HOST = "127.0.0.1"
USER = "transition"
# As MySQL 8 has them by default: what it would refuse is refused here too.
_MODES = (
    "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION"
)
START_SECONDS = 60
STOP_SECONDS = 60

INSTALL_HINT = (
    "The demonstration and the tests need a MariaDB server (10.6 or later) and the headers of its client.\n"
    "Debian or Ubuntu:  apt-get install mariadb-server-core libmariadb-dev\n"
    "Fedora or RHEL:    dnf install mariadb-server mariadb-connector-c-devel\n"
    "The machine's own server is never used: only the programs are."
)


class ServerError(RuntimeError):
    """The private server cannot be installed or started; the message says what to do."""


def free_port(preferred: int | None = None) -> int:
    """Return `preferred` if nothing listens there, else any port that is free now."""
    for port in ([preferred] if preferred else []) + [0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError("No free TCP port on 127.0.0.1.")


def process_runs(pid: int, word: str) -> bool:
    """Tell whether process `pid` is alive and has `word` in its command line (a pid alone may have been reused)."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return word.encode() in command


def _program(*names: str) -> str:
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/libexec"])
    for name in names:
        found = shutil.which(name, path=places)
        if found:
            return found
    raise ServerError(f"{names[0]} was not found.\n{INSTALL_HINT}")


class PrivateMariaDB:
    """A MariaDB server that lives in `folder`; a context manager, or `start()` and `stop()`.

    `folder` is created when absent and belongs to the server: data, log, pid file, and `server.json` (port, password;
    readable by the owner only). A server of this folder that already runs is used as it is. `port` is a wish: another
    free port is taken when it is in use, so read `port` after the start. The account may do everything. `options` are
    the server's own (``--name=value``), after those that it always gets.
    """

    def __init__(self, folder: Path | str, port: int | None = None, options: tuple[str, ...] = ()) -> None:
        self.folder = Path(folder).resolve()
        self.host = HOST
        self.user = USER
        self.port = port or 0
        self.password = ""
        self.options = options
        self._facts = self.folder / "server.json"
        self._log = self.folder / "error.log"
        self._temporary = self.folder / "tmp"
        self._pid_file = self.folder / "server.pid"

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.folder / "data"

    @property
    def pid(self) -> int | None:
        """The pid of the running server of this folder, else None."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if process_runs(pid, f"--datadir={self.data}") else None

    def url(self, database: str = "") -> URL:
        """Return the SQLAlchemy URL of the server, or of one of its databases."""
        return URL.create(
            "mysql+mysqldb", self.user, self.password, self.host, self.port, database or None, {"charset": "utf8mb4"}
        )

    def airflow_connection(self, database: str) -> dict[str, Any]:
        """Return an Airflow connection to one of the server's databases, as ``AIRFLOW_CONN_*`` holds it in JSON."""
        return {
            "conn_type": "mysql", "host": self.host, "port": self.port, "login": self.user, "password": self.password,
            "schema": database,
        }  # fmt: skip

    def start(self) -> Self:
        """Start the server, or join the one that runs; return when it answers. Raise ServerError otherwise."""
        if self.pid is not None:
            facts = json.loads(self._facts.read_text())
            self.port, self.password = facts["port"], facts["password"]
            return self
        self._temporary.mkdir(parents=True, exist_ok=True)
        self._install()
        self.port = free_port(self.port or None)
        self.password = secrets.token_urlsafe(18)
        _write_private(self._facts, json.dumps({"port": self.port, "password": self.password}))
        self._launch()
        return self

    def stop(self) -> None:
        """Stop the server of this folder by its pid; do nothing when none runs."""
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self.pid is not None and time.monotonic() < deadline:
            _reap(pid)
            time.sleep(0.05)
        if self.pid is not None:
            raise ServerError(f"The private MariaDB (pid {pid}) did not stop in {STOP_SECONDS} s: see {self._log}.")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _install(self) -> None:
        """Create the system tables once; an installation that was interrupted is done again from nothing."""
        if (self.folder / "installed").exists():
            return
        shutil.rmtree(self.data, ignore_errors=True)
        command = [
            _program("mariadb-install-db", "mysql_install_db"),
            "--no-defaults",
            f"--datadir={self.data}",
            f"--tmpdir={self._temporary}",  # as below: of two installations at once, one would fail
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            *_as_root(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServerError(f"The private MariaDB could not be installed in {self.folder}:\n{done.stderr[-1500:]}")
        (self.folder / "installed").touch()

    def _launch(self) -> None:
        account = f"'{self.user}'@'{self.host}'"
        first_words = self.folder / "account.sql"
        _write_private(
            first_words,
            f"CREATE USER IF NOT EXISTS {account};\n"
            f"ALTER USER {account} IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n",
        )
        self._pid_file.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            server = subprocess.Popen(
                [_program("mariadbd", "mysqld"), *self._options(first_words)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # Ctrl-C in the terminal must not stop the demonstration's server
            )
        self._wait(server)
        first_words.unlink(missing_ok=True)

    def _answers(self) -> bool:
        try:
            engine = create_engine(self.url(), poolclass=NullPool)
            engine.connect().close()
        except OperationalError:
            return False
        return True

    def _options(self, first_words: Path) -> list[str]:
        return [
            "--no-defaults",
            f"--datadir={self.data}",
            # A starting server deletes the temporary files that it finds: another one's, in a folder that they share.
            f"--tmpdir={self._temporary}",
            "--socket=server.sock",
            f"--port={self.port}",
            f"--bind-address={self.host}",
            "--skip-name-resolve",
            f"--pid-file={self._pid_file}",
            f"--init-file={first_words}",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_ci",
            f"--sql-mode={_MODES}",
            "--innodb-buffer-pool-size=192M",
            "--innodb-log-file-size=96M",
            "--innodb-flush-log-at-trx-commit=2",
            "--performance-schema=OFF",
            "--max-connections=80",
            *self.options,
            *_as_root(),
        ]

    def _wait(self, server: subprocess.Popen[bytes]) -> None:
        """Wait until the account of the init file can log in: the port listens well before that file is read."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if server.poll() is not None:
                break
            if self.pid is not None and self._answers():
                return
            time.sleep(0.05)
        tail = self._log.read_text(errors="replace")[-1500:]
        if server.poll() is None:
            server.kill()
            server.wait()
        raise ServerError(f"The private MariaDB of {self.folder} did not start. The end of its log:\n{tail}")


def _reap(pid: int) -> None:
    """Collect a stopped child (a zombie would still count as a process); the server may not be our child."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _as_root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
