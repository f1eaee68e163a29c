"""The list as a person reads it: in the task's log, and in Airflow before approving."""

from collections.abc import Collection

from transition.campaign import Campaign
from transition.expiry.item import Item
from transition.french import counted, day

KINDS = {
    "backup": "sauvegardes", "mbz": "sauvegardes de Moodle (.mbz)", "exports": "exports des notes", "pads": "pads",
    "filedir": "contenus de fichiers",
    "schema": "schéma", "space": "espace",
}  # fmt: skip
_ACTIONS = {"delete": "supprimer", "hide": "masquer"}
_SHOWN = 200
_NAMED = 20


def title(item: Item) -> str:
    """What the item is, in French."""
    if item.kind == "space":
        return f"espace {item.code or 'sans code'} (cours {item.name})"
    return f"schéma {item.name}" if item.kind == "schema" else f"{KINDS[item.kind]} {item.year}"


def size(item: Item) -> str:
    """How much it is: files and bytes, or tables and rows."""
    if item.action != "delete":
        return ""
    if item.in_storage:
        return f"{counted(item.number, 'fichier', 'fichiers')}, {counted(item.amount, 'octet', 'octets')}"
    return f"{counted(item.number, 'table', 'tables')}, {counted(item.amount, 'ligne', 'lignes')}"


def list_page(campaign: Campaign, items: Collection[Item]) -> str:
    """The list, as Markdown: all that goes, then what stays and why, then what never goes."""
    going = [item for item in items if item.action != "keep"]
    parts = [f"Conservation — {campaign.platform.label}"]
    if going:
        rows = [
            f"| {_ACTIONS[item.action]} | {item.year} | {title(item)} | {size(item)} | {_since(campaign, item)} |"
            for item in going[:_SHOWN]
        ]
        head = ["| Action | Année | Quoi | Contenu | Âge compté depuis |", "|---|---|---|---|---|"]
        parts += ["À l'échéance :", "\n".join([*head, *rows])]
        if len(going) > _SHOWN:
            parts.append(
                f"… et {counted(len(going) - _SHOWN, 'autre', 'autres')}, dans la table expiry_item de l'état."
            )
        warnings = sorted({item.reason for item in going if item.reason})
        parts += [f"**Attention : {warning}.**" for warning in warnings]
    else:
        parts.append("Rien n'est à l'échéance.")
    if kept := _kept(items):
        parts += ["Conservés :", "\n".join(kept)]
    parts.append("Les rapports de chaque année et le journal sont la preuve : ils ne sont jamais supprimés.")
    return "\n\n".join(parts)


def _kept(items: Collection[Item]) -> list[str]:
    """What stays, by year and reason; of many spaces with the same reason, the first ones by name."""
    by_reason: dict[tuple[int, str], list[str]] = {}
    for item in items:
        if item.action == "keep":
            by_reason.setdefault((item.year, item.reason), []).append(title(item))
    lines = []
    for (year, reason), names in by_reason.items():
        more = f" et {counted(len(names) - _NAMED, 'autre', 'autres')}" if len(names) > _NAMED else ""
        lines.append(f"- {year} : {', '.join(names[:_NAMED])}{more} : {reason}")
    return lines


def _since(campaign: Campaign, item: Item) -> str:
    return day(item.since, campaign.platform.zone) if item.since else ""
