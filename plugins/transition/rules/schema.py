"""The JSON schema of a rule file, with which an editor completes and explains: ``include/rules.schema.json``.

Made again by ``PYTHONPATH=plugins .venv/bin/python -m transition.rules.schema``.
"""

import json
from typing import Any

from transition.files import INCLUDE
from transition.rules.model import Rule

FILE = INCLUDE / "rules.schema.json"


def text() -> str:
    """The schema as it is written in the file."""
    schema = _clean(Rule.model_json_schema(by_alias=True))
    for model in (schema, *schema["$defs"].values()):
        model.pop("description", None)  # a docstring, for programmers
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Règle de la transition annuelle"}
    return json.dumps({**schema, **head}, ensure_ascii=False, indent=2) + "\n"


def _clean(part: Any) -> Any:
    """Without the titles that pydantic makes of the fields' names, the hints as part of the descriptions."""
    if isinstance(part, list):
        return [_clean(item) for item in part]
    if not isinstance(part, dict):
        return part
    cleaned = {key: _clean(value) for key, value in part.items() if key != "hint" and not _is_title(key, value)}
    if "hint" in part:
        hint = part["hint"]
        cleaned["description"] = f"{part['description']} {hint[0].upper()}{hint[1:]}."
    return cleaned


def _is_title(key: str, value: Any) -> bool:
    return key == "title" and isinstance(value, str)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    print(f"{FILE.name} est à jour.")
