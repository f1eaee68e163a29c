"""Airflow connections, turned into what the library takes: a SQLAlchemy engine, a folder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from transition.errors import TransitionError, UnreachableError
from transition.moodle.database import open_engine

if TYPE_CHECKING:
    from upath import UPath

    from transition.apogee.feed import Source
    from transition.etherpad.client import Etherpad
    from transition.moodle.web_service import WebService

# Server error numbers that will be the same at the next try: ER_DBACCESS_DENIED, ER_ACCESS_DENIED, ER_BAD_DB.
_REFUSALS = {1044, 1045, 1049}


def engine(conn_id: str) -> sa.Engine:
    """An engine on the Moodle database of a ``mysql`` connection: as :func:`replica`, but proven by one login.

    Raises :class:`TransitionError` if the server refuses the connection, and :class:`UnreachableError` if none answers.
    """
    made, connection = _mysql(conn_id)
    _prove(made, conn_id, f"{connection.host or 'localhost'}:{connection.port or 3306}")
    return made


def replica(conn_id: str) -> sa.Engine:
    """An engine on a replica, of a ``mysql`` connection: utf8mb4, READ COMMITTED, strict; not connected yet.

    One that is away must not keep a task from its own work: to open Moodle again, for one. Raises
    :class:`TransitionError` if the connection is missing, of another type or names no schema.
    """
    return _mysql(conn_id)[0]


def _mysql(conn_id: str) -> tuple[sa.Engine, Any]:
    from airflow.providers.mysql.hooks.mysql import MySqlHook

    connection = _connection(conn_id)
    if connection.conn_type != "mysql" or not connection.schema:
        raise TransitionError(
            f"La connexion Airflow « {conn_id} » doit être de type mysql et nommer la base de Moodle (champ Schema) :"
            " corrigez-la, voir « Connections » dans le README."
        )
    # The hook takes the character set from the connection alone, and MySQL's own default cannot hold every name.
    connection.extra = json.dumps({**connection.extra_dejson, "charset": "utf8mb4"})
    hook = MySqlHook(connection=connection)
    # `creator`: the hook's own way to connect knows sockets and TLS, which its URL cannot carry.
    return open_engine(sa.make_url(hook.get_uri()), creator=hook.get_conn, pool_pre_ping=True), connection


def feed(apogee: str, teachers: str | None) -> "Source | None":
    """The source of the Apogée feed, by the type of its connection: ``fs``, ``http`` or any SQL type.

    None if there is no such connection, or if a folder's names none: preflight says so, among its other findings.
    Raises :class:`TransitionError` for a connection that is wrong, or if nothing gives the teachers. Nothing is
    connected to yet.

    :param teachers: the connection (type ``fs``) of what Apogée does not know, if the platform declares one.
    """
    from transition.apogee.canonical import BY_HAND, YEAR_N
    from transition.apogee.csv_source import CsvFolder
    from transition.apogee.second_feed import WithSecondFeed
    from transition.apogee.sql_source import SqlSource
    from transition_airflow.apogee import rest_source, sql_engine

    try:
        connection = _connection(apogee)
    except TransitionError:
        return None
    second = feed_folder(teachers) if teachers else None
    if teachers and second is None:
        raise TransitionError(
            f"La connexion Airflow « {teachers} » doit être de type fs et nommer un dossier (« path », chemin absolu,"
            " dans Extra) : créez-la ou corrigez-la, voir docs/apogee.md."
        )
    first: Source
    if connection.conn_type == "fs":
        folder = feed_folder(apogee)
        if folder is None:
            return None
        first = CsvFolder(folder, tuple(name for name in YEAR_N if second is None or name not in BY_HAND))
    elif second is None:
        raise TransitionError(
            f"La connexion Airflow « {apogee} » (type {connection.conn_type}) ne donne ni les enseignants ni les"
            " exceptions de calendrier : déclarez leur dossier sous « connections: teachers: » dans le fichier de la"
            " plateforme, voir docs/apogee.md."
        )
    elif connection.conn_type == "http":
        first = rest_source(apogee, connection)
    else:
        first = SqlSource(sql_engine(apogee, connection))
    return WithSecondFeed(first, CsvFolder(second, BY_HAND)) if second else first


def feed_folder(conn_id: str) -> "Path | UPath | None":
    """The folder of a feed: ``path`` in the extra field of its connection (type ``fs``), absolute or a URL.

    A URL is served as :func:`storage_root` says. None if there is no such connection, or if it names no such folder.
    """
    try:
        path = _connection(conn_id).extra_dejson.get("path")
    except TransitionError:
        return None
    if isinstance(path, str) and "://" in path:
        return storage_root(path)
    return Path(path) if isinstance(path, str) and Path(path).is_absolute() else None


def storage_root(storage: str) -> "UPath | None":
    """The folder of a platform's ``storage`` that is a URL, served by the Airflow connection that it may name.

    ``s3://aws_transition@bucket/prefix``: by the connection ``aws_transition``. None for a plain path. Raises
    :class:`TransitionError` if the package of that kind of storage is missing.
    """
    if "://" not in storage:
        return None
    from airflow.sdk import ObjectStoragePath

    try:
        root = ObjectStoragePath(storage)
        root.fs  # noqa: B018  # only then is the file system looked for
    except (ImportError, ValueError):
        raise TransitionError(
            f"Le stockage « {storage} » demande un paquet qui n'est pas installé : pour S3,"
            " apache-airflow-providers-amazon[s3fs], à ajouter à requirements.in avant « make lock » ; sinon, donnez un"
            " dossier."
        ) from None
    found: UPath = root
    return found


def etherpad(conn_id: str | None) -> "Etherpad | None":
    """The Etherpad server of a connection (type ``http``): its address, its API key as the password.

    None if the platform names no connection. The host may be a whole address, with a path; else the schema (``https``
    if it is empty) and the port complete it. Raises :class:`TransitionError` if the connection is missing or lacks the
    key. Certificates are always verified: with an authority of the university's own, set ``REQUESTS_CA_BUNDLE``.
    """
    if conn_id is None:
        return None
    from transition.etherpad.client import Etherpad

    return Etherpad(*_address(conn_id, "du serveur Etherpad", "la clé de son API"))


def web_service(conn_id: str | None) -> "WebService | None":
    """Moodle's web service of a connection (type ``http``): the site's address, a token as the password.

    None if the platform names no connection. Address, errors and certificates: as for :func:`etherpad`.
    """
    if conn_id is None:
        return None
    from transition.moodle.web_service import WebService

    return WebService(*_address(conn_id, "du site Moodle", "un jeton de service web"))


def _address(conn_id: str, server: str, secret: str) -> tuple[str, str]:
    """Address and password of a connection of type ``http``."""
    connection = _connection(conn_id)
    host = (connection.host or "").rstrip("/")
    if connection.conn_type != "http" or not host or not connection.password:
        raise TransitionError(
            f"La connexion Airflow « {conn_id} » doit être de type http, avec l'adresse {server} (Host) et {secret}"
            " (Password) : corrigez-la, voir « Connections » dans le README."
        )
    if "://" not in host:
        port = f":{connection.port}" if connection.port else ""
        host = f"{connection.schema or 'https'}://{host}{port}"
    return host, connection.password


def _connection(conn_id: str) -> Any:
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise TransitionError(
            f"La connexion Airflow « {conn_id} » n'existe pas : créez-la (Admin > Connexions) ou définissez la"
            f" variable d'environnement AIRFLOW_CONN_{conn_id.upper()}, voir « Connections » dans le README."
        ) from None


def _prove(made: sa.Engine, conn_id: str, server: str) -> None:
    try:
        made.connect().close()
    except OperationalError as error:
        number = error.orig.args[0] if error.orig and error.orig.args else None
        if number in _REFUSALS:
            raise TransitionError(
                f"La connexion Airflow « {conn_id} » est refusée par le serveur {server} (erreur {number}) : vérifiez"
                " son compte, son mot de passe et le nom de la base."
            ) from None
        raise UnreachableError(
            f"Le serveur de base de données {server} de la connexion Airflow « {conn_id} » ne répond pas"
            f" (erreur {number}) : vérifiez l'adresse, le port et que le serveur est démarré."
        ) from None
