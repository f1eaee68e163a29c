"""Apogée's database is read whole, as its queries say, or not at all."""

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB, free_port
from tests.apogee.apogee_database import SPACED, fill
from tests.support.feed import write_year
from transition.apogee import sql_source, tables
from transition.apogee.canonical import BY_HAND
from transition.apogee.checks import check_feed
from transition.apogee.csv_source import CsvFolder
from transition.apogee.feed import Feed
from transition.apogee.model import load_model
from transition.apogee.second_feed import WithSecondFeed
from transition.apogee.sql_source import QUERIES, SqlSource
from transition.apogee.stage import apogee_sync
from transition.campaign import Campaign
from transition.errors import TransitionError, UnreachableError


@pytest.fixture(scope="module")
def apogee(server: PrivateMariaDB) -> Iterator[sa.Engine]:
    """The database that tests only read; another session's changes are rolled back by who makes them."""
    name = f"source_{secrets.token_hex(4)}"
    everything = sa.create_engine(server.url(), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with everything.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
    engine = sa.create_engine(server.url(name))
    fill(engine)
    yield engine
    engine.dispose()
    with everything.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name}"))


@pytest.fixture
def adapted(apogee: sa.Engine, tmp_path: Path) -> Any:
    """The source, with one query replaced (or removed, without a text)."""

    def change(name: str, text: str | None) -> SqlSource:
        folder = tmp_path / "sql"
        shutil.copytree(QUERIES, folder)
        if text is None:
            (folder / f"{name}.sql").unlink()
        else:
            (folder / f"{name}.sql").write_text(text, encoding="utf-8")
        return SqlSource(apogee, folder)

    return change


def rows(feed: Feed, table: str, *columns: str) -> set[tuple[str, ...]]:
    frame = feed.tables[table].frame
    found = list(frame[list(columns)].itertuples(index=False, name=None))
    assert len(found) == len(set(found))
    return set(found)


@pytest.fixture(scope="module")
def feed(apogee: sa.Engine) -> Feed:
    found = SqlSource(apogee).read(2026)
    assert found.findings == []
    return found


def test_the_model_of_the_year(feed: Feed) -> None:
    assert rows(feed, "element", "code", "etat", "fictif", "code_porteur") == {
        ("S5", "ouvert", "0", ""),
        ("INF501", "ouvert", "0", ""),
        ("INF502", "ouvert", "0", ""),
        (SPACED, "ouvert", "0", ""),
        ("MIR501", "ouvert", "1", "MAT501"),
        ("MIR502", "ouvert", "0", ""),  # below a fictitious element
        ("CLO501", "ferme", "0", ""),  # reached, not passed: SUB501 is not there
        ("SUS501", "suspendu", "0", ""),
    }
    assert ("INF501", "Réseaux", "EC", "S5", "SCI") in rows(
        feed, "element", "code", "libelle", "nature", "periode", "composante"
    )


def test_the_ways_to_the_etapes(feed: Feed) -> None:
    found = rows(feed, "element_etape", "code", "etape", "version", "libelle_etape", "obligatoire")
    assert ("INF501", "L3INF", "140", "L3 Informatique", "1") in found
    assert ("INF502", "L3INF", "140", "L3 Informatique", "0") in found
    assert len(found) == 8


def test_who_is_registered(feed: Feed) -> None:
    assert rows(feed, "etudiant", "code_etudiant", "identifiant") == {
        (code, f"e{code}") for code in ("22600001", "22600002", "22600004")
    }
    columns = ("code_etudiant", "code", "etape", "version", "statut", "ia_payee", "annee")
    assert rows(feed, "inscription", *columns) == {
        ("22600001", "INF501", "L3INF", "140", "active", "1", "2026"),  # one of two administrative registrations runs
        ("22600001", SPACED, "L3INF", "140", "prise_en_compte", "1", "2026"),
        ("22600001", "MIR501", "L3INF", "140", "active", "1", "2026"),
        ("22600002", "INF501", "L3INF", "140", "active", "0", "2026"),
        ("22600002", "INF502", "L3INF", "140", "dispense", "0", "2026"),
        ("22600004", "INF501", "L3INF", "140", "annulee", "0", "2026"),
    }


def test_groups(feed: Feed) -> None:
    assert rows(feed, "groupe", "code_groupe", "code", "libelle", "type") == {("1", "INF501", "TD 1", "TD")}
    assert rows(feed, "groupe_membre", "code_groupe", "code_etudiant", "annee") == {("1", "22600001", "2026")}


def test_a_site_without_groups_removes_their_queries(adapted: Any) -> None:
    source = adapted("groupe", None)
    (source.queries / "groupe_membre.sql").unlink()
    assert source.check(2026) == []
    assert {"groupe", "groupe_membre"}.isdisjoint(source.read(2026).tables)


def test_the_manifest_tells_what_was_read_and_names_the_content(apogee: sa.Engine, feed: Feed) -> None:
    manifest = feed.manifest
    assert manifest is not None
    assert manifest.rows == {name: len(raw.frame) for name, raw in feed.tables.items()}
    assert (manifest.annee, manifest.complet, manifest.source) == (2026, True, "apogee_sql")
    again = SqlSource(apogee).read(2026).manifest
    assert again is not None
    assert (again.lot_id, again.fingerprint) == (manifest.lot_id, manifest.fingerprint)
    other = SqlSource(apogee).read(2025).manifest
    assert other is not None
    assert other.fingerprint != manifest.fingerprint


def test_a_snapshot_is_the_model_as_it_stood(apogee: sa.Engine) -> None:
    """OLD501's link was closed since, CLO501 too, and IPS501 only shows by its registrations."""
    past = SqlSource(apogee).read(2025, snapshot=True)
    assert set(past.tables) == {"element", "element_etape"}
    codes = {code for (code,) in rows(past, "element", "code")}
    assert codes == {
        "S5", "INF501", "INF502", SPACED, "MIR501", "MIR502", "CLO501", "SUB501", "SUS501", "OLD501", "IPS501"
    }  # fmt: skip
    assert ("MIR501", "AUTRE") in rows(past, "element", "code", "code_porteur")


def test_years(apogee: sa.Engine) -> None:
    source = SqlSource(apogee)
    assert source.years() == [2024, 2025, 2026]
    assert source.check(2026) == []
    assert "ne connaît pas l'année 2031" in source.check(2031)[0]


def test_one_read_sees_one_state(apogee: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another session commits while the queries run is not seen by half of them."""
    whole, seen = sql_source._read, list[str]()
    writer = sa.create_engine(apogee.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    late = sa.text(
        "INSERT INTO IND_CONTRAT_ELP (COD_ANU, COD_IND, COD_ETP, COD_VRS_VET, COD_ELP, TEM_PRC_ICE)"
        " VALUES ('2026', 5, 'L3INF', 140, 'INF501', 'N')"
    )

    def slow(connection: Any, name: str, *rest: Any) -> Any:
        if name == "inscription":
            seen.append(name)
            with writer.connect() as other:
                other.execute(late)
        return whole(connection, name, *rest)

    monkeypatch.setattr(sql_source, "_read", slow)
    try:
        found = SqlSource(apogee).read(2026)
    finally:
        with writer.connect() as other:
            other.execute(sa.text("DELETE FROM IND_CONTRAT_ELP WHERE COD_ANU = '2026' AND COD_IND = 5"))
    assert seen
    assert len(found.tables["inscription"].frame) == 6


def test_a_large_table_comes_in_chunks(apogee: sa.Engine, monkeypatch: pytest.MonkeyPatch, feed: Feed) -> None:
    monkeypatch.setattr(sql_source, "_CHUNK", 2)
    again = SqlSource(apogee).read(2026)
    assert again.manifest is not None
    assert feed.manifest is not None
    assert again.manifest.fingerprint == feed.manifest.fingerprint


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("lien", None, "lien.sql : requête absente"),
        ("etudiant", "SELECT COD_ETU AS code_etudiant FROM INDIVIDU", "absentes : identifiant"),
        (
            "etudiant",
            "SELECT COD_ETU AS code_etudiant, 'e' AS identifiant, 1 AS age FROM INDIVIDU",
            "etudiant.sql : le résultat doit avoir les colonnes code_etudiant, identifiant ; absentes : aucune ;"
            " inconnues : age",
        ),
        ("inscription", "SELECT * FROM NOWHERE", "inscription.sql : la base d'Apogée refuse la requête"),
        ("inscription", "SELECT * FROM INDIVIDU WHERE COD_ETU > :etudiant", "paramètre inconnu : :etudiant"),
        ("inscription", "DELETE FROM INDIVIDU", "une requête SELECT et une seule"),
        ("porteur", "SELECT 1; DELETE FROM INDIVIDU", "une requête SELECT et une seule"),
        (
            "element",
            "SELECT 'S5' AS code, 'x' AS libelle, 'EC' AS nature, NULL AS periode, 'SCI' AS composante,"
            " 'ouvert' AS etat, 0 AS fictif UNION ALL SELECT 'S5', 'x', 'EC', NULL, 'SCI', 'ouvert', 0",
            "element.sql : « S5 » y est deux fois",
        ),
    ],
)
def test_a_query_that_was_adapted_wrong_is_named(adapted: Any, name: str, text: str | None, sentence: str) -> None:
    with pytest.raises(TransitionError) as refusal:
        adapted(name, text).read(2026)
    assert sentence in str(refusal.value)


def test_a_missing_query_is_found_at_once(adapted: Any) -> None:
    assert "requête absente : inscription.sql" in adapted("inscription", None).check(2026)[0]


def test_an_element_that_the_links_name_and_nobody_describes(adapted: Any) -> None:
    only = (QUERIES / "element.sql").read_text(encoding="utf-8") + " WHERE elp.COD_ELP <> 'INF502'"
    (finding,) = adapted("element", only).read(2026).findings
    assert "il y manque 1 élément de la maquette (« INF502 »)" in finding


def test_two_porteurs(adapted: Any) -> None:
    both = "SELECT COD_ELP_PORTE AS code, COD_ELP_PORTEUR AS code_porteur FROM ELP_PORTEUR_PORTE"
    (finding,) = adapted("porteur", both).read(2026).findings
    assert "« MIR501 » a plusieurs porteurs : « AUTRE », « MAT501 »" in finding


def test_rows_that_were_counted_and_not_received(apogee: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sa.CursorResult, "partitions", lambda _, size: iter(()))
    with pytest.raises(
        UnreachableError, match=r"racine\.sql, lignes reçues : 0, comptées dans la même transaction : 1"
    ):
        SqlSource(apogee).read(2026)


def test_a_server_that_is_away_may_come_back(server: PrivateMariaDB) -> None:
    away = sa.create_engine(server.url("nowhere").set(port=free_port()))
    with pytest.raises(UnreachableError, match="La base d'Apogée ne répond pas") as error:
        SqlSource(away).check(2026)
    assert server.password not in str(error.value)


def test_a_feed_from_the_database_becomes_the_lots_of_the_run(
    campaign: Campaign, apogee: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teachers = [{"code": "INF501", "identifiant": "ens001"}]
    write_year(tmp_path / "teachers", 2026, {"enseignant_affectation": teachers}, only=BY_HAND)
    source = WithSecondFeed(SqlSource(apogee), CsvFolder(tmp_path / "teachers", BY_HAND))
    campaign = replace(campaign, feed=source)
    assert check_feed(campaign) == []
    apogee_sync(campaign)
    model = load_model(campaign)
    assert {"INF501", "INF502", "INF 503", "MIR502", "S5"} == model.taught
    assert "MAT501" not in model.hosts  # the host of a fictitious element
    assert model.last is not None
    assert "OLD501" in model.last
    assert "INF501" in model.registered
    with campaign.engine.connect() as connection:
        assert connection.execute(sa.select(tables.groupe.c.cle)).scalars().all() == ["INF501"]
        assert connection.execute(sa.select(tables.groupe_membre.c.code_etudiant)).scalars().all() == ["22600001"]
        assert connection.execute(sa.select(tables.enseignant_affectation.c.identifiant)).scalars().all() == ["ens001"]
        lots = connection.execute(sa.select(tables.lot.c.annee)).scalars().all()
    assert sorted(lots) == [2025, 2026]
    # The snapshot of 2025 is kept: Apogée's own memory of that year is not asked for again.
    read, asked = SqlSource.read, list[int]()

    def noted(self: SqlSource, year: int, *, snapshot: bool = False) -> Feed:
        asked.append(year)
        return read(self, year, snapshot=snapshot)

    monkeypatch.setattr(SqlSource, "read", noted)
    apogee_sync(replace(campaign, run_id="again"))
    assert asked == [2026]
    with campaign.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.lot)).scalar_one() == 2


def test_the_day_of_the_links_is_today(apogee: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    class InMay(date):
        @classmethod
        def today(cls) -> "InMay":
            return cls(2026, 5, 1)

    monkeypatch.setattr(sql_source, "date", InMay)
    assert ("OLD501",) in rows(SqlSource(apogee).read(2026), "element", "code")
