"""Pégase's periods, trees and choices become the canonical tables."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.apogee.rest_server import Answer, RestServer, rest_server
from transition.apogee import pages
from transition.apogee.checks import check
from transition.apogee.feed import Feed
from transition.apogee.pages import Account, Peer
from transition.apogee.pegase import Pegase
from transition.errors import TransitionError, UnreachableError

REQUIRED = ("element", "etudiant", "inscription")
ODF, CHC = "/api/odf/ext/v1/etablissement/ETAB00", "/api/ext/chc/v1/objet-formation/ETAB00/PERIODE-26-27"


def node(code: str, type_: str, *children: tuple[dict[str, Any], bool]) -> dict[str, Any]:
    return {
        "code": code, "libelle": f"Objet {code}", "type": type_, "valide": True, "mutualise": False,
        "enfants": [{"obligatoire": needed, "objetMaquette": child} for child, needed in children],
    }  # fmt: skip


SHARED = node("Y4LANG1", "EC")
FORMATIONS = {
    "u-1": node(
        "L3INF", "FORMATION", (node("Y4S5", "SEMESTRE", (node("Y4INF501", "EC"), True), (SHARED, False)), True)
    ),
    "u-2": node("L3MAT", "FORMATION", (SHARED, True)),
}
PERIODS: list[dict[str, Any]] = [
    {"id": "p-26", "code": "PERIODE-26-27", "anneeUniversitaire": 2026},
    {"id": "p-25", "code": "PERIODE-25-26", "anneeUniversitaire": "2025"},
    {"id": "p-x", "code": "ATELIER", "anneeUniversitaire": None},
]


def choice(path: str, *students: str) -> dict[str, Any]:
    learners = [{"codeApprenant": student, "nomFamille": "Invente", "prenom": "Ada"} for student in students]
    return {"objetFormation": {"code": "x", "chemin": path}, "listeApprenants": learners}


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> Iterator[RestServer]:
    monkeypatch.setattr(pages, "_RETRY", pages._RETRY.new(backoff_factor=0.01))
    with rest_server() as running:
        running.pages(f"{ODF}/espaces", PERIODS)
        running.pages(f"{ODF}/objets-maquette", [{"id": identifier} for identifier in FORMATIONS], size=1)
        for identifier, tree in FORMATIONS.items():
            running.routes[f"{ODF}/maquette/{identifier}"] = lambda _, tree=tree: Answer({"racine": tree})  # type: ignore[misc]
        choices = {
            "Y4S5": [choice("L3INF>Y4S5", "A1", "A2")],
            "Y4INF501": [choice("L3INF>Y4S5>Y4INF501", "A1"), choice("L3INF>Y4S5>Y4INF501", "A1", "A2")],
            "Y4LANG1": [choice("L3INF>Y4S5>Y4LANG1", "A1"), choice("L3MAT>Y4LANG1", "A3"), choice("", "A4")],
        }
        for code, ways in choices.items():
            running.routes[f"{CHC}/{code}/cursus"] = lambda _, ways=ways: Answer(ways)  # type: ignore[misc]
        yield running


def pegase(rest: RestServer) -> Pegase:
    peer = Peer(Account("transition", "s3cret", f"{rest.url}/cas/v1/tickets"))
    return Pegase(peer, f"{rest.url}/api/odf/ext/v1", f"{rest.url}/api/ext/chc/v1", "ETAB00", "e{code}")


def rows(feed: Feed, table: str, *columns: str) -> set[tuple[str, ...]]:
    found = list(feed.tables[table].frame[list(columns)].itertuples(index=False, name=None))
    assert len(found) == len(set(found))
    return set(found)


def test_a_year(rest: RestServer) -> None:
    feed = pegase(rest).read(2026)
    assert check(feed, REQUIRED).refused == []
    assert rows(feed, "element", "code", "nature", "composante", "etat", "fictif") == {
        ("Y4S5", "SEMESTRE", "ETAB00", "ouvert", "0"),
        ("Y4INF501", "EC", "ETAB00", "ouvert", "0"),
        ("Y4LANG1", "EC", "ETAB00", "ouvert", "0"),
    }
    assert rows(feed, "element_etape", "code", "etape", "libelle_etape", "obligatoire") == {
        ("Y4S5", "L3INF", "Objet L3INF", "1"),
        ("Y4INF501", "L3INF", "Objet L3INF", "1"),
        ("Y4LANG1", "L3INF", "Objet L3INF", "0"),
        ("Y4LANG1", "L3MAT", "Objet L3MAT", "1"),
    }
    assert rows(feed, "etudiant", "code_etudiant", "identifiant") == {(f"A{n}", f"eA{n}") for n in range(1, 5)}
    assert rows(feed, "inscription", "code_etudiant", "code", "etape", "statut") == {
        ("A1", "Y4S5", "L3INF", "active"),
        ("A2", "Y4S5", "L3INF", "active"),
        ("A1", "Y4INF501", "L3INF", "active"),
        ("A2", "Y4INF501", "L3INF", "active"),
        ("A1", "Y4LANG1", "L3INF", "active"),
        ("A3", "Y4LANG1", "L3MAT", "active"),
        ("A4", "Y4LANG1", "L3INF", "active"),  # no way given: every formation that holds the object
        ("A4", "Y4LANG1", "L3MAT", "active"),
    }
    assert feed.manifest is not None
    assert feed.manifest.rows == {"element": 3, "element_etape": 4, "etudiant": 4, "inscription": 8}
    assert "espace=p-26" in next(path for path in rest.seen if "objets-maquette" in path)


def test_a_formation_whose_code_begins_another_ones(rest: RestServer) -> None:
    """L3INF is not on the way L3INFO>…"""
    rest.pages(f"{ODF}/objets-maquette", [{"id": identifier} for identifier in ("u-1", "u-3")], size=1)
    longer = node("L3INFO", "FORMATION", (SHARED, True))
    rest.routes[f"{ODF}/maquette/u-3"] = lambda _: Answer({"racine": longer})
    rest.routes[f"{CHC}/Y4LANG1/cursus"] = lambda _: Answer([choice("L3INFO>Y4LANG1", "A1")])
    found = rows(pegase(rest).read(2026), "inscription", "code_etudiant", "code", "etape")
    assert {etape for _, code, etape in found if code == "Y4LANG1"} == {"L3INFO"}


def test_years(rest: RestServer) -> None:
    assert pegase(rest).years() == [2025, 2026]
    assert pegase(rest).check(2026) == []
    assert "n'a pas d'espace de type PERIODE pour l'année 2030" in pegase(rest).check(2030)[0]


def test_a_snapshot_asks_for_no_choice(rest: RestServer) -> None:
    feed = pegase(rest).read(2025, snapshot=True)
    assert set(feed.tables) == {"element", "element_etape"}
    assert not any("/cursus" in path for path in rest.seen)


def test_the_token_expires_on_the_way(rest: RestServer) -> None:
    rest.token_life = 3
    assert len(rows(pegase(rest).read(2026), "inscription", "code_etudiant", "code", "etape")) == 8
    assert len(rest.tokens) > 2


def test_a_tree_that_contains_itself(rest: RestServer) -> None:
    again = node("Y4S5", "SEMESTRE", (node("Y4INF501", "EC", (node("Y4S5", "SEMESTRE"), True)), True))
    rest.routes[f"{ODF}/maquette/u-1"] = lambda _: Answer({"racine": node("L3INF", "FORMATION", (again, True))})
    feed = pegase(rest).read(2026, snapshot=True)
    assert {code for (code,) in rows(feed, "element", "code")} == {"Y4S5", "Y4INF501", "Y4LANG1"}


@pytest.mark.parametrize(
    ("path", "answer", "error", "sentence"),
    [
        (f"{CHC}/Y4INF501/cursus", Answer({}, 500), UnreachableError, "HTTP 500"),
        (f"{CHC}/Y4INF501/cursus", Answer({}, 404), TransitionError, "HTTP 404"),
        (f"{CHC}/Y4INF501/cursus", Answer({}), TransitionError, "une liste est attendue"),
        (f"{CHC}/Y4INF501/cursus", Answer([{"objetFormation": {}}]), TransitionError, "« listeApprenants »"),
        (f"{CHC}/Y4INF501/cursus", Answer(b"[{"), UnreachableError, "tronquée"),
        (f"{ODF}/maquette/u-2", Answer({}), TransitionError, "« racine »"),
        (f"{ODF}/maquette/u-2", Answer({"racine": None}), TransitionError, "n'a pas de racine"),
        (f"{ODF}/maquette/u-2", Answer({"racine": {"libelle": "x"}}), TransitionError, "« code »"),
        (
            f"{ODF}/objets-maquette",
            Answer({"items": [{"id": "u-1"}], "totalElements": 2, "totalPages": 1}),
            UnreachableError,
            "lignes reçues : 1, annoncées : 2",
        ),
    ],
)
def test_nothing_less_than_all(
    rest: RestServer, path: str, answer: Answer, error: type[Exception], sentence: str
) -> None:
    rest.routes[path] = lambda _: answer
    with pytest.raises(error, match=sentence):
        pegase(rest).read(2026)
