"""The curriculum model as a tree of elements under étapes, flattened into ``element`` and ``element_etape``.

Sources that give the model as links (Apogée's database, Pégase) share this descent: no recursive SQL, whose dialects
differ, and links that form a loop end it nowhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from transition.apogee.feed import RawTable, received
from transition.french import counted

_LISTED = 5


@dataclass(frozen=True)
class Step:
    """A version of an étape (a year of a course of study)."""

    code: str
    version: str
    label: str


@dataclass(frozen=True)
class Element:
    """An element, as ``element`` names its columns; ``state``: ouvert, ferme, suspendu."""

    code: str
    label: str
    nature: str
    period: str
    component: str
    state: str
    fictitious: bool


@dataclass(frozen=True)
class Curriculum:
    """Links of one year's model.

    :param roots: by étape, the codes directly under it, with whether they are compulsory.
    :param links: the same by element. :param hosts: the codes of each element's porteurs.
    :param besides: codes that belong to the year without a link (they had registrations).
    :param past: a past year: what has been closed since was open then, so the descent goes through it.
    """

    elements: Mapping[str, Element]
    roots: Mapping[Step, Mapping[str, bool]]
    links: Mapping[str, Mapping[str, bool]]
    hosts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    besides: frozenset[str] = frozenset()
    past: bool = False

    def below(self, roots: Mapping[str, bool]) -> dict[str, bool]:
        """Every element below, with whether one way to it is compulsory from end to end.

        A closed or suspended element is reached but not passed; a fictitious one is passed.
        """
        reached: dict[str, bool] = {}
        ahead = list(roots.items())
        while ahead:
            code, compulsory = ahead.pop()
            if reached.get(code, False) or (code in reached and not compulsory):
                continue
            reached[code] = compulsory
            element = self.elements.get(code)
            if element and (self.past or element.state == "ouvert"):
                ahead += [(child, compulsory and needed) for child, needed in self.links.get(code, {}).items()]
        return reached

    def flatten(self, year: int, extension: str) -> tuple[dict[str, RawTable], list[str]]:
        """Tables ``element`` and ``element_etape`` of that year, and French findings.

        :param extension: what the names of the tables end with in messages: ``.sql``.
        """
        paths = {step: self.below(roots) for step, roots in self.roots.items()}
        codes = sorted(self.besides.union(*paths.values()))
        findings = list(self._findings(codes, f"{year}/element{extension}"))
        known = [self.elements[code] for code in codes if code in self.elements]
        element = _table(
            f"{year}/element{extension}",
            ("code", "libelle", "nature", "periode", "composante", "etat", "fictif", "code_porteur"),
            (
                (e.code, e.label, e.nature, e.period, e.component, e.state, str(int(e.fictitious)), self._host(e.code))
                for e in known
            ),
        )
        path = _table(
            f"{year}/element_etape{extension}",
            ("code", "etape", "version", "libelle_etape", "obligatoire"),
            (
                (code, step.code, step.version, step.label, str(int(compulsory)))
                for step, reached in paths.items()
                for code, compulsory in reached.items()
            ),
        )
        return {"element": element, "element_etape": path}, findings

    def _host(self, code: str) -> str:
        return next(iter(self.hosts.get(code, ())), "")

    def _findings(self, codes: Iterable[str], where: str) -> Iterator[str]:
        absent = [code for code in codes if code not in self.elements]
        if absent:
            listed = ", ".join(f"« {code} »" for code in absent[:_LISTED])
            elements = counted(len(absent), "élément de la maquette", "éléments de la maquette")
            yield f"{where} : il y manque {elements} ({listed}) ; cette table doit décrire tous les éléments."
        for code in codes:
            if len(self.hosts.get(code, ())) > 1:
                porteurs = ", ".join(f"« {host} »" for host in sorted(self.hosts[code]))
                yield f"{where}, colonne code_porteur : « {code} » a plusieurs porteurs : {porteurs} ; gardez-en un."


def _table(where: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> RawTable:
    values = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in columns]
    return received(where, columns, values, "ligne", range(1, 1 + len(values[0])))
