"""Which element may succeed a space: the comparison alone, then on the real platform."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.feed import element, registrations, write_year
from tests.test_decisions import campaign  # noqa: F401  (a fixture)
from transition import decisions
from transition.apogee.stage import apogee_sync
from transition.campaign import Campaign
from transition.successions import MOST, Archived, Candidate, as_csv, normalise, successions, suggest

ACCENTS = "éèêëàâçîïôöùûüÿœæÉÈÀÇŒ"
labels = st.text(string.ascii_letters + string.digits + ACCENTS + " '", min_size=3, max_size=30).filter(normalise)
candidates = st.lists(
    st.builds(
        Candidate, code=st.sampled_from([f"ELP{n}" for n in range(20)]), label=labels,
        component=st.sampled_from(["SCI", "DRO"]), new=st.booleans(), has_space=st.booleans(),
    ),
    max_size=8, unique_by=lambda candidate: candidate.code,
)  # fmt: skip


def space(label: str, code: str = "VIEUX1") -> Archived:
    return Archived(code, f"ex_{label}", (f"ex_{label}",), "SCI")


@given(labels, candidates, st.booleans())
def test_the_same_label_comes_first(label: str, others: list[Candidate], shout: bool) -> None:
    same = Candidate("MEME", label.upper() if shout else label, "DRO", new=False, has_space=False)
    found = suggest([space(label)], [*others, same], frozenset())
    assert len(found) <= MOST
    assert normalise(found[0].label) == normalise(label)
    assert all(one.likeness >= 80 for one in found)


@given(labels, candidates)
def test_neither_accents_nor_case_nor_a_code_before_the_title_count(label: str, others: list[Candidate]) -> None:
    plain = {"VIEUX1": suggest([space(label)], others, frozenset())}
    bare = label.translate(str.maketrans("éèêëàâçîïôöùûüÿÉÈÀÇ", "eeeeaaciioouuuyEEAC"))
    for other in (label.upper(), label.lower(), bare, f"INF6D - {label}"):
        found = suggest([space(other)], others, frozenset())
        assert [(one.successor, one.likeness) for one in found] == [
            (one.successor, one.likeness) for one in plain["VIEUX1"]
        ]


@given(labels, candidates)
def test_a_space_that_is_still_in_the_model_has_no_successor(label: str, others: list[Candidate]) -> None:
    same = Candidate("MEME", label, "SCI", new=True, has_space=True)
    assert suggest([space(label, " vieux1\u00a0")], [*others, same], frozenset({"VIEUX1"})) == []


@pytest.mark.parametrize(
    ("label", "plain"),
    [
        ("ex_INF6D - Réseaux et Œuvres", "reseaux et oeuvres"), ("L3.INF01 : L'été", "l ete"),
        ("Analyse 2 : suites", "analyse 2 suites"), ("Histoire - XIXe siècle", "histoire xixe siecle"),
        ("1789 - La Révolution", "1789 la revolution"), ("ex_", ""),
    ],
)  # fmt: skip
def test_what_is_left_of_a_title(label: str, plain: str) -> None:
    assert normalise(label) == plain


def test_the_component_a_new_element_and_its_space_come_before_a_slightly_nearer_label() -> None:
    near = Candidate("PROCHE", "Introduction aux réseaux locaux 1", "DRO", new=False, has_space=False)
    mine = Candidate("MIEN", "Introduction aux réseaux locaux 12", "SCI", new=True, has_space=True)
    found = suggest([space("Introduction aux réseaux locaux")], [near, mine], frozenset())
    assert [one.successor for one in found] == ["MIEN", "PROCHE"]


def test_on_the_real_platform(campaign: Campaign) -> None:  # noqa: F811
    """LI3INF02 left; of the new elements two have its title, one of them hosted by a space of the platform."""
    assert isinstance(campaign.feed, Path)
    kept = [element(code, f"Titre de {code}") for code in ("LI3INF01", "L1MAT101", "M1DRO201", "LETL2H03", "M2CHI305")]
    new = [
        element("LI3INF42", "BASES DE DONNEES", code_porteur="LI3INF01"),
        element("LI3INF41", "Bases de données", composante="DRO"),
        element("LI3INF43", "Bases de données", etat="ferme"),
        element("LI3INF44", "Chimie du vivant"),
    ]
    write_year(campaign.feed, 2026, {"element": [*kept, *new], **registrations({"LI3INF01": ["22600001"]})})
    assert successions(campaign) == [], "nothing is decided yet"
    apogee_sync(campaign)
    decisions.detect_missing(campaign)
    found = successions(campaign)
    assert [(one.code, one.successor, one.new, one.has_space) for one in found] == [
        ("LI3INF02", "LI3INF42", True, True), ("LI3INF02", "LI3INF41", True, False),
    ]  # fmt: skip
    head, *lines = as_csv(found).decode("utf-8-sig").splitlines()
    assert head.startswith("Espace;Intitulé;Successeur possible;")
    assert lines[0] == "LI3INF02;Bases de données;LI3INF42;BASES DE DONNEES;SCI;oui;oui;100"
