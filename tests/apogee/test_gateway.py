"""A gateway's lot becomes a feed, whole, or is refused by table, page and key."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.apogee.rest_server import Answer, RestServer, rest_server
from tests.support.feed import write_year
from transition.apogee import pages, tables
from transition.apogee.canonical import BY_HAND
from transition.apogee.checks import check, check_feed
from transition.apogee.csv_source import CsvFolder
from transition.apogee.gateway import Gateway
from transition.apogee.pages import Account, Peer
from transition.apogee.second_feed import WithSecondFeed
from transition.apogee.stage import apogee_sync
from transition.campaign import Campaign
from transition.caps import extracted
from transition.errors import TransitionError, UnreachableError

REQUIRED = ("element", "etudiant", "inscription")


def element(code: str, year: int = 2026, **more: Any) -> dict[str, Any]:
    facts = {"annee": year, "code": code, "libelle": f"Élément {code}", "nature": "EC", "composante": "SCI"}
    return {**facts, "etat": "ouvert", "fictif": False, "code_porteur": None, **more}


TABLES: dict[str, list[dict[str, Any]]] = {
    "element": [element(f"INF{number}") for number in range(5)],
    "etudiant": [{"code_etudiant": 22600001, "identifiant": "e22600001"},
                 {"code_etudiant": 22600002, "identifiant": ""}],
    "inscription": [
        {"annee": 2026, "code_etudiant": student, "code": code, "etape": "L3INF", "version": 140, "statut": "active"}
        for student in (22600001, 22600002)
        for code in ("INF1", "INF2")
    ],
}  # fmt: skip


def serve(rest: RestServer, year: int = 2026, **more: Any) -> None:
    """Serve a lot of that year, changed as the test says; ``more`` may replace tables too."""
    given = {name: more.pop(name, rows) for name, rows in TABLES.items()} | more.pop("besides", {})
    lot = {"lot_id": f"gw/{year}", "source": "passerelle", "annee": year, "extrait_le": f"{year}-08-14T02:00:00+02:00"}
    lot |= {"complet": True, "nb_lignes": {name: len(rows) for name, rows in given.items()}, **more}
    rest.lots[year] = lot
    rest.pages("/lots", list(rest.lots.values()))
    for name, rows in given.items():
        rest.pages(f"/lots/gw/{year}/{name}", rows)


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> Iterator[RestServer]:
    monkeypatch.setattr(pages, "_RETRY", pages._RETRY.new(backoff_factor=0.01))
    with rest_server() as running:
        serve(running)
        yield running


def gateway(rest: RestServer) -> Gateway:
    return Gateway(Peer(Account("transition", "s3cret")), rest.url)


def test_a_lot(rest: RestServer) -> None:
    feed = gateway(rest).read(2026)
    assert check(feed, REQUIRED).refused == []
    assert feed.manifest is not None
    assert (feed.manifest.lot_id, feed.manifest.source) == ("gw/2026", "passerelle")
    assert feed.manifest.extrait_le == datetime(2026, 8, 14)
    assert {name: len(raw.frame) for name, raw in feed.tables.items()} == {
        "element": 5,
        "etudiant": 2,
        "inscription": 4,
    }
    row = feed.tables["element"].frame.iloc[4]
    assert (row["code"], row["fictif"], row["code_porteur"], row["annee"]) == ("INF4", "0", "", "2026")
    assert feed.tables["element"].place(4) == "2026/element, page 3"


def test_the_same_rows_in_another_order_are_the_same_lot(rest: RestServer) -> None:
    first = gateway(rest).read(2026)
    serve(rest, element=TABLES["element"][::-1])
    second = gateway(rest).read(2026)
    serve(rest, element=[element(f"MAT{number}") for number in range(5)])
    third = gateway(rest).read(2026)
    assert first.manifest and second.manifest and third.manifest
    assert first.manifest.fingerprint == second.manifest.fingerprint != third.manifest.fingerprint


def test_a_snapshot_leaves_the_people_out(rest: RestServer) -> None:
    serve(rest, 2025, element=[element("INF1", 2025)])
    rest.seen.clear()
    feed = gateway(rest).read(2025, snapshot=True)
    assert set(feed.tables) == {"element"}
    assert check(feed, ("element",)).refused == []
    assert not any("etudiant" in path for path in rest.seen)


def test_years(rest: RestServer) -> None:
    serve(rest, 2025)
    assert gateway(rest).years() == [2025, 2026]
    assert gateway(rest).check(2026) == []
    assert "n'a pas de lot de 2027" in gateway(rest).check(2027)[0]
    with pytest.raises(TransitionError, match="n'a pas de lot de 2027"):
        gateway(rest).read(2027)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"nb_lignes": {"element": 6, "etudiant": 2, "inscription": 4}}, "2026/element : 5 lignes lues, 6 annoncées"),
        ({"nb_lignes": {"element": 5, "etudiant": 2}}, "2026/inscription.csv : fichier absent"),
        ({"complet": False}, "2026/lots, colonne complet"),
        ({"element": [element("INF1"), element("INF1")]}, "page 1, colonne code : doublon de la page 1"),
        ({"element": [element("INF1"), element("INF2"), element("INF3", 2025)]}, "page 2, colonne annee : « 2025 »"),
        ({"element": [{"annee": 2026, "code": "INF1"}]}, "2026/element, page 1 : clé absente : libelle, nature"),
        ({"element": [element("INF1", cout=3)]}, "2026/element, page 1 : clé inconnue : cout"),
        ({"element": [element("INF1", periode={"code": "S5"})]}, "clé qui n'est pas une valeur : periode"),
        ({"element": [element("INF1", fictif="N")]}, "colonne fictif : « N » doit être 0 ou 1"),
        ({"besides": {"salle": [{"code": "A101"}]}}, "annonce la table « salle », non livrée"),
    ],
)  # fmt: skip
def test_a_bad_lot_is_refused_by_table_page_and_key(rest: RestServer, more: dict[str, Any], sentence: str) -> None:
    serve(rest, **more)
    refused = check(gateway(rest).read(2026), REQUIRED).refused
    assert sentence in "\n".join(refused)
    assert not any("22600001" in finding for finding in refused)


def test_a_manifest_that_is_no_manifest(rest: RestServer) -> None:
    rest.pages("/lots", [{"lot_id": "gw/2026", "annee": 2026, "extrait_le": "2026-08-14", "complet": True}])
    with pytest.raises(TransitionError, match="/lots : clé absente ou valeur refusée : extrait_le, nb_lignes, source"):
        gateway(rest).read(2026)


def test_two_lots_of_a_year(rest: RestServer) -> None:
    rest.pages("/lots", [*rest.lots.values()] * 2, size=5)
    with pytest.raises(TransitionError, match="une année y a deux lots"):
        gateway(rest).years()


def test_a_page_that_fails_leaves_nothing(rest: RestServer, campaign: Campaign, tmp_path: Path) -> None:
    fed = with_teachers(campaign, rest, tmp_path)
    del rest.routes["/lots/gw/2026/inscription"]
    with pytest.raises(TransitionError, match="HTTP 404"):
        apogee_sync(fed)
    rest.pages("/lots/gw/2026/inscription", TABLES["inscription"][:3])
    with pytest.raises(TransitionError, match="3 lignes lues, 4 annoncées par le manifeste"):
        apogee_sync(fed)
    with fed.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.lot)).scalar_one() == 0
    serve(rest)
    assert check_feed(fed) == []
    apogee_sync(fed)
    with fed.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.inscription)).scalar_one() == 4


def test_an_error_at_the_last_page_is_not_a_short_list(rest: RestServer) -> None:
    whole = rest.routes["/lots/gw/2026/element"]
    rest.routes["/lots/gw/2026/element"] = lambda query: Answer({}, 500) if query["page"] == "2" else whole(query)
    with pytest.raises(UnreachableError, match="HTTP 500"):
        gateway(rest).read(2026)


def with_teachers(campaign: Campaign, rest: RestServer, folder: Path) -> Campaign:
    write_year(folder / "teachers", 2026, {"enseignant_affectation": [{"code": "INF1", "identifiant": "ens001"}]},
               only=BY_HAND)  # fmt: skip
    return replace(campaign, feed=WithSecondFeed(gateway(rest), CsvFolder(folder / "teachers", BY_HAND)))


def test_the_second_feed_is_checked_by_its_own_manifest(rest: RestServer, campaign: Campaign, tmp_path: Path) -> None:
    fed = with_teachers(campaign, rest, tmp_path)
    folder = tmp_path / "teachers" / "2026"
    teachers = (folder / "enseignant_affectation.csv").read_text(encoding="utf-8")
    (folder / "enseignant_affectation.csv").write_text(teachers.splitlines(keepends=True)[0], encoding="utf-8")
    with pytest.raises(TransitionError, match=r"2026/enseignant_affectation\.csv : 0 ligne lue, 1 annoncée") as refusal:
        apogee_sync(fed)
    assert len(str(refusal.value).splitlines()) == 2  # the intro and one finding
    (folder / "lot.csv").unlink()
    assert "2026/lot.csv : fichier absent" in check_feed(fed)[0]
    (folder / "enseignant_affectation.csv").unlink()
    with pytest.raises(TransitionError, match=r"2026/lot\.csv : fichier absent"):
        apogee_sync(fed)


def test_a_table_that_both_feeds_give(rest: RestServer, campaign: Campaign, tmp_path: Path) -> None:
    fed = with_teachers(campaign, rest, tmp_path)
    write_year(tmp_path / "teachers", 2026, {"element": [{"code": "INF1", "libelle": "x"}]}, only=(*BY_HAND, "element"))
    with pytest.raises(TransitionError, match=r"2026/element\.csv : cette table vient déjà de la source Apogée"):
        apogee_sync(fed)


def test_the_age_of_both_is_that_of_the_registrations(rest: RestServer, campaign: Campaign, tmp_path: Path) -> None:
    serve(rest, extrait_le="2026-06-01T02:00:00+02:00")  # no longer extracted; the folder's own is of 14 August
    fed = with_teachers(campaign, rest, tmp_path)
    apogee_sync(fed)
    assert extracted(fed) == datetime(2026, 6, 1)


def test_a_change_in_the_second_feed_is_another_lot(rest: RestServer, campaign: Campaign, tmp_path: Path) -> None:
    fed = with_teachers(campaign, rest, tmp_path)
    apogee_sync(fed)
    apogee_sync(fed)
    write_year(tmp_path / "teachers", 2026, {"enseignant_affectation": [{"code": "INF2", "identifiant": "ens001"}]},
               only=BY_HAND)  # fmt: skip
    apogee_sync(fed)
    with fed.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.lot)).scalar_one() == 2
        run = connection.execute(sa.select(tables.run_lot.c.lot_id)).scalar_one()
        codes = connection.execute(
            sa.select(tables.enseignant_affectation.c.code).where(tables.enseignant_affectation.c.lot_id == run)
        )
        assert codes.scalars().all() == ["INF2"]
