"""Feeds from Pégase (PC-Scol), Apogée's successor: ODF for the curriculum model, CHC for the students' choices.

What is read, as public clients of these services use them (ODF ``/api/odf/ext/v1``, CHC ``/api/ext/chc/v1``):

- ``<odf>/etablissement/<e>/espaces?type=PERIODE``: paged; id, code and anneeUniversitaire of each period;
- ``<odf>/etablissement/<e>/objets-maquette?typeObjetMaquette=FORMATION&espace=<id>``: paged; the period's formations;
- ``<odf>/etablissement/<e>/maquette/<id>``: one formation as a tree, ``racine`` and ``enfants`` of ``objetMaquette``;
- ``<chc>/objet-formation/<e>/<period>/<code>/cursus``: who takes an object, by way to it.

The model belongs to a period there: no snapshot is needed to know a past year. A mutualised object is one code in
several trees, so it has one space; there are no porteurs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from transition.apogee.curriculum import Curriculum, Element, Step
from transition.apogee.feed import Feed, Texts, as_text, own_manifest, received
from transition.apogee.pages import Peer
from transition.errors import TransitionError

_Key = TypeVar("_Key")
SOURCE = "pegase_rest"
_WAY = ">"  # between the codes of a way
_VERSION = "1"  # a formation of a period has no version of its own


@dataclass(frozen=True)
class Pegase:
    """A Pégase instance.

    :param odf: address of the ODF service. :param chc: address of the CHC service; both without a slash at the end.
    :param structure: code of the establishment (``ETAB00``).
    :param username: Moodle's user name of a student, ``{code}`` standing for the student's code.
    """

    peer: Peer
    odf: str
    chc: str
    structure: str
    username: str
    live = False

    def check(self, year: int) -> list[str]:
        """The account and the year's period."""
        return [] if year in self._periods() else [self._absent(year)]

    def years(self) -> list[int]:
        """The years that have a period."""
        return sorted(self._periods())

    def read(self, year: int, *, snapshot: bool = False) -> Feed:
        """The periods of that year, whole; of a snapshot, the curriculum model only."""
        periods = self._periods().get(year)
        if not periods:
            raise TransitionError(self._absent(year))
        elements: dict[str, Element] = {}
        roots: dict[Step, dict[str, bool]] = {}
        links: dict[str, dict[str, bool]] = {}
        places: dict[str, dict[str, list[Step]]] = {}  # by period, the formations above each code
        for identifier, period in periods:
            for formation in self._formations(identifier):
                tree = _Tree({}, {}, self.structure)
                step, top = tree.read(self._tree(formation))
                _merge(roots, {step: top})
                _merge(links, tree.links)
                elements |= tree.elements
                for code in tree.elements:
                    places.setdefault(period, {}).setdefault(code, []).append(step)
        tables, findings = Curriculum(elements, roots, links).flatten(year, "")
        if not snapshot:
            choices = {row for period, codes in places.items() for row in self._choices(period, codes)}
            tables |= self._people(year, choices)
        return Feed(str(year), year, own_manifest(f"{year}/lot", SOURCE, year, tables), tables, findings)

    def _periods(self) -> dict[int, list[tuple[str, str]]]:
        """By year, the id and the code of its periods."""
        url = f"{self.odf}/etablissement/{quote(self.structure, safe='')}/espaces"
        periods: dict[int, list[tuple[str, str]]] = {}
        for item in self.peer.rows(url, {"type": "PERIODE"}):
            year = as_text(_key(url, item, "anneeUniversitaire"))
            if year[:4].isdigit():
                periods.setdefault(int(year[:4]), []).append((_key(url, item, "id"), _key(url, item, "code")))
        return periods

    def _formations(self, period: str) -> list[str]:
        url = f"{self.odf}/etablissement/{quote(self.structure, safe='')}/objets-maquette"
        found = self.peer.rows(url, {"typeObjetMaquette": "FORMATION", "espace": period})
        return [_key(url, item, "id") for item in found]

    def _tree(self, formation: str) -> Mapping[str, Any]:
        url = f"{self.odf}/etablissement/{quote(self.structure, safe='')}/maquette/{quote(formation, safe='')}"
        answer = self.peer.get(url)
        root = _key(url, answer, "racine")
        if not isinstance(root, dict):
            raise TransitionError(f"{url} : la maquette n'a pas de racine ; vérifiez-la dans Pégase.")
        return root

    def _choices(self, period: str, codes: Mapping[str, list[Step]]) -> Iterator[tuple[str, str, str, str]]:
        """Student, code, étape and version of each choice of a period."""
        texts = Texts()
        for code, steps in codes.items():
            where = "/".join(quote(part, safe="") for part in (self.structure, period, code))
            url = f"{self.chc}/objet-formation/{where}/cursus"
            answer = self.peer.get(url)
            if not isinstance(answer, list):
                raise TransitionError(f"{url} : une liste est attendue ; vérifiez l'adresse du service CHC.")
            for way in answer:
                path = str((_key(url, way, "objetFormation") or {}).get("chemin")).split(_WAY)
                # The way names the formation; where it does not, the student is counted in each that holds the code.
                through = [step for step in steps if step.code in path] or steps
                for student in _key(url, way, "listeApprenants") or ():
                    for step in through:
                        yield texts[_key(url, student, "codeApprenant")], code, step.code, step.version

    def _people(self, year: int, choices: set[tuple[str, str, str, str]]) -> dict[str, Any]:
        ordered = sorted(choices)
        students = sorted({row[0] for row in ordered})
        columns = [list(column) for column in zip(*ordered, strict=True)] or [[], [], [], []]
        registration = received(
            f"{year}/inscription",
            ("annee", "code_etudiant", "code", "etape", "version", "statut"),
            [[str(year)] * len(ordered), *columns, ["active"] * len(ordered)],
            "ligne",
            range(1, 1 + len(ordered)),
        )
        names = [self.username.replace("{code}", code) for code in students]
        student = received(
            f"{year}/etudiant", ("code_etudiant", "identifiant"), [students, names], "ligne", range(1, 1 + len(names))
        )
        return {"etudiant": student, "inscription": registration}

    def _absent(self, year: int) -> str:
        return (
            f"Pégase n'a pas d'espace de type PERIODE pour l'année {year} dans {self.structure} : vérifiez l'année"
            " demandée et la connexion Apogée."
        )


@dataclass
class _Tree:
    """One formation's tree as elements and links. The root is the étape, not an element."""

    elements: dict[str, Element]
    links: dict[str, dict[str, bool]]
    structure: str

    def read(self, root: Mapping[str, Any]) -> tuple[Step, dict[str, bool]]:
        code = as_text(_key("maquette", root, "code"))
        step = Step(code, _VERSION, as_text(root.get("libelle")) or code)
        return step, dict(self._children(root))

    def _children(self, node: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
        for link in node.get("enfants") or ():
            child = link.get("objetMaquette") or link
            code = as_text(_key("maquette", child, "code"))
            label, nature = as_text(child.get("libelle")) or code, as_text(child.get("type")) or "?"
            self.elements[code] = Element(code, label, nature, "", self.structure, "ouvert", fictitious=False)
            self.links.setdefault(code, {}).update(self._children(child))
            yield code, bool(link.get("obligatoire"))


def _key(where: str, item: Any, name: str) -> Any:
    """A key that must be there: an answer without it is no answer."""
    if not isinstance(item, dict) or name not in item:
        raise TransitionError(
            f"{where} : la réponse n'a pas la clé « {name} » ; vérifiez la version de l'API de Pégase."
        )
    return item[name]


def _merge(into: dict[_Key, dict[str, bool]], more: Mapping[_Key, Mapping[str, bool]]) -> None:
    for key, children in more.items():
        known = into.setdefault(key, {})
        for code, compulsory in children.items():
            known[code] = known.get(code, False) or compulsory
