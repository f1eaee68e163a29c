"""Moodle's web service, as its REST server answers, on a real HTTP server: it writes into a real Moodle database."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl

import sqlalchemy as sa

from tests.support.local_server import serving

FUNCTIONS = ["core_webservice_get_site_info", "core_course_get_courses_by_field", "core_course_create_courses"]
_FIELD = re.compile(r"courses\[0\]\[(\w+)\]")


@dataclass
class MoodleRest:
    """A site's web service. ``lose``: how many answers get lost; ``status``: answered instead of 200."""

    engine: sa.Engine
    site: str
    token: str = "jeton"
    url: str = ""
    functions: list[str] = field(default_factory=lambda: list(FUNCTIONS))
    calls: list[str] = field(default_factory=list)
    lose: int = 0
    status: int = 200

    def answer(self, sent: dict[str, str]) -> Any:
        function = sent["wsfunction"]
        self.calls.append(function)
        if sent["wstoken"] != self.token:
            return self._exception("invalidtoken", "Jeton invalide - jeton non trouvé")
        if function not in self.functions:
            return self._exception("accessexception", "Exception de contrôle d'accès")
        with self.engine.begin() as connection:
            if function == FUNCTIONS[0]:
                return {"siteurl": self.site, "functions": [{"name": n, "version": "2024"} for n in self.functions]}
            if function == FUNCTIONS[1]:
                return {"courses": self._courses(connection, sent["field"], sent["value"]), "warnings": []}
            course = {match[1]: value for name, value in sent.items() if (match := _FIELD.fullmatch(name))}
            for name, code in (("shortname", "shortnametaken"), ("idnumber", "courseidnumbertaken")):
                if self._courses(connection, name, course[name]):
                    return self._exception(code, f"« {course[name]} » est déjà pris")
            return [{"id": _create(connection, course), "shortname": course["shortname"]}]

    def _courses(self, connection: sa.Connection, name: str, value: str) -> list[dict[str, Any]]:
        query = sa.text(f"SELECT id, shortname, idnumber FROM mdl_course WHERE {name} = :value")
        return [dict(row) for row in connection.execute(query, {"value": value}).mappings()]

    def _exception(self, code: str, message: str) -> dict[str, str]:
        return {"exception": "moodle_exception", "errorcode": code, "message": message, "debuginfo": "SECRET"}


def _create(connection: sa.Connection, course: dict[str, str]) -> int:
    """What ``create_course`` writes: course, context, first section, manual enrolment; the category counts it."""

    def run(statement: str, **values: Any) -> Any:
        return connection.execute(sa.text(statement), values)

    category = int(course["categoryid"])
    rank = run("SELECT sortorder FROM mdl_course_categories WHERE id = :id", id=category).scalar_one()
    run("UPDATE mdl_course SET sortorder = sortorder + 1 WHERE category = :id", id=category)
    made = int(
        run(
            "INSERT INTO mdl_course (category, sortorder, fullname, shortname, idnumber, format, timecreated,"
            " timemodified) VALUES (:category, :rank, :fullname, :shortname, :idnumber, 'topics', 1, 1)",
            category=category, rank=rank + 1, fullname=course["fullname"], shortname=course["shortname"],
            idnumber=course["idnumber"],
        ).lastrowid
    )  # fmt: skip
    path = run("SELECT path FROM mdl_context WHERE contextlevel = 40 AND instanceid = :id", id=category).scalar_one()
    context = run("INSERT INTO mdl_context (contextlevel, instanceid) VALUES (50, :made)", made=made).lastrowid
    run(
        "UPDATE mdl_context SET path = :path, depth = :depth WHERE id = :id",
        path=f"{path}/{context}", depth=path.count("/") + 1, id=context,
    )  # fmt: skip
    run("INSERT INTO mdl_course_sections (course, section) VALUES (:made, 0)", made=made)
    run("INSERT INTO mdl_enrol (enrol, courseid, roleid) VALUES ('manual', :made, 5)", made=made)
    run("UPDATE mdl_course_categories SET coursecount = coursecount + 1 WHERE id = :id", id=category)
    return made


@contextmanager
def moodle_rest(engine: sa.Engine, site: str) -> Iterator[MoodleRest]:
    """A server on a free port of this machine, for the time of a block."""
    state = MoodleRest(engine, site)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path != "/webservice/rest/server.php":
                self._send(404, b"<html>")
            elif state.status != 200:
                self._send(state.status, b"<html>maintenance</html>")
            else:
                answer = json.dumps(state.answer(dict(parse_qsl(body)))).encode()
                if state.calls[-1] == FUNCTIONS[2] and state.lose:
                    state.lose -= 1
                    self.close_connection = True
                else:
                    self._send(200, answer)

        def _send(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None: ...

    with serving(Handler) as state.url:
        yield state
