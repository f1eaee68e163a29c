"""A REST server whose lists come as pages of JSON: every page, or an exception; never fewer rows than it announces."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.util import Retry

from transition.errors import TransitionError, UnreachableError
from transition.http import retrying_session

PAGE_SIZE = 1000
_TIMEOUT = (10.0, 60.0)  # seconds: to connect, between two bytes of the answer
_TRIES = 3  # of an answer that stops half-way, which urllib3 does not try again
_RETRY = Retry(
    total=5, other=0,  # a certificate that is refused will be refused again
    backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None,
    raise_on_status=False, retry_after_max=300,
)  # fmt: skip


@dataclass(frozen=True)
class Account:
    """A technical account.

    :param tickets: address of the CAS that turns it into a bearer token (``…/cas/v1/tickets``); None: HTTP Basic.
    """

    login: str
    password: str = field(repr=False)
    tickets: str | None = None


class _Bearer(AuthBase):
    """The token as an auth object: requests would replace a plain header by what a .netrc says."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


@dataclass
class Peer:
    """The servers of one account. Certificates are always verified; redirections are refused, not followed."""

    account: Account
    timeout: tuple[float, float] = _TIMEOUT

    @cached_property
    def _session(self) -> requests.Session:
        session = retrying_session(_RETRY)
        session.headers["Accept"] = "application/json"
        return session

    @cached_property
    def _auth(self) -> AuthBase:
        if self.account.tickets is None:
            return HTTPBasicAuth(self.account.login, self.account.password)
        form = {"username": self.account.login, "password": self.account.password, "token": "true"}
        answer = self._send("POST", self.account.tickets, data=form)
        if answer.status_code in (400, 401, 403):
            raise TransitionError(
                f"{self.account.tickets} refuse le compte « {self.account.login} » : corrigez la connexion Apogée."
            )
        if answer.status_code != 201 or not answer.text.strip():
            raise UnreachableError(f"{self.account.tickets} ne donne pas de jeton (HTTP {answer.status_code}).")
        return _Bearer(answer.text.strip())

    def get(self, url: str, parameters: Mapping[str, str | int] | None = None) -> Any:
        """The JSON document at that address; a token that has expired is renewed, once a document.

        Raises :class:`TransitionError` for a refusal (account, address), :class:`UnreachableError` for what may pass.
        """
        answer = self._document(url, parameters)
        if answer.status_code == 401 and self.account.tickets:
            del self._auth
            answer = self._document(url, parameters)
        status = answer.status_code
        if status in (401, 403):
            raise TransitionError(
                f"{url} refuse le compte « {self.account.login} » (HTTP {status}) : vérifiez ses droits et la connexion"
                " Apogée."
            )
        if status == 429 or status >= 500:
            raise UnreachableError(f"{url} ne répond pas (HTTP {status}), malgré plusieurs essais.")
        if status != 200:
            raise TransitionError(f"{url} : réponse inattendue (HTTP {status}) ; vérifiez l'adresse de la connexion.")
        return answer.json()

    def rows(self, url: str, parameters: Mapping[str, str | int] | None = None) -> list[dict[str, Any]]:
        """All rows of a paged list (:meth:`pages`)."""
        return [item for _, items in self.pages(url, parameters) for item in items]

    def pages(
        self, url: str, parameters: Mapping[str, str | int] | None = None
    ) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """The pages of a list, ``{"items": […], "totalElements": n, "totalPages": p}``: number, from 1, and rows.

        Raises :class:`UnreachableError`, after the last page at the latest, when the pages do not add up to the total,
        when one comes twice, or when the total changes on the way: what was yielded before is then nothing.
        """
        received, total, seen = 0, None, set[bytes]()
        for number, page in self._pages(url, parameters or {}):
            if total is not None and page["totalElements"] != total:
                raise UnreachableError(
                    f"{url}, page {number + 1} : le total passe de {total} à {page['totalElements']} pendant la lecture"
                    " ; rien n'est retenu."
                )
            total = page["totalElements"]
            content = hashlib.sha256(json.dumps(page["items"], sort_keys=True).encode()).digest()
            if page["items"] and content in seen:
                raise UnreachableError(f"{url}, page {number + 1} : c'est une page déjà reçue ; rien n'est retenu.")
            seen.add(content)
            received += len(page["items"])
            yield number + 1, page["items"]
        if received != total:
            raise UnreachableError(f"{url}, lignes reçues : {received}, annoncées : {total} ; rien n'est retenu.")

    def _pages(self, url: str, parameters: Mapping[str, str | int]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        number, count = 0, 1
        while number < count:
            page = self.get(url, {**parameters, "page": number, "taille": PAGE_SIZE})
            if not _is_page(page) or page.get("page", number) != number:
                raise UnreachableError(
                    f"{url}, page {number + 1} : ce n'est pas la page demandée (items, totalElements, totalPages)."
                )
            yield number, page
            number, count = number + 1, page["totalPages"]

    def _document(self, url: str, parameters: Mapping[str, str | int] | None) -> requests.Response:
        """An answer; if it is a success, its JSON is whole."""
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                answer = self._send("GET", url, params=dict(parameters or {}), auth=self._auth)
                if answer.status_code == 200:
                    answer.json()
            except (requests.exceptions.ChunkedEncodingError, requests.JSONDecodeError) as error:
                if last:
                    raise UnreachableError(
                        f"{url} : la réponse est tronquée ou n'est pas du JSON ({type(error).__name__})."
                    ) from None
            else:
                return answer
        raise AssertionError("the last try returns or raises")

    def _send(self, method: str, url: str, **more: Any) -> requests.Response:
        try:
            return self._session.request(method, url, timeout=self.timeout, allow_redirects=False, **more)
        except requests.exceptions.SSLError:
            raise TransitionError(
                f"{url} : certificat refusé ; faites-le corriger, ou donnez l'autorité de l'établissement par la"
                " variable d'environnement REQUESTS_CA_BUNDLE."
            ) from None
        except requests.exceptions.ChunkedEncodingError:
            raise
        except requests.RequestException as error:
            raise UnreachableError(
                f"{url} ne répond pas ({type(error).__name__}) : vérifiez l'adresse et que le service est démarré."
            ) from None


def _is_page(page: Any) -> bool:
    return (
        isinstance(page, dict)
        and isinstance(page.get("items"), list)
        and all(isinstance(item, dict) for item in page["items"])
        and all(type(page.get(name)) is int and page[name] >= 0 for name in ("totalElements", "totalPages"))
    )
