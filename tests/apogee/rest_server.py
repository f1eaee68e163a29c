"""A real HTTP server on loopback that answers as told: pages of JSON, and every way of failing."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.local_server import serving


@dataclass
class Answer:
    """What is sent. :param short: bytes left out of the body, though announced. :param delay: seconds before it."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    short: int = 0
    delay: float = 0

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class RestServer:
    """Answers by path: a function of the page asked for, or a list of what to say first, one a request."""

    url: str = ""
    routes: dict[str, Callable[[dict[str, str]], Answer]] = field(default_factory=dict)
    first: dict[str, list[Answer]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    lots: dict[int, dict[str, Any]] = field(default_factory=dict)
    token_life: int = 1_000_000  # requests that a token is good for

    def pages(self, path: str, rows: list[dict[str, Any]], size: int = 2) -> None:
        """Serve those rows by pages of that size, whatever size is asked for."""

        def page(query: dict[str, str]) -> Answer:
            number = int(query["page"])
            body = {"items": rows[number * size : (number + 1) * size], "totalElements": len(rows)}
            return Answer({**body, "totalPages": -(-len(rows) // size), "page": number})

        self.routes[path] = page

    def answer(self, method: str, address: str, authorization: str) -> Answer:
        parts = urlsplit(address)
        path, query = unquote(parts.path), {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.seen.append(f"{path}?{parts.query}")
        self.authorizations.append(authorization)
        if self.first.get(path):
            return self.first[path].pop(0)
        if method == "POST":
            self.tokens.append(f"jwt-{len(self.tokens) + 1}")
            self._left = self.token_life
            return Answer(self.tokens[-1].encode(), 201)
        if self.tokens:
            if authorization != f"Bearer {self.tokens[-1]}" or self._left == 0:
                return Answer({}, 401)
            self._left -= 1
        route = self.routes.get(path)
        return route(query) if route else Answer({"message": "inconnu"}, 404)


@contextmanager
def rest_server() -> Iterator[RestServer]:
    """A server on a free port, for the time of a block."""
    state = RestServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_state: ClassVar[RestServer] = state

        def do_GET(self) -> None:
            self._reply()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._reply()

        def _reply(self) -> None:
            answer = state.answer(self.command, self.path, self.headers.get("Authorization", ""))
            time.sleep(answer.delay)
            data = answer.data()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(data)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(data[: len(data) - answer.short])
            except OSError:
                return  # the client gave up waiting
            if answer.short:
                self.close_connection = True

        def log_message(self, *_: Any) -> None: ...

    with serving(Handler) as state.url:
        yield state
