"""What stops the campaign before its first write: one clear sentence, no traceback, nothing touched."""

import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.server import PrivateMariaDB
from tests.apogee.test_checks import edit, keep, latin1, repeat, sign, truncate
from tests.conftest import drop_databases
from tests.support.campaign import LEFT_THE_MODEL, MODELLED, reference_platform, run_chain
from tests.support.dump import Rows, compare
from tests.support.feed import element, registrations, write_year
from tests.support.site import Site, make_folder, new_site
from transition import caps
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.files import rules_folder
from transition.moodle.database import open_engine
from transition.platforms import Platform
from transition.preflight import preflight
from transition.spaces import record_contexts
from transition.state import schema


@pytest.fixture(scope="module")
def site(
    server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, dict[str, Rows]]]:
    """One database for all: nothing may change in it."""
    for site in new_site(server, reference, make_folder(tmp_path_factory.mktemp("refusals"))):
        yield site, site.dump()


def missing_connection(site: Site, folder: Path) -> dict[str, str]:
    return {"AIRFLOW_CONN_MOODLE_ECAMPUS": ""}


def unknown_rule_key(site: Site, folder: Path) -> dict[str, str]:
    shutil.copytree(rules_folder(), folder / "rules")
    file = folder / "rules" / "chat.yaml"
    file.write_text(file.read_text() + "purge_everything: true\n")
    return {"TRANSITION_RULES": str(folder / "rules")}


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (missing_connection, "moodle_ecampus"),
        (unknown_rule_key, "purge_everything"),
    ],
)
def test_it_stops_before_the_first_write(
    site: tuple[Site, dict[str, Rows]], tmp_path: Path, cause: object, sentence: str
) -> None:
    moodle, before = site
    assert callable(cause)
    status, output = moodle.run(EXECUTE="1", APPROVED_BY="Ada Administratrice", **cause(moodle, tmp_path))
    assert status == 1, output
    assert sentence in " ".join(output.split())  # the terminal folds long sentences
    assert "Traceback" not in output
    assert "Échec avant toute écriture" in output
    assert compare(before, moodle.dump()) == {}


def test_a_crossed_cap_needs_a_second_name(site: tuple[Site, dict[str, Rows]], tmp_path: Path) -> None:
    moodle, before = site
    folder = make_folder(tmp_path, limits={"archived_share": 0.1, "free_space_gib": 0.1})
    status, output = moodle.run(
        EXECUTE="1", APPROVED_BY="Ada", COURSES="L1MAT101", TRANSITION_PLATFORMS=str(folder / "platforms")
    )
    assert status == 1, output
    assert "espaces archivés (toute la plateforme) : 1 sur 6 (16,7 %), seuil 10 %." in output
    said = output.splitlines()[-1]
    assert said.startswith("Ce plan dépasse des seuils (ci-dessus) : rien n'a été écrit.")
    assert 'EXCEED="son nom"' in said
    assert compare(before, moodle.dump()) == {}
    assert moodle.scalar("SELECT COUNT(*) FROM ecampus_transition.approval") == 0


def preflight_says(site: Site, platform: Platform, feed: Path) -> str:
    """The findings of a preflight that refuses."""
    campaign = Campaign(platform, 2026, "refused", site.engine, dry_run=False, feed=feed)
    with pytest.raises(TransitionError) as refusal:
        preflight(campaign)
    return str(refusal.value)


def test_all_findings_at_once(site: tuple[Site, dict[str, Rows]], tmp_path: Path) -> None:
    moodle, before = site
    (tmp_path / "feed").mkdir()
    wrong = reference_platform(tmp_path / "storage", site="https://collegium-sante.example", timezone="Europe/Paris")
    findings = preflight_says(moodle, wrong, tmp_path / "feed")
    assert "est celle du site http://127.0.0.1:8045, la plateforme ecampus déclare https://collegium" in findings
    assert "Le dossier Apogée" in findings
    assert "le fuseau horaire de Moodle est Europe/London" in findings
    assert compare(before, moodle.dump()) == {}


def test_a_server_that_is_too_old(
    site: tuple[Site, dict[str, Rows]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moodle, before = site
    monkeypatch.setattr("transition.preflight._OLDEST_SERVERS", {"MariaDB": (99, 1)})
    findings = preflight_says(moodle, reference_platform(tmp_path / "storage"), moodle.folder / "feed")
    assert re.search(r"le serveur de la base est un MariaDB 1\d\.\S+, il faut au moins MariaDB 99\.1 :", findings)
    assert compare(before, moodle.dump()) == {}


def test_a_platform_that_lacks_its_categories(site: tuple[Site, dict[str, Rows]], tmp_path: Path) -> None:
    moodle, before = site
    lost = reference_platform(tmp_path / "storage", categories={"complementary": "PERDU", "archives": 987})
    findings = preflight_says(moodle, lost, moodle.folder / "feed")
    assert "« PERDU »" in findings
    assert "« 987 »" in findings
    assert compare(before, moodle.dump()) == {}


@pytest.mark.parametrize(
    ("archetype", "finding"),
    [
        ("", "le rôle « student » n'a pas dans Moodle l'archétype « student » (étudiant) ni aucun autre :"),
        ("teacher", "le rôle « student » n'a pas dans Moodle l'archétype « student » (étudiant) mais « teacher » :"),
    ],
)
def test_a_student_role_that_is_no_student_s(
    site: tuple[Site, dict[str, Rows]], tmp_path: Path, archetype: str, finding: str
) -> None:
    moodle, before = site
    platform, role = reference_platform(tmp_path / "storage"), "UPDATE mdl_role SET archetype = :to WHERE id = 5"
    try:
        with moodle.engine.begin() as connection:
            connection.execute(sa.text(role), {"to": archetype})
        assert finding in preflight_says(moodle, platform, moodle.folder / "feed")
    finally:
        with moodle.engine.begin() as connection:
            connection.execute(sa.text(role), {"to": "student"})
    assert compare(before, moodle.dump()) == {}


def test_a_student_role_that_moodle_does_not_know(site: tuple[Site, dict[str, Rows]], tmp_path: Path) -> None:
    moodle, before = site
    unknown = reference_platform(tmp_path / "storage", student_role="etudiant")
    findings = preflight_says(moodle, unknown, moodle.folder / "feed")
    assert "le rôle « etudiant » n'existe pas dans Moodle : corrigez la clé « student_role »" in findings
    assert compare(before, moodle.dump()) == {}


def test_a_run_that_still_writes_keeps_the_others_out(site: tuple[Site, dict[str, Rows]], tmp_path: Path) -> None:
    moodle, before = site
    platform = reference_platform(tmp_path / "storage")
    other = Campaign(platform, 2026, "other", moodle.engine, dry_run=False, feed=moodle.folder / "feed")
    with other.lock("purge:forum"):
        assert "purge:forum" in preflight_says(moodle, platform, moodle.folder / "feed")
    assert compare(before, moodle.dump()) == {}


def test_an_account_without_rights_is_told_which_it_lacks(site: tuple[Site, dict[str, Rows]], tmp_path: Path) -> None:
    moodle, _ = site
    with moodle.engine.begin() as connection:
        connection.execute(sa.text("CREATE USER reader@'%' IDENTIFIED BY 'reader'"))
        connection.execute(sa.text("GRANT SELECT ON ecampus_moodle.* TO reader@'%'"))
    url = moodle.engine.url.set(username="reader", password="reader")
    reader = Campaign(
        reference_platform(tmp_path / "storage"), 2026, "reader", open_engine(url, poolclass=sa.NullPool),
        dry_run=False, feed=moodle.folder / "feed",
    )  # fmt: skip
    with pytest.raises(TransitionError) as refusal:
        preflight(reader)
    for missing in ("ecampus_transition", "ecampus_2026", "UPDATE", "DELETE", "INSERT"):
        assert missing in str(refusal.value)


def test_rights_that_were_missing_once_are_found_when_they_are_there(
    site: tuple[Site, dict[str, Rows]], tmp_path: Path
) -> None:
    moodle, _ = site
    (tmp_path / "feed").mkdir()  # empty: no preflight goes further than its findings
    platform = reference_platform(tmp_path / "storage", name="droits")
    url = moodle.engine.url.set(username="owner", password="owner")
    owner = replace(moodle, engine=open_engine(url, poolclass=sa.NullPool))

    def grant(rights: str) -> None:
        with moodle.engine.begin() as connection:
            connection.execute(sa.text(f"GRANT {rights} ON `droits\\_%`.* TO owner@'%'"))

    def lacking() -> list[str]:
        findings = preflight_says(owner, platform, tmp_path / "feed")
        return [schema for schema in ("droits_transition", "droits_2026") if f"sur {schema}.*" in findings]

    with moodle.engine.begin() as connection:
        connection.execute(sa.text("CREATE USER owner@'%' IDENTIFIED BY 'owner'"))
        connection.execute(sa.text("GRANT SELECT, INSERT, UPDATE, DELETE ON ecampus_moodle.* TO owner@'%'"))
    try:
        grant("SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, CREATE TEMPORARY TABLES")
        assert lacking() == ["droits_transition", "droits_2026"]
        grant("DROP")
        assert lacking() == ["droits_transition", "droits_2026"], "the freeze makes views"
        grant("CREATE VIEW")
        assert lacking() == []
        with ThreadPoolExecutor(2) as pool:
            assert [*pool.map(lambda _: lacking(), range(8))] == [[]] * 8, "two at once"
        assert moodle.scalar("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema LIKE 'droits%'") == 0
    finally:
        drop_databases(moodle.server, {"droits_transition", "droits_2026"})


NAME = "lots"
OTHERS = [f"AUTRE{number}" for number in range(1, 5)]  # elements without a space: 10 in all in 2025
STUDENTS = [f"223000{number:02d}" for number in range(1, 26)]
LIMITS = {"archived_share": 0.2, "unenrolled_share": 0.5, "free_space_gib": 0.1}


def utf16(folder: Path) -> None:
    path = folder / "2026" / "inscription.csv"
    path.write_bytes(path.read_text(encoding="utf-8").encode("utf-16"))
    sign(folder / "2026")


def last_year_again(folder: Path) -> None:
    """The extraction of year N-1 under the name of year N."""
    for path in (folder / "2025").iterdir():
        shutil.copy(path, folder / "2026" / path.name)


def without(*codes: str) -> Callable[[Path], None]:
    """Take elements out of the model, and the registrations in them."""

    def apply(folder: Path) -> None:
        for name in ("element", "inscription", "enseignant_affectation"):
            path = folder / "2026" / f"{name}.csv"
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if not any(f";{code};" in line for code in codes)]
            path.write_text("".join(kept), encoding="utf-8")
        sign(folder / "2026")

    return apply


# What is wrong: how the feed is spoilt, the stage that refuses it, what its sentence must name. Every fault that a file
# can have is in tests/apogee/test_checks.py; the last guards are the caps, for what no file shows.
BAD_FEEDS: dict[str, tuple[Callable[[Path], None], str, tuple[str, ...]]] = {
    "0 elements": (keep("element", 1), "apogee_sync", ("2026/element.csv", "aucune ligne")),
    "0 registrations": (keep("inscription", 1), "apogee_sync", ("2026/inscription.csv", "aucune ligne")),
    "0 students": (keep("etudiant", 1), "apogee_sync", ("2026/etudiant.csv", "aucune ligne")),
    "1 stray row": (keep("element", 2), "apogee_sync", ("2026/element.csv", "1 ligne, contre 10", "2025")),
    "40 % of the model": (keep("element", 5), "apogee_sync", ("2026/element.csv", "4 lignes, contre 10", "2025")),
    "60 % of the model": (
        without(*OTHERS[1:], "L1MAT101"), "freeze", ("espaces archivés", "2 sur 6", "20 %")
    ),
    "40 % of the registrations": (
        keep("inscription", 11), "freeze", ("étudiants désinscrits", "50 %")
    ),
    "duplicated element": (
        repeat("element", 3, "LETL2H03", "letl2h03"),
        "apogee_sync",
        ("2026/element.csv, ligne 11", "colonne code", "doublon de la ligne 3", "« letl2h03 »"),
    ),
    "duplicated registration": (
        repeat("inscription", 3), "apogee_sync", ("2026/inscription.csv, ligne", "doublon de la ligne 3")
    ),
    "duplicated student": (
        repeat("etudiant", 3), "apogee_sync", ("2026/etudiant.csv, ligne", "code_etudiant", "doublon de la ligne 3")
    ),
    "wrong year in the manifest": (
        edit("lot", 2, ";2026;", ";2025;"), "apogee_sync", ("2026/lot.csv, ligne 2", "colonne annee", "« 2025 »")
    ),
    "wrong year in a row": (
        edit("inscription", 4, "2026", "2025"),
        "apogee_sync",
        ("2026/inscription.csv, ligne 4", "colonne annee", "« 2025 », 2026 attendu"),
    ),
    "last year's folder": (last_year_again, "apogee_sync", ("2026/lot.csv, ligne 2", "colonne annee", "« 2025 »")),
    "Latin-1": (latin1, "apogee_sync", ("2026/element.csv, ligne 2", "UTF-8")),
    "UTF-16": (utf16, "apogee_sync", ("2026/inscription.csv, ligne 1", "UTF-8")),
    "encoded twice": (
        edit("element", 3, "É", "Ã\u0089"), "apogee_sync", ("2026/element.csv, ligne 3", "accents abîmés")
    ),
    "cut off on its way": (truncate, "apogee_sync", ("2026/inscription.csv : 29 lignes lues", "annoncées")),
    "an unknown value": (
        edit("inscription", 5, "active", "valide"),
        "apogee_sync",
        ("2026/inscription.csv, ligne 5", "colonne statut", "« valide »"),
    ),
    "an exception for nobody": (
        edit("exception_calendrier", 2, "M1DRO201", "M1DR0201"),
        "detect_missing",
        ("exception_calendrier.csv", "ligne 2, colonne cible", "« M1DR0201 »"),
    ),
}  # fmt: skip


def good_feed(folder: Path) -> None:
    """One of six spaces leaves the model; every student of last year is registered again."""
    kept = [code for code in (*sorted(MODELLED), *OTHERS) if code != LEFT_THE_MODEL]
    exception = {"cible_type": "element", "cible": "M1DRO201", "type": "fermeture_tardive", "fin": "2026-09-01"}
    write_year(folder, 2025, {"element": [element(code) for code in (*MODELLED, *OTHERS)]})
    write_year(
        folder, 2026,
        {
            "element": [element(code) for code in kept],
            "enseignant_affectation": [{"code": code, "identifiant": "enseignant1"} for code in kept],
            "exception_calendrier": [exception],
            **registrations({"LI3INF01": STUDENTS, "L1MAT101": STUDENTS[:5]}),
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def fed(site: tuple[Site, dict[str, Rows]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """An executing campaign on the same database, in schemas of its own, with a good feed."""
    folder = tmp_path_factory.mktemp("fed")
    good_feed(folder / "feed")
    platform = reference_platform(folder / "storage", name=NAME, limits=LIMITS)
    campaign = Campaign(platform, 2026, "fed", site[0].engine, feed=folder / "feed", dry_run=False)
    schema.upgrade(campaign)
    yield campaign
    drop_databases(site[0].server, {campaign.state_schema, campaign.archive_schema})


@pytest.fixture(scope="module")
def checksums(fed: Campaign) -> dict[str, int]:
    return checksums_of(fed)


def checksums_of(campaign: Campaign) -> dict[str, int]:
    """The server's checksum of every table of Moodle."""
    with campaign.server.connect() as connection:
        names = list(connection.execute(sa.text("SHOW TABLES")).scalars())
        return dict(connection.execute(sa.text(f"CHECKSUM TABLE {', '.join(names)}")).all())


def run_with(campaign: Campaign, folder: Path, name: str, spoil: Callable[[Path], None]) -> Campaign:
    """A run of its own on a spoilt copy of the feed, opened as preflight opens it."""
    assert isinstance(campaign.feed, Path)
    shutil.copytree(campaign.feed, folder / "feed")
    edit("lot", 2, "apogee-2026", f"apogee-2026 {name}")(folder / "feed")
    spoil(folder / "feed")
    run = replace(campaign, run_id=name, feed=folder / "feed")
    record_contexts(run)
    run.take_fence()
    return run


def test_the_good_feed_passes_every_check(fed: Campaign, tmp_path: Path) -> None:
    run = run_with(fed, tmp_path, "good", lambda _: None)
    run_chain(run, ["apogee_sync", "detect_missing"])
    run_chain(run, ["plan"])
    assert caps.load(run) == []


@pytest.mark.parametrize("name", BAD_FEEDS)
def test_a_bad_feed_stops_the_run_before_its_first_write(
    fed: Campaign, checksums: dict[str, int], tmp_path: Path, name: str
) -> None:
    spoil, refusing, named = BAD_FEEDS[name]
    run = run_with(fed, tmp_path, name, spoil)
    stages = ["apogee_sync", "detect_missing", "plan", "approval", "freeze"]
    for stage in stages[: stages.index(refusing)]:
        run_chain(run, [stage])
    with pytest.raises(TransitionError) as refusal:
        run_chain(run, [refusing])
    sentence = str(refusal.value)
    assert [word for word in named if word not in sentence] == []
    assert not any(student in sentence for student in STUDENTS)
    for later in ("freeze", "ex_rename", "purge", "enrolment", "verify"):
        with pytest.raises(TransitionError):
            run_chain(run, [later])
    assert checksums_of(run) == checksums
    with run.server.connect() as connection:
        query = sa.text("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = :schema")
        assert connection.execute(query, {"schema": run.archive_schema}).scalar() == 0
