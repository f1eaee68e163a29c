"""A good feed becomes a lot, once, whatever happens on the way."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.feed import element, registrations, write_year
from transition.apogee import load, tables
from transition.apogee.stage import apogee_sync
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.state.tables import journal

SPACED = "SINF502\u00a0"


def feed(folder: Path, **more: Any) -> None:
    elements = [element("SINF501"), element(SPACED, periode="S5"), element("SINF503M", code_porteur=" sinf503")]
    window = {"code": "SINF501", "depuis": "2026-09-01", "jusqu_a": "2027-06-30", "ia_payee": "", "etape": "AUTRE"}
    people = registrations({"SINF501": ["22600101", "22600102"], SPACED: ["22600101"]})
    people["inscription"].append({"code_etudiant": "22600102", **window})
    exception = {"cible_type": "etape", "cible": "SL3INF", "type": "exclu"}
    write_year(
        folder, 2026,
        {"element": elements, "element_etape": [{"code": "SINF501", "etape": "SL3INF"}],
         "enseignant_affectation": [{"code": SPACED, "identifiant": "ens001"}],
         "exception_calendrier": [exception], **people, **more},
    )  # fmt: skip


def rows(campaign: Campaign, table: sa.Table) -> list[dict[str, Any]]:
    with campaign.engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def everything(campaign: Campaign) -> dict[str, list[dict[str, Any]]]:
    names = ("run_lot", "lot", "element", "element_etape", "etudiant", "inscription", "enseignant_affectation")
    return {name: rows(campaign, getattr(tables, name)) for name in (*names, "exception_calendrier")}


@pytest.fixture
def fed(campaign: Campaign) -> Iterator[Campaign]:
    assert isinstance(campaign.feed, Path)
    feed(campaign.feed)
    yield campaign


def test_what_is_stored_is_what_the_files_say(fed: Campaign) -> None:
    apogee_sync(fed)
    found = everything(fed)
    (lot,) = found["lot"]
    assert (lot["lot_id"], lot["annee"], lot["extrait_le"]) == ("apogee-2026", 2026, datetime(2026, 8, 14))
    assert lot["charge_le"] is not None
    elements = {row["code"]: row for row in found["element"]}
    assert elements[SPACED]["cle"] == "SINF502"  # the code byte for byte, the key to compare
    assert (elements[SPACED]["periode"], elements["SINF501"]["periode"]) == ("S5", None)
    assert elements["SINF503M"]["cle_porteur"] == "SINF503"
    assert elements["SINF501"]["code_porteur"] is elements["SINF501"]["cle_porteur"] is None
    assert elements["SINF501"]["fictif"] is False
    window = next(row for row in found["inscription"] if row["etape"] == "AUTRE")
    assert (window["depuis"], window["jusqu_a"], window["ia_payee"]) == (date(2026, 9, 1), date(2027, 6, 30), None)
    assert {row["cle"] for row in found["inscription"]} == {"SINF501", "SINF502"}
    assert found["exception_calendrier"][0]["ligne"] == 2
    assert found["run_lot"] == [{"run": fed.run, "annee": 2026, "lot_id": "apogee-2026"}]
    assert [len(found[name]) for name in ("etudiant", "inscription", "enseignant_affectation")] == [2, 4, 1]


def test_an_end_that_is_none_is_kept_as_none(fed: Campaign) -> None:
    """31 December 9999, Oracle's ordinary « no end », has no next day; the end of a century is one."""
    assert isinstance(fed.feed, Path)
    people = registrations({"SINF501": ["22600101", "22600102", "22600103"]})
    for row, end in zip(people["inscription"], ("9999-12-31", "2101-01-01", "2100-12-31"), strict=True):
        row["jusqu_a"] = end
    feed(fed.feed, **people, enseignant_affectation=[{"code": SPACED, "identifiant": "e", "jusqu_a": "9999-12-31"}])
    apogee_sync(fed)
    assert [row["jusqu_a"] for row in rows(fed, tables.inscription)] == [None, None, date(2100, 12, 31)]
    assert [row["jusqu_a"] for row in rows(fed, tables.enseignant_affectation)] == [None]


def test_twice_is_once(fed: Campaign) -> None:
    apogee_sync(fed)
    first = everything(fed)
    apogee_sync(fed)
    assert everything(fed) == first
    second_run = replace(fed, run_id="second")
    apogee_sync(second_run)
    assert len(rows(fed, tables.run_lot)) == 2
    assert len(rows(fed, tables.inscription)) == 4
    done = [row["rows_moved"] for row in rows(fed, journal) if row["action"] == "done"]
    assert done == [12, 0, 0]


def test_a_lot_whose_content_changed_is_refused(fed: Campaign) -> None:
    apogee_sync(fed)
    before = everything(fed)
    assert isinstance(fed.feed, Path)
    feed(fed.feed, element=[element("SINF501"), element("SINF502"), element("SINF503M")])
    with pytest.raises(TransitionError, match="« apogee-2026 » est déjà chargé avec un autre contenu"):
        apogee_sync(fed)
    assert everything(fed) == before


@pytest.mark.parametrize("table", ["element", "etudiant", "exception_calendrier"])
def test_a_load_that_was_killed_is_done_again_from_nothing(
    fed: Campaign, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load.stored_rows

    def killed(lot_id: str, name: str, raw: Any) -> Any:
        if name == table:
            yield next(whole(lot_id, name, raw))
            raise KeyboardInterrupt
        yield from whole(lot_id, name, raw)

    with monkeypatch.context() as patch:
        patch.setattr(load, "stored_rows", killed)
        patch.setattr(load, "_CHUNK", 1)
        with pytest.raises(KeyboardInterrupt):
            apogee_sync(fed)
    assert load.loaded_lot(fed, 2026) is None
    assert rows(fed, tables.run_lot) == []
    assert rows(fed, tables.element) != []
    apogee_sync(fed)
    after = everything(fed)
    assert [len(after[name]) for name in ("lot", "element", "etudiant", "inscription")] == [1, 3, 2, 4]


def test_last_year_is_what_its_own_campaign_loaded(campaign: Campaign, tmp_path: Path) -> None:
    last = replace(campaign, year=2025, run_id="last", feed=tmp_path / "last")
    write_year(
        tmp_path / "last", 2025,
        {"element": [element(f"SINF5{n:02d}") for n in range(9)], **registrations({"SINF501": ["22500101"]})},
    )  # fmt: skip
    apogee_sync(last)
    assert isinstance(campaign.feed, Path)
    feed(campaign.feed)
    with pytest.raises(TransitionError, match="3 lignes, contre 9 dans le lot de 2025"):
        apogee_sync(campaign)
    elements = [element(f"SINF5{n:02d}") for n in range(8)]
    feed(campaign.feed, element=elements)
    apogee_sync(campaign)
    lots = {row["annee"]: row["lot_id"] for row in rows(campaign, tables.run_lot) if row["run"] == campaign.run}
    assert lots == {2026: "apogee-2026", 2025: "apogee-2025"}


def test_what_a_snapshot_lacks_is_compared_with_the_loaded_lot(campaign: Campaign) -> None:
    """A snapshot of elements alone, as a gateway's, says nothing of their étapes; last year's own lot does."""
    assert isinstance(campaign.feed, Path)
    elements = [element(f"SINF5{n:02d}") for n in range(9)]
    steps = [{"code": one["code"], "etape": "SL3INF"} for one in elements]
    people = registrations({"SINF501": ["22500101"]})
    write_year(campaign.feed, 2025, {"element": elements, "element_etape": steps, **people})
    apogee_sync(replace(campaign, year=2025, run_id="last"))
    shutil.rmtree(campaign.feed / "2025")
    write_year(campaign.feed, 2025, {"element": elements}, only=("element",))
    manifest = campaign.feed / "2025" / "lot.csv"
    manifest.write_text(manifest.read_text("utf-8").replace("apogee-2025", "snapshot"), "utf-8")
    feed(campaign.feed, element=elements, element_etape=steps[:4])
    with pytest.raises(TransitionError, match=r"element_etape\.csv : 4 lignes, contre 9 dans le lot de 2025"):
        apogee_sync(campaign)
    feed(campaign.feed, element=elements, element_etape=steps[:5])
    apogee_sync(campaign)


def test_no_snapshot_and_unknown_codes_are_told_in_the_journal(fed: Campaign) -> None:
    assert isinstance(fed.feed, Path)
    people = registrations({"SINF501": ["22600101"], "SINF502": ["22600101"], "ANCIEN01": ["22600102"]})
    feed(fed.feed, **people)
    apogee_sync(fed)
    detail = next(row["detail"] for row in rows(fed, journal) if row["action"] == "done")
    assert "aucun lot de 2025" in detail
    assert "1 code absent de la maquette, dont ANCIEN01" in detail
    assert "226001" not in detail
