"""Moodle's own backup files (.mbz), opened and read: of which course and site, with users or without.

A .mbz is a gzipped tar or a zip (``mbz_packer``). ``moodle_backup.xml`` says what is in it
(``backup_main_structure_step``); ``users.xml``, which a backup without users lacks (``backup_final_task``), describes
the accounts.
"""

import gzip
import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

_MAIN, _USERS = "moodle_backup.xml", "users.xml"
_USERINFO = "_userinfo"  # a setting of each section and activity: whether its users' data are in the file


class UnusableMbzError(Exception):
    """The file is not whole or no backup. The text is French and completes « le fichier .mbz … »."""


@dataclass(frozen=True)
class Mbz:
    """What a backup file holds.

    :param course: id of the course it is of. :param site: MD5 of the site's identifier, as :func:`site_hash` gives it.
    :param release: of the Moodle that wrote it. :param activities: ids of course modules.
    :param with_users: users' data were asked for, of the whole course or of a part of it, or are there.
    :param users: number of accounts.
    """

    course: int
    site: str
    release: str
    activities: frozenset[int]
    with_users: bool
    users: int


def read_mbz(path: Path) -> Mbz:
    """Read a backup file to its end; raises :class:`UnusableMbzError` if it is cut, altered or lacks a part."""
    main, users = b"", 0
    try:
        for name, content in _members(path):
            if name == _MAIN:
                main = content.read()
            elif name == _USERS:
                users = _count_users(content)
        if not main:
            raise UnusableMbzError(f"est incomplet : {_MAIN} manque")
        return _describe(ElementTree.fromstring(main), users)  # noqa: S314  # the university's own Moodle wrote it
    # What tarfile, zipfile, the decompression, the XML parser and int() say of a file that is cut or altered.
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, ElementTree.ParseError,
            ValueError) as error:  # fmt: skip
        raise UnusableMbzError(f"est illisible ou altéré ({type(error).__name__})") from None


def site_hash(site_identifier: str) -> str:
    """How Moodle writes a site's identifier (setting ``siteidentifier``) in a backup file."""
    return hashlib.md5(site_identifier.encode(), usedforsecurity=False).hexdigest()


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Every file of the archive, in its order, open until the next one is asked for."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if bad := archive.testzip():
                raise UnusableMbzError(f"est altéré (fichier {bad})")
            for name in archive.namelist():
                with archive.open(name) as content:
                    yield name, content
        return
    with gzip.open(path) as unpacked:
        with tarfile.open(fileobj=unpacked, mode="r|") as packed:
            for member in packed:
                if (file := packed.extractfile(member)) is not None:
                    yield member.name.removeprefix("./"), file
        while unpacked.read(2**20):  # gzip compares its checksum at the very end
            pass


def _count_users(content: IO[bytes]) -> int:
    """Accounts in ``users.xml``, which may be large: one at a time."""
    count = 0
    for _, element in ElementTree.iterparse(content):  # noqa: S314  # the university's own Moodle wrote it
        if element.tag == "user":
            count += 1
            element.clear()
    return count


def _describe(root: ElementTree.Element, users: int) -> Mbz:
    activities = root.iterfind("information/contents/activities/activity")
    asked = any(
        setting.findtext("value", "0") not in ("", "0")
        for setting in root.iterfind("information/settings/setting")
        if (name := setting.findtext("name", "")) == "users" or name.endswith(_USERINFO)
    )
    return Mbz(
        course=int(root.findtext("information/original_course_id", "0")),
        site=root.findtext("information/original_site_identifier_hash", ""),
        release=root.findtext("information/moodle_release", ""),
        activities=frozenset(int(activity.findtext("moduleid", "0")) for activity in activities),
        with_users=asked or users > 0,
        users=users,
    )
