"""Backup sets in the storage, as a disk or a person leaves them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from upath import UPath

from transition.backup.manifest import MANIFEST, VERIFIED, mark_verified

OLDER = "20260101T000000.000000"


def add_older(newer: Path) -> Path:
    """Beside a set, another verified one that holds the same, made long before it; returns its folder."""
    folder = newer.with_name(OLDER)
    shutil.copytree(newer, folder)
    facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    facts |= {"name": OLDER, "created_at": "2026-01-01T00:00:00"}
    (folder / MANIFEST).write_text(json.dumps(facts), encoding="utf-8")
    mark_verified(UPath(folder))
    return folder


def _alter(folder: Path) -> None:
    with (folder / MANIFEST).open("a") as file:
        file.write(" ")


def _unmark(folder: Path) -> None:
    (folder / VERIFIED).unlink()


# How a set stops being one that may be relied upon.
LOSSES: dict[str, Callable[[Path], None]] = {"altered": _alter, "unmarked": _unmark, "gone": shutil.rmtree}
