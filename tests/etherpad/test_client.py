"""The client, against a server of the tests' own and, where there is one, against a real Etherpad."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from demo.server import free_port
from tests.support.etherpad_server import PadServer, pad_server
from transition.errors import TransitionError, UnreachableError
from transition.etherpad import client
from transition.etherpad.client import AbsentError, Etherpad, PadError

REAL = "ETHERPAD_HOME"  # where `npm install ep_etherpad-lite@1.8.14` was run


@dataclass(frozen=True)
class Site:
    """A server, and how tests write in it: ``write(pad, text, chat)``; ``group``: an existing one."""

    etherpad: Etherpad
    group: str
    write: Callable[[str, str, str], Any]


@pytest.fixture
def ours() -> Iterator[PadServer]:
    with pad_server() as server:
        yield server


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etherpad]:
    """A real Etherpad 1.8.14 on node."""
    home = Path(os.environ.get(REAL) or "/nonexistent")
    package = home / "node_modules" / "ep_etherpad-lite"
    if not package.is_dir() or not shutil.which("node"):
        pytest.skip(f"no real Etherpad: set {REAL} to a folder where `npm install ep_etherpad-lite@1.8.14` was run")
    # Etherpad takes the folder that holds `src` for its base, and writes there.
    base = tmp_path_factory.mktemp("etherpad")
    shutil.copytree(package, base / "src")
    modules = base / "node_modules"
    modules.mkdir()
    for installed in (home / "node_modules").iterdir():
        (modules / installed.name).symlink_to(installed)
    (modules / "ep_etherpad-lite").unlink()
    (modules / "ep_etherpad-lite").symlink_to(base / "src")
    port = free_port()
    (base / "settings.json").write_text(
        f'{{"ip": "127.0.0.1", "port": {port}, "dbType": "dirty", "dbSettings": {{"filename": "{base}/pads.db"}}}}'
    )
    (base / "APIKEY.txt").write_text("une-cle")
    command = [
        "node",
        "node/server.js",
        "--settings",
        str(base / "settings.json"),
        "--apikey",
        str(base / "APIKEY.txt"),
    ]
    with (base / "log").open("wb") as log, subprocess.Popen(command, cwd=base / "src", stdout=log, stderr=log) as node:
        try:
            yield _ready(Etherpad(f"http://127.0.0.1:{port}", "une-cle"))
        finally:
            node.terminate()


def _ready(etherpad: Etherpad) -> Etherpad:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            requests.get(f"{etherpad.url}/api/", timeout=5)
            return etherpad
        except requests.ConnectionError:
            time.sleep(0.5)
    raise AssertionError("Etherpad did not start")


@pytest.fixture(params=["ours", "real"])
def site(request: pytest.FixtureRequest) -> Site:
    if request.param == "ours":
        server: PadServer = request.getfixturevalue("ours")
        server.groups.add("g.essai")
        return Site(Etherpad(server.url, server.key), "g.essai", server.write)
    etherpad: Etherpad = request.getfixturevalue("real")

    def call(function: str, **sent: str) -> Any:
        url = f"{etherpad.url}/api/1.2.15/{function}"
        return requests.post(url, data={"apikey": etherpad.key, **sent}, timeout=30).json()["data"]

    def write(pad: str, text: str, chat: str) -> None:
        etherpad.create(pad, public=False)
        call("setText", padID=pad, text=text)
        if chat:
            call("appendChatMessage", padID=pad, text=chat, authorID="a.1234567890123456")

    return Site(etherpad, str(call("createGroup")["groupID"]), write)


@pytest.mark.parametrize("name", ["pad", ""])
def test_a_pad_is_read_deleted_and_created_again_empty(site: Site, name: str) -> None:
    pad = f"{site.group}${name}" if name else "un-pad-libre"
    site.write(pad, "L'été, déjà fini ?\nOui.", "à demain")
    held = site.etherpad.content(pad)
    assert held.text == "L'été, déjà fini ?\nOui.\n"
    assert "Oui." in held.html
    assert [message["text"] for message in held.chat] == ["à demain"]
    assert (held.revisions, held.public, held.empty) == (1, False, False)
    site.etherpad.delete(pad)
    with pytest.raises(AbsentError):
        site.etherpad.content(pad)
    site.etherpad.delete(pad)
    site.etherpad.create(pad, public=bool(name))
    site.etherpad.create(pad, public=bool(name))
    again = site.etherpad.content(pad)
    assert (again.text.strip(), again.chat, again.revisions, again.public, again.empty) == ("", [], 0, bool(name), True)


def test_a_pad_without_text_still_holds_its_history(site: Site) -> None:
    pad = f"{site.group}$efface"
    site.write(pad, "une réponse", "")
    site.write(pad, "", "")
    held = site.etherpad.content(pad)
    assert held.text.strip() == ""
    assert not held.empty


def test_the_pads_of_a_group(site: Site) -> None:
    site.write(f"{site.group}$a", "a", "")
    site.write(f"{site.group}$b", "b", "")
    assert set(site.etherpad.pads(site.group)) >= {f"{site.group}$a", f"{site.group}$b"}
    with pytest.raises(AbsentError):
        site.etherpad.pads("g.0000000000000000")


def test_a_wrong_key_is_refused_and_never_shown(site: Site) -> None:
    site.etherpad.check()
    wrong = Etherpad(site.etherpad.url, "s3cret")
    with pytest.raises(TransitionError, match="refuse la clé") as refusal:
        wrong.check()
    assert "s3cret" not in f"{refusal.value} {wrong!r}"


def test_the_key_is_in_no_address(ours: PadServer) -> None:
    Etherpad(ours.url, "s3cret").version  # noqa: B018
    with pytest.raises(TransitionError):
        Etherpad(ours.url, "s3cret").check()
    [sent] = ours.bodies
    assert "s3cret" not in sent.split()[0]
    assert "s3cret" in sent.split()[1]


def test_an_old_server_is_refused(ours: PadServer) -> None:
    ours.version = "1.2.1"
    with pytest.raises(TransitionError, match=r"assez récent \(API 1.2.1"):
        Etherpad(ours.url, ours.key).check()


@pytest.mark.parametrize(
    ("failure", "error"),
    [("500", PadError), ("page", UnreachableError), ("hangs up", UnreachableError), ("elsewhere", UnreachableError),
     ("slow", UnreachableError)],
)  # fmt: skip
def test_a_failing_server(
    ours: PadServer, failure: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_TIMEOUT", (1, 0.2))
    monkeypatch.setattr(client, "_RETRY", client._RETRY.new(backoff_factor=0))
    ours.write("g.a$pad", "texte")
    ours.broken["g.a$pad"] = failure
    with pytest.raises(error) as raised:
        Etherpad(ours.url, ours.key).content("g.a$pad")
    assert ours.key not in str(raised.value)


def test_a_busy_server_is_asked_again(ours: PadServer) -> None:
    ours.write("g.a$pad", "texte")
    ours.broken["g.a$pad"] = "once"
    assert Etherpad(ours.url, ours.key).content("g.a$pad").text == "texte\n"


def test_no_server() -> None:
    with pytest.raises(UnreachableError, match="ne répond pas"):
        Etherpad(f"http://127.0.0.1:{free_port()}", "clé").check()


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    import ssl
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key",
        "-out",
        "cert",
        "-days",
        "1",
    ]
    subprocess.run([*command, "-subj", "/CN=localhost"], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(UnreachableError, match="SSLError"):
            Etherpad(f"https://localhost:{server.server_port}", "clé").check()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
