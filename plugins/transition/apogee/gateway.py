"""Feeds from a REST gateway that serves the canonical tables; its contract is in ``docs/apogee.md``.

- ``GET <url>/lots``: a paged list of manifests, one a year: lot_id, source, annee, extrait_le, complet, nb_lignes.
- ``GET <url>/lots/<lot_id>/<table>``: a paged list of the rows of a table that ``nb_lignes`` names.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from transition.apogee.canonical import BY_HAND, CANONICAL, Canonical
from transition.apogee.feed import Feed, Manifest, RawTable, Texts, received
from transition.apogee.pages import Peer
from transition.errors import TransitionError

_MODEL = ("element", "element_etape")
_LISTED = 5


class _Lot(BaseModel):
    lot_id: str = Field(min_length=1, max_length=100)
    source: str = Field(min_length=1, max_length=20)
    annee: int = Field(ge=2000, le=2100)
    extrait_le: AwareDatetime
    complet: bool
    nb_lignes: dict[str, int]


@dataclass(frozen=True)
class Gateway:
    """A gateway. :param url: its address, without a slash at the end."""

    peer: Peer
    url: str
    live = False

    def check(self, year: int) -> list[str]:
        """The account and the year's lot."""
        return [] if year in self._lots() else [self._absent(year)]

    def years(self) -> list[int]:
        """The years that have a lot."""
        return sorted(self._lots())

    def read(self, year: int, *, snapshot: bool = False) -> Feed:
        """That year's lot; of a snapshot, the curriculum model only."""
        lot = self._lots().get(year)
        if lot is None:
            raise TransitionError(self._absent(year))
        tables, findings = dict[str, RawTable](), list[str]()
        wanted = {name: rows for name, rows in lot.nb_lignes.items() if not snapshot or name in _MODEL}
        for name in wanted:
            if name in CANONICAL and name not in BY_HAND:
                pages = self.peer.pages(f"{self.url}/lots/{quote(lot.lot_id, safe='')}/{name}")
                table = _table(f"{year}/{name}", pages, CANONICAL[name], findings)
                if table is not None:
                    tables[name] = table
        if findings:
            return Feed(str(year), year, None, tables, findings)
        moment = lot.extrait_le.astimezone(UTC).replace(tzinfo=None)
        digests = {name: raw.sha256 for name, raw in tables.items()}
        manifest = Manifest(f"{year}/lots", lot.lot_id, lot.source, lot.annee, moment, lot.complet, wanted, digests)
        return Feed(str(year), year, manifest, tables)

    def _lots(self) -> dict[int, _Lot]:
        try:
            lots = [_Lot.model_validate(item) for item in self.peer.rows(f"{self.url}/lots")]
        except ValidationError as error:
            keys = sorted({str(fault["loc"][0]) for fault in error.errors()})
            raise TransitionError(
                f"{self.url}/lots : clé absente ou valeur refusée : {', '.join(keys)} ; corrigez la passerelle."
            ) from None
        by_year = {lot.annee: lot for lot in lots}
        if len(by_year) != len(lots):
            raise TransitionError(f"{self.url}/lots : une année y a deux lots ; la passerelle doit n'en donner qu'un.")
        return by_year

    def _absent(self, year: int) -> str:
        return f"{self.url}/lots n'a pas de lot de {year} : lancez l'extraction de l'année {year}-{year + 1}."


def _table(
    where: str, pages: Iterable[tuple[int, list[dict[str, Any]]]], canonical: Canonical, findings: list[str]
) -> RawTable | None:
    """A table from its pages, of which none is kept; None if they have faults, which ``findings`` receives."""
    values: dict[str, list[str]] = {name: [] for name in sorted(canonical.known)}
    given, lines, texts, faults = set(canonical.required), list[int](), Texts(), dict[str, int]()
    for page, items in pages:
        for item in items:
            for fault in _faults(item, canonical):
                faults.setdefault(fault, page)
        if not faults:
            given.update(*items)
            lines += [page] * len(items)
            for name, column in values.items():
                column += [texts[item.get(name)] for item in items]
    findings += [f"{where}, page {page} : {fault}." for fault, page in list(faults.items())[:_LISTED]]
    if faults:
        return None
    columns = [name for name in values if name in given]
    return received(where, columns, [values[name] for name in columns], "page", lines)


def _faults(item: dict[str, Any], canonical: Canonical) -> Iterator[str]:
    """What is wrong with the keys and the kinds of values of a row."""
    missing = [name for name in canonical.required if name not in item]
    unknown = [name for name in item if name not in canonical.known]
    composite = [name for name, value in item.items() if isinstance(value, dict | list)]
    for kind, names in (("absente", missing), ("inconnue", unknown), ("qui n'est pas une valeur", composite)):
        if names:
            yield f"clé {kind} : {', '.join(names)[:200]}"
