"""What is due: kinds by years, each with the reason why it goes or stays."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import get_args

import sqlalchemy as sa

from transition import contents, storage
from transition.backup import mbz
from transition.backup.journalled import Verification, held_sets, newest_set
from transition.backup.manifest import VERIFIED, Verified, verified_sets
from transition.campaign import Campaign
from transition.expiry import inventory
from transition.expiry.age import Ages, read_ages, too_young
from transition.expiry.inventory import Inventory
from transition.expiry.item import Folder, Item, folder_of
from transition.expiry.spaces import due_spaces
from transition.french import counted
from transition.restore.history import resets_of_year
from transition.restore.scratch import Purpose

_NONE: Mapping[str, str] = {}
_NO_AGE = "âge inconnu : ni exécution vérifiée, ni sauvegarde vérifiée de l'année"


@dataclass(frozen=True)
class Backups:
    """The verified sets of a year.

    :param newest: when the newest one was verified (UTC). :param digests: of their files, by path below the folder.
    :param spaces: for each set, its name, when it was made and the courses that it holds.
    """

    newest: datetime | None
    digests: dict[str, str]
    spaces: Sequence[tuple[str, datetime, frozenset[int]]]


def find(campaign: Campaign, now: datetime) -> dict[Item, Inventory]:
    """Everything that could expire, by year: what is due at ``now`` (UTC), and what is kept, with the reason.

    Changes nothing. What would be deleted comes with its inventory, which is empty for the rest.
    """
    ages, schemas = read_ages(campaign), _schemas(campaign)
    root = campaign.storage / campaign.platform.name
    stored = (
        {int(path.name) for path in root.iterdir() if re.fullmatch(r"\d{4}", path.name)} if root.exists() else set()
    )
    found: dict[Item, Inventory] = {}
    for year in sorted(stored | set(schemas)):
        found |= _Year(replace(campaign, year=year), ages, now, schemas.get(year, ())).items()
    return found | dict(measured(campaign, item) for item in due_spaces(campaign, ages, now))


def verdict(campaign: Campaign, item: Item, months: int, now: datetime) -> Item:
    """The item, due or kept, by its age alone."""
    if item.since is None:
        return replace(item, reason=_NO_AGE)
    reason = too_young(campaign, item.since, months, now)
    return replace(item, action="keep" if reason else "delete", reason=reason)


def _schemas(campaign: Campaign) -> dict[int, list[str]]:
    """The archive schemas by year, that of the year first, then what a restore left beside it."""
    known = re.compile(rf"{re.escape(campaign.platform.name)}_(\d{{4}})(_(?:{'|'.join(get_args(Purpose))}))?")
    found: dict[int, list[str]] = {}
    with campaign.server.connect() as connection:
        for name in connection.execute(sa.text("SHOW DATABASES")).scalars():
            if (match := known.fullmatch(name)) and name != campaign.moodle.schema:
                found.setdefault(int(match[1]), []).append(name)
    return {year: sorted(names) for year, names in found.items()}


class _Year:
    """The remains of one year (``campaign.year``)."""

    def __init__(self, campaign: Campaign, ages: Ages, now: datetime, schemas: Collection[str]) -> None:
        self.campaign, self.now, self.schemas = campaign, now, schemas
        self.keep = campaign.platform.retention
        self.held = ages.unfinished.get(campaign.year, "")
        self.end = ages.ends.get(campaign.year)
        self.backups = read_backups(campaign)
        # A backup that was made after the campaign has not served for as long as the campaign is over.
        self.files_since = max((at for at in (self.end, self.backups.newest) if at), default=None)
        with campaign.engine.connect() as connection:
            self.resets = connection.execute(resets_of_year(campaign)).all()

    def items(self) -> dict[Item, Inventory]:
        found = [*self._schemas(), *self._folders()]
        if self.held:
            found = [replace(item, action="keep", reason=self.held) for item in found]
        found = self._keep_only_copy(found)
        found = [self._with_contents(item, found) for item in found]
        return dict(measured(self.campaign, item, self.backups.digests) for item in self._warned(found))

    def _folders(self) -> Iterator[Item]:
        months = {
            "backup": self.keep.backups, "mbz": self.keep.backups, "exports": self.keep.exports,
            "pads": self.keep.backups,
            "filedir": max(self.keep.backups, self.keep.archive),
        }  # fmt: skip
        for kind in get_args(Folder):
            item = Item(kind, self.campaign.year, kind, "keep", "", self.files_since)
            if folder_of(self.campaign, item).exists():
                yield verdict(self.campaign, item, months[kind], self.now)

    def _schemas(self) -> Iterator[Item]:
        for name in self.schemas:
            item = Item("schema", self.campaign.year, name, "keep", "", self.end)
            strange = self._strange_table(name)
            yield (
                replace(item, reason=f"la table {strange} n'est pas d'une archive : vérifiez ce schéma")
                if strange
                else verdict(self.campaign, item, self.keep.archive, self.now)
            )

    def _strange_table(self, name: str) -> str | None:
        """A table that no campaign and no restore makes: then the schema is somebody else's."""
        prefix = self.campaign.moodle.prefix
        own = re.compile(rf"(key|kept|swap)_.+|{re.escape(prefix)}.+")
        with self.campaign.server.connect() as connection:
            found = inventory.base_tables(connection, name)
        of_moodle = f"{prefix}config"  # no trace of anybody: it is there in a whole Moodle only
        return next((table for table in found if table == of_moodle or not own.fullmatch(table)), None)

    def _keep_only_copy(self, items: list[Item]) -> list[Item]:
        """The backup, or the archive schema, that is the only copy of some rows stays as long as the longer of both."""
        backup = next((item for item in items if item.kind == "backup"), None)
        return [self._as_only_copy(item, backup) if item.action == "delete" else item for item in items]

    def _as_only_copy(self, item: Item, backup: Item | None) -> Item:
        months, schema = max(self.keep.archive, self.keep.backups), self.campaign.archive_schema
        if (item is backup and self.resets and schema not in self.schemas) or (item.name == schema and not backup):
            return verdict(self.campaign, item, months, self.now)
        if item.name == schema and backup and backup.action == "keep" and (lost := self._without_backup()):
            reason = f"seule copie de {counted(lost, 'espace', 'espaces')}, sans sauvegarde intacte"
            return replace(item, action="keep", reason=reason)
        return item

    def _without_backup(self) -> int:
        """How many of the spaces that were reset have no intact backup from before, the last one that was made."""
        wanted = {(reset.courseid, reset.frozen_at) for reset in self.resets}
        folder = storage.folder(self.campaign, "backup")
        for name, digest in self.backups.digests.items():
            if not (folder / name).exists() or storage.sha256(folder / name) != digest:
                return len({courseid for courseid, _ in wanted})
        held = held_sets(self.campaign)
        return len({one for one, frozen_at in wanted if not self._has_backup(one, frozen_at, held.get(one, ()))})

    def _has_backup(self, courseid: int, frozen_at: datetime, held: Iterable[Verification]) -> bool:
        newest = newest_set(held, frozen_at)
        return any(
            courseid in spaces and made <= frozen_at and name >= newest for name, made, spaces in self.backups.spaces
        )

    def _with_contents(self, item: Item, items: Iterable[Item]) -> Item:
        """The contents of files go last: the rows of a backup or of a schema would come back without them."""
        if item.kind != "filedir" or item.action == "keep":
            return item
        if any(other.action == "keep" and self._restorable(other) for other in items):
            return replace(item, action="keep", reason="sert encore aux restaurations de l'année")
        if missed := contents.missed(self.campaign):
            what = counted(missed, "contenu manque", "contenus manquent")
            reason = f"{what} à Moodle, qui s'en sert encore : remettez-le à sa place dans filedir"
            return replace(item, action="keep", reason=reason)
        return item

    def _warned(self, items: list[Item]) -> list[Item]:
        """Say plainly after what nothing of the year can be restored any more."""
        if any(item.action == "keep" for item in items if self._restorable(item)):
            return items
        after = f"après cela, plus rien ne permet de restaurer l'année {self.campaign.year}"
        return [replace(item, reason=after) if self._restorable(item) else item for item in items]

    def _restorable(self, item: Item) -> bool:
        return item.kind == "backup" or item.name == self.campaign.archive_schema


def measured(campaign: Campaign, item: Item, digests: Mapping[str, str] = _NONE) -> tuple[Item, Inventory]:
    """The item with what it consists of now, and the inventory of that, if it is to be deleted.

    :param digests: of the year's backup files, as their manifests vouch for them.
    """
    found = measure(campaign, item, digests) if item.action == "delete" else Inventory()
    return replace(item, number=found.number, amount=found.amount, digest=found.digest), found


def measure(campaign: Campaign, item: Item, digests: Mapping[str, str] = _NONE) -> Inventory:
    """What the item consists of now; see :func:`measured`."""
    if item.kind == "space":
        return inventory.of_space(campaign, int(item.name))
    if item.kind == "schema":
        return inventory.of_schema(campaign, item.name)
    folder = folder_of(campaign, item)
    if item.kind == "mbz":  # terabytes: each run would read them all twice
        digests = mbz.vouched(folder)
    known = {"filedir": None, "backup": digests, "mbz": digests}.get(item.kind, _NONE)  # a content's name is its digest
    return inventory.of_folder(folder, known)


def read_backups(campaign: Campaign) -> Backups:
    """The verified sets of the campaign's year."""
    newest: datetime | None = None
    digests, spaces = dict[str, str](), list[tuple[str, datetime, frozenset[int]]]()
    for backup in verified_sets(campaign, []):
        mark = Verified.model_validate_json((backup.folder / VERIFIED).read_bytes())
        newest = max(newest or mark.verified_at, mark.verified_at)
        name = backup.folder.name
        digests |= {f"{name}/{file.file}": file.sha256 for file in backup.manifest.tables.values()}
        spaces.append((backup.manifest.name, backup.manifest.created_at, frozenset(backup.manifest.spaces)))
    return Backups(newest, digests, spaces)
