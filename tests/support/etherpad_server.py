"""A server that speaks Etherpad's HTTP API (version 1.2.15) as far as the project uses it, quirks included."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

from tests.support.local_server import serving

KEY = "clé d'essai"


# What a broken pad's calls answer: HTTP status, body, and the address that they are sent to.
BROKEN: dict[str, tuple[int, Any, str]] = {
    "500": (500, {"code": 2, "message": "internal error", "data": None}, ""),
    "page": (200, "<html>maintenance</html>", ""),
    "once": (503, "busy", ""),
    "elsewhere": (302, "", "/ailleurs"),
}


@dataclass
class Pad:
    """A pad as the server holds it."""

    text: str = "\n"
    chat: list[dict[str, Any]] = field(default_factory=list)
    revisions: int = 0
    public: bool = False


@dataclass
class PadServer:
    """The server's state, which tests read and spoil. ``broken``: pad id to what its calls answer instead."""

    url: str = ""
    key: str = KEY
    version: str = "1.2.15"
    groups: set[str] = field(default_factory=set)
    pads: dict[str, Pad] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    bodies: list[str] = field(default_factory=list)

    def write(self, padid: str, text: str, chat: str = "") -> None:
        """What somebody typed in a pad, which exists from then on."""
        pad = self.pads.setdefault(padid, Pad())
        if group := padid.rpartition("$")[0]:
            self.groups.add(group)
        pad.text, pad.revisions = f"{text}\n", pad.revisions + 1
        if chat:
            pad.chat.append({"text": chat, "userId": "a.1", "time": 0, "userName": None})

    def answer(self, function: str, sent: dict[str, str]) -> tuple[int, Any]:
        """HTTP status and body of a call."""
        self.calls[function] += 1
        if sent.get("apikey") != self.key:
            return 401, {"code": 4, "message": "no or wrong API Key", "data": None}
        call = getattr(self, f"_{function}", None)
        if call is None:
            return 404, {"code": 3, "message": "no such function", "data": None}
        try:
            return 200, {"code": 0, "message": "ok", "data": call(**{k: v for k, v in sent.items() if k != "apikey"})}
        except KeyError as missing:
            return 200, {"code": 1, "message": missing.args[0], "data": None}

    def _pad(self, padid: str) -> Pad:
        if padid not in self.pads:
            raise KeyError("padID does not exist")
        return self.pads[padid]

    def _checkToken(self) -> None: ...  # noqa: N802 (the API's own names)

    def _listPads(self, groupID: str) -> dict[str, list[str]]:  # noqa: N802, N803
        if groupID not in self.groups:
            raise KeyError("groupID does not exist")
        return {"padIDs": [pad for pad in self.pads if pad.startswith(f"{groupID}$")]}

    def _getText(self, padID: str) -> dict[str, str]:  # noqa: N802, N803
        return {"text": self._pad(padID).text}

    def _getHTML(self, padID: str) -> dict[str, str]:  # noqa: N802, N803
        return {"html": f"<!DOCTYPE HTML><html><body>{self._pad(padID).text}</body></html>"}

    def _getRevisionsCount(self, padID: str) -> dict[str, int]:  # noqa: N802, N803
        return {"revisions": self._pad(padID).revisions}

    def _getChatHead(self, padID: str) -> dict[str, int]:  # noqa: N802, N803
        return {"chatHead": len(self._pad(padID).chat) - 1}

    def _getChatHistory(self, padID: str) -> dict[str, Any]:  # noqa: N802, N803
        if not self._pad(padID).chat:
            raise KeyError("start is higher than the current chatHead")
        return {"messages": self._pad(padID).chat}

    def _getPublicStatus(self, padID: str) -> dict[str, bool]:  # noqa: N802, N803
        return {"publicStatus": self._pad(padID).public}

    def _setPublicStatus(self, padID: str, publicStatus: str) -> None:  # noqa: N802, N803
        self._pad(padID).public = publicStatus == "true"

    def _deletePad(self, padID: str) -> None:  # noqa: N802, N803
        self._pad(padID)
        del self.pads[padID]

    def _createPad(self, padID: str, text: str) -> None:  # noqa: N802, N803
        if padID in self.pads:
            raise KeyError("padID does already exist")
        self.pads[padID] = Pad(f"{text}\n")

    def _createGroupPad(self, groupID: str, padName: str, text: str) -> dict[str, str]:  # noqa: N802, N803
        if groupID not in self.groups:
            raise KeyError("groupID does not exist")
        padid = f"{groupID}${padName}"
        if padid in self.pads:
            raise KeyError("padName does already exist")
        self.pads[padid] = Pad(f"{text}\n")
        return {"padID": padid}


@contextmanager
def pad_server() -> Iterator[PadServer]:
    """A server on a free port of this machine, for the time of a block."""
    state = PadServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement

        def do_GET(self) -> None:
            self._send(200, {"currentVersion": state.version})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            state.bodies.append(f"{self.path} {body}")
            sent = {name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()}
            failure = state.broken.get(sent.get("padID", ""))
            if failure == "once":
                del state.broken[sent["padID"]]
            if failure in BROKEN:
                self._send(*BROKEN[failure])
            elif failure:  # "hangs up", "slow"
                time.sleep(2 * (failure == "slow"))
                self.close_connection = True
            else:
                self._send(*state.answer(self.path.rpartition("/")[2], sent))

        def _send(self, status: int, body: Any, location: str = "") -> None:
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as state.url:
        yield state
