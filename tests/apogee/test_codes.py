from hypothesis import example, given
from hypothesis import strategies as st

from transition.apogee.codes import compare_key

ascii_codes = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
invisible = st.text("\u00a0\u202f\u2007\u2060\u200b\ufeff", max_size=3)


@given(ascii_codes, invisible, invisible, st.integers(0, 20), st.sampled_from(["", " ", "  "]))
@example("INF6D", "\u00a0", "", 3, " ")
def test_a_space_that_nobody_sees_does_not_make_another_code(
    code: str, inside: str, after: str, place: int, blank: str
) -> None:
    typed = blank + code[:place] + inside + code[place:].lower() + after + blank
    assert compare_key(typed) == compare_key(code) == code.upper()


@given(st.text(max_size=30))
def test_comparing_twice_is_comparing_once(text: str) -> None:
    assert compare_key(compare_key(text)) == compare_key(text)


@given(ascii_codes, ascii_codes)
def test_two_visible_codes_stay_two(one: str, other: str) -> None:
    assert (compare_key(one) == compare_key(other)) == (one.upper() == other.upper())


def test_an_ordinary_space_inside_a_code_counts() -> None:
    assert compare_key("INF 6D") != compare_key("INF6D")
