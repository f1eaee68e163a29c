"""The private MariaDB: it starts, keeps its data, disturbs nobody, and goes."""

import shutil
import socket
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB, ServerError, free_port, process_runs


def scalar(server: PrivateMariaDB, statement: str) -> object:
    with sa.create_engine(server.url(), poolclass=sa.NullPool).connect() as connection:
        return connection.execute(sa.text(statement)).scalar()


def test_life_of_a_server(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30) / "server"  # deeper than a socket path may be
    with PrivateMariaDB(folder) as first:
        pid, port = first.pid, first.port
        assert pid is not None
        assert scalar(first, "SELECT CURRENT_USER()") == "transition@127.0.0.1"
        assert scalar(first, "SELECT @@character_set_server") == "utf8mb4"
        with sa.create_engine(first.url(), poolclass=sa.NullPool).begin() as connection:
            connection.exec_driver_sql("CREATE DATABASE kept")
        joined = PrivateMariaDB(folder).start()
        assert (joined.pid, joined.port) == (pid, port)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            assert free_port(taken.getsockname()[1]) != taken.getsockname()[1]
        assert stat.S_IMODE((folder / "server.json").stat().st_mode) == 0o600
        assert not (folder / "account.sql").exists()
    assert first.pid is None
    assert not process_runs(pid, "mariadbd")
    first.stop()  # nothing left to stop: no error
    with PrivateMariaDB(folder, port=port) as again:
        assert again.port == port
        assert scalar(again, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'kept'") == 1


def test_a_port_in_use_is_left_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with PrivateMariaDB(tmp_path, port=port) as server:
            assert server.port != port
            assert scalar(server, "SELECT 1") == 1


def test_a_missing_program_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(ServerError, match=r"mariadb-install-db was not found[^$]*apt-get install mariadb-server-core"):
        PrivateMariaDB(tmp_path).start()


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    with PrivateMariaDB(tmp_path) as server:
        data = server.data
    (data / "ibdata1").write_bytes(b"not a tablespace")
    with pytest.raises(ServerError, match=r"did not start\. The end of its log"):
        PrivateMariaDB(tmp_path).start()
    assert PrivateMariaDB(tmp_path).pid is None


def test_an_installation_that_was_interrupted_is_done_again(tmp_path: Path) -> None:
    with PrivateMariaDB(tmp_path) as server:
        data = server.data
    (data / "ibdata1").write_bytes(b"half of a tablespace")
    (tmp_path / "installed").unlink()
    with PrivateMariaDB(tmp_path) as server:
        assert scalar(server, "SELECT 1") == 1
