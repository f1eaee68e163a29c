"""The descent through the links: whatever their shape, it ends, and reaches what a plain definition says."""

from hypothesis import given
from hypothesis import strategies as st

from transition.apogee.curriculum import Curriculum, Element, Step

CODES = "ABCDEFGH"
links = st.dictionaries(
    st.sampled_from(CODES), st.dictionaries(st.sampled_from(CODES), st.booleans(), max_size=4), max_size=8
)
closed = st.sets(st.sampled_from(CODES))
L3 = Step("L3INF", "140", "L3 Informatique")


def curriculum(
    roots: dict[str, bool], edges: dict[str, dict[str, bool]], shut: set[str], past: bool = False
) -> Curriculum:
    elements = {
        code: Element(code, code, "EC", "", "SCI", "ferme" if code in shut else "ouvert", False) for code in CODES
    }
    return Curriculum(elements, {L3: roots}, edges, past=past)


def by_definition(roots: dict[str, bool], edges: dict[str, dict[str, bool]], shut: set[str]) -> dict[str, bool]:
    """All codes reached, and by compulsory links alone: two fixpoints, each grown until it grows no more."""
    found = []
    for only in (False, True):
        reached = {code for code, needed in roots.items() if needed or not only}
        while True:
            more = {
                child
                for code in reached - shut
                for child, needed in edges.get(code, {}).items()
                if needed or not only
            }  # fmt: skip
            if more <= reached:
                break
            reached |= more
        found.append(reached)
    return {code: code in found[1] for code in found[0]}


@given(st.dictionaries(st.sampled_from(CODES), st.booleans(), max_size=3), links, closed)
def test_what_is_below(roots: dict[str, bool], edges: dict[str, dict[str, bool]], shut: set[str]) -> None:
    assert curriculum(roots, edges, shut).below(roots) == by_definition(roots, edges, shut)
    assert curriculum(roots, edges, shut, past=True).below(roots) == by_definition(roots, edges, set())


def test_a_deep_model_needs_no_recursion() -> None:
    edges = {str(number): {str(number + 1): True} for number in range(5000)}
    elements = {str(n): Element(str(n), "x", "EC", "", "SCI", "ouvert", False) for n in range(5001)}
    tables, findings = Curriculum(elements, {L3: {"0": True}}, edges).flatten(2026, ".sql")
    assert findings == []
    assert len(tables["element"].frame) == len(tables["element_etape"].frame) == 5001


def test_no_model_at_all() -> None:
    tables, findings = curriculum({}, {}, set()).flatten(2026, ".sql")
    assert findings == []
    assert tables["element"].frame.empty
    assert next(iter(tables["element"].frame.columns)) == "code"
