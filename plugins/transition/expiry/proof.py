"""The proof of an expiry: counts and digests, of no person, in the year's reports, which never expire.

``expiry-<run>.json`` lists what went; beside it, a CSV file for each thing deleted names its files or tables, with the
size and the digest of each. The SHA-256 of that file is the digest in the journal and in what was approved.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict

import sqlalchemy as sa

from transition import storage
from transition.campaign import Campaign
from transition.expiry.due import measure
from transition.expiry.inventory import Inventory
from transition.expiry.item import Item, inventory_path, load, mine, proof_stem, reports_of
from transition.expiry.page import title
from transition.expiry.spaces import still_archived
from transition.expiry.tables import expiry_item


def write_inventories(campaign: Campaign, found: Mapping[Item, Inventory]) -> None:
    """Write down what each item that is to be deleted consists of."""
    for item, consists in found.items():
        path = inventory_path(campaign, item)
        storage.make_private(path.parent)
        if item.action == "delete":
            storage.write(path, consists.text)


def write(campaign: Campaign) -> None:
    """Write the proof of each year that the run concerns, with what is done of it so far."""
    years: dict[int, list[dict[str, object]]] = {}
    for item, state in load(campaign).items():
        if item.action != "keep":
            years.setdefault(item.year, []).append(_facts(campaign, item, state))
    for year, items in years.items():
        facts = {
            "platform": campaign.platform.name, "site": campaign.moodle.site, "year": year, "run_id": campaign.run_id,
            "items": items,
        }  # fmt: skip
        path = reports_of(campaign, year) / f"{proof_stem(campaign)}.json"
        storage.write(path, json.dumps(facts, ensure_ascii=False, indent=1, default=str).encode())


def differences(campaign: Campaign, item: Item) -> Iterator[str]:
    """For an expiry that was interrupted: what is left of the item and was not approved, a French sentence."""
    if item.kind == "space" and (fault := still_archived(campaign, item)):
        yield f"{title(item)} : {fault}"
    if item.action == "hide":
        return
    path = inventory_path(campaign, item)
    approved = Inventory(text=path.read_bytes() if path.exists() else b"")
    if approved.digest != item.digest:
        yield f"{title(item)} : sa preuve {path} manque ou a changé"
        return
    present = measure(campaign, item)
    if item.kind == "space":  # Moodle deletes a space piece by piece, and changes its row meanwhile
        rows = approved.amounts()
        added = any(amount > rows.get(name, 0) for name, amount in present.amounts().items())
    else:
        added = not approved.holds(present)
    if added:
        yield f"changement depuis l'approbation : {title(item)}"


def _facts(campaign: Campaign, item: Item, state: str) -> dict[str, object]:
    facts = {name: value for name, value in asdict(item).items() if name not in ("year", "reason")}
    with campaign.engine.connect() as connection:
        done_at = connection.execute(sa.select(expiry_item.c.done_at).where(mine(campaign, item))).scalar()
    proof = inventory_path(campaign, item).name if item.action == "delete" else None
    return {**facts, "lost": item.reason, "inventory": proof, "state": state, "done_at": done_at}
