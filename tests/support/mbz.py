"""Moodle's ``backup.php``, stood in for by a script that writes backup files of Moodle's own shape, good and bad."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa

PROJECT = Path(__file__).resolve().parents[2]  # not tests.conftest's: the script imports nothing heavy

MAIN = """<?xml version="1.0" encoding="UTF-8"?>
<moodle_backup><information><name>{name}</name><moodle_version>2024100706</moodle_version>
<original_wwwroot>http://127.0.0.1:8045</original_wwwroot><original_site_identifier_hash>{site}</original_site_identifier_hash>
<original_course_id>{course}</original_course_id>
<details><detail backup_id="{site}"><type>course</type><format>moodle2</format></detail></details>
<contents><activities>{activities}</activities><course><courseid>{course}</courseid></course></contents>
<settings><setting><level>root</level><name>users</name><value>{with_users}</value></setting>
<setting><level>root</level><name>anonymize</name><value>0</value></setting>
<setting><level>root</level><name>files</name><value>{with_files}</value></setting>
<setting><level>activity</level><activity>quiz_1</activity><name>users</name><value>0</value></setting></settings>
</information></moodle_backup>"""
ACTIVITY = """<activity><moduleid>{0}</moduleid><modulename>quiz</modulename>
<directory>activities/quiz_{0}</directory></activity>"""


# What Moodle's own script leaves in the database: the folder of the file that it deletes (file_storage::
# create_directory), once a course, and an event.
LEFT = r"""INSERT IGNORE INTO mdl_files (contenthash, pathnamehash, contextid, component, filearea, itemid, filepath,
 filename, userid, filesize, timecreated, timemodified) SELECT 'da39a3ee5e6b4b0d3255bfef95601890afd80709',
 SHA1(CONCAT('/', id, '/backup/course/0/.')), id, 'backup', 'course', 0, '/', '.', 2, 0, 1795441286, 1795441286
 FROM mdl_context WHERE contextlevel = 50 AND instanceid = {course};
INSERT INTO mdl_logstore_standard_log (eventname, component, action, target, objecttable, objectid, crud, edulevel,
 contextid, contextlevel, contextinstanceid, userid, courseid, timecreated, origin)
 SELECT '\\core\\event\\course_backup_created', 'core', 'created', 'course_backup', 'course', instanceid, 'c', 0,
 id, 50, instanceid, 2, instanceid, 1795441286, 'cli'
 FROM mdl_context WHERE contextlevel = 50 AND instanceid = {course};"""


def mbz_bytes(
    course: int, site: str, activities: Collection[int], users: Collection[int], *, zipped: bool = False, **flaws: Any
) -> bytes:
    """A backup file as Moodle writes it: a gzipped tar with its list, or a zip. ``flaws``: what is wrong with it.

    ``without_users``: made without them; ``without_files``: without contents of files; ``lacks``: names of files left
    out of the archive though announced.
    """
    with_users = not flaws.get("without_users")
    files = {
        "moodle_backup.xml": MAIN.format(
            name="x.mbz", site=hashlib.md5(site.encode()).hexdigest(), course=course, with_users=int(with_users),
            with_files=int(not flaws.get("without_files")),
            activities="".join(ACTIVITY.format(cm) for cm in activities),
        ),
        "files.xml": "<files></files>",
        **{f"activities/quiz_{cm}/module.xml": f'<module id="{cm}"></module>' for cm in activities},
    }  # fmt: skip
    if with_users:
        people = "".join(f'<user id="{u}" contextid="9"><custom_fields></custom_fields></user>' for u in users)
        files["users.xml"] = f"<users>{people}</users>"
    index = f"Moodle archive file index. Count: {len(files)}\n"
    index += "".join(f"{name}\tf\t{len(text)}\t1356998400\n" for name, text in files.items())
    kept = {name: text.encode() for name, text in files.items() if name not in flaws.get("lacks", ())}
    return _zip(kept) if zipped else _tar({".ARCHIVE_INDEX": index.encode(), **kept})


def _zip(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()


def _tar(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(written.getvalue())


def stand_in(folder: Path, moodle: "sa.URL") -> tuple[str, ...]:
    """Put the script in a folder; returns the platform's ``moodle_command``. Its facts are in ``facts.json`` there.

    :param moodle: the database that it writes in, as Moodle's own does.
    """
    database = {
        "client": ["mariadb", "--no-defaults", f"--host={moodle.host}", f"--port={moodle.port}",
                   f"--user={moodle.username}", moodle.database],
        "password": moodle.password,
    }  # fmt: skip
    (folder / "database.json").write_text(json.dumps(database), encoding="utf-8")
    (folder / "backup.php").write_text(
        f"import sys\nsys.path.insert(0, {str(PROJECT)!r})\nfrom tests.support.mbz import main\nmain()\n",
        encoding="utf-8",
    )
    (folder / "maintenance.php").write_text("print('Status: disabled')\n", encoding="utf-8")
    (folder / "cron.php").write_text("", encoding="utf-8")
    return (sys.executable, "-S", str(folder))


def facts_of(connection: "sa.Connection", courses: Collection[int]) -> dict[int, dict[str, Any]]:
    """What :func:`main` needs to make a good file of each of these courses of a real Moodle database."""
    named = "SELECT value FROM mdl_config WHERE name = 'siteidentifier'"
    site = connection.exec_driver_sql(named).scalar()
    activities = "SELECT id FROM mdl_course_modules WHERE course = {}"
    users = """SELECT DISTINCT ue.userid FROM mdl_user_enrolments ue JOIN mdl_enrol e ON e.id = ue.enrolid
        WHERE e.courseid = {}"""

    def ids(query: str, course: int) -> list[int]:
        return list(connection.exec_driver_sql(query.format(course)).scalars())

    return {
        course: {"course": course, "site": site, "activities": ids(activities, course), "users": ids(users, course)}
        for course in courses
    }


def main() -> None:
    """What the script does: the course's file into the destination, or what its facts say instead."""
    given = dict(argument.removeprefix("--").split("=") for argument in sys.argv[1:])
    home = Path(sys.argv[0]).parent
    facts = json.loads((home / "facts.json").read_text(encoding="utf-8"))[given["courseid"]]
    with (home / "calls").open("a", encoding="utf-8") as calls:
        calls.write(f"{given['courseid']}\n")
    time.sleep(facts.pop("hangs", 0))
    if facts.pop("dies", False):
        print("Destination directory does not exists or not writable.")  # and ends with 0, as the script does
        return
    if facts.pop("fails", False):
        sys.exit("Error writing to database")
    database = json.loads((home / "database.json").read_text(encoding="utf-8"))
    environment = {**os.environ, "MYSQL_PWD": database["password"] or ""}
    left = LEFT.format(course=int(given["courseid"]))
    subprocess.run(database["client"], input=left, text=True, check=True, env=environment)
    keep = facts.pop("keep", 1.0)
    content = mbz_bytes(**facts)
    name = f"sauvegarde-moodle2-course-{given['courseid']}-x-20260720-0200.mbz"
    (Path(given["destination"]) / name).write_bytes(content[: int(len(content) * keep)])
