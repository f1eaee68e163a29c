"""Where a campaign's files are, off the database server; they hold students' data: for their owner only."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal

from upath import UPath

from transition.campaign import Campaign

Kind = Literal["backup", "mbz", "exports", "pads", "filedir", "reports"]
FULL = {errno.ENOSPC, errno.EDQUOT}  # numbers of the errors of a storage that takes nothing more


def folder(campaign: Campaign, kind: Kind) -> UPath:
    """The folder ``<storage>/<platform>/<year>/<kind>``, perhaps absent."""
    return campaign.storage / campaign.platform.name / str(campaign.year) / kind


def stem(campaign: Campaign) -> str:
    """The run's id, as the names of its files have it."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in campaign.run_id)


def fault(error: OSError) -> str:
    """What was wrong with a file or its storage, in a few words; an object store does not always give the system's."""
    return "le stockage de la sauvegarde est plein" if error.errno in FULL else error.strerror or type(error).__name__


def make_private(path: UPath) -> None:
    """Create a folder and those above it that are missing, each for its owner only (0700)."""
    if not path.exists():
        if path.parent != path:
            make_private(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def create(path: UPath) -> Iterator[BinaryIO]:
    """Open a new file for writing, for its owner only (0600); what was written is on the disk when the block ends."""
    if path.protocol == "":  # a plain path
        with os.fdopen(os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    else:
        with path.open("wb") as file:
            yield file


def write(path: UPath, content: bytes) -> None:
    """Write a whole file at once: a reader finds the old one or the new one, never half of it."""
    if path.protocol == "":
        part = path.with_name(f".{path.name}.part")
        with create(part) as file:
            file.write(content)
        part.replace(path)
    else:  # an object store shows an object once it is complete
        path.write_bytes(content)


def sha256(path: UPath) -> str:
    """SHA-256 of a file's bytes, hexadecimal; raises :class:`FileNotFoundError`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
