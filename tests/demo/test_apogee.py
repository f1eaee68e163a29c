"""The demonstration's Apogée feeds: what the project accepts, and what they say of each space."""

from pathlib import Path

import pandas as pd
import pytest

from demo.apogee import CLOSED, NO_BREAK_SPACE, write_feeds
from demo.plan import YEAR, plan
from demo.university import PLATFORMS
from transition.apogee.canonical import SNAPSHOT, YEAR_N
from transition.apogee.checks import check
from transition.apogee.codes import compare_key
from transition.apogee.csv_source import CsvFolder


@pytest.fixture(scope="module", params=PLATFORMS)
def feed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("feed")
    write_feeds(folder, request.param)
    return request.param, folder


def frame(folder: Path, name: str, year: int = YEAR) -> pd.DataFrame:
    return pd.read_csv(folder / str(year) / f"{name}.csv", sep=";", dtype=str, keep_default_na=False)


def test_the_project_accepts_both_years(feed: tuple[str, Path]) -> None:
    source = CsvFolder(feed[1])
    assert source.years() == [YEAR - 1, YEAR]
    for year, required in ((YEAR, YEAR_N), (YEAR - 1, SNAPSHOT)):
        findings = check(source.read(year), required)
        assert findings.refused == []
        assert findings.warned == []


def test_writing_again_gives_the_same_bytes(feed: tuple[str, Path], tmp_path: Path) -> None:
    platform, folder = feed
    write_feeds(tmp_path, platform)
    for path in folder.rglob("*.csv"):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_the_model_agrees_with_the_fates(feed: tuple[str, Path]) -> None:
    platform, folder = feed
    elements = frame(folder, "element")
    opened = elements[elements["etat"] == "ouvert"]
    named = {compare_key(code) for code in [*opened["code"], *opened["code_porteur"]] if code}
    before = set(frame(folder, "element", YEAR - 1)["code"])
    for space in plan(platform).spaces:
        assert (compare_key(space.code) in named) == space.in_model, space.code
        assert (space.code in before) == space.in_last_model, space.code


def test_what_feeds_are_made_to_say(tmp_path: Path) -> None:
    university = plan("ecampus")
    assert sum(space.fate == "host" for space in university.spaces) == 1
    write_feeds(tmp_path, "ecampus")
    elements = frame(tmp_path, "element")
    assert list(elements[elements["etat"] == "ferme"]["code"]) == [CLOSED]
    assert len(elements[elements["fictif"] == "1"]) == 1
    accounts = {person.number for person in (*university.students, *university.newcomers)}
    assert not accounts & {person.number for person in university.strangers}


def test_who_is_registered(feed: tuple[str, Path]) -> None:
    platform, folder = feed
    university = plan(platform)
    registered = set(frame(folder, "inscription")["code_etudiant"])
    last_year = {person.number for person in university.students}
    assert registered & last_year
    assert last_year - registered
    assert {person.number for person in (*university.newcomers, *university.strangers)} <= registered
    assert set(frame(folder, "inscription")["statut"]) == {"active", "prise_en_compte", "annulee"}


def test_a_code_with_a_non_breaking_space(tmp_path: Path) -> None:
    write_feeds(tmp_path, "ecampus")
    spaced = [code for code in frame(tmp_path, "element")["code"] if NO_BREAK_SPACE in code]
    assert spaced == ["SINF504" + NO_BREAK_SPACE]
    assert spaced[0] in set(frame(tmp_path, "inscription")["code"])
