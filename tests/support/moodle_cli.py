"""Stand-ins for Moodle's command line that really read and write the database: backup, restore, settings.

``install`` writes the scripts; ``behaviour.json`` beside them says what goes wrong, ``calls.log`` what was run.
"""

import json
import os
import signal
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

SCRIPTS = ("backup.php", "restore_backup.php", "cfg.php")
_HELP = "Restore backup into provided category{or_course}.\n-f, --file=STRING\n-c, --categoryid=INT\n{option}"


def install(folder: Path, server: Mapping[str, Any], schema: str) -> tuple[str, ...]:
    """Write the scripts; returns the words of ``moodle_command``."""
    folder.mkdir()
    (folder / "server.json").write_text(json.dumps({**server, "database": schema}), encoding="utf-8")
    project = Path(__file__).resolve().parents[2]
    for script in SCRIPTS:
        text = f"import sys; sys.path.insert(0, {str(project)!r})\nfrom tests.support.moodle_cli import main\nmain()\n"
        (folder / script).write_text(text, encoding="utf-8")
    return sys.executable, str(folder)


def mbz(
    path: Path, courseid: int, activities: Mapping[int, str], users: int = 0, *, site: str = "",
    setting: int | None = None, zipped: bool = False,
) -> None:  # fmt: skip
    """Write a .mbz as Moodle does. ``setting``: of ``users``, by default as there are users or none."""
    asked = int(users > 0) if setting is None else setting
    listed = "".join(
        f"<activity><moduleid>{cmid}</moduleid><modulename>{kind}</modulename>"
        f"<directory>activities/{kind}_{cmid}</directory></activity>"
        for cmid, kind in activities.items()
    )
    own = "".join(
        f"<setting><level>activity</level><activity>{kind}_{cmid}</activity><name>{kind}_{cmid}_userinfo</name>"
        f"<value>{asked}</value></setting>"
        for cmid, kind in activities.items()
    )
    main = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<moodle_backup><information><name>x.mbz</name>'
        "<moodle_release>4.5.6 (Build: 20250811)</moodle_release>"
        f"<original_site_identifier_hash>{site}</original_site_identifier_hash>"
        f"<original_course_id>{courseid}</original_course_id><contents><activities>{listed}</activities></contents>"
        f"<settings><setting><level>root</level><name>users</name><value>{asked}</value></setting>{own}</settings>"
        "</information></moodle_backup>"
    )
    accounts = "".join(f'<user id="{n}" contextid="{n}"><username>u{n}</username></user>' for n in range(users))
    files = {".ARCHIVE_INDEX": "Moodle archive file index. Count: 0\n", "moodle_backup.xml": main}
    files |= {f"activities/{kind}_{cmid}/module.xml": "<module/>" for cmid, kind in activities.items()}
    if users:
        files["users.xml"] = f"<users>{accounts}</users>"
    if zipped:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        return
    with tarfile.open(path, "w:gz") as packed:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            packed.addfile(member, BytesIO(text.encode()))


@dataclass
class _Moodle:
    folder: Path
    behaviour: str
    arguments: dict[str, str]
    cursor: Any

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        self.cursor.execute(query, values)
        return list(self.cursor.fetchall())

    def setting(self, plugin: str, name: str) -> str:
        rows = self.ask("SELECT value FROM mdl_config_plugins WHERE plugin = %s AND name = %s", plugin, name)
        return str(rows[0][0]) if rows else ""

    def kill_caller(self) -> None:
        os.kill(os.getppid(), signal.SIGKILL)

    def cfg(self) -> None:
        plugin, name = self.arguments["component"], self.arguments["name"]
        if self.behaviour == "stubborn":
            return
        self.ask("DELETE FROM mdl_config_plugins WHERE plugin = %s AND name = %s", plugin, name)
        if "set" in self.arguments:
            query = "INSERT INTO mdl_config_plugins (plugin, name, value) VALUES (%s, %s, %s)"
            self.ask(query, plugin, name, self.arguments["set"])

    def backup(self) -> None:
        courseid, wrong = int(self.arguments["courseid"]), self.behaviour
        if wrong == "no backup":
            print("Destination directory does not exists or not writable.")
            return
        activities = dict(
            self.ask(
                "SELECT c.id, m.name FROM mdl_course_modules c JOIN mdl_modules m ON m.id = c.module"
                " WHERE c.course = %s",
                courseid,
            )
        )
        if wrong == "activity missing":
            activities.pop(next(cmid for cmid, kind in activities.items() if kind == "quiz"))
        users = 3 if self.setting("backup", "backup_general_users") == "1" or wrong == "users" else 0
        [(site,)] = self.ask("SELECT MD5(value) FROM mdl_config WHERE name = 'siteidentifier'")
        end = "" if users else "-nu"
        name = f"sauvegarde-moodle2-course-{courseid}-ex_données-20260901-1000{end}.mbz"
        path = Path(self.arguments["destination"]) / name
        of = courseid + 1 if wrong == "other course" else courseid
        mbz(path, of, activities, users, site="0" * 32 if wrong == "other site" else site)
        if wrong == "cut":
            path.write_bytes(path.read_bytes()[:-200])
        if wrong == "killed in backup":
            self.kill_caller()
        print(f"Performing backup...\nWriting {path}\nBackup completed.")

    def restore(self) -> None:
        if "help" in self.arguments:
            old = self.behaviour == "old Moodle"
            print(_HELP.format(or_course="" if old else " or course", option="" if old else "-C, --courseid=INT"))
            return
        with tarfile.open(self.arguments["file"]) as packed:
            content = packed.extractfile("moodle_backup.xml")
            assert content
            root = ElementTree.parse(content).getroot()
        assert root is not None
        target, wrong = int(self.arguments["courseid"]), self.behaviour
        found = [(int(a.findtext("moduleid", "")), a.findtext("modulename", "")) for a in root.iter("activity")
                 if a.find("moduleid") is not None]  # fmt: skip
        if wrong == "nothing restored":
            return
        for number, (cmid, kind) in enumerate(found):
            if number == 2 and wrong in ("fails half-way", "killed in restore"):
                self.cursor.connection.commit()
                if wrong == "killed in restore":
                    self.kill_caller()
                sys.exit("!!! Exception : disk full !!!")
            self.add(cmid, kind, target)
        if wrong == "enrols":
            self.ask(
                "INSERT INTO mdl_user_enrolments (enrolid, userid) SELECT id, 3 FROM mdl_enrol WHERE courseid = %s"
                " ORDER BY id LIMIT 1", target,
            )  # fmt: skip
        if wrong == "assigns a role":
            self.ask(
                "INSERT INTO mdl_role_assignments (roleid, contextid, userid) SELECT 5, id, 3 FROM mdl_context"
                " WHERE contextlevel = 50 AND instanceid = %s", target,
            )  # fmt: skip
        if wrong == "renames" or self.setting("restore", "restore_merge_overwrite_conf") == "1":
            self.ask("UPDATE mdl_course SET fullname = 'Bases de données' WHERE id = %s", target)
        if wrong == "deletes":
            self.ask("DELETE FROM mdl_course_modules WHERE course = %s ORDER BY id LIMIT 1", target)
        print(f"== Restored course ID: {target} ==")

    def add(self, cmid: int, kind: str, target: int) -> None:
        """An activity's own row, and its course module, once more in the target."""
        self.ask(f"SELECT * FROM mdl_{kind} LIMIT 0")
        names = [column[0] for column in self.cursor.description if column[0] not in ("id", "course")]
        columns = ", ".join(f"`{name}`" for name in names)
        self.ask(
            f"INSERT INTO mdl_{kind} (course, {columns}) SELECT %s, {columns} FROM mdl_{kind} WHERE id ="
            " (SELECT instance FROM mdl_course_modules WHERE id = %s)",
            target, cmid,
        )  # fmt: skip
        instance = self.cursor.lastrowid
        self.ask(
            "INSERT INTO mdl_course_modules (course, module, instance, section) SELECT %s, module, %s, section"
            " FROM mdl_course_modules WHERE id = %s", target, instance, cmid,
        )  # fmt: skip


def main() -> None:
    """Be the script that was called."""
    import MySQLdb

    script = Path(sys.argv[0])
    words = [argument.removeprefix("--").partition("=") for argument in sys.argv[1:]]
    with (script.parent / "calls.log").open("a", encoding="utf-8") as log:
        print(script.name, *sys.argv[1:], file=log)
    server = json.loads((script.parent / "server.json").read_text(encoding="utf-8"))
    behaviour = script.parent / "behaviour.json"
    wrong = json.loads(behaviour.read_text(encoding="utf-8")) if behaviour.exists() else ""
    connection = MySQLdb.connect(**server, charset="utf8mb4")
    moodle = _Moodle(script.parent, wrong, {word: value for word, _, value in words}, connection.cursor())
    {"backup.php": moodle.backup, "restore_backup.php": moodle.restore, "cfg.php": moodle.cfg}[script.name]()
    connection.commit()
