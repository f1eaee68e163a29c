"""What an expiry is about: one folder, one schema, one course space."""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from upath import UPath

from transition import storage
from transition.campaign import Campaign
from transition.expiry.tables import expiry_item

Folder = Literal["backup", "mbz", "exports", "pads", "filedir"]
Kind = Literal["backup", "mbz", "exports", "pads", "filedir", "schema", "space"]


@dataclass(frozen=True)
class Item:
    """A folder, a schema or a course space of a year, and what becomes of it.

    :param name: the folder's or the schema's name, or the course's id; ``code``: of a space.
    :param action: ``keep``, or what happens once it is approved.
    :param reason: why it is kept, or what is lost with it.
    :param since: its age counts from then (UTC); None: nobody can tell.
    :param number: of files or tables. :param amount: bytes or rows. :param digest: SHA-256 of its inventory.
    """

    kind: Kind
    year: int
    name: str
    action: Literal["keep", "delete", "hide"]
    reason: str
    since: datetime | None
    code: str = ""
    number: int = 0
    amount: int = 0
    digest: str = ""

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells it from the others of a run."""
        return self.kind, self.year, self.name

    @property
    def in_storage(self) -> bool:
        """Whether it is a folder of the storage."""
        return self.kind not in ("schema", "space")


def folder_of(campaign: Campaign, item: Item) -> UPath:
    """The folder that the item is."""
    return campaign.storage / campaign.platform.name / str(item.year) / item.kind


def inventory_path(campaign: Campaign, item: Item) -> UPath:
    """Where the proof of what the item consisted of is kept."""
    return reports_of(campaign, item.year) / f"{proof_stem(campaign)}-{item.kind}-{item.name}.csv"


def reports_of(campaign: Campaign, year: int) -> UPath:
    """The reports of a year, which never expire."""
    return storage.folder(replace(campaign, year=year), "reports")


def proof_stem(campaign: Campaign) -> str:
    """How the names of the run's proofs begin."""
    return f"expiry-{storage.stem(campaign)}"


def fingerprint(items: Iterable[Item]) -> str:
    """SHA-256 of what goes: every item, what it consists of, what is lost with it."""
    going = sorted((item for item in items if item.action != "keep"), key=lambda item: item.key)
    facts = [{**asdict(item), "since": str(item.since)} for item in going]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def store(campaign: Campaign, items: Collection[Item]) -> None:
    """Replace the run's list."""
    rows = [{"run": campaign.run, **asdict(item), "state": "listed"} for item in items]
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(expiry_item).where(expiry_item.c.run == campaign.run))
        if rows:
            connection.execute(sa.insert(expiry_item), rows)


def load(campaign: Campaign) -> dict[Item, str]:
    """The run's list, each item with its state: ``listed``, ``begun`` or ``done``."""
    row = expiry_item.c
    names = list(Item.__dataclass_fields__)
    query = sa.select(*(row[name] for name in names), row.state).where(row.run == campaign.run)
    with campaign.engine.connect() as connection:
        found = connection.execute(query.order_by(row.year, row.kind, row.name)).all()
    return {Item(*values): state for *values, state in found}


def mine(campaign: Campaign, item: Item) -> sa.ColumnElement[bool]:
    """The item's row of the state table."""
    row = expiry_item.c
    return sa.and_(row.run == campaign.run, row.kind == item.kind, row.year == item.year, row.name == item.name)
