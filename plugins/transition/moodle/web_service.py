"""Moodle's web service, by its REST protocol (``webservice/rest/server.php``)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import requests
from urllib3.util import Retry

from transition.errors import TransitionError, UnreachableError
from transition.http import retrying_session

_TIMEOUT = (5, 120)  # seconds: to connect, between two bytes of the answer
# Only what never reached the server is sent again: a course whose answer was lost may have been created.
_RETRY = Retry(total=3, connect=3, read=0, status=0, other=0, backoff_factor=0.5, raise_on_status=False)


@dataclass(frozen=True)
class WebService:
    """A site's web service. :param url: the site's address (``$CFG->wwwroot``). :param token: of a service account."""

    url: str
    token: str = field(repr=False)

    @cached_property
    def _session(self) -> requests.Session:
        return retrying_session(_RETRY)

    def call(self, function: str, **parameters: Any) -> Any:
        """What a function answers. Lists and dicts become ``name[0][key]``, as Moodle reads them.

        Raises :class:`TransitionError` when Moodle refuses, for a wrong address or certificate,
        :class:`UnreachableError` for what may pass.
        """
        # The token travels in the body: addresses are written in the logs of servers and proxies.
        body = {"wstoken": self.token, "wsfunction": function, "moodlewsrestformat": "json"}
        answer = self._post(f"{self.url}/webservice/rest/server.php", {**body, **dict(_flat(parameters))}, function)
        if isinstance(answer, dict) and "exception" in answer:
            # Not its debuginfo, which may quote what was sent.
            reason = f"{answer.get('errorcode', '')} : {str(answer.get('message', ''))[:300]}"
            raise TransitionError(
                f"Le service web de {self.url} refuse {function} ({reason}) : vérifiez le jeton, les fonctions de son"
                " service et les droits de son compte."
            )
        return answer

    def _post(self, url: str, body: dict[str, str], function: str) -> Any:
        try:
            # A redirection would turn the POST into a GET, or carry the token elsewhere.
            answer = self._session.post(url, data=body, timeout=_TIMEOUT, allow_redirects=False)
        except requests.exceptions.SSLError:
            raise TransitionError(
                f"{self.url} : certificat refusé ; faites-le corriger, ou donnez l'autorité de l'établissement par la"
                " variable d'environnement REQUESTS_CA_BUNDLE."
            ) from None
        except requests.RequestException as error:
            raise UnreachableError(
                f"Le service web de {self.url} ne répond pas à {function} ({type(error).__name__}) : vérifiez"
                " l'adresse et que Moodle est en marche."
            ) from None
        if answer.status_code == 429 or answer.status_code >= 500:
            raise UnreachableError(
                f"Le service web de {self.url} ne répond pas à {function} (HTTP {answer.status_code}) : vérifiez que"
                " Moodle est en marche et n'est pas en maintenance."
            )
        try:
            if answer.status_code == 200:
                return answer.json()
        except requests.JSONDecodeError:
            pass
        raise TransitionError(
            f"{self.url} ne répond pas comme le service web d'un Moodle (HTTP {answer.status_code}) : vérifiez"
            " l'adresse de la connexion, et que le protocole REST est activé dans Moodle."
        )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flat(inner, f"{name}[{key}]" if name else str(key))
    else:
        yield name, str(value)
