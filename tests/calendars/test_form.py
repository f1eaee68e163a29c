"""The engineers' form, on the courses of the real platform: what it refuses, what it keeps, what it shows."""

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.campaign import MODELLED
from tests.support.feed import COLUMNS, element
from tests.test_decisions import campaign, decisions, feed, words  # noqa: F401  (a fixture)
from transition.apogee.stage import apogee_sync
from transition.calendars.form import Request, change
from transition.calendars.table import calendar_table
from transition.calendars.tables import calendar_entry
from transition.campaign import Campaign
from transition.decisions import detect_missing, done_spaces, still_excluded
from transition.errors import TransitionError
from transition.plan import fingerprint
from transition.state import tables

HEADER = COLUMNS["exception_calendrier"]
WHY = {"motif": "Seconde session", "demandeur": "Zoé Lambert"}
EARLIER = date(2026, 6, 2)


@pytest.fixture
def engineer(campaign: Campaign, reference_moodle: sa.Engine) -> Campaign:  # noqa: F811
    """The campaign of the form, on the day that engineers fill it in; the feed has an étape, a host, an exception."""
    with campaign.server.begin() as connection:
        for table in ("mdl_config", "mdl_mnet_host"):  # what tells one site from another
            origin = f"{reference_moodle.url.database}.{table}"
            connection.execute(sa.text(f"CREATE TABLE {table} SELECT * FROM {origin}"))
    steps = [{"code": "M1DRO201", "etape": "M1DROI"}, {"code": "LETL2H03", "etape": "M1DROI"}]
    elements = [*(element(code) for code in MODELLED), element("PORTE", code_porteur="L1MAT101")]
    given = [{"cible_type": "cours", "cible": "M2CHI305", "type": "decale", "fin": "2026-11-30"}]
    feed(campaign, element=elements, element_etape=steps, exception_calendrier=given)
    apogee_sync(campaign)
    return replace(campaign, day=EARLIER, actor="nadia")


def ask(campaign: Campaign, run_id: str, action: Any = "add", **fields: Any) -> str:  # noqa: F811
    """The table after a request of a run of its own."""
    mine = replace(campaign, run_id=run_id)
    change(mine, Request(action, **(WHY | fields if action == "add" else fields)))
    return calendar_table(mine)


def entries(campaign: Campaign) -> list[dict[str, Any]]:  # noqa: F811
    with campaign.engine.connect() as connection:
        rows = connection.execute(sa.select(calendar_entry).order_by(calendar_entry.c.id)).mappings()
        return [dict(row) for row in rows]


REFUSED = {
    "année": ("2025;element;L1MAT101;exclu;;", "colonne annee : « 2025 », 2026 attendu"),
    "cible": ("2026;element;L1MAT1O1;exclu;;", "colonne cible : élément « L1MAT1O1 » inconnu"),
    "étape": ("2026;etape;M1DROIT;exclu;;", "colonne cible : étape « M1DROIT » inconnue"),
    "espace": ("2026;cours;99;exclu;;", "colonne cible : espace « 99 » inconnu"),
    "type de cible": ("2026;ue;L1MAT101;exclu;;", "colonne cible_type : « ue » n'est pas l'une des valeurs"),
    "type": ("2026;element;L1MAT101;tardive;;2026-10-31", "colonne type : « tardive »"),
    "date": ("2026;element;L1MAT101;decale;;31/10/2026", "colonne fin : « 31/10/2026 » n'est pas une date"),
    "date absente": ("2026;element;L1MAT101;fermeture_tardive;2026-09-01;", "colonne fin : date obligatoire"),
    "ordre": ("2026;element;L1MAT101;decale;2026-12-01;2026-11-01", "colonnes debut et fin : la fin précède le début"),
    "siècle": ("2026;element;L1MAT101;decale;;2062-11-01", "colonne fin : « 2062-11-01 » n'est ni en 2026 ni en 2027"),
    "tardive": ("2026;element;L1MAT101;fermeture_tardive;;2026-08-20", "« 2026-08-20 » est avant le 1er septembre"),
    "précoce": ("2026;element;L1MAT101;ouverture_precoce;2026-09-14;", "« 2026-09-14 » n'est pas avant le 1er sept"),
    "décalé": ("2026;element;L1MAT101;decale;;2026-01-15", "« 2026-01-15 » est avant le 1er septembre 2026"),
    "exclusion datée": (
        "2026;element;L1MAT101;exclu;;2026-12-31",
        "colonne fin : une exclusion vaut pour l'année entière",
    ),
    "dépôt": ("2026;cours;M2CHI305;decale;;2026-11-30", "la contredit ; retirez d'abord celle-là"),
    "élément de l'espace": ("2026;element;M2CHI305;decale;;2026-11-30", "colonne type : calendrier décalé fait double"),
    "plus tôt": ("2026;cours;M2CHI305;decale;;2026-10-31", "(calendrier décalé, ligne 2 des exceptions)"),
}


def test_everything_that_is_wrong_is_named_before_anything_is_kept(engineer: Campaign) -> None:
    good = "2026;element;LI3INF01;exclu;;;Motif;Zoé"
    for run_id, (line, finding) in REFUSED.items():
        with pytest.raises(TransitionError) as caught:
            ask(engineer, run_id, "import", csv=f"{HEADER}\n{good}\n{line};Motif;Zoé\n")
        assert "csv, ligne 3, colonne" in str(caught.value), run_id
        assert finding in str(caught.value), run_id
    for text, finding in {
        "": "colonne absente : annee", HEADER: "aucune ligne", f"{HEADER}\n{good};;": "8 champs attendus",
        f"{HEADER}\n{good}\n{good}": "csv, ligne 3, colonne type : exclusion demandée fait double emploi",
        f"{HEADER}\n{good.replace('Motif', '')}": "csv, ligne 2, colonne motif : valeur obligatoire absente",
    }.items():  # fmt: skip
        with pytest.raises(TransitionError) as caught:
            ask(engineer, text[:200], "import", csv=text)
        assert finding in str(caught.value)
    with pytest.raises(TransitionError, match="formulaire, ligne 1, colonne cible : valeur obligatoire"):
        ask(engineer, "vide", type="exclu", cible_type="element")
    autumn = replace(engineer, day=date(2026, 10, 31))
    with pytest.raises(TransitionError, match="colonne fin : « 2026-10-31 » est déjà passé"):
        ask(autumn, "passée", cible_type="element", cible="L1MAT101", type="decale", fin="2026-10-31")
    with pytest.raises(TransitionError, match="Indiquez le numéro de la saisie"):
        ask(engineer, "sans numéro", "withdraw")
    with pytest.raises(TransitionError, match="n'a pas de saisie n° 9"):
        ask(engineer, "autre numéro", "withdraw", entry=9)
    assert entries(engineer) == []


def test_what_is_entered_counts_and_is_only_ever_withdrawn(engineer: Campaign) -> None:
    late = {"type": "fermeture_tardive", "fin": "2026-10-31"}
    ask(engineer, "one", cible_type="cours", cible="4", **late)  # L1MAT101, by its number in Moodle
    pasted = (
        f"{HEADER}\r\n2026;etape;M1DROI-140;decale;;2027-01-15;Stage;Zoé\r\n2026;element;li3inf01;exclu;;;Test;Zoé\r\n"
    )
    shown = ask(engineer, "several", "import", csv=pasted)
    kept = entries(engineer)
    assert [(row["cible"], row["cle"], row["type"], row["debut"], row["fin"]) for row in kept] == [
        ("L1MAT101", "L1MAT101", "fermeture_tardive", None, date(2026, 10, 31)),
        ("M1DROI-140", "M1DROI-140", "decale", None, date(2027, 1, 15)),
        ("li3inf01", "LI3INF01", "exclu", None, None),
    ]
    assert {(row["year"], row["entered_by"], row["withdrawn_at"]) for row in kept} == {(2026, "nadia", None)}
    assert (kept[0]["motif"], kept[0]["demandeur"]) == ("Seconde session", "Zoé Lambert")
    assert max(map(len, shown.splitlines())) <= 100
    for line in (
        "lot:2  espace M2CHI305             calendrier décalé        0/1  réinitialisé dès le 30/11/2026",
        "1  espace L1MAT101             fermeture tardive        0/1  réinitialisé dès le 31/10/2026",
        "2  étape M1DROI-140            calendrier décalé        0/2  réinitialisé dès le 15/01/2027",
        "3  élément LI3INF01            exclusion demandée       0/1  jamais réinitialisé",
    ):
        assert line in shown
    assert shown.count("saisi par nadia le ") == 3
    assert "Zoé" not in shown and "Seconde session" not in shown
    assert ask(engineer, "several", "import", csv=pasted) == shown, "a task that is tried again adds nothing"

    august = replace(engineer, run_id="august", day=date(2026, 8, 16))
    apogee_sync(august)
    detect_missing(august)
    found, approved = words(august), fingerprint(august)
    assert [found[code] for code in ("L1MAT101", "M1DRO201", "LETL2H03", "M2CHI305", "LI3INF01", "LI3INF02")] == [
        "defer", "defer", "defer", "defer", "exclude", "reset",
    ]  # fmt: skip
    assert "(fermeture tardive, espace L1MAT101, saisie n° 1)" in decisions(august)["L1MAT101"][1]
    assert still_excluded(august) == set()
    ask(engineer, "after", cible_type="cours", cible="LI3INF02", type="exclu")
    assert still_excluded(august) == {3}, "an exclusion added after the plan wins"
    assert fingerprint(august) != approved, "and the plan that was approved is stale"
    shown = ask(engineer, "sorry", "withdraw", entry=4)
    assert still_excluded(august) == set()
    assert "LI3INF02" not in shown
    first = entries(engineer)[3]
    assert (first["withdrawn_by"], first["withdrawn_at"] is None) == ("nadia", False)
    ask(engineer, "sorry again", "withdraw", entry=4)
    assert entries(engineer)[3] == first

    ask(engineer, "later", cible_type="cours", cible="L1MAT101", type="fermeture_tardive", fin="2026-12-01")
    with pytest.raises(TransitionError, match="saisie n° 5"):
        ask(engineer, "sooner", cible_type="cours", cible="L1MAT101", type="fermeture_tardive", fin="2026-11-01")
    detect_missing(august)
    assert words(august)["L1MAT101"] == "defer"
    with august.engine.begin() as connection:
        done = {"year": 2026, "courseid": 3, "run": august.run, "verified_at": datetime(2026, 8, 16, 23, 30)}
        connection.execute(sa.insert(tables.space_reset).values(done))
    assert done_spaces(august) == {3: "17/08/2026"}, "the day of the platform, not of UTC"
    with pytest.raises(TransitionError, match="déjà réinitialisé pour 2026"):
        ask(engineer, "too late", cible_type="element", cible="LI3INF02", type="exclu")
