"""What exactly goes: every file, every table, with its size and a digest; the proof of an expiry."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import sqlalchemy as sa
from upath import UPath

from transition import storage
from transition.campaign import Campaign
from transition.checksum import rows_checksum
from transition.moodle.database import MoodleDatabase
from transition.rules.compile import COURSE


@dataclass(frozen=True)
class Line:
    """A file (bytes, SHA-256) or a table (rows, checksum by the database server)."""

    name: str
    amount: int
    digest: str


@dataclass(frozen=True)
class Inventory:
    """The lines, by name."""

    lines: tuple[Line, ...] = ()

    @property
    def amount(self) -> int:
        """Bytes, or rows, in all."""
        return sum(line.amount for line in self.lines)

    @cached_property
    def text(self) -> bytes:
        """As a CSV file, which is kept as the proof."""
        rows = (f"{line.name};{line.amount};{line.digest}\n" for line in self.lines)
        return "".join(["nom;octets ou lignes;empreinte\n", *rows]).encode()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of that file."""
        return hashlib.sha256(self.text).hexdigest()


def read(content: bytes) -> Inventory:
    """The inventory that such a file holds."""
    _, *rows = content.decode().removesuffix("\n").split("\n")
    cells = (row.rsplit(";", 2) for row in rows)
    return Inventory(tuple(Line(name, int(amount), digest) for name, amount, digest in cells))


def of_folder(folder: UPath, known: Mapping[str, str] | None = None) -> Inventory:
    """Every file below a folder, perhaps absent.

    :param known: digests, by path below the folder, that need not be computed. None: a file's name is its digest.
    """
    lines = []
    for path in folder.rglob("*") if folder.exists() else ():
        if path.is_file():
            name = str(path)[len(str(folder)) + 1 :]
            digest = path.name if known is None else known.get(name) or storage.sha256(path)
            lines.append(Line(name, path.stat().st_size, digest))
    return Inventory(tuple(sorted(lines, key=lambda line: line.name)))


def of_schema(campaign: Campaign, name: str) -> Inventory:
    """Every table of a schema, perhaps absent; its views hold nothing of their own."""
    tables = _Schema(campaign.server, "", named=name).tables
    with campaign.engine.connect() as connection:
        lines = [_line(connection, table, tables[table]) for table in base_tables(connection, name)]
    return Inventory(tuple(lines))


def of_space(campaign: Campaign, courseid: int) -> Inventory:
    """What a course space consists of: its row, its sections, its activities and their files; empty if it is gone."""
    moodle = campaign.moodle
    course, context, files = moodle["course"], moodle["context"], moodle["files"]
    top = sa.select(context.c.path).where(context.c.contextlevel == COURSE, context.c.instanceid == courseid)
    with campaign.engine.connect() as connection:
        path = connection.execute(top).scalar() or "-"
        below = sa.select(context.c.id).where(sa.or_(context.c.path == path, context.c.path.like(f"{path}/%")))
        own = {
            "course": sa.select(*(c for c in course.c if c.name != "cacherev")).where(course.c.id == courseid),
            **{
                name: sa.select(moodle[name]).where(moodle[name].c.course == courseid)
                for name in ("course_modules", "course_sections")
            },
            "files": sa.select(files).where(files.c.contextid.in_(below)),
        }
        lines = (_line(connection, name, rows.subquery("held")) for name, rows in own.items())
        return Inventory(tuple(line for line in lines if line.amount))


def base_tables(connection: sa.Connection, schema: str) -> list[str]:
    """Names of a schema's tables, views aside, sorted."""
    query = sa.text(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = :schema AND table_type = 'BASE TABLE'"
    )
    return sorted(connection.execute(query, {"schema": schema}).scalars())


def _line(connection: sa.Connection, name: str, rows: sa.Table | sa.Subquery) -> Line:
    count, checksum = connection.execute(sa.select(sa.func.count(), rows_checksum(rows)).select_from(rows)).one()
    return Line(name, count, f"{checksum:016x}")


@dataclass(frozen=True)
class _Schema(MoodleDatabase):
    """The tables of another schema of the server."""

    named: str = ""

    @cached_property
    def schema(self) -> str:
        """Its name."""
        return self.named
