"""Connections of Apogée's sources other than a folder: a REST server (type ``http``) or a database (any SQL type)."""

from typing import Any, Literal
from urllib.parse import urlsplit

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transition.apogee.feed import Source
from transition.apogee.gateway import Gateway
from transition.apogee.pages import Account, Peer
from transition.apogee.pegase import Pegase
from transition.errors import TransitionError

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _GatewayExtra(_Strict):
    api: Literal["gateway"]


class _PegaseExtra(_Strict):
    api: Literal["pegase"]
    tickets: str
    odf: str
    chc: str
    structure: str = Field(min_length=1)
    identifiant: str = Field(pattern=r"^[^{}]*\{code\}[^{}]*$")


def rest_source(conn_id: str, connection: Any) -> Source:
    """The gateway or the Pégase instance of a connection; ``api`` in its extra field tells which.

    Raises :class:`TransitionError` for a missing or unknown key, a missing account, an address that is not HTTPS.
    """
    extra, login, password = connection.extra_dejson, connection.login, connection.password
    models: dict[str, type[_Strict]] = {"gateway": _GatewayExtra, "pegase": _PegaseExtra}
    model = models.get(str(extra.get("api")))
    if model is None or not login or not password:
        raise TransitionError(
            f"La connexion Airflow « {conn_id} » doit donner un compte (Login, Password) et, dans Extra, « api » :"
            " gateway ou pegase ; corrigez-la, voir docs/apogee.md."
        )
    try:
        found = model.model_validate(extra)
    except ValidationError as error:
        keys = sorted({str(fault["loc"][0]) for fault in error.errors()})
        raise TransitionError(
            f"La connexion Airflow « {conn_id} » : clé absente, inconnue ou refusée dans Extra : {', '.join(keys)} ;"
            " corrigez-la, voir docs/apogee.md."
        ) from None
    if isinstance(found, _PegaseExtra):
        odf, chc, tickets = (_address(conn_id, url) for url in (found.odf, found.chc, found.tickets))
        return Pegase(Peer(Account(login, password, tickets)), odf, chc, found.structure, found.identifiant)
    host = (connection.host or "").rstrip("/")
    if host and "://" not in host:
        host = f"{connection.schema or 'https'}://{host}{f':{connection.port}' if connection.port else ''}"
    return Gateway(Peer(Account(login, password)), _address(conn_id, host))


def sql_engine(conn_id: str, connection: Any) -> sa.Engine:
    """An engine on the database of a connection of any SQL type whose provider is installed; not connected yet."""
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk.exceptions import AirflowException

    try:
        hook = connection.get_hook()
    except (AirflowException, ImportError):
        hook = None
    if not isinstance(hook, DbApiHook):
        raise TransitionError(
            f"La connexion Airflow « {conn_id} » est de type {connection.conn_type} : ce doit être fs, http ou le type"
            " d'une base de données dont le paquet est installé (oracle : apache-airflow-providers-oracle)."
        )
    # `creator`: the hook's own way to connect knows what its URL cannot carry (TLS, services, sockets).
    made: sa.Engine = hook.get_sqlalchemy_engine(
        {"creator": hook.get_conn, "pool_pre_ping": True, "hide_parameters": True}
    )
    return made


def _address(conn_id: str, url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or (parts.scheme != "https" and parts.hostname not in _LOOPBACK):
        raise TransitionError(
            f"La connexion Airflow « {conn_id} » : « {url or '(vide)'} » n'est pas une adresse https:// ; corrigez-la,"
            " des données d'étudiants y passent."
        )
    return url.rstrip("/")
