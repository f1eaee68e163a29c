"""Feeds from Apogée's own database (Oracle in production), by the queries of ``include/apogee/sql``.

A site adapts the files, not this module: one query a file, the columns of its result fixed, ``:annee`` and ``:jour``
its only parameters. All queries of a read share one transaction that sees one state of the database, and each is
counted in it (``SELECT COUNT(*)``): rows that were counted and not received are an error, never a smaller feed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from transition.apogee.canonical import CANONICAL
from transition.apogee.curriculum import Curriculum, Element, Step
from transition.apogee.feed import Feed, RawTable, Texts, own_manifest, received
from transition.errors import TransitionError, UnreachableError
from transition.files import INCLUDE

SOURCE = "apogee_sql"
QUERIES = INCLUDE / "apogee" / "sql"
_CHUNK = 20_000  # rows a fetch
_MODEL: Mapping[str, tuple[str, ...]] = {
    "annee": ("annee",),
    "element": ("code", "libelle", "nature", "periode", "composante", "etat", "fictif"),
    "racine": ("etape", "version", "libelle_etape", "code", "obligatoire"),
    "lien": ("code_pere", "code", "obligatoire"),
    "porteur": ("code", "code_porteur"),
    "element_inscrit": ("code",),
}
_PEOPLE = ("etudiant", "inscription")
_GROUPS = ("groupe", "groupe_membre")  # optional: a site without groups removes both files


@dataclass(frozen=True)
class SqlSource:
    """Apogée's database.

    :param engine: an account that may only read. :param queries: the folder of the site's queries.
    """

    engine: sa.Engine
    queries: Path = QUERIES
    live = True

    def check(self, year: int) -> list[str]:
        """The login, the queries' files and the year."""
        absent = [name for name in (*_MODEL, *_PEOPLE) if not self._path(name).is_file()]
        if absent:
            return [f"{self.queries} : requête absente : {', '.join(f'{name}.sql' for name in absent)} ; remettez-la."]
        if year in self.years():
            return []
        return [f"Apogée ne connaît pas l'année {year} (annee.sql) : vérifiez l'année demandée et la connexion Apogée."]

    def years(self) -> list[int]:
        """The years that Apogée knows."""
        with self._transaction() as connection:
            years = _read(connection, "annee", self._query("annee"), {})["annee"]
        return sorted(int(year) for year in years if re.fullmatch(r"\d{4}", year))

    def read(self, year: int, *, snapshot: bool = False) -> Feed:
        """That year. A snapshot is read as the model stood on 31 December of the year, and holds the model only."""
        # Staff close the year's links to prepare the next one: mid-year they were all there, at its end no longer.
        day = date(year, 12, 31) if snapshot else date.today()
        parameters = {"annee": str(year), "jour": day}
        with self._transaction() as connection:
            curriculum = self._curriculum(connection, parameters, snapshot)
            tables, findings = curriculum.flatten(year, ".sql")
            if not snapshot:
                groups = [name for name in _GROUPS if self._path(name).is_file()]
                for name in (*_PEOPLE, *groups):
                    tables[name] = self._table(connection, name, parameters)
        return Feed(str(year), year, own_manifest(f"{year}/lot", SOURCE, year, tables), tables, findings)

    def _curriculum(self, connection: sa.Connection, parameters: Mapping[str, Any], snapshot: bool) -> Curriculum:
        def rows(name: str) -> Iterator[tuple[str, ...]]:
            columns = _read(connection, name, self._query(name), parameters)
            return zip(
                *(columns[column] for column in _columns(name, columns, _MODEL[name], _MODEL[name])), strict=True
            )

        roots: dict[Step, dict[str, bool]] = {}
        for code, version, label, element, compulsory in rows("racine"):
            _join(roots.setdefault(Step(code, version, label), {}), element, compulsory)
        links: dict[str, dict[str, bool]] = {}
        for above, element, compulsory in rows("lien"):
            _join(links.setdefault(above, {}), element, compulsory)
        hosts: dict[str, set[str]] = {}
        for element, host in rows("porteur"):
            hosts.setdefault(element, set()).add(host)
        elements: dict[str, Element] = {}
        for code, label, nature, period, component, state, fictitious in rows("element"):
            if code in elements:
                raise TransitionError(f"element.sql : « {code} » y est deux fois ; un élément n'a qu'une ligne.")
            elements[code] = Element(code, label, nature, period, component, state, fictitious == "1")
        return Curriculum(
            elements=elements,
            roots=roots,
            links=links,
            hosts={element: frozenset(codes) for element, codes in hosts.items()},
            besides=frozenset(row[0] for row in rows("element_inscrit")) if snapshot else frozenset(),
            past=snapshot,
        )

    def _table(self, connection: sa.Connection, name: str, parameters: Mapping[str, Any]) -> RawTable:
        canonical = CANONICAL[name]
        found = _read(connection, name, self._query(name), parameters)
        columns = _columns(name, found, canonical.required, sorted(canonical.known))
        values = [found[column] for column in columns]
        where = f"{parameters['annee']}/{name}.sql"
        return received(where, columns, values, "ligne", range(1, 1 + len(values[0])))

    def _path(self, name: str) -> Path:
        return self.queries / f"{name}.sql"

    def _query(self, name: str) -> str:
        """The text of a query, without its comments: a colon in one would look like a parameter."""
        try:
            text = self._path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise TransitionError(f"{self._path(name)} : requête absente ou illisible, remettez-la.") from None
        text = re.sub(r"(?m)^\s*--.*$", "", text).strip()
        if not re.match(r"(?i)(select|with)\b", text) or ";" in text:
            raise TransitionError(f"{name}.sql : une requête SELECT et une seule est attendue, sans point-virgule.")
        return text

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """One transaction that sees one state of the database from its first query to its last."""
        # Oracle has no REPEATABLE READ; its SERIALIZABLE is a snapshot, while MySQL's would lock what is read.
        level: Literal["SERIALIZABLE", "REPEATABLE READ"] = (
            "SERIALIZABLE" if self.engine.dialect.name == "oracle" else "REPEATABLE READ"
        )
        try:
            connection = self.engine.connect().execution_options(isolation_level=level)
        except sa.exc.DBAPIError as error:
            raise UnreachableError(
                f"La base d'Apogée ne répond pas ou refuse la connexion ({_short(error)}) : vérifiez l'adresse, le"
                " compte et le mot de passe de la connexion Apogée."
            ) from None
        with connection, connection.begin():
            yield connection


def _join(children: dict[str, bool], code: str, compulsory: str) -> None:
    """Add a link; one that is there twice is compulsory if one of them is."""
    children[code] = children.get(code, False) or compulsory == "1"


def _columns(name: str, found: Mapping[str, Any], required: Sequence[str], known: Sequence[str]) -> list[str]:
    missing, unknown = [c for c in required if c not in found], [c for c in found if c not in known]
    if missing or unknown:
        raise TransitionError(
            f"{name}.sql : le résultat doit avoir les colonnes {', '.join(required)} ; absentes :"
            f" {', '.join(missing) or 'aucune'} ; inconnues : {', '.join(unknown) or 'aucune'} ; corrigez les alias de"
            " la requête."
        )
    return list(required) + [column for column in found if column not in required]


def _read(connection: sa.Connection, name: str, query: str, parameters: Mapping[str, Any]) -> dict[str, list[str]]:
    """The result of a query by column, as text; raises :class:`UnreachableError` unless it is as long as its COUNT."""
    statement = sa.text(query)
    named = set(statement.compile().params)
    unknown = sorted(named - {"annee", "jour"})
    if unknown:
        raise TransitionError(
            f"{name}.sql : paramètre inconnu : {', '.join(f':{bind}' for bind in unknown)} ; seuls :annee et :jour"
            " existent."
        )
    given = {bind: parameters[bind] for bind in named}
    # The text is the site's own file; nothing of it comes from data.
    count = sa.text(f"SELECT COUNT(*) FROM ({query}) compte")  # noqa: S608
    try:
        expected = connection.execute(count, given).scalar_one()
        # Closed in any case: a result that is not read to its end would make the rollback fail, and hide why.
        with connection.execute(statement.execution_options(stream_results=True), given) as result:
            names = [column.lower() for column in result.keys()]  # noqa: SIM118  a result is no mapping
            columns: list[list[str]] = [[] for _ in names]
            texts = [Texts() for _ in names]
            for chunk in result.partitions(_CHUNK):
                for values, text, column in zip(zip(*chunk, strict=True), texts, columns, strict=True):
                    column.extend([text[value] for value in values])
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated:
            raise UnreachableError(f"{name}.sql : la base d'Apogée a coupé la connexion ({_short(error)}).") from None
        raise TransitionError(
            f"{name}.sql : la base d'Apogée refuse la requête ({_short(error)}) ; adaptez-la."
        ) from None
    received_rows = len(columns[0])
    if received_rows != expected:
        raise UnreachableError(
            f"{name}.sql, lignes reçues : {received_rows}, comptées dans la même transaction : {expected} ; rien n'est"
            " retenu. Si cela se répète, la requête ne rend pas deux fois le même résultat : corrigez-la."
        )
    return dict(zip(names, columns, strict=True))


def _short(error: sa.exc.DBAPIError) -> str:
    """What the driver says, in one line: neither the statement nor its parameters."""
    return " ".join(str(error.orig).split())[:200]
