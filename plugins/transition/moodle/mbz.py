"""Moodle's own backup files (.mbz), opened and read: is it whole, of which course, with whom, with which activities.

A .mbz is a zip or a gzipped tar (``mbz_packer``, the site's setting ``enabletgzbackups``); the latter begins with a
list of its files (``tgz_packer::ARCHIVE_INDEX_FILE``). ``moodle_backup.xml`` says what is in it.
"""

import gzip
import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from transition.french import counted

_MAIN, _USERS, _INDEX = "moodle_backup.xml", "users.xml", ".ARCHIVE_INDEX"
_USERINFO = "_userinfo"  # a setting of each section and activity: whether its users' data are in the file
_BLOCK = 2**20
# What zipfile, tarfile, gzip and the XML parser say of a file that is cut or altered.
_DAMAGES = (
    OSError, EOFError, ValueError, RuntimeError, SyntaxError, tarfile.TarError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class UnusableMbzError(Exception):
    """The file is not whole or not what was asked for. The text is French and completes « le fichier .mbz … »."""


@dataclass(frozen=True)
class Mbz:
    """What a backup file holds.

    :param course: id of the course it is of. :param site: MD5 of the site's identifier.
    :param settings: those of the whole backup, such as ``users`` and ``anonymize``, as Moodle writes them.
    :param activities: ids of course modules. :param users: ids of accounts. :param with_users: users' data were asked
        for, of the whole course or of a part of it, or are there.
    """

    course: int
    site: str
    settings: Mapping[str, str]
    activities: frozenset[int]
    users: frozenset[int]
    with_users: bool


def read_mbz(path: Path) -> Mbz:
    """Read a file to its end; raises :class:`UnusableMbzError` if it is truncated or altered, or lacks a part."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
        return _describe(_of_zip(path) if zipped else _of_tar(path))
    except _DAMAGES as error:
        raise UnusableMbzError(f"est tronqué ou altéré ({type(error).__name__})") from None


def site_hash(site_identifier: str) -> str:
    """How Moodle writes a site's identifier in a backup file (``backup_main_structure_step``)."""
    return hashlib.md5(site_identifier.encode(), usedforsecurity=False).hexdigest()


@dataclass
class _Parts:
    """What was read on the way. ``index``: the files that a gzipped tar says it has."""

    names: set[str]
    index: set[str]
    main: bytes = b""
    users: frozenset[int] | None = None


def _of_zip(path: Path) -> _Parts:
    with zipfile.ZipFile(path) as archive:
        if bad := archive.testzip():
            raise UnusableMbzError(f"est altéré (fichier {bad})")
        parts = _Parts(set(archive.namelist()), set())
        if _MAIN in parts.names:
            parts.main = archive.read(_MAIN)
        if _USERS in parts.names:
            with archive.open(_USERS) as users:
                parts.users = _users(users)
    return parts


def _of_tar(path: Path) -> _Parts:
    parts = _Parts(set(), set())
    with gzip.open(path) as unpacked:
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                parts.names.add(name)
                with _content(archive, member) as content:
                    if name == _MAIN:
                        parts.main = content.read()
                    elif name == _USERS:
                        parts.users = _users(content)
                    elif name == _INDEX:
                        parts.index = set(_listed(content))
        while unpacked.read(_BLOCK):  # gzip compares its checksum at the very end
            pass
    return parts


@contextmanager
def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[IO[bytes]]:
    """A member's content; what is left of it is read when the block ends, so that a cut is seen."""
    content = archive.extractfile(member) or io.BytesIO()
    with content:
        yield content
        while content.read(_BLOCK):
            pass


def _listed(index: IO[bytes]) -> Iterator[str]:
    """The files of the list: a heading, then path, type (f or d), size and date, a line each."""
    for line in index.read().decode("utf-8", "replace").splitlines()[1:]:
        path, kind, *_ = line.split("\t")
        if kind == "f":
            yield path


def _users(content: IO[bytes]) -> frozenset[int]:
    """Ids of the accounts in ``users.xml``, which may be large: one at a time."""
    found = set()
    for _, element in ElementTree.iterparse(content):  # noqa: S314  # written by the university's own Moodle
        if element.tag == "user" and "contextid" in element.keys():  # noqa: SIM118  # an element is no mapping
            found.add(int(element.get("id", "0")))
            element.clear()
    return frozenset(found)


def _describe(parts: _Parts) -> Mbz:
    if missing := sorted(parts.index - parts.names):
        files = counted(len(missing), "fichier annoncé", "fichiers annoncés")
        raise UnusableMbzError(f"est incomplet, il manque {files} ({missing[0]}…)")
    if not parts.main:
        raise UnusableMbzError(f"est incomplet : {_MAIN} manque")
    root = ElementTree.fromstring(parts.main)  # noqa: S314  # written by the university's own Moodle
    activities = set()
    for activity in root.iterfind("information/contents/activities/activity"):
        folder = activity.findtext("directory", "")
        if f"{folder}/module.xml" not in parts.names:
            raise UnusableMbzError(f"est incomplet : l'activité {folder} est annoncée et manque")
        activities.add(int(activity.findtext("moduleid", "0")))
    settings = {
        setting.findtext("name", ""): setting.findtext("value", "")
        for setting in root.iterfind("information/settings/setting")
        if setting.findtext("level") == "root"
    }
    if parts.users is None and settings.get("users") == "1":
        raise UnusableMbzError(f"est incomplet : {_USERS} manque")
    return Mbz(
        course=int(root.findtext("information/original_course_id", "0")),
        site=root.findtext("information/original_site_identifier_hash", ""),
        settings=settings, activities=frozenset(activities), users=parts.users or frozenset(),
        with_users=bool(parts.users) or _asks_for_users(root),
    )  # fmt: skip


def _asks_for_users(root: ElementTree.Element) -> bool:
    return any(
        setting.findtext("value", "0") not in ("", "0")
        for setting in root.iterfind("information/settings/setting")
        if (name := setting.findtext("name", "")) == "users" or name.endswith(_USERINFO)
    )
