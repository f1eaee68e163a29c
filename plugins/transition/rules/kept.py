"""What a transition keeps although it names somebody: ``kept_tables.yaml``, each entry with its reason."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, ValidationError

from transition.errors import TransitionError
from transition.files import INCLUDE, explain, read_yaml, rules_folder
from transition.platforms import Strict
from transition.rules.model import KeptRows, Name, Rule


class KeptGroup(Strict):
    """Whole tables, kept for one reason. Those that a version of Moodle lacks do no harm."""

    reason: str = Field(min_length=10)
    tables: tuple[Name, ...]


class Kept(Strict):
    """The file ``kept_tables.yaml``."""

    kept: tuple[KeptGroup, ...]
    rows: tuple[KeptRows, ...] = ()

    @property
    def reasons(self) -> dict[str, str]:
        """The reason for each table kept whole."""
        return {table: group.reason for group in self.kept for table in group.tables}


def kept_file() -> Path:
    """``kept_tables.yaml``: the one beside the folder of the rules, else the project's own."""
    beside = rules_folder().parent / "kept_tables.yaml"
    return beside if beside.exists() else INCLUDE / beside.name


def load_kept() -> Kept:
    """The file's content; raises :class:`TransitionError` naming file, line and key if it is wrong."""
    path = kept_file()
    try:
        kept = Kept.model_validate(read_yaml(path))
    except ValidationError as error:
        raise TransitionError(explain(path, error, Kept)) from None
    counts = Counter(table for group in kept.kept for table in group.tables)
    if twice := sorted(table for table, count in counts.items() if count > 1):
        raise TransitionError(f"{path.name} : chaque table n'a qu'un motif, retirez le second de {', '.join(twice)}.")
    return kept


def kept_reasons(rules: Iterable[Rule], kept: Kept) -> dict[str, str]:
    """Why each table stays whole: by ``kept_tables.yaml``, else by a rule (``tables_kept``, its activity's table)."""
    by_rule = {
        table: f"{rule.label} : {rule.kept}"
        for rule in rules
        for table in (*rule.tables_kept, *((rule.activity,) if rule.activity else ()))
    }
    return by_rule | kept.reasons


def kept_rows(rules: Iterable[Rule], kept: Kept) -> tuple[KeptRows, ...]:
    """The rows declared to stay: by ``kept_tables.yaml``, and by the rules (``rows_kept``)."""
    return (*kept.rows, *(entry for rule in rules for entry in rule.rows_kept))
