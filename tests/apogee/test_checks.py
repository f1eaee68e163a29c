"""Every bad feed is refused whole, in French, by file, line and column, before a row of it is loaded."""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.feed import COLUMNS, element, registrations, write_year
from transition.apogee import tables
from transition.apogee.checks import check_feed
from transition.apogee.stage import apogee_sync
from transition.campaign import Campaign
from transition.errors import TransitionError

CODES = [f"SINF5{number:02d}" for number in range(1, 13)]
STUDENTS = ("22600101", "22600102", "22600103")


def good_feed(folder: Path) -> None:
    write_year(folder, 2025, {"element": [element(code) for code in CODES]})
    write_year(
        folder,
        2026,
        {
            "element": [element(code) for code in CODES],
            "element_etape": [{"code": code, "etape": "SL3INF"} for code in CODES],
            "enseignant_affectation": [{"code": code, "identifiant": "ens001"} for code in CODES],
            "exception_calendrier": [
                {"cible_type": "element", "cible": CODES[0], "type": "fermeture_tardive", "fin": "2026-10-31"}
            ],
            "groupe": [{"code_groupe": f"TD{number}", "code": CODES[0], "libelle": "TD"} for number in (1, 2)],
            "groupe_membre": [{"code_groupe": "TD1", "code_etudiant": student} for student in STUDENTS],
            **registrations(dict.fromkeys(CODES, STUDENTS)),
        },
    )


def sign(folder: Path) -> None:
    """Make the manifest of a year's folder tell the truth about its files."""
    with (folder / "lot.csv").open(encoding="utf-8", newline="") as file:
        (manifest,) = csv.DictReader(file, delimiter=";")
    files = [path for path in folder.glob("*.csv") if path.stem in COLUMNS]
    manifest["sha256"] = json.dumps({path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    manifest["nb_lignes"] = json.dumps({path.stem: path.read_bytes().count(b"\n") - 1 for path in files})
    with (folder / "lot.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, manifest, delimiter=";")
        writer.writeheader()
        writer.writerow(manifest)


def edit(name: str, line: int, old: str, new: str, year: int = 2026) -> Callable[[Path], None]:
    """Replace a text on one line of a file, and sign."""

    def apply(folder: Path) -> None:
        path = folder / str(year) / f"{name}.csv"
        lines = path.read_text(encoding="utf-8").split("\n")
        assert old in lines[line - 1]
        lines[line - 1] = lines[line - 1].replace(old, new, 1)
        path.write_text("\n".join(lines), encoding="utf-8")
        if name != "lot":
            sign(folder / str(year))

    return apply


def repeat(name: str, line: int, old: str = "", new: str = "") -> Callable[[Path], None]:
    """Write one line of a file again at its end, with a text replaced, and sign."""

    def apply(folder: Path) -> None:
        path = folder / "2026" / f"{name}.csv"
        text = path.read_text(encoding="utf-8")
        path.write_text(text + text.split("\n")[line - 1].replace(old, new, 1) + "\n", encoding="utf-8")
        sign(folder / "2026")

    return apply


def keep(name: str, lines: int, year: int = 2026) -> Callable[[Path], None]:
    """Keep only the first lines of a file, header included, and sign."""

    def apply(folder: Path) -> None:
        path = folder / str(year) / f"{name}.csv"
        kept = path.read_text(encoding="utf-8").splitlines(keepends=True)[:lines]
        path.write_text("".join(kept), encoding="utf-8")
        sign(folder / str(year))

    return apply


def remove(name: str, year: int = 2026, signed: bool = False) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / str(year) / f"{name}.csv").unlink()
        if signed:
            sign(folder / str(year))

    return apply


def no_year(folder: Path) -> None:
    for year in folder.iterdir():
        shutil.rmtree(year)


def empty_year(folder: Path) -> None:
    for path in (folder / "2026").iterdir():
        path.unlink()


def latin1(folder: Path) -> None:
    path = folder / "2026" / "element.csv"
    path.write_bytes(path.read_bytes().decode().encode("latin-1"))
    sign(folder / "2026")


def tamper(folder: Path) -> None:
    path = folder / "2026" / "element.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("SINF512", "SINF599"), encoding="utf-8")


def truncate(folder: Path) -> None:
    path = folder / "2026" / "inscription.csv"
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:30]), encoding="utf-8")


def strangers(folder: Path) -> None:
    path = folder / "2026" / "inscription.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(";SINF5", ";AUTRE"), encoding="utf-8")
    sign(folder / "2026")


def same_lot(folder: Path) -> None:
    path = folder / "2025" / "lot.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("apogee-2025", "apogee-2026"), encoding="utf-8")


BAD_FEEDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no folder": (shutil.rmtree, "n'existe pas : vérifiez la connexion Apogée"),
    "empty folder": (no_year, "pas de sous-dossier 2026"),
    "empty year": (empty_year, "2026/lot.csv : fichier absent"),
    "no manifest": (remove("lot"), "2026/lot.csv : fichier absent"),
    "a file is missing": (remove("inscription"), "2026/inscription.csv : fichier absent"),
    "a file is missing and nobody said so": (remove("element", signed=True), "2026/element.csv : fichier absent"),
    "an announced table is missing": (remove("element_etape"), "annonce la table « element_etape », non livrée"),
    "empty file": (keep("etudiant", 0), "2026/etudiant.csv, ligne 1 : colonne absente : code_etudiant, identifiant"),
    "header alone": (keep("inscription", 1), "2026/inscription.csv : aucune ligne"),
    "one stray row": (keep("element", 2), "1 ligne, contre 12 dans le lot de 2025"),
    "40 %": (keep("element", 5), "4 lignes, contre 12 dans le lot de 2025"),
    "empty snapshot": (keep("element", 1, 2025), "2025/element.csv : aucune ligne"),
    "cut off": (truncate, "29 lignes lues, 36 annoncées par le manifeste"),
    "changed since": (tamper, "2026/element.csv : le contenu n'est pas celui qu'annonce le manifeste"),
    "not complete": (edit("lot", 2, ";1;", ";0;"), "2026/lot.csv, ligne 2, colonne complet : « 0 »"),
    "manifest of another year": (edit("lot", 2, ";2026;", ";2025;"), "2026/lot.csv, ligne 2, colonne annee : « 2025 »"),
    "manifest without zone": (
        edit("lot", 2, "+02:00", ""),
        "2026/lot.csv, ligne 2 : colonne absente ou valeur refusée : extrait_le",
    ),
    "manifest not JSON": (edit("lot", 2, "{", "["), "valeur refusée : nb_lignes"),
    "row of another year": (
        edit("element", 4, "2026", "2025"),
        "2026/element.csv, ligne 4, colonne annee : « 2025 », 2026 attendu",
    ),
    "latin-1": (latin1, "2026/element.csv, ligne 2 : ce n'est pas de l'UTF-8"),
    "encoded twice": (edit("element", 3, "É", "Ã\u0089"), "2026/element.csv, ligne 3 : accents abîmés"),
    **{
        f"« {letter} » read as cp1252": (
            edit("element", 3, "É", letter.encode().decode("cp1252")),
            "2026/element.csv, ligne 3 : accents abîmés",
        )
        for letter in "ÀÂÇÈÉÊËÎÔÙÛÜé"
    },
    "far end that is no date": (
        edit("inscription", 2, ";active;1;;", ";active;1;;9999-99-99"),
        "ligne 2, colonne jusqu_a : « 9999-99-99 » n'est pas une date",
    ),
    "comma": (edit("element", 1, ";", ","), "2026/element.csv, ligne 1 : colonne absente : annee, code"),
    "missing column": (edit("element", 1, ";etat", ""), "2026/element.csv, ligne 1 : colonne absente : etat"),
    "misspelt column": (
        edit("inscription", 1, "jusqu_a", "jusqua"),
        "2026/inscription.csv, ligne 1 : colonne inconnue : jusqua",
    ),
    "column twice": (edit("element", 1, "nature", "libelle"), "colonne en double : libelle"),
    "too many fields": (edit("element", 5, ";EC;", ";EC;;;"), "9 champs attendus sur chaque ligne ; ligne 5 (11)"),
    "too few fields": (edit("element", 5, ";EC;", ";"), "9 champs attendus sur chaque ligne ; ligne 5 (8)"),
    "blank line": (edit("element", 5, "2026;SINF504", "\n2026;SINF504"), "ligne 5 (0)"),
    "last field missing": (edit("element", 5, ";ouvert;0;", ";ouvert;0"), "ligne 5 (8)"),
    "open quote": (edit("element", 5, ";EC;", ';"EC;'), "9 champs attendus sur chaque ligne ; ligne 5 (4)"),
    "open quote in the last field": (edit("element", 13, ";ouvert;0;", ';ouvert;0;"'), "guillemet jamais refermé"),
    "old Macintosh line ends": (
        edit("element", 5, "Élément", "Élé\rment"),
        "2026/element.csv : guillemet jamais refermé ou fin de ligne isolée",
    ),
    "unknown state": (
        edit("element", 6, "ouvert", "ouverte"),
        "ligne 6, colonne etat : « ouverte » n'est pas l'une des valeurs ouvert",
    ),
    "not a boolean": (edit("element", 6, "ouvert;0", "ouvert;N"), "ligne 6, colonne fictif : « N » doit être 0 ou 1"),
    "no code": (
        edit("element", 7, "SINF506", "\u00a0"),
        "ligne 7, colonne code : « <U+00A0> » valeur obligatoire absente",
    ),
    "too long a code": (edit("element", 7, "SINF506", "S" * 101), "est trop long (100 caractères au plus)"),
    "same code twice": (
        repeat("element", 3),
        "2026/element.csv, ligne 14, colonne code : doublon de la ligne 3 (code « SINF502 »)",
    ),
    "same code with a non-breaking space": (
        repeat("element", 3, "SINF502", "SINF502\u00a0"),
        "ligne 14, colonne code : doublon de la ligne 3 (code « SINF502<U+00A0> »)",
    ),
    "same registration twice": (repeat("inscription", 8), "2026/inscription.csv, ligne 38"),
    "too long a student": (
        edit("etudiant", 2, "22600101", "22600101" * 3),
        "2026/etudiant.csv, ligne 2, colonne code_etudiant : est trop long (20 caractères au plus)",
    ),
    "a teacher without a name": (
        edit("enseignant_affectation", 3, "ens001", ""),
        "2026/enseignant_affectation.csv, ligne 3, colonne identifiant : valeur obligatoire absente",
    ),
    "unknown student": (
        edit("etudiant", 2, "22600101", "22600199"),
        "2026/inscription.csv, ligne 2, colonne code_etudiant : étudiant absent",
    ),
    "unknown code of an étape": (
        edit("element_etape", 2, "SINF501", "NULLEPART"),
        "« NULLEPART » n'est pas dans element.csv",
    ),
    "registrations of another university": (strangers, "12 codes sur 12 absents de element.csv"),
    "not a date": (
        edit("inscription", 2, ";active;1;", ";active;1;2026-02-30"),
        "ligne 2, colonne depuis : « 2026-02-30 » n'est pas une date",
    ),
    "week date": (edit("inscription", 2, ";active;1;", ";active;1;2026-W33-1"), "« 2026-W33-1 » n'est pas une date"),
    "ends before it begins": (
        edit("inscription", 2, ";active;1;;", ";active;1;2026-10-02;2026-10-01"),
        "ligne 2, colonnes depuis et jusqu_a : la fin précède le début",
    ),
    "exception without its date": (edit("exception_calendrier", 2, "2026-10-31", ""), "colonne fin : date obligatoire"),
    "exception of a mistyped year": (
        edit("exception_calendrier", 2, "2026-10-31", "2062-10-31"),
        "« 2062-10-31 » n'est ni en 2026 ni en 2027",
    ),
    "late closing that ends before the year opens": (
        edit("exception_calendrier", 2, "2026-10-31", "2026-08-31"),
        "2026/exception_calendrier.csv, ligne 2, colonne fin : « 2026-08-31 » est avant le 1er septembre 2026",
    ),
    "shifted calendar of last year": (
        edit("exception_calendrier", 2, "fermeture_tardive;;2026-10-31", "decale;;2026-01-15"),
        "ligne 2, colonne fin : « 2026-01-15 » est avant le 1er septembre 2026",
    ),
    "early opening of next year": (
        edit("exception_calendrier", 2, "fermeture_tardive;;2026-10-31", "ouverture_precoce;2027-01-15;"),
        "ligne 2, colonne debut : « 2027-01-15 » n'est pas avant le 1er septembre 2026",
    ),
    "exception of an unknown type": (
        edit("exception_calendrier", 2, "fermeture_tardive", "tardive"),
        "colonne type : « tardive »",
    ),
    "groups without members": (
        remove("groupe_membre", signed=True),
        "2026/groupe.csv : la table groupe_membre manque ; livrez les deux",
    ),
    "members without groups": (
        remove("groupe", signed=True),
        "2026/groupe_membre.csv : la table groupe manque ; livrez les deux",
    ),
    "members of an unknown group": (
        edit("groupe_membre", 3, "TD1", "TD9"),
        "2026/groupe_membre.csv, ligne 3, colonne code_groupe : « TD9 » n'est pas dans groupe.csv",
    ),
    "members that nobody knows": (
        edit("groupe_membre", 3, "22600102", "22600199"),
        "2026/groupe_membre.csv, ligne 3, colonne code_etudiant : étudiant absent de etudiant.csv",
    ),
    "same group twice for an element": (repeat("groupe", 2), "2026/groupe.csv, ligne 4, colonne code_groupe, code"),
    "same lot name in both years": (same_lot, "2025/lot.csv, ligne 2, colonne lot_id : c'est le nom du lot de 2026"),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    good_feed(folder)
    return folder


def refusal(campaign: Campaign) -> str:
    with pytest.raises(TransitionError) as caught:
        apogee_sync(campaign)
    return str(caught.value)


def stored(campaign: Campaign) -> int:
    with campaign.engine.connect() as connection:
        counts = [
            connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (tables.lot, tables.run_lot, tables.element, tables.inscription)
        ]
    return sum(counts)


@pytest.mark.parametrize("name", BAD_FEEDS)
def test_a_bad_feed_is_refused_before_a_row_is_loaded(
    name: str, unloaded: Campaign, template: Path, tmp_path: Path
) -> None:
    spoil, sentence = BAD_FEEDS[name]
    folder = tmp_path / "feed"
    shutil.copytree(template, folder)
    spoil(folder)
    message = refusal(replace(unloaded, feed=folder))
    assert sentence in message
    assert not any(student in message for student in STUDENTS)
    assert stored(unloaded) == 0


def test_the_good_feed_passes(campaign: Campaign, template: Path) -> None:
    assert check_feed(replace(campaign, feed=template)) == []
    apogee_sync(replace(campaign, feed=template))
    assert stored(campaign) == 2 + 2 + 24 + 36


def test_all_findings_come_at_once(campaign: Campaign, template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    shutil.copytree(template, folder)
    remove("enseignant_affectation", signed=True)(folder)
    edit("element", 3, "ouvert", "clos")(folder)
    edit("inscription", 5, "active", "valide")(folder)
    edit("element", 4, ";0;", ";2;", year=2025)(folder)
    message = refusal(replace(campaign, feed=folder))
    for file in ("2026/enseignant_affectation.csv", "2026/element.csv, ligne 3", "2026/inscription.csv, ligne 5"):
        assert file in message
    assert "2025/element.csv, ligne 4" in message


def test_a_fault_on_every_line_is_told_in_a_few(campaign: Campaign, template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    shutil.copytree(template, folder)
    path = folder / "2026" / "inscription.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(";active;", ";inscrit;"), encoding="utf-8")
    sign(folder / "2026")
    message = refusal(replace(campaign, feed=folder))
    assert "2026/inscription.csv, ligne 6, colonne statut : « inscrit »" in message
    assert "2026/inscription.csv : même défaut sur 31 autres lignes" in message
    assert len(message.splitlines()) == 1 + 5 + 1


def test_lines_are_counted_in_the_file_not_in_the_records(campaign: Campaign, template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "quoted"
    shutil.copytree(template, folder)
    edit("element", 3, "Élément SINF502", '"Élément\nen deux lignes"')(folder)
    edit("element", 7, "ouvert", "clos")(folder)
    assert "2026/element.csv, ligne 7, colonne etat : « clos »" in refusal(replace(campaign, feed=folder))


def test_what_preflight_sees_in_a_moment(campaign: Campaign, template: Path, tmp_path: Path) -> None:
    assert isinstance(campaign.feed, Path)
    assert "pas de sous-dossier 2026" in check_feed(campaign)[0]
    assert "apogee" in check_feed(replace(campaign, feed=None))[0]
    folder = tmp_path / "partial"
    shutil.copytree(template, folder)
    remove("inscription")(folder)
    edit("lot", 2, ";2026;", ";2027;")(folder)
    first, second = check_feed(replace(campaign, feed=folder))
    assert "2026/inscription.csv : fichier absent" in first
    assert "« 2027 », 2026 attendu" in second
