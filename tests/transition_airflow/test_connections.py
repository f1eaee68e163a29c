"""What becomes of the connections that an operator writes, right or wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.sdk import ObjectStoragePath

from demo.server import PrivateMariaDB, free_port
from transition.errors import TransitionError, UnreachableError
from transition_airflow.connections import engine, etherpad, feed_folder, replica, storage_root, web_service


@pytest.fixture
def define(server: PrivateMariaDB, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Defines the connection moodle_x: the server's own, but for what the test changes."""
    right = server.airflow_connection("information_schema")

    def change(**wrong: Any) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_MOODLE_X", json.dumps(right | wrong))

    change()
    return change


def test_an_engine(define: Any) -> None:
    made = engine("moodle_x")
    with made.connect() as connection:
        assert connection.get_isolation_level() == "READ COMMITTED"
        assert connection.execute(sa.text("SELECT @@character_set_client")).scalar() == "utf8mb4"
        assert connection.execute(sa.text("SELECT :name"), {"name": "Zoé 🎓"}).scalar() == "Zoé 🎓"
    assert made.url.database == "information_schema"


@pytest.mark.parametrize("make", [engine, replica])
def test_a_lax_server_refuses_what_a_column_cannot_hold(
    server: PrivateMariaDB, define: Any, make: Callable[[str], sa.Engine]
) -> None:
    mode = sa.text("SELECT @@GLOBAL.sql_mode")
    with sa.create_engine(server.url(), isolation_level="AUTOCOMMIT").connect() as root:
        usual = root.execute(mode).scalar_one()
        try:
            for lax in ("", "NO_ENGINE_SUBSTITUTION"):
                root.execute(sa.text("SET GLOBAL sql_mode = :lax"), {"lax": lax})
                made = make("moodle_x")
                with made.connect() as connection:
                    connection.execute(sa.text("CREATE TEMPORARY TABLE test.narrow (name VARCHAR(3), day DATE)"))
                    connection.execute(sa.text("INSERT INTO test.narrow VALUES ('Zoé', '0000-00-00')"))
                    with pytest.raises(sa.exc.DataError, match="1406"):
                        connection.execute(sa.text("INSERT INTO test.narrow VALUES ('Chloé', NULL)"))
                    query = sa.text("SELECT name, CAST(day AS CHAR) FROM test.narrow")
                    assert connection.execute(query).all() == [("Zoé", "0000-00-00")]
                    told = connection.execute(sa.text("SELECT @@sql_mode")).scalar_one()
                    assert set(told.split(",")) == {"STRICT_ALL_TABLES", *filter(None, [lax])}, "no other mode changes"
                made.dispose()
        finally:
            root.execute(sa.text("SET GLOBAL sql_mode = :usual"), {"usual": usual})


def test_a_socket_is_used(server: PrivateMariaDB, define: Any) -> None:
    define(host="localhost", port=free_port(), extra={"unix_socket": str(server.data / "server.sock")})
    # The account may only come by TCP: that it is refused, by name, shows that the server was reached.
    with pytest.raises(TransitionError, match="1045"):
        engine("moodle_x")


def test_a_replica_that_is_away_keeps_nobody_from_working(define: Any) -> None:
    define(port=free_port())
    away = replica("moodle_x")
    with pytest.raises(sa.exc.OperationalError), away.connect():
        pass
    define(schema="")
    with pytest.raises(TransitionError, match="nommer la base de Moodle"):
        replica("moodle_x")


def test_missing() -> None:
    with pytest.raises(TransitionError) as refusal:
        engine("moodle_absent")
    assert "« moodle_absent » n'existe pas" in str(refusal.value)
    assert "AIRFLOW_CONN_MOODLE_ABSENT" in str(refusal.value)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"conn_type": "postgres"}, "doit être de type mysql"),
        ({"schema": ""}, "nommer la base de Moodle"),
        ({"password": "wrong"}, "refusée par le serveur"),
        ({"schema": "no_such_database"}, "refusée par le serveur"),
    ],
)
def test_refused(define: Any, wrong: dict[str, Any], sentence: str) -> None:
    define(**wrong)
    with pytest.raises(TransitionError) as refusal:
        engine("moodle_x")
    assert "« moodle_x »" in str(refusal.value)
    assert sentence in str(refusal.value)


def test_a_server_that_does_not_answer_may_answer_later(define: Any) -> None:
    define(port=free_port())
    with pytest.raises(UnreachableError, match="« moodle_x » ne répond pas"):
        engine("moodle_x")


def test_no_password_in_what_is_shown(server: PrivateMariaDB, define: Any) -> None:
    assert server.password not in repr(engine("moodle_x"))
    define(password="s3cret-and-wrong")
    with pytest.raises(TransitionError) as refusal:
        engine("moodle_x")
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("extra", "folder"),
    [({"path": "/srv/apogee"}, Path("/srv/apogee")), ({"path": "apogee"}, None), ({"path": 3}, None), ({}, None)],
)
def test_the_folder_of_a_feed(monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], folder: Path | None) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_APOGEE_X", json.dumps({"conn_type": "fs", "extra": extra}))
    assert feed_folder("apogee_x") == folder


def test_no_feed() -> None:
    assert feed_folder("apogee_absent") is None


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ({"host": "pads.example"}, "https://pads.example"),
        ({"host": "pads.example", "schema": "http", "port": 9001}, "http://pads.example:9001"),
        ({"host": "https://pads.example/etherpad/"}, "https://pads.example/etherpad"),
    ],
)
def test_an_etherpad_server(monkeypatch: pytest.MonkeyPatch, address: dict[str, Any], url: str) -> None:
    described = json.dumps({"conn_type": "http", "password": "s3cret", **address})
    monkeypatch.setenv("AIRFLOW_CONN_ETHERPAD_X", described)
    server = etherpad("etherpad_x")
    assert server is not None
    assert (server.url, server.key) == (url, "s3cret")
    assert "s3cret" not in repr(server)


@pytest.mark.parametrize("wrong", [{"conn_type": "fs"}, {"password": ""}, {"host": ""}])
def test_an_etherpad_connection_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]) -> None:
    described = {"conn_type": "http", "host": "pads.example", "password": "s3cret"} | wrong
    monkeypatch.setenv("AIRFLOW_CONN_ETHERPAD_X", json.dumps(described))
    with pytest.raises(TransitionError, match="« etherpad_x » doit être de type http"):
        etherpad("etherpad_x")


def test_a_web_service(monkeypatch: pytest.MonkeyPatch) -> None:
    described = {"conn_type": "http", "host": "moodle.example/ecampus/", "password": "j3ton"}
    monkeypatch.setenv("AIRFLOW_CONN_MOODLE_WS_X", json.dumps(described))
    service = web_service("moodle_ws_x")
    assert service is not None
    assert (service.url, service.token) == ("https://moodle.example/ecampus", "j3ton")
    assert "j3ton" not in repr(service)
    assert web_service(None) is None
    monkeypatch.setenv("AIRFLOW_CONN_MOODLE_WS_X", json.dumps({**described, "password": ""}))
    with pytest.raises(TransitionError, match=r"l'adresse du site Moodle .* et un jeton de service web"):
        web_service("moodle_ws_x")


def test_no_etherpad_declared_or_none_there() -> None:
    assert etherpad(None) is None
    with pytest.raises(TransitionError, match="« etherpad_absent » n'existe pas"):
        etherpad("etherpad_absent")


def test_a_storage_that_is_a_url_is_served_by_airflow(tmp_path: Path) -> None:
    assert storage_root(str(tmp_path)) is None, "a folder needs nobody"
    root = storage_root(f"file://{tmp_path}/objets")
    assert root is not None
    (root / "a").mkdir(parents=True)
    (root / "a" / "b").write_bytes(b"c")
    assert (tmp_path / "objets" / "a" / "b").read_bytes() == b"c"


def test_a_storage_whose_package_is_missing_names_it() -> None:
    with pytest.raises(TransitionError, match=r"gs://seau/prefixe.*apache-airflow-providers-amazon\[s3fs\]"):
        storage_root("gs://seau/prefixe")


def test_a_feed_in_an_object_store_is_served_by_a_connection_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "2026").mkdir()
    described = {"conn_type": "fs", "extra": {"path": f"file://aws_transition@{tmp_path}"}}
    monkeypatch.setenv("AIRFLOW_CONN_FEED", json.dumps(described))
    folder = feed_folder("feed")
    assert isinstance(folder, ObjectStoragePath)
    assert folder.conn_id == "aws_transition"
