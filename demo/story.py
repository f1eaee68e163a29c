"""What the demonstration tells: a line a task, then what happened to the university, in French."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine

from demo.plan import YEAR
from demo.server import PrivateMariaDB
from transition.decisions import DECISIONS

ENDS = {"success": "fait", "failed": "ÉCHEC", "upstream_failed": "non exécutée", "skipped": "sans objet"}


def say(text: str) -> None:
    """Print a line now, also when the output is a file."""
    print(text, flush=True)


def number(value: int) -> str:
    """Return a number as the French write it."""
    return f"{value:,}".replace(",", "\u202f")


def task_line(task: dict[str, Any]) -> str:
    """Return the line of a task that has ended."""
    duration = f"{task['duration']:.1f} s".replace(".", ",") if task["duration"] else ""
    return f"  {task['task_id']:<32} {duration:>9}  {ENDS[task['state']]}"


def drop_leftovers(server: PrivateMariaDB, platform: str) -> None:
    """Drop what an earlier campaign kept of the platform: its state and its archive."""
    with create_engine(server.url(), poolclass=NullPool).connect() as connection:
        for schema in (f"{platform}_transition", f"{platform}_{YEAR}"):
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS `{schema}`")


def refusals(logs: Path) -> Iterator[str]:
    """Yield the sentences for users in a run's task logs (JSON lines), errors only, each once."""
    seen: set[str] = set()
    for path in sorted(logs.glob("task_id=*/attempt=*.log")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            text = str(entry.get("event", ""))
            if entry.get("level") in ("error", "critical") and text not in seen:
                seen.add(text)
                yield f"{path.parent.name.removeprefix('task_id=')} : {text}"


def summary(reports: Path) -> str:
    """Return what the newest report of the campaign says, and where it is."""
    newest = max(reports.glob("*.json"), key=lambda path: path.stat().st_mtime)
    facts = json.loads(newest.read_text(encoding="utf-8"))
    held = [space for space in facts["spaces"] if space["decision"] == DECISIONS["hold"]]
    lines = [
        "Ce qui s'est passé",
        "  Espaces : " + ", ".join(f"{count} {label}" for label, count in facts["decisions"].items()),
        f"  Lignes déplacées : {number(facts['moved'])} sur {number(facts['rows'])} prévues, vers l'archive"
        f" {facts['archive']}",
        *(f"  À décider : {space['code'] or space['fullname']} — {space['reason']}" for space in held),
        f"  Rapport : {newest.with_suffix('.html')}",
    ]
    return "\n".join(lines)
