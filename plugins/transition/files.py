"""Where the project's own files are, and how its YAML files are read."""

import difflib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from transition.errors import TransitionError

# The same loader, ten times faster where PyYAML has its C library: the rules are read by every task.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
INCLUDE = Path(__file__).resolve().parents[2] / "include"


def platforms_folder() -> Path:
    """Folder of the platform files: ``TRANSITION_PLATFORMS``, else ``include/platforms``."""
    return Path(os.environ.get("TRANSITION_PLATFORMS") or INCLUDE / "platforms")


def rules_folder() -> Path:
    """Folder of the rule files: ``TRANSITION_RULES``, else ``include/rules``."""
    return Path(os.environ.get("TRANSITION_RULES") or INCLUDE / "rules")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping written in a YAML file; raises :class:`TransitionError` naming the file (and the line, if known)."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TransitionError(f"Le fichier {path} n'existe pas : créez-le ou corrigez son nom.") from None
    except UnicodeDecodeError:
        raise TransitionError(f"{path} : le fichier n'est pas en UTF-8, enregistrez-le dans ce codage.") from None
    try:
        data = yaml.load(text, Loader=_LOADER)  # noqa: S506 (a safe one)
        twice = next(_repeated(yaml.compose(text, Loader=_LOADER)), None)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", ligne {where.line + 1}" if where else ""
        raise TransitionError(
            f"{path}{line} : YAML illisible ({error.__class__.__name__}), corrigez la syntaxe."
        ) from None
    if not isinstance(data, dict):
        raise TransitionError(f"{path} : le fichier doit contenir des couples « clé: valeur ».")
    if twice:  # YAML would keep the last one in silence
        raise TransitionError(
            f"{path}, ligne {twice.start_mark.line + 1} : la clé « {twice.value} » est écrite deux fois, gardez-en une."
        )
    return data


def explain(path: Path, error: ValidationError, model: type[BaseModel]) -> str:
    """One French sentence for each fault that pydantic found in a YAML file: file, line, what to write instead.

    A field may carry ``json_schema_extra={"hint": "…"}``: what to write there, in the place of pydantic's own words.
    """
    root = _document(path)
    sentences: dict[tuple[Any, ...], str] = {}
    for fault in error.errors(include_url=False):
        known, line = _locate(root, fault["loc"])
        missing = fault["type"] in ("missing", "extra_forbidden") and len(known) >= len(fault["loc"]) - 1
        where = fault["loc"] if missing else known  # below a union pydantic adds its members' names: one fault, not six
        sentences.setdefault(where, f"{path.name}, ligne {line} : {_sentence(fault, where, model)}")
    return "\n".join(sentences.values())


def lines_of(path: Path, places: Iterable[tuple[str | int, ...]]) -> list[int]:
    """The line (from 1) of each path of keys and positions in a YAML file."""
    root = _document(path)
    return [_locate(root, where)[1] for where in places]


def _document(path: Path) -> yaml.Node:
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    if root is None:
        raise TransitionError(f"{path} : le fichier est vide, écrivez-y des couples « clé: valeur ».")
    return root


def _locate(root: yaml.Node, where: Iterable[str | int]) -> tuple[tuple[str | int, ...], int]:
    """How far a path of keys and positions leads into a YAML document, and the line (from 1) where it ends."""
    node, line = root, root.start_mark.line
    known: list[str | int] = []
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
        known.append(part)
    return tuple(known), line + 1


def _repeated(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield key
            seen.add(key.value)
            yield from _repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated(item)


_PATTERNS = {r"^[a-z][a-z0-9_]*$": "un nom s'écrit en minuscules sans accent, avec des chiffres et _"}
_EXPECTED = {
    "string_type": "un texte est attendu (entre guillemets s'il ressemble à un nombre)",
    "int_type": "un nombre entier est attendu", "int_parsing": "un nombre entier est attendu",
    "float_type": "un nombre est attendu", "float_parsing": "un nombre est attendu",
    "bool_type": "true ou false est attendu", "bool_parsing": "true ou false est attendu",
    "tuple_type": "une liste est attendue ([a, b], ou une ligne par élément, précédée d'un tiret)",
    "dict_type": "des couples « clé: valeur » sont attendus", "model_type": "des couples « clé: valeur » sont attendus",
}  # fmt: skip


def _sentence(fault: Any, where: tuple[str | int, ...], model: type[BaseModel]) -> str:
    owner, hint = _field(model, where)
    keys = [field.alias or name for name, field in owner.model_fields.items()]
    key = str(where[-1]) if where else ""
    if fault["type"] == "extra_forbidden" and where == fault["loc"]:
        close = difflib.get_close_matches(key, keys, 1)
        advice = f"écrivez « {close[0]} »" if close else f"clés possibles : {', '.join(keys)}"
        return f"clé inconnue « {key} » ; {advice}"
    if fault["type"] == "missing" and where == fault["loc"]:
        return f"il manque la clé « {key} »"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    if fault["type"] == "string_pattern_mismatch" and not hint:
        hint = _PATTERNS.get(fault["ctx"]["pattern"], f"la forme attendue est {fault['ctx']['pattern']}")
    if fault["type"] == "literal_error" and not hint:
        hint = f"valeurs possibles : {fault['ctx']['expected'].replace(' or ', ' ou ')}"
    return f"« {'.'.join(map(str, where))} » : valeur refusée ; {hint or _EXPECTED.get(fault['type'], fault['msg'])}"


def _field(model: type[BaseModel], where: tuple[str | int, ...]) -> tuple[type[BaseModel], str]:
    """The model that holds the last key of a path, and the hint of the last field on it that has one."""
    hint = ""
    keys = [part for part in where if isinstance(part, str)]
    for position, part in enumerate(keys):
        field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        if field is None:
            break
        extra = field.json_schema_extra
        hint = str(extra.get("hint", "")) if isinstance(extra, dict) else ""
        inner = next(_models(field.annotation), None)
        if inner is None or position == len(keys) - 1:
            break
        model = inner
    return model, hint


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
