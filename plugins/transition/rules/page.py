"""The policy as a page, generated from the rules: ``PYTHONPATH=plugins .venv/bin/python -m transition.rules.page``."""

from collections.abc import Iterable, Iterator

from transition.rules.kept import load_kept
from transition.rules.model import Node, Rule, load_rules

# The policy's own groups and order; an activity in none of them is among the others.
GROUPS = {
    "Activités d'évaluation": ("assign", "quiz", "offlinequiz", "workshop", "h5pactivity", "hvp", "hotpot", "lesson"),
    "Activités collaboratives": ("forum", "etherpadlite", "glossary", "data", "wiki"),
    "Activités liées au sondage des étudiants": (
        "choicegroup", "survey", "feedback", "questionnaire", "choice", "scheduler", "wooclap",
    ),
    "Autres activités": ("bigbluebuttonbn", "chat", "checklist", "lti", "scorm", "simplecertificate"),
    "Ressources": ("resources",),
    "Éléments transversaux": (),
}  # fmt: skip
_OTHERS, _ACROSS = "Autres activités", "Éléments transversaux"

_INTRODUCTION = """\
# Ce que la réinitialisation conserve et supprime

<!-- Page générée à partir des règles (include/rules) : ne la modifiez pas, modifiez la règle puis lancez
     PYTHONPATH=plugins .venv/bin/python -m transition.rules.page > docs/politique.md -->

Toutes les activités et leurs paramètres sont conservés : disponibilité, mode de groupe, restrictions d'accès, règles
d'achèvement. Ce que cette page dit supprimé est **déplacé** hors de Moodle, dans une archive d'où il peut revenir.

Ne sont pas concernés : les espaces complémentaires, les espaces à calendrier décalé (traités à leur propre date) et
ceux dont la décision est en attente. Un espace sorti de la maquette est archivé un an sous un nom en `ex_`, ouvert à
ses enseignants ; les traces des étudiants y sont supprimées comme ailleurs. Les badges obtenus restent acquis aux
étudiants : un badge échu reste sur leur profil, marqué « Expiré ».
"""

_FILES = """\
## Fichiers et notes : ce qu'un administrateur doit savoir

- **Fichiers.** Les lignes de `files` partent avec leur zone. Le contenu (dossier `filedir` de Moodle) ne part que si
  plus aucune ligne du site ne le désigne, et si la plateforme déclare `dataroot` ; sinon il est listé
  (`contenus-orphelins.csv`). Un contenu encore utilisé ailleurs reste en place.
- **Pads.** Ce qu'ils contiennent est sur le serveur Etherpad. Si la plateforme déclare ce serveur
  (`connections.etherpad`), chaque pad est sauvegardé (texte, page, conversation), supprimé avec l'historique de ses
  versions, puis recréé vide sous le même identifiant ; sinon le plan dit combien de pads gardent leur contenu.
- **Recalcul des notes.** Aucun élément d'évaluation n'est marqué « à recalculer » (`needsupdate`). Une
  réinitialisation porte toujours sur un espace entier : toutes ses notes partent, avec toutes les tables de résultats
  d'où Moodle pourrait les reconstituer. Il ne reste donc aucune note à recalculer. Limiter une exécution à quelques
  codes choisit des espaces, jamais une partie d'un espace ; un espace mis de côté garde toutes ses notes et tous ses
  résultats, déjà à jour. Arrêtée en chemin, une exécution rouvre Moodle, et sa reprise le referme avant de déplacer ce
  qui reste : une note que Moodle aurait refaite entre-temps est une trace comme les autres, que `verify` nomme.
"""


def page() -> str:
    """The page, as Markdown in French: for each rule what is kept, moved, to check; then the tables concerned."""
    rules = {rule.rule: rule for rule in load_rules()}
    parts = [_INTRODUCTION]
    for title, names in _grouped(rules).items():
        chosen = [rules[name] for name in names]
        parts += [f"## {title}\n", _table(chosen), _details(chosen)]
    return "\n".join([*parts, _FILES, _kept()])


def _grouped(rules: dict[str, Rule]) -> dict[str, list[str]]:
    """Names of the rules by group; course-wide ones by their French label."""
    groups = {title: [name for name in names if name in rules] for title, names in GROUPS.items()}
    placed = {name for names in groups.values() for name in names}
    rest = [name for name in rules if name not in placed]
    groups[_OTHERS] += [name for name in rest if rules[name].activity]
    groups[_ACROSS] += sorted((name for name in rest if not rules[name].activity), key=lambda name: rules[name].label)
    return groups


def _table(rules: Iterable[Rule]) -> str:
    rows = ((rule.label, rule.kept, rule.moved, rule.check) for rule in rules)
    return _markdown(("Activité ou élément", "Conservé", "Supprimé (déplacé)", "À vérifier en année N+1"), rows)


def _details(rules: Iterable[Rule]) -> str:
    rows = (
        (
            f"`{rule.rule}`",
            _code(dict.fromkeys(_moved(rule.traces))),
            _code(dict.fromkeys([*rule.files, *_areas(rule.traces)])),
            " ; ".join(dict.fromkeys(f"{node.keep} (`{node.table}`)" for node in _nodes(rule.traces) if node.keep)),
        )
        for rule in rules
        if rule.traces or rule.files
    )
    table = _markdown(("Règle", "Tables d'où des lignes partent", "Zones de fichiers", "Lignes qui restent"), rows)
    if not table:
        return ""
    return f"<details><summary>Tables concernées (administrateurs)</summary>\n\n{table}\n</details>\n"


def _kept() -> str:
    kept = load_kept()
    table = _markdown(
        ("Pourquoi elles restent", "Tables"),
        [(" ".join(group.reason.split()), _code(group.tables)) for group in kept.kept],
    )
    rows = _markdown(
        ("Pourquoi elles restent", "Lignes de la table"),
        [(" ".join(group.reason.split()), f"`{group.table}`") for group in kept.rows],
    )
    return (
        f"## Ce que rien ne touche\n\n<details><summary>Les tables, par raison</summary>\n\n{table}\n</details>\n\n"
        f"<details><summary>Des lignes, dans des tables dont d'autres partent</summary>\n\n{rows}\n</details>\n"
    )


def _nodes(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _nodes(node.children)


def _moved(nodes: Iterable[Node]) -> Iterator[str]:
    return (node.table for node in _nodes(nodes) if not node.keep)


def _areas(nodes: Iterable[Node]) -> Iterator[str]:
    return (area for node in _nodes(nodes) for area in node.files)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table, '' without rows."""
    lines = ["| " + " | ".join(cell.replace("|", r"\|") or " " for cell in row) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *lines, ""])


if __name__ == "__main__":
    print(page(), end="")
