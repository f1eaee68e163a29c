"""Text without its markup."""

import pytest

from transition.plaintext import from_html


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Bon&nbsp;travail</p>", "Bon travail"), ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul><li>un</li><li>deux</li></ul>", "un\ndeux"),
        ("2 &lt; 3 &amp; 4", "2 < 3 & 4"), ("<p>non <b>fermé", "non fermé"),
        ("<style>p {}</style>x<script>y</script>z", "xz"),
        ("", ""), ("note < 10", "note < 10"),
    ],
)  # fmt: skip
def test_feedback_loses_its_markup_and_nothing_else(markup: str, text: str) -> None:
    assert from_html(markup) == text
