"""The JSON schema that editors read: up to date, in French, and of the same opinion as the rules' own model."""

import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from transition.files import INCLUDE
from transition.rules import schema
from transition.rules.model import rule_names

HEADER = "# yaml-language-server: $schema=../rules.schema.json"
CASES = Path(__file__).parent / "cases"
# What only the model sees: relations between keys, the file's name, YAML itself.
BEYOND = {"no_path", "other_name", "table_not_above", "key_twice", "unreadable", "dates_without_activity"}


def valid(path: Path) -> bool:
    content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    return bool(jsonschema.Draft202012Validator(yaml.safe_load(schema.text())).is_valid(content))


def test_the_file_is_up_to_date() -> None:
    assert schema.FILE.read_text(encoding="utf-8") == schema.text(), "run: python -m transition.rules.schema"


@pytest.mark.parametrize("name", rule_names())
def test_rules_name_it_and_follow_it(name: str) -> None:
    path = INCLUDE / "rules" / f"{name}.yaml"
    assert path.read_text(encoding="utf-8").splitlines()[0] == HEADER
    assert valid(path)


@pytest.mark.parametrize("folder", sorted(CASES.glob("refused_*")), ids=lambda path: path.name)
def test_it_refuses_what_the_model_refuses(folder: Path) -> None:
    if folder.name.removeprefix("refused_") not in BEYOND:
        assert not valid(folder / "rule.yaml")


def test_every_key_is_explained_in_french() -> None:
    written = yaml.safe_load(schema.text())
    models = [written, *written["$defs"].values()]
    silent = [key for model in models for key, field in model["properties"].items() if not field.get("description")]
    assert silent == []
    assert not re.search(r"\b(the|of|rows|must)\b", schema.text())
