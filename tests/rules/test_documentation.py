"""The page that explains the language: its rules are rules, and it explains every key."""

import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT
from transition.rules.model import Node, Rule, load_rule

PAGE = PROJECT / "docs" / "regles.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_first_example_is_a_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "defi.yaml").write_text(BLOCKS[0], encoding="utf-8")
    monkeypatch.setenv("TRANSITION_RULES", str(tmp_path))
    rule = load_rule("defi")
    assert rule.traces[0].children[0].table == "defi_votes"
    assert rule.rows_kept[0].where == {"exemple": 1}


def test_the_other_example_is_part_of_a_rule() -> None:
    (traces,) = map(yaml.safe_load, BLOCKS[1:])
    assert [Node.model_validate(node).table for node in traces["traces"]] == ["workshop_submissions"] * 2


def test_every_key_is_explained() -> None:
    keys = {field.alias or name for model in (Rule, Node) for name, field in model.model_fields.items()}
    rows = re.findall(r"^\| (`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert keys == {key for row in rows for key in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("form", re.findall(r"^\| `(\{.*?\})` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
def test_every_condition_is_one(form: str) -> None:
    assert Node.model_validate({"table": "x", "by": "y", "where": yaml.safe_load(form)}).where
