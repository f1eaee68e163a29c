"""Rules as data: what of an activity, or of the whole course space, a purge moves, and what it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from transition.errors import TransitionError, refuse_all
from transition.files import explain, lines_of, read_yaml, rules_folder
from transition.platforms import Strict

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Area = Annotated[str, Field(pattern=r"^[a-z0-9_]+/([a-z0-9_]+\*?|\*)$")]  # component/filearea, * at the end: any
Scalar = str | int


class Not(Strict):
    """``{not: value}``, ``{not: [values]}``, ``{not: null}``."""

    value: Scalar | list[Scalar] | None = Field(
        alias="not", description="Tout sauf cette valeur, ou sauf celles de la liste ; null : la colonne a une valeur."
    )


class Above(Strict):
    """``{above: n}``: greater than n."""

    above: int = Field(description="Plus grand que ce nombre.")


class Like(Strict):
    """``{like: 'x%'}``: an SQL pattern."""

    like: str = Field(description="Textes qui ont cette forme ; % : une suite de caractères, _ : un caractère.")


class Unlike(Strict):
    """``{unlike: 'x%'}``: rows that do not match the pattern, NULL included."""

    unlike: str = Field(description="Textes qui n'ont pas cette forme, et lignes sans valeur.")


Test = Scalar | list[Scalar] | Not | Above | Like | Unlike | None
Conditions = dict[str, Test]


class JsonKey(Strict):
    """``by: {column: customdata, json: submissionid}``: a number inside a JSON column is the id of the row above."""

    column: Name = Field(description="Colonne qui contient du JSON.")
    json_key: Name = Field(
        alias="json", description="Clé, dans ce JSON, dont la valeur est l'id de la ligne au-dessus."
    )


class TextPattern(Strict):
    """``by: {column: name, pattern: 'block_x_{id}'}``: the column equals that text, with the id of the row above."""

    column: Name = Field(description="Colonne de texte.")
    pattern: str = Field(description="Le texte attendu ; {id} y tient la place de l'id de la ligne au-dessus.")

    @field_validator("pattern")
    @classmethod
    def _names_the_id(cls, value: str) -> str:
        if value.count("{id}") != 1:
            raise ValueError("le motif doit contenir {id} une fois")
        return value


class Users(Strict):
    """Only rows of people of that standing in the space (state table ``standing``)."""

    column: Name = Field(description="Colonne qui contient l'id de la personne.")
    standing: Literal["not teacher", "leaving"] = Field(
        description="not teacher : tous sauf les enseignants de l'espace ; leaving : les étudiants non réinscrits."
    )


_BY = "écrivez le nom d'une colonne, {column: …, json: …} ou {column: …, pattern: '…{id}…'}"
_CONDITION = "écrivez une valeur, une liste [a, b], null, {not: …}, {above: n}, {like: 'x%'} ou {unlike: 'x%'}"
_AREAS = "écrivez composant/zone, par exemple mod_forum/attachment (* à la fin : toute zone qui commence ainsi)"


class Node(Strict):
    """A table, how its rows hang from the row above, and which of them go."""

    table: Name = Field(description="Nom de la table, sans le préfixe de Moodle (mdl_).")
    by: Name | JsonKey | TextPattern | None = Field(
        None, description="Colonne de cette table qui contient l'id de la ligne au-dessus : celle de la table dont le"
        " « with » contient celle-ci ; au premier niveau, l'activité (sans activité, l'espace de cours).",
        json_schema_extra={"hint": _BY},
    )  # fmt: skip
    to: Name = Field("id", description="Colonne de la ligne au-dessus que « by » contient, si ce n'est pas son id.")
    context: Name | None = Field(
        None, description="À la place de « by » : colonne qui contient un contexte (celui d'une activité de la règle ;"
        " sans activité, n'importe quel contexte de l'espace).",
    )  # fmt: skip
    where: Conditions = Field(
        default={}, description="Seulement les lignes qui remplissent toutes ces conditions.",
        json_schema_extra={"hint": _CONDITION},
    )  # fmt: skip
    unless: Conditions = Field(
        default={}, description="Les lignes qui remplissent toutes ces conditions restent.",
        json_schema_extra={"hint": _CONDITION},
    )  # fmt: skip
    users: Users | None = Field(None, description="Seulement les lignes de ces personnes.")
    work: Name | None = Field(
        None, description="Colonne de la personne dont ces lignes sont le travail dans l'activité, un à la fois : si"
        " elle en a un nouveau, une restauration laisse dans l'archive tout ce qu'elle avait fait dans cette activité.",
    )  # fmt: skip
    keep: str = Field(
        "", description="Pourquoi les lignes de cette table restent : elle n'est qu'un chemin vers celles de « with »."
    )
    variant: str = Field(
        "", description="Quand cette table existe (version de Moodle ou du module) : ailleurs elle peut manquer, et le"
        " journal le dit.",
    )  # fmt: skip
    files: tuple[Area, ...] = Field(
        (), description="Zones de fichiers (composant/zone) dont l'itemid est une ligne déplacée de cette table.",
        json_schema_extra={"hint": _AREAS},
    )  # fmt: skip
    children: tuple[Node, ...] = Field(
        default=(), alias="with", description="Tables dont les lignes partent avec celles de cette table."
    )

    @model_validator(mode="after")
    def _one_path(self) -> Node:
        if (self.by is None) == (self.context is None):
            raise ValueError(f"table {self.table} : donnez « by » ou « context », l'un des deux")
        if self.context and self.to != "id":
            raise ValueError(f"table {self.table} : « to » ne va qu'avec « by », retirez-le")
        if self.keep and (self.files or not self.children):
            raise ValueError(f"table {self.table} : une table gardée (keep) n'est qu'un chemin vers d'autres (with)")
        return self


class KeptUsers(Strict):
    """Rows of these people: who teaches in the space; who is not leaving it; who is no student of it at all."""

    column: Name = Field(description="Colonne qui contient l'id de la personne.")
    standing: Literal["teacher", "not leaving", "not student"] = Field(
        description="teacher : les enseignants de l'espace ; not leaving : tous sauf les étudiants non réinscrits ;"
        " not student : ceux qui n'y sont ni n'y étaient étudiants."
    )


class KeptRows(Strict):
    """Rows that stay in a table whose other rows go: those for which all that is given here holds."""

    reason: str = Field(min_length=10, description="Pourquoi ces lignes restent.")
    table: Name = Field(description="Nom de la table, sans le préfixe de Moodle (mdl_).")
    where: Conditions = Field(
        default={}, description="Les lignes qui remplissent toutes ces conditions ; une colonne peut être table.colonne"
        " d'une table que la ligne cite.",
        json_schema_extra={"hint": _CONDITION},
    )  # fmt: skip
    by: Name | None = Field(
        None,
        description="Colonne qui contient l'id dans la table des conditions table.colonne, si son nom ne le dit pas.",
    )
    users: KeptUsers | None = Field(None, description="Les lignes de ces personnes.")
    named_by: str | None = Field(
        None, pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$",
        description="table.colonne : les lignes dont cette colonne contient l'id.",
    )  # fmt: skip


class Rule(Strict):
    """One rule file. French texts are the policy's, as its readers see them."""

    rule: Name = Field(description="Nom de la règle : celui du fichier, sans .yaml.")
    activity: Name | None = Field(
        None, description="Nom du module d'activité dans Moodle (table modules). Absent : règle de l'espace entier."
    )
    activities_kept: tuple[Name, ...] = Field(
        (), description="Modules d'activité dont tout reste : ils n'ont pas besoin d'une règle à eux."
    )
    label: str = Field(description="Nom de l'activité ou de l'élément, comme les enseignants le lisent.")
    kept: str = Field(description="Ce qui reste, en français, comme la politique le dit.")
    moved: str = Field(description="Ce qui part en archive, en français, comme la politique le dit.")
    check: str = Field("", description="Ce que l'enseignant doit vérifier en année N+1.")
    dates: tuple[Name, ...] = Field(
        (), description="Colonnes de dates de la table de l'activité : celles qui sont passées sont signalées."
    )
    live: bool = Field(
        False, description="true : Moodle écrit lui-même dans ces tables à chaque page vue ; leurs nombres peuvent"
        " changer entre le plan et l'exécution.",
    )  # fmt: skip
    tables_kept: tuple[Name, ...] = Field(
        (), description="Tables du module qui nomment des personnes (auteurs) et que l'on garde entières, pour la"
        " raison que « kept » donne.",
    )  # fmt: skip
    rows_kept: tuple[KeptRows, ...] = Field(
        (), description="Les lignes qui restent dans une table dont d'autres partent : la vérification les attend."
    )
    traces: tuple[Node, ...] = Field(
        (), description="Les tables dont des lignes partent, et leur chemin jusqu'à l'espace."
    )
    files: tuple[Area, ...] = Field(
        (), description="Zones de fichiers (composant/zone) qui ne contiennent que des traces.",
        json_schema_extra={"hint": _AREAS},
    )  # fmt: skip


def load_rule(name: str) -> Rule:
    """The rule of ``include/rules/<name>.yaml``; raises :class:`TransitionError` (file, line) if it is wrong."""
    rule = _read(name)
    if isinstance(rule, Rule):
        return rule
    raise TransitionError("\n".join(rule))


def load_rules() -> list[Rule]:
    """Every rule, by name; raises one :class:`TransitionError` with all the faults of all the files."""
    found = [_read(name) for name in rule_names()]
    refuse_all("Règles refusées :", [fault for faults in found if isinstance(faults, list) for fault in faults])
    return [rule for rule in found if isinstance(rule, Rule)]


def rule_names() -> list[str]:
    """Names of all the rules, sorted: the names of their files."""
    return sorted(path.stem for path in rules_folder().glob("*.yaml"))


def _read(name: str) -> Rule | list[str]:
    """The rule, or what is wrong with its file."""
    path = rules_folder() / f"{name}.yaml"
    return _read_once(path, path.read_bytes() if path.exists() else None)


@lru_cache(maxsize=500)  # a task reads the rules a dozen times; by their content: an edited file is another one
def _read_once(path: Path, _: bytes | None) -> Rule | list[str]:
    try:
        data = read_yaml(path)
        rule = Rule.model_validate(data)
    except ValidationError as error:
        return explain(path, error, Rule).splitlines()
    except TransitionError as error:
        return [str(error)]
    faults = list(_faults(rule, path.stem))
    lines = lines_of(path, [where for where, _ in faults])
    return [f"{path.name}, ligne {line} : {what}" for line, (_, what) in zip(lines, faults, strict=True)] or rule


def _faults(rule: Rule, name: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong between the keys of a rule, and where."""
    if rule.rule != name:
        yield ("rule",), f"« rule » vaut {rule.rule}, le fichier s'appelle {name} : donnez-leur le même nom"
    if rule.dates and not rule.activity:
        yield ("dates",), "« dates » nomme des colonnes de la table d'une activité : donnez « activity », ou retirez-la"
    root = rule.activity or "course"
    for position, node in enumerate(rule.traces):
        yield from _unreachable(node, ("traces", position), (root,))


def _unreachable(
    node: Node, where: tuple[str | int, ...], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Conditions on a column of a table that is not on the path."""
    known = (node.table,) if node.context else (*above, node.table)
    if node.work and (len(where) > 2 or node.context or above == ("course",)):
        yield (*where, "work"), f"table {node.table} : « work » ne va qu'au premier niveau d'une activité, avec « by »"
    for key, conditions in (("where", node.where), ("unless", node.unless)):
        for column in conditions:
            owner = column.rpartition(".")[0]
            if owner and owner not in known:
                tables = ", ".join(known)
                what = f"« {column} » : la table {owner} n'est pas sur le chemin ; tables possibles : {tables}"
                yield (*where, key, column), what
    for position, child in enumerate(node.children):
        yield from _unreachable(child, (*where, "with", position), known)
