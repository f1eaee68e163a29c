"""What a backup set says of itself: ``manifest.json``, and ``verified.json`` which vouches for it."""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from upath import UPath

from transition import storage
from transition.campaign import Campaign, now
from transition.platforms import Strict
from transition.rules.model import load_rules

MANIFEST, VERIFIED = "manifest.json", "verified.json"
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}")


class Column(Strict):
    """A column of a table file: Moodle's name, Arrow's type."""

    name: str
    type: str


class SpaceRows(Strict):
    """The rows of one space in one table file.

    :param checksum: the database server's checksum of the rows (:func:`transition.checksum.rows_checksum`).
    :param content: :class:`transition.backup.table.Content` of the rows that the server sent.
    :param groups: the space's row groups, in the order of ids.
    """

    rows: int
    checksum: int
    content: str
    groups: tuple[int, ...]


class TableFile(Strict):
    """One table's file. ``bytes``: its size; ``spaces``: by course id."""

    file: str
    bytes: int
    sha256: str
    rows: int
    columns: list[Column]
    spaces: dict[int, SpaceRows]


class Contents(Strict):
    """The contents of a space's files, each counted once: how many are stored, their bytes.

    ``lost``: SHA-1 of those that Moodle itself no longer held intact.
    """

    number: int
    bytes: int
    lost: tuple[str, ...]


class Space(Strict):
    """A course space in a set.

    :param state: :func:`state_of` its rows, all tables together.
    :param contents: of its files; None: the platform declared no ``dataroot``, they are not in the backup.
    """

    code: str
    rows: int
    state: str
    contents: Contents | None


class Manifest(Strict):
    """A set. ``tables``: by name without prefix; ``spaces``: by course id; ``created_at``: UTC."""

    format: int = 1
    name: str
    platform: str
    site: str
    site_identifier: str
    year: int
    run_id: str
    moodle_release: str
    table_prefix: str
    rules: str
    created_at: datetime
    tables: dict[str, TableFile]
    spaces: dict[int, Space]


class Verified(Strict):
    """The mark of a set whose files were all read back and found equal to what the server sent."""

    manifest_sha256: str
    verified_at: datetime


@dataclass(frozen=True)
class BackupSet:
    """A verified set and the folder it lies in."""

    folder: UPath
    manifest: Manifest


def state_of(tables: Mapping[str, tuple[int, int]]) -> str:
    """One digest of a space's rows, from (rows, checksum) by table; tables without rows do not count."""
    present = sorted((name, *counts) for name, counts in tables.items() if counts[0])
    return hashlib.sha256(repr(present).encode()).hexdigest()


def rules_hash() -> str:
    """SHA-256 of all the rules."""
    return hashlib.sha256("\n".join(rule.model_dump_json() for rule in load_rules()).encode()).hexdigest()


def new_name() -> str:
    """A name for a set: the moment in UTC, so that names sort by age."""
    return now().strftime("%Y%m%dT%H%M%S.%f")


def is_name(name: str) -> bool:
    """Whether it is one that :func:`new_name` gives: whatever has another is somebody else's."""
    return bool(_NAME.fullmatch(name))


def store(folder: UPath, manifest: Manifest) -> None:
    """Write the manifest: the last file of a set before it is read back."""
    storage.write(folder / MANIFEST, manifest.model_dump_json(indent=1).encode())


def mark_verified(folder: UPath) -> str:
    """Vouch for a set that was read back; returns the manifest's SHA-256."""
    digest = storage.sha256(folder / MANIFEST)
    mark = Verified(manifest_sha256=digest, verified_at=now())
    storage.write(folder / VERIFIED, mark.model_dump_json(indent=1).encode())
    return digest


def folders(campaign: Campaign) -> list[UPath]:
    """The folders of all sets of the campaign, verified or not, latest first."""
    root = storage.folder(campaign, "backup")
    return (
        sorted((path for path in root.iterdir() if path.is_dir()), key=lambda path: path.name, reverse=True)
        if root.exists()
        else []
    )


def verified_sets(campaign: Campaign, rejected: list[str], without: Collection[str] = ()) -> Iterator[BackupSet]:
    """The sets that may be relied upon, latest first, one at a time: manifests are large.

    :param rejected: receives one French sentence for each set that may not, with the reason.
    :param without: names of sets that need not be opened.
    """
    for folder in folders(campaign):
        if folder.name in without:
            continue
        try:
            fault, manifest = _open(campaign, folder)
        except OSError as error:
            fault, manifest = f"illisible ({storage.fault(error)})", None
        if manifest:
            yield BackupSet(folder, manifest)
        else:
            rejected.append(f"sauvegarde {folder.name} écartée : {fault}")


def _open(campaign: Campaign, folder: UPath) -> tuple[str, Manifest | None]:
    if not (folder / MANIFEST).exists():
        return "inachevée (pas de manifeste)", None
    if not (folder / VERIFIED).exists():
        return "jamais vérifiée", None
    content = (folder / MANIFEST).read_bytes()
    try:
        mark = Verified.model_validate_json((folder / VERIFIED).read_bytes())
        if mark.manifest_sha256 != hashlib.sha256(content).hexdigest():
            return "manifeste modifié depuis sa vérification", None
        manifest = Manifest.model_validate_json(content)
    except ValidationError:
        return "manifeste illisible", None
    moodle = campaign.moodle
    found = (manifest.platform, manifest.site, manifest.site_identifier)
    if found != (campaign.platform.name, moodle.site, moodle.config.get("siteidentifier", "")):
        return f"elle vient d'un autre site ({manifest.platform}, {manifest.site})", None
    return "", manifest
