"""The list as a person reads it: in the task's log, and in Airflow before approving."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from transition.campaign import Campaign
from transition.expiry.item import Item
from transition.french import counted, day

KINDS = {
    "backup": "sauvegardes", "mbz": "sauvegardes de Moodle (.mbz)", "exports": "exports des notes", "pads": "pads",
    "filedir": "contenus de fichiers",
    "schema": "schéma", "space": "espace",
}  # fmt: skip
_ACTIONS = {"delete": "supprimer", "hide": "masquer"}
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
    """The list, as Markdown: all that goes, then what stays and why, then what never goes.

    Each folder and schema has its line, before the spaces: however many these are, nothing else is hidden by them.
    """
    going = [item for item in items if item.action != "keep"]
    parts = [f"Conservation — {campaign.platform.label}"]
    if going:
        spaces = _spaces(going)
        lines = [[item] for item in going if item.kind != "space"] + spaces
        head = ["| Action | Année | Quoi | Contenu | Âge compté depuis |", "|---|---|---|---|---|"]
        parts += ["À l'échéance :", "\n".join([*head, *(_line(campaign, line) for line in lines)])]
        if any(len(line) > _NAMED for line in spaces):
            parts.append("Tous les espaces sont nommés dans la table expiry_item de l'état.")
        warnings = sorted({item.reason for item in going if item.reason})
        parts += [f"**Attention : {warning}.**" for warning in warnings]
        parts += _remains(items)
    else:
        parts.append("Rien n'est à l'échéance.")
    if kept := _kept(items):
        parts += ["Conservés :", "\n".join(kept)]
    parts.append("Les rapports de chaque année et le journal sont la preuve : ils ne sont jamais supprimés.")
    return "\n\n".join(parts)


def _remains(items: Collection[Item]) -> Iterator[str]:
    """Of each year that loses a folder or a schema, what still exists afterwards."""
    stored = [item for item in items if item.kind != "space"]
    for year in sorted({item.year for item in stored if item.action != "keep"}):
        kept = [title(item) for item in stored if item.year == year and item.action == "keep"]
        yield f"Il ne restera de {year} que : {', '.join([*kept, 'les rapports'])}."


def _kept(items: Collection[Item]) -> list[str]:
    """What stays, by year and reason; of many spaces with the same reason, the first ones by name."""
    by_reason: dict[tuple[int, str], list[str]] = {}
    for item in items:
        if item.action == "keep":
            by_reason.setdefault((item.year, item.reason), []).append(title(item))
    return [f"- {year} : {_named(names)} : {reason}" for (year, reason), names in by_reason.items()]


def _spaces(items: Collection[Item]) -> list[list[Item]]:
    """The spaces among these, by year and action."""
    found: dict[tuple[int, str], list[Item]] = {}
    for item in items:
        if item.kind == "space":
            found.setdefault((item.year, item.action), []).append(item)
    return list(found.values())


def _line(campaign: Campaign, items: Sequence[Item]) -> str:
    """A line of the table: one item, or spaces of one year that have the same fate."""
    first, names = items[0], _named([title(item) for item in items])
    what = f"{counted(len(items), 'espace', 'espaces')} : {names}" if len(items) > 1 else names
    number, amount = sum(item.number for item in items), sum(item.amount for item in items)
    held = size(replace(first, number=number, amount=amount))
    return f"| {_ACTIONS[first.action]} | {first.year} | {what} | {held} | {_since(campaign, items)} |"


def _named(names: Sequence[str]) -> str:
    """The first names, and how many others there are."""
    more = f" et {counted(len(names) - _NAMED, 'autre', 'autres')}" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _since(campaign: Campaign, items: Sequence[Item]) -> str:
    """The day, or the first and the last one, from which their age counts."""
    moments = sorted(item.since for item in items if item.since)
    days = [day(moment, campaign.platform.zone) for moment in (*moments[:1], *moments[-1:])]
    return " – ".join(dict.fromkeys(days))
