"""An Etherpad server, through its HTTP API (Etherpad 1.8 and later: ``/api/<version>/<function>``)."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import requests
from urllib3.util import Retry

from transition.errors import TransitionError, UnreachableError
from transition.http import retrying_session

_TIMEOUT = (5, 60)  # seconds: to connect, between two bytes of the answer
_OLDEST = (1, 2, 7)  # the first with getChatHistory
# Every call may be repeated: what the second does, the first had done (see `delete` and `create`).
_RETRY = Retry(
    total=3, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), allowed_methods=None, raise_on_status=False
)


class PadError(Exception):
    """The server refuses something about one pad. The text is a French sentence, without the pad's content."""


class AbsentError(PadError):
    """The pad, or the group of pads, does not exist on the server."""


@dataclass(frozen=True)
class Content:
    """What a pad holds. ``chat``: the messages beside it, as the API gives them; ``revisions``: 0 if never edited."""

    text: str
    html: str
    chat: list[dict[str, Any]]
    revisions: int
    public: bool

    @property
    def empty(self) -> bool:
        """Whether nobody has left anything: no text, no chat, and no revision that the time slider would show."""
        return not (self.text.strip() or self.chat or self.revisions)


@dataclass(frozen=True)
class Etherpad:
    """A server. :param url: its address, without ``/api``. :param key: its API key (APIKEY.txt)."""

    url: str
    key: str = field(repr=False)

    @cached_property
    def _session(self) -> requests.Session:
        return retrying_session(_RETRY)

    @cached_property
    def version(self) -> str:
        """The API version that the server speaks; raises :class:`TransitionError` if it is too old."""
        version = str(self._json("GET", "api/", {}).get("currentVersion", ""))
        numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
        if numbers < _OLDEST:
            raise TransitionError(
                f"{self.url} n'est pas un serveur Etherpad assez récent (API {version or 'inconnue'}, il faut 1.2.7 ou"
                " plus) : corrigez l'adresse de la connexion, ou mettez le serveur à jour."
            )
        return version

    def check(self) -> None:
        """Try the address and the key; raises :class:`TransitionError` or :class:`UnreachableError`."""
        self._call("checkToken")

    def pads(self, group: str) -> list[str]:
        """Ids of all the pads of a group; raises :class:`AbsentError`."""
        return [str(pad) for pad in self._call("listPads", groupID=group)["padIDs"]]

    def revisions(self, pad: str) -> int:
        """How often a pad was edited; raises :class:`AbsentError`."""
        return int(self._call("getRevisionsCount", padID=pad)["revisions"])

    def content(self, pad: str) -> Content:
        """All that a pad holds now; raises :class:`AbsentError`."""
        return Content(
            text=str(self._call("getText", padID=pad)["text"]),
            html=str(self._call("getHTML", padID=pad)["html"]),
            chat=self._chat(pad),
            revisions=self.revisions(pad),
            # Only a pad of a group has a status: any other is open to whoever knows its id.
            public="$" in pad and bool(self._call("getPublicStatus", padID=pad)["publicStatus"]),
        )

    def _chat(self, pad: str) -> list[dict[str, Any]]:
        # The server takes the history of an empty chat (head -1) for a mistake.
        if int(self._call("getChatHead", padID=pad)["chatHead"]) < 0:
            return []
        return list(self._call("getChatHistory", padID=pad)["messages"])

    def delete(self, pad: str) -> None:
        """Delete a pad with its revisions and its chat; an absent one stays absent."""
        try:
            self._call("deletePad", padID=pad)
        except AbsentError:
            return  # a first call had been carried out, and its answer lost

    def create(self, pad: str, *, public: bool) -> None:
        """Create a pad without any text (the server's welcome text neither); one that exists stays as it is."""
        group, _, name = pad.rpartition("$")
        try:
            if group:
                self._call("createGroupPad", groupID=group, padName=name, text="")
            else:
                self._call("createPad", padID=pad, text="")
        except PadError as error:
            if "already exist" not in str(error):
                raise
        if public:
            self._call("setPublicStatus", padID=pad, publicStatus="true")

    def _call(self, function: str, **parameters: str) -> dict[str, Any]:
        # The key travels in the body: addresses are written in the logs of servers and proxies.
        answer = self._json("POST", f"api/{self.version}/{function}", {"apikey": self.key, **parameters})
        code, message = answer.get("code"), str(answer.get("message"))
        if code == 0:
            return dict(answer.get("data") or {})
        if code == 4:
            raise TransitionError(
                f"Le serveur Etherpad {self.url} refuse la clé de l'API : corrigez le mot de passe de la connexion."
            )
        if code == 1 and "does not exist" in message:
            raise AbsentError(f"inconnu du serveur Etherpad ({message})")
        raise PadError(f"refus du serveur Etherpad ({function}, code {code} : {message})")

    def _json(self, method: str, path: str, body: dict[str, str]) -> dict[str, Any]:
        try:
            # A redirection would turn the POST into a GET, or carry the key elsewhere.
            answer = self._session.request(
                method, f"{self.url}/{path}", data=body, timeout=_TIMEOUT, allow_redirects=False
            )
            found = answer.json()
        except requests.JSONDecodeError:
            raise UnreachableError(
                f"Le serveur {self.url} ne répond pas comme un serveur Etherpad (HTTP {answer.status_code}) : vérifiez"
                " l'adresse de la connexion et l'état du serveur."
            ) from None
        except requests.RequestException as error:
            raise UnreachableError(
                f"Le serveur Etherpad {self.url} ne répond pas ({type(error).__name__}) : vérifiez l'adresse, le"
                " certificat et que le serveur est démarré."
            ) from None
        return found if isinstance(found, dict) else {}
