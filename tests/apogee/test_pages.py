"""A paged list comes whole or not at all, whatever the server does."""

import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from demo.server import free_port
from tests.apogee.rest_server import Answer, RestServer, rest_server
from transition.apogee import pages
from transition.apogee.pages import Account, Peer
from transition.errors import TransitionError, UnreachableError

ROWS: list[dict[str, Any]] = [{"code": f"INF{number}"} for number in range(5)]
LIST = "/list"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RestServer]:
    monkeypatch.setattr(pages, "_RETRY", pages._RETRY.new(backoff_factor=0.01))
    with rest_server() as running:
        running.pages(LIST, ROWS)
        yield running


def peer(server: RestServer, *, token: bool = False) -> Peer:
    tickets = f"{server.url}/cas/v1/tickets" if token else None
    return Peer(Account("transition", "s3cret", tickets), timeout=(2, 0.4))


def read(server: RestServer, *, token: bool = False) -> list[dict[str, Any]]:
    return peer(server, token=token).rows(server.url + LIST, {"annee": 2026})


def test_every_page(server: RestServer) -> None:
    found = list(peer(server).pages(server.url + LIST, {"annee": 2026}))
    assert found == [(1, ROWS[:2]), (2, ROWS[2:4]), (3, ROWS[4:])]
    assert server.seen == [f"{LIST}?annee=2026&page={number}&taille=1000" for number in range(3)]
    assert {value.split()[0] for value in server.authorizations} == {"Basic"}


def test_an_empty_list_is_one_page(server: RestServer) -> None:
    server.pages(LIST, [])
    assert read(server) == []


@pytest.mark.parametrize(
    "first",
    [
        [Answer({}, 500)],
        [Answer({}, 503), Answer({}, 502)],
        [Answer(b'{"items": [{"code"')],
        [Answer({"items": []}, short=5)],
        [Answer({}, delay=0.8)],
        [Answer({}, 429)],
    ],
    ids=["500", "503 and 502", "truncated JSON", "truncated body", "slow", "429"],
)
def test_what_fails_once_is_asked_again(server: RestServer, first: list[Answer]) -> None:
    server.first[LIST] = list(first)
    assert read(server) == ROWS


def test_retry_after_is_obeyed(server: RestServer) -> None:
    server.first[LIST] = [Answer({}, 429, {"Retry-After": "1"})]
    begun = time.monotonic()
    read(server)
    assert time.monotonic() - begun >= 1


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer({}, 500), r"ne répond pas \(HTTP 500\)"),
        (Answer(b'{"items": [{"code"'), "tronquée ou n'est pas du JSON"),
        (Answer(b"<html>Maintenance</html>"), "tronquée ou n'est pas du JSON"),
        (Answer({"items": []}, short=5), "tronquée ou n'est pas du JSON"),
        (Answer({"items": [{"code": "INF0"}], "totalElements": 1}), "ce n'est pas la page demandée"),
        (Answer({"items": ["INF0"], "totalElements": 1, "totalPages": 1}), "ce n'est pas la page demandée"),
        (Answer([]), "ce n'est pas la page demandée"),
        (Answer({"items": [], "totalElements": 3, "totalPages": 1}), "lignes reçues : 0, annoncées : 3"),
        (
            Answer({"items": [{"code": "INF0"}], "totalElements": 0, "totalPages": 1}),
            "lignes reçues : 1, annoncées : 0",
        ),
    ],
    ids=["500", "JSON", "HTML", "body", "no count", "no object", "no page", "too few", "too many"],
)
def test_what_fails_for_ever_raises(server: RestServer, answer: Answer, sentence: str) -> None:
    server.routes[LIST] = lambda _: answer
    with pytest.raises(UnreachableError, match=sentence):
        read(server)


def test_a_server_that_never_answers_in_time(server: RestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_RETRY", pages._RETRY.new(total=1))
    server.routes[LIST] = lambda _: Answer({}, delay=0.8)
    with pytest.raises(UnreachableError, match=r"/list ne répond pas \("):
        read(server)


def test_nobody_listens(server: RestServer) -> None:
    with pytest.raises(UnreachableError, match="ne répond pas"):
        peer(server).get(f"http://127.0.0.1:{free_port()}/list")


def _page(number: int, items: list[dict[str, Any]], total: int = 5, **more: Any) -> Answer:
    return Answer({"items": items, "totalElements": total, "totalPages": 3, "page": number, **more})


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (_page(1, ROWS[:2]), "page 2 : c'est une page déjà reçue"),
        (_page(0, ROWS[2:4]), "page 2 : ce n'est pas la page demandée"),
        (_page(1, ROWS[2:4], total=6), "le total passe de 5 à 6 pendant la lecture"),
        (_page(1, ROWS[2:3]), "lignes reçues : 4, annoncées : 5"),
        (_page(1, ROWS[2:4], totalPages=2), "lignes reçues : 4, annoncées : 5"),
        (_page(1, []), "lignes reçues : 3, annoncées : 5"),
    ],
    ids=["repeated", "another page", "another total", "a row short", "a page short", "empty"],
)
def test_pages_that_do_not_fit_together(server: RestServer, second: Answer, sentence: str) -> None:
    whole = server.routes[LIST]
    server.routes[LIST] = lambda query: second if query["page"] == "1" else whole(query)
    with pytest.raises(UnreachableError, match=sentence):
        read(server)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer({}, 401), "refuse le compte « transition »"),
        (Answer({}, 403), "refuse le compte « transition »"),
        (Answer({}, 404), r"réponse inattendue \(HTTP 404\)"),
        (Answer({}, 302, {"Location": "/login"}), r"réponse inattendue \(HTTP 302\)"),
    ],
)
def test_a_refusal_is_not_tried_again(server: RestServer, answer: Answer, sentence: str) -> None:
    server.routes[LIST] = lambda _: answer
    with pytest.raises(TransitionError, match=sentence) as refusal:
        read(server)
    assert len(server.seen) == 1
    assert "s3cret" not in str(refusal.value)


def test_a_token(server: RestServer) -> None:
    assert read(server, token=True) == ROWS
    assert server.tokens == ["jwt-1"]
    assert server.authorizations[1:] == ["Bearer jwt-1"] * 3


def test_a_token_that_expires_between_two_pages_is_renewed(server: RestServer) -> None:
    server.token_life = 1
    assert read(server, token=True) == ROWS
    assert server.tokens == ["jwt-1", "jwt-2", "jwt-3"]


def test_a_token_is_renewed_once(server: RestServer) -> None:
    server.token_life = 0
    with pytest.raises(TransitionError, match="refuse le compte"):
        read(server, token=True)
    assert len(server.tokens) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(b"", 401), TransitionError),
        (Answer(b"", 201), UnreachableError),
        (Answer(b"<html>", 200), UnreachableError),
    ],
)
def test_no_token(server: RestServer, answer: Answer, error: type[Exception]) -> None:
    server.first["/cas/v1/tickets"] = [answer]
    with pytest.raises(error, match="/cas/v1/tickets") as refusal:
        read(server, token=True)
    assert "s3cret" not in str(refusal.value)
    assert server.seen == ["/cas/v1/tickets?"]


def test_no_password_in_what_is_shown(server: RestServer) -> None:
    assert "s3cret" not in repr(peer(server))


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    port, key, asked = free_port(), _certificate(tmp_path), list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key)
    with HTTPServer(("127.0.0.1", port), Handler) as running:
        running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            with pytest.raises(TransitionError, match="certificat refusé"):
                Peer(Account("transition", "s3cret")).get(f"https://127.0.0.1:{port}/list")
        finally:
            running.shutdown()
            thread.join()
    assert asked == []


def _certificate(folder: Path) -> Path:
    """A key and a certificate that it signed itself, in one file."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import IPv4Address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + certificate.public_bytes(pem))
    return path
