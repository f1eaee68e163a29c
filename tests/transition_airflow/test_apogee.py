"""The type of the Apogée connection says which source is read."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from transition.apogee.canonical import BY_HAND, YEAR_N
from transition.apogee.csv_source import CsvFolder
from transition.apogee.gateway import Gateway
from transition.apogee.pegase import Pegase
from transition.apogee.second_feed import WithSecondFeed
from transition.apogee.sql_source import SqlSource
from transition.errors import TransitionError
from transition_airflow.connections import feed

TEACHERS = {"conn_type": "fs", "extra": {"path": "/srv/teachers"}}
ACCOUNT = {"conn_type": "http", "login": "transition", "password": "s3cret"}
PEGASE = {
    "api": "pegase", "tickets": "https://authn-app.example.fr/cas/v1/tickets", "odf": "https://odf.example.fr/api/odf/ext/v1/",
    "chc": "https://chc.example.fr/api/ext/chc/v1", "structure": "ETAB00", "identifiant": "e{code}",
}  # fmt: skip


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Defines the connections apogee_x and teachers_x; returns the source."""

    def made(apogee: dict[str, Any], teachers: dict[str, Any] | None = None) -> Any:
        monkeypatch.setenv("AIRFLOW_CONN_APOGEE_X", json.dumps(apogee))
        if teachers:
            monkeypatch.setenv("AIRFLOW_CONN_TEACHERS_X", json.dumps(teachers))
        return feed("apogee_x", "teachers_x" if teachers else None)

    return made


def test_a_folder(define: Any) -> None:
    assert define({"conn_type": "fs", "extra": {"path": "/srv/apogee"}}) == CsvFolder(Path("/srv/apogee"), YEAR_N)


def test_a_folder_and_the_teachers_beside_it(define: Any) -> None:
    made = define({"conn_type": "fs", "extra": {"path": "/srv/apogee"}}, TEACHERS)
    assert made == WithSecondFeed(
        CsvFolder(Path("/srv/apogee"), ("element", "etudiant", "inscription")),
        CsvFolder(Path("/srv/teachers"), BY_HAND),
    )


def test_an_object_store(define: Any, tmp_path: Path) -> None:
    made = define({"conn_type": "fs", "extra": {"path": f"file://{tmp_path}/apogee-feed"}})
    folder = made.folder
    (folder / "2026").mkdir(parents=True)
    (folder / "2026" / "lot.csv").write_text("lot_id\nx\n", encoding="utf-8")
    assert made.years() == [2026]
    assert "2026/lot.csv, ligne 2 : colonne absente" in made.check(2026)[0]
    assert "2026/element.csv : fichier absent ou illisible" not in str(made.read(2026).findings)


def test_a_database(define: Any, server: PrivateMariaDB) -> None:
    given = server.airflow_connection("information_schema") | {"extra": {"charset": "utf8mb4"}}
    made = define(given, TEACHERS)
    assert isinstance(made.first, SqlSource)
    assert made.live
    with made.first.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT :name"), {"name": "Éthique"}).scalar() == "Éthique"
    with pytest.raises(TransitionError, match=r"annee\.sql : la base d'Apogée refuse la requête"):
        made.check(2026)


def test_a_gateway(define: Any) -> None:
    made = define({**ACCOUNT, "host": "apogee.example.fr/api", "extra": {"api": "gateway"}}, TEACHERS).first
    assert isinstance(made, Gateway)
    assert made.url == "https://apogee.example.fr/api"
    assert made.peer.account.tickets is None
    local = define(
        {**ACCOUNT, "host": "127.0.0.1", "port": 8000, "schema": "http", "extra": {"api": "gateway"}}, TEACHERS
    )
    assert local.first.url == "http://127.0.0.1:8000"


def test_pegase(define: Any) -> None:
    made = define({**ACCOUNT, "extra": PEGASE}, TEACHERS).first
    assert isinstance(made, Pegase)
    assert made.odf == "https://odf.example.fr/api/odf/ext/v1"
    assert made.peer.account.tickets == PEGASE["tickets"]
    assert "s3cret" not in repr(made)


def test_nothing_is_known() -> None:
    assert feed("apogee_absent", None) is None


@pytest.mark.parametrize(
    ("apogee", "teachers", "sentence"),
    [
        ({**ACCOUNT, "host": "a.example.fr", "extra": {"api": "gateway"}}, None, "ne donne ni les enseignants ni"),
        ({"conn_type": "mysql", "host": "a.example.fr"}, None, "ne donne ni les enseignants ni"),
        ({**ACCOUNT, "host": "a.example.fr"}, TEACHERS, "« api » : gateway ou pegase"),
        ({**ACCOUNT, "login": "", "host": "a.example.fr", "extra": {"api": "gateway"}}, TEACHERS, "doit donner un"),
        ({**ACCOUNT, "extra": {"api": "gateway"}}, TEACHERS, "« (vide) » n'est pas une adresse https://"),
        (
            {**ACCOUNT, "host": "a.example.fr", "schema": "http", "extra": {"api": "gateway"}},
            TEACHERS,
            "« http://a.example.fr » n'est pas une adresse https://",
        ),
        ({**ACCOUNT, "extra": {**PEGASE, "odf": "http://odf.example.fr"}}, TEACHERS, "n'est pas une adresse https://"),
        ({**ACCOUNT, "extra": {**PEGASE, "identifiant": "e"}}, TEACHERS, "refusée dans Extra : identifiant"),
        ({**ACCOUNT, "extra": {**PEGASE, "verify": False}}, TEACHERS, "refusée dans Extra : verify"),
        ({"conn_type": "ftp", "host": "a.example.fr"}, TEACHERS, "est de type ftp : ce doit être fs, http ou"),
        ({"conn_type": "fs", "extra": {"path": "/srv"}}, {"conn_type": "fs"}, "« teachers_x » doit être de type fs"),
    ],
)  # fmt: skip
def test_refused(define: Any, apogee: dict[str, Any], teachers: dict[str, Any] | None, sentence: str) -> None:
    with pytest.raises(TransitionError) as refusal:
        define(apogee, teachers)
    assert sentence in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
