"""The page of the policy: up to date, complete, and saying what the rules say."""

import re

from tests.conftest import PROJECT
from transition.rules.kept import load_kept
from transition.rules.model import load_rules
from transition.rules.page import GROUPS, page


def test_the_page_in_docs_is_that_of_the_rules() -> None:
    """If it is not: ``PYTHONPATH=plugins .venv/bin/python -m transition.rules.page > docs/politique.md``."""
    assert (PROJECT / "docs" / "politique.md").read_text(encoding="utf-8") == page()


def test_every_rule_is_shown_once_with_its_sentences() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ") and not line.startswith("| `")]
    for rule in load_rules():
        [row] = [row for row in rows if row.startswith(f"| {rule.label} |")]
        assert [cell.strip() for cell in row.strip("|").split("|")] == [rule.label, rule.kept, rule.moved, rule.check]


def test_activities_are_grouped_as_in_the_policy() -> None:
    titles = re.findall(r"^## (.+)$", page(), re.MULTILINE)
    assert titles[: len(GROUPS)] == list(GROUPS)
    placed = [name for names in GROUPS.values() for name in names]
    assert len(placed) == len(set(placed))
    assert set(placed) == {rule.rule for rule in load_rules() if rule.activity or rule.activities_kept}


def test_every_kept_table_is_named_with_its_reason() -> None:
    shown, kept = page(), load_kept()
    for group in kept.kept:
        assert " ".join(group.reason.split()) in shown
        assert all(f"`{table}`" in shown for table in group.tables)
    for rows in kept.rows:
        assert f"| {' '.join(rows.reason.split())} | `{rows.table}` |" in shown
