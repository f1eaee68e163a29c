"""A rule to start from, for a module that has none: its tables and their path, guessed from their columns' names."""

from collections.abc import Iterable

from transition.moodle.references import Place, References

_MARGIN = "  "


def skeleton(references: References, name: str, tables: Iterable[str], activity: bool) -> str:
    """The text of a rule file that reaches these tables; what a person must decide is marked « À compléter ».

    :param name: of the rule and, if ``activity``, of the Moodle activity whose own table is where the paths begin.
    """
    paths = [_path(references, table, name if activity else None) for table in sorted(tables)]
    lines = [
        "# yaml-language-server: $schema=../rules.schema.json",
        f"rule: {name}",
        *([f"activity: {name}"] if activity else []),
        f"label: {name}",
        "kept: À compléter, ce qui reste",
        "moved: À compléter, ce qui part",
    ]
    known = [path for path in paths if path]
    if known:
        lines += ["traces:", *(_MARGIN + line for line in _tree(known))]
    lost = [table for table, path in zip(sorted(tables), paths, strict=True) if not path]
    lines += [f"{_MARGIN}# - table: {table}    # À compléter, aucune colonne ne mène à l'espace" for table in lost]
    return "\n".join(lines)


Path = tuple[tuple[str, str], ...]  # from the top: (table, « by: column » or « context: column »)


def _path(references: References, table: str, activity: str | None) -> Path:
    """The way down to a table from the rule's activity, else from the course; empty when none is known."""
    ways = (references.through(table, activity) if activity else []) or references.places(table)
    return _down(table, ways[0], activity) if ways else ()


def _down(table: str, place: Place, activity: str | None) -> Path:
    tables = [table, *(step.parent for step in place.steps)]
    links = [(tables[i], f"by: {step.column}") for i, step in enumerate(place.steps)]
    if activity in tables:
        return tuple(reversed(links[: tables.index(activity)]))
    top = tables[-1]
    first: Path = {
        "course": ((top, f"by: {place.column}{', to: course' if activity else ''}"),),
        "context": ((top, f"context: {place.column}"),),
        "module": (("course_modules", f"by: course{', to: course' if activity else ''}"), (top, f"by: {place.column}")),
        "instance": (),
    }[place.kind]
    return (*first, *reversed(links)) if first else ()


def _tree(paths: list[Path]) -> list[str]:
    """The paths as YAML, those that begin alike under one another."""
    lines = []
    for first in dict.fromkeys(path[0] for path in paths):
        below = [path[1:] for path in paths if path[0] == first and path[1:]]
        table, how = first
        lines += [f"- table: {table}", *(f"{_MARGIN}{part}" for part in how.split(", "))]
        if (first,) not in paths:
            lines.append(f"{_MARGIN}keep: chemin vers les tables ci-dessous")
        if below:
            lines += [f"{_MARGIN}with:", *(_MARGIN * 2 + line for line in _tree(below))]
    return lines
