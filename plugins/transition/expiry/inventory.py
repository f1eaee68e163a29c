"""What exactly goes: every file, every table, with its size and a digest; the proof of an expiry."""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import sqlalchemy as sa
from upath import UPath

from transition import storage
from transition.campaign import Campaign
from transition.checksum import rows_checksum
from transition.moodle.database import MoodleDatabase
from transition.rules.compile import COURSE

_HEADING = b"nom;octets ou lignes;empreinte\n"


@dataclass(frozen=True)
class Line:
    """A file (bytes, SHA-256) or a table (rows, checksum by the database server)."""

    name: str
    amount: int
    digest: str


@dataclass(frozen=True)
class Inventory:
    """What lines say, without the lines: those of a year's contents are many.

    :param number: of lines. :param amount: bytes, or rows, in all. :param text: the lines as a CSV file, which is kept
        as the proof, always in the same order.
    """

    number: int = 0
    amount: int = 0
    text: bytes = _HEADING

    @classmethod
    def of(cls, lines: Iterable[Line]) -> "Inventory":
        """The inventory of lines, in an order of their own."""
        number, amount, text = 0, 0, io.BytesIO()
        text.write(_HEADING)
        for line in lines:
            text.write(f"{line.name};{line.amount};{line.digest}\n".encode())
            number, amount = number + 1, amount + line.amount
        return cls(number, amount, text.getvalue())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the CSV file."""
        return hashlib.sha256(self.text).hexdigest()

    def holds(self, other: "Inventory") -> bool:
        """Whether every line of another inventory, in the same order, is one of this one."""
        mine = iter(io.BytesIO(self.text))
        return all(line in mine for line in io.BytesIO(other.text))  # each is looked for behind the one before

    def amounts(self) -> dict[str, int]:
        """The amount of each line, by name; for inventories of few lines."""
        cells = (line.rsplit(";", 2) for line in self.text.decode().splitlines()[1:])
        return {name: int(amount) for name, amount, _ in cells}


def of_folder(folder: UPath, known: Mapping[str, str] | None = None) -> Inventory:
    """Every file below a folder, perhaps absent; one listing for each folder in it, as object stores like it.

    :param known: digests, by path below the folder, that need not be computed. None: a file's name is its digest.
    """
    return Inventory.of(_files(folder, known)) if folder.exists() else Inventory()


def _files(folder: UPath, known: Mapping[str, str] | None) -> Iterator[Line]:
    for entry in sorted(folder.iterdir()):
        found = folder.fs.find(entry.path, detail=True)
        for path in sorted(found):
            name = entry.name + path.partition(entry.path)[2]
            digest = name.rpartition("/")[2] if known is None else known.get(name) or storage.sha256(folder / name)
            yield Line(name, int(found[path]["size"]), digest)


def of_schema(campaign: Campaign, name: str) -> Inventory:
    """Every table of a schema, perhaps absent; its views hold nothing of their own."""
    tables = _Schema(campaign.server, "", named=name).tables
    with campaign.engine.connect() as connection:
        lines = [_line(connection, table, tables[table]) for table in base_tables(connection, name)]
    return Inventory.of(lines)


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
        return Inventory.of(line for line in lines if line.amount)


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
