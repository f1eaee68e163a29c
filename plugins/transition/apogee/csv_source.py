"""Feeds from a folder of CSV files; the layout is described in :mod:`transition.apogee`."""

import codecs
import csv
import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from upath import UPath

from transition.apogee.canonical import CANONICAL, YEAR_N, Canonical
from transition.apogee.feed import Feed, Manifest, RawTable
from transition.errors import TransitionError
from transition.french import counted

MANIFEST = "lot.csv"
_SEPARATOR = ";"
# UTF-8 that was read as Latin-1 or cp1252 on its way (Ã and a sign that only that makes), or letters lost (U+FFFD).
_OF_CP1252 = "|".join(bytes(range(0x80, 0xA0)).decode("cp1252", "ignore")).encode()
_GARBLED = re.compile(b"\xc3\x83(?:\xc2[\x80-\xbf]|" + _OF_CP1252 + b")|\xef\xbf\xbd")
_LISTED = 5  # lines of one fault that a message lists


class UnreadableError(Exception):
    """A file that cannot be read as its table; the text is the finding."""


@dataclass(frozen=True)
class CsvFolder:
    """A folder with one sub-folder a year, on a disk or in an object store.

    :param expected: the tables that year N must bring.
    """

    folder: Path | UPath
    expected: tuple[str, ...] = YEAR_N
    live = False

    def check(self, year: int) -> list[str]:
        """The folder, its manifest, its year, its files."""
        if year not in self.years():
            return [self._absent_year(year)]
        folder = self.folder / str(year)
        try:
            manifest = read_manifest(folder)
        except UnreadableError as error:
            return [str(error)]
        findings = [absent(folder.name, name) for name in self.expected if not (folder / f"{name}.csv").is_file()]
        if manifest.annee != year:
            findings.append(wrong_year(manifest, year))
        return findings

    def years(self) -> list[int]:
        """The years that have a sub-folder; raises :class:`TransitionError` if the folder itself is missing."""
        if not self.folder.is_dir():
            raise TransitionError(
                f"Le dossier Apogée {self.folder} n'existe pas : vérifiez la connexion Apogée de la plateforme,"
                " ou que le dossier est monté."
            )
        return sorted(
            int(path.name) for path in self.folder.iterdir() if path.is_dir() and re.fullmatch(r"\d{4}", path.name)
        )

    def read(self, year: int, *, snapshot: bool = False) -> Feed:
        """Read every file of that year, snapshot or not; what cannot be read becomes a finding."""
        if year not in self.years():
            raise TransitionError(self._absent_year(year))
        folder, findings = self.folder / str(year), []
        manifest, tables = None, {}
        try:
            manifest = read_manifest(folder)
        except UnreadableError as error:
            findings.append(str(error))
        for name, canonical in CANONICAL.items():
            if (folder / f"{name}.csv").is_file():
                try:
                    tables[name] = _read_table(folder, canonical)
                except UnreadableError as error:
                    findings.append(str(error))
                    tables.pop(name, None)
        return Feed(str(year), year, manifest, tables, findings)

    def _absent_year(self, year: int) -> str:
        return (
            f"Le dossier Apogée {self.folder} n'a pas de sous-dossier {year} : déposez-y l'extraction de l'année"
            f" {year}-{year + 1}."
        )


def absent(year: str, table: str) -> str:
    """The finding of a file that is not there."""
    return f"{year}/{table}.csv : fichier absent ; refaites l'extraction complète."


def wrong_year(manifest: Manifest, year: int) -> str:
    """The finding of a manifest of another year."""
    return f"{manifest.where}, colonne annee : « {manifest.annee} », {year} attendu."


def read_manifest(folder: Path | UPath) -> Manifest:
    """The manifest of a year's folder; raises :class:`UnreadableError`."""
    path = folder / MANIFEST
    where = _where(path)
    header, content, _ = _content(path)
    rows = list(csv.DictReader(io.StringIO(content.decode()), header, delimiter=_SEPARATOR))
    if len(rows) != 1:
        raise UnreadableError(f"{where} : une ligne et une seule est attendue sous l'en-tête, il y en a {len(rows)}.")
    try:
        row = _ManifestRow.model_validate(rows[0])
    except ValidationError as error:
        columns = sorted({str(fault["loc"][0]) for fault in error.errors()})
        raise UnreadableError(
            f"{where}, ligne 2 : colonne absente ou valeur refusée : {', '.join(columns)} ; corrigez-la."
        ) from None
    moment = row.extrait_le.astimezone(UTC).replace(tzinfo=None)
    return Manifest(
        f"{where}, ligne 2", row.lot_id, row.source, row.annee, moment, row.complet == "1", row.nb_lignes, row.sha256
    )


class _ManifestRow(BaseModel):
    model_config = ConfigDict(extra="forbid")

    lot_id: str = Field(min_length=1, max_length=100)
    source: str = Field(min_length=1, max_length=20)
    annee: int = Field(ge=2000, le=2100)
    extrait_le: AwareDatetime
    complet: str = Field(pattern="^[01]$")
    nb_lignes: dict[str, int]
    sha256: dict[str, str]

    def __init__(self, **row: Any) -> None:
        for column in ("nb_lignes", "sha256"):
            try:
                row[column] = json.loads(row.get(column) or "")
            except ValueError:
                row[column] = None  # refused below, by its name
        super().__init__(**row)


def pasted_table(where: str, text: str, canonical: Canonical) -> RawTable:
    """A table pasted into a form: its header line, then its rows; raises :class:`UnreadableError`."""
    data = ("\n".join(text.splitlines()).strip("\n") + "\n").encode()
    header, content = _parts(where, data)
    return _parsed(where, header, content, hashlib.sha256(data).hexdigest(), canonical)


def _where(path: Path | UPath) -> str:
    return f"{path.parent.name}/{path.name}"


def _content(path: Path | UPath) -> tuple[list[str], bytes, str]:
    """A file's column names, the UTF-8 below its header line, and its SHA-256.

    It stays bytes for as long as possible: io.StringIO would hold four for each of them.
    """
    where = _where(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"{where} : fichier absent ou illisible ({error.strerror or 'introuvable'}).") from None
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableError(
            f"{where}, ligne {line} : ce n'est pas de l'UTF-8 ; enregistrez le fichier en UTF-8."
        ) from None
    return *_parts(where, data.removeprefix(codecs.BOM_UTF8)), hashlib.sha256(data).hexdigest()


def _parts(where: str, data: bytes) -> tuple[list[str], bytes]:
    """Column names, and what is below their line."""
    garbled = _GARBLED.search(data)
    if garbled:
        line = data.count(b"\n", 0, garbled.start()) + 1
        raise UnreadableError(
            f"{where}, ligne {line} : accents abîmés par un mauvais encodage ; refaites l'extraction en UTF-8."
        )
    first, _, content = data.partition(b"\n")
    header = next(csv.reader([first.decode().rstrip("\r")], delimiter=_SEPARATOR), [])
    return [name.strip() for name in header], content


def _read_table(folder: Path | UPath, canonical: Canonical) -> RawTable:
    where = _where(folder / f"{canonical.name}.csv")
    header, content, digest = _content(folder / f"{canonical.name}.csv")
    return _parsed(where, header, content, digest, canonical)


def _parsed(where: str, header: list[str], content: bytes, digest: str, canonical: Canonical) -> RawTable:
    _check_header(where, header, canonical)
    lines = _record_lines(where, content, len(header))
    if not lines:
        return RawTable(where, pd.DataFrame(columns=header, dtype=str), lines, digest)
    try:
        frame = pd.read_csv(
            io.BytesIO(content), sep=_SEPARATOR, names=header, index_col=False, dtype=str, keep_default_na=False,
            skip_blank_lines=False,
        )  # fmt: skip
    except pd.errors.ParserError:
        frame = None
    if frame is None or len(frame) != len(lines):
        raise UnreadableError(f"{where} : guillemet jamais refermé ou fin de ligne isolée ; refaites l'extraction.")
    return RawTable(where, frame, lines, digest)


def _check_header(where: str, header: list[str], canonical: Canonical) -> None:
    faults = []
    missing = [name for name in canonical.required if name not in header]
    unknown = [name for name in header if name not in canonical.known]
    twice = sorted({name for name in header if header.count(name) > 1})
    if missing:
        faults.append(f"colonne absente : {', '.join(missing)} (séparateur attendu : « {_SEPARATOR} »)")
    if unknown:
        faults.append(f"colonne inconnue : {', '.join(unknown)[:200]}")
    if twice:
        faults.append(f"colonne en double : {', '.join(twice)}")
    if faults:
        raise UnreadableError(f"{where}, ligne 1 : {' ; '.join(faults)}.")


def _record_lines(where: str, content: bytes, width: int) -> Sequence[int]:
    """The line of each record in the file; raises if one has not ``width`` fields: pandas would fill it up silently."""
    separator = _SEPARATOR.encode()
    if b'"' not in content and all(line.count(separator) == width - 1 for line in io.BytesIO(content)):
        return range(2, 2 + content.count(b"\n") + (content[-1:] not in {b"", b"\n"}))
    lines, faulty = [], []
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8", newline="\n"), delimiter=_SEPARATOR)
    line = 2
    try:
        for record in reader:
            lines.append(line)
            if len(record) != width:
                faulty.append(f"ligne {line} ({len(record)})")
            line = reader.line_num + 2
    except csv.Error:
        raise UnreadableError(f"{where}, ligne {line} : enregistrement illisible ; refaites l'extraction.") from None
    if faulty:
        listed = ", ".join(faulty[:_LISTED])
        more = f" et {counted(len(faulty) - _LISTED, 'autre', 'autres')}" if len(faulty) > _LISTED else ""
        raise UnreadableError(f"{where} : {width} champs attendus sur chaque ligne ; {listed}{more}.")
    return lines
