"""Elements of the model that no space carries: listed, and written for Moodle's course upload tool."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from transition import storage
from transition.apogee import tables as apogee
from transition.apogee.codes import compare_key
from transition.apogee.model import run_lots
from transition.campaign import Campaign
from transition.french import counted
from transition.moodle.categories import category_ids
from transition.spaces import Space
from transition.state.tables import missing_space

CSV_NAME = "espaces-a-creer.csv"
# Columns of the course upload tool (tool_uploadcourse_course); an empty category is the one that its form names.
_COLUMNS = ("shortname", "fullname", "idnumber", "category")
_FULLNAME = 254  # course.fullname, in characters


@dataclass(frozen=True)
class NewSpace:
    """A space that could be created; ``category``: id, None where nothing says where it belongs."""

    cle: str
    code: str
    libelle: str
    category: int | None

    @property
    def fullname(self) -> str:
        """« CODE - libellé », as the nightly job of Ecampus names spaces."""
        return f"{self.code} - {self.libelle}"[:_FULLNAME]


def record_missing(campaign: Campaign, spaces: Sequence[Space]) -> int:
    """Store the elements of year N without a space, in place of those of this run, and write them; returns how many.

    Elements that are open and not fictitious need a space, but for those that another one hosts; their hosts do. A code
    that any space carries, archived or not, has its space.
    """
    carried = {space.key for space in spaces}
    named = {compare_key(space.shortname): space for space in spaces}
    categories = _Categories(campaign)
    rows = []
    for key, (code, label, component) in sorted(_wanted(campaign).items()):
        if key not in carried:
            rows.append({
                "run": campaign.run, "cle": key, "code": code, "libelle": label, "composante": component,
                "category": categories.of(component), "obstacle": _obstacle(named.get(key))[:500],
            })  # fmt: skip
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(missing_space).where(missing_space.c.run == campaign.run))
        if rows:
            connection.execute(sa.insert(missing_space), rows)
    write_csv(campaign)
    return len(rows)


def _wanted(campaign: Campaign) -> dict[str, tuple[str, str, str]]:
    """Compare key of each code that needs a space: code, label, component. A host may have no row of its own."""
    element = apogee.element.c
    columns = (element.cle, element.code, element.libelle, element.composante, element.cle_porteur,
               element.code_porteur, element.etat, element.fictif)  # fmt: skip
    query = sa.select(*columns).where(element.lot_id == run_lots(campaign)[campaign.year]).order_by(element.code)
    with campaign.engine.connect() as connection:
        rows = connection.execute(query).all()
    described = {row.cle: (row.code, row.libelle, row.composante) for row in reversed(rows)}
    wanted: dict[str, tuple[str, str, str]] = {}
    for row in rows:
        if row.etat == "ouvert" and not row.fictif:
            key = row.cle_porteur or row.cle
            hosted = (row.code_porteur or row.code, row.libelle, row.composante)
            wanted.setdefault(key, described.get(key, hosted))
    return wanted


def _obstacle(homonym: Space | None) -> str:
    if homonym is None:
        return ""
    number = f"avec le numéro d'identification « {homonym.code} »" if homonym.code else "sans numéro d'identification"
    return f"l'espace {homonym.courseid} (« {homonym.fullname} ») en a le nom abrégé, {number} : à corriger"


class _Categories:
    """Where spaces belong: the category whose idnumber is the component's code, else that of the platform's file."""

    def __init__(self, campaign: Campaign) -> None:
        category, wanted = campaign.moodle["course_categories"].c, campaign.platform.categories.new_spaces
        found = category_ids(campaign.moodle, wanted) if wanted is not None else []
        self._default = found[0] if len(found) == 1 else None
        with campaign.engine.connect() as connection:
            query = sa.select(category.idnumber, category.id).where(category.idnumber.is_not(None))
            self._by_idnumber = dict(connection.execute(query).all())

    def of(self, component: str) -> int | None:
        return self._by_idnumber.get(component, self._default) if component else self._default


def check_category(campaign: Campaign) -> Iterator[str]:
    """For preflight: the category of new spaces, where the platform's file names one."""
    wanted = campaign.platform.categories.new_spaces
    if wanted is not None and len(category_ids(campaign.moodle, wanted)) != 1:
        yield (
            f"categories.new_spaces : « {wanted} » n'est pas l'idnumber (texte) ou l'id (nombre) d'une catégorie de"
            f" Moodle et d'une seule : corrigez include/platforms/{campaign.platform.name}.yaml"
        )


def new_spaces(campaign: Campaign) -> list[NewSpace]:
    """Spaces that could be created, and are not yet, by code."""
    missing = missing_space.c
    query = sa.select(missing.cle, missing.code, missing.libelle, missing.category)
    query = query.where(missing.run == campaign.run, missing.obstacle == "", missing.courseid.is_(None))
    with campaign.engine.connect() as connection:
        return [NewSpace(*row) for row in connection.execute(query.order_by(missing.code))]


def created_spaces(campaign: Campaign) -> sa.Select[Any]:
    """A query: ``courseid``, ``cle`` and ``code`` of the spaces that the run has created, or found created."""
    missing = missing_space.c
    mine = sa.and_(missing.run == campaign.run, missing.courseid.is_not(None))
    return sa.select(missing.courseid, missing.cle, missing.code).where(mine)


def creates(campaign: Campaign) -> bool:
    """Whether the run creates missing spaces: if the platform asks for it, and the run is not limited to some codes."""
    return campaign.platform.create_missing and not campaign.courses


def listed(campaign: Campaign) -> list[dict[str, Any]]:
    """All that the run knows of elements without a space, for the report."""
    missing = missing_space.c
    query = sa.select(missing.code, missing.libelle, missing.composante, missing.obstacle, missing.courseid)
    with campaign.engine.connect() as connection:
        rows = connection.execute(query.where(missing.run == campaign.run).order_by(missing.code))
        return [dict(row) for row in rows.mappings()]


def sentence(campaign: Campaign) -> str:
    """What the plan says of them; '' when every element has its space."""
    total, possible = len(listed(campaign)), len(new_spaces(campaign))
    if not total:
        return ""
    done = "aucun ne sera créé"
    if creates(campaign):
        done = f"{counted(possible, 'sera créé', 'seront créés')} après l'approbation"
    return f"Éléments de la maquette sans espace : {total}, dont {done} ; liste : reports/{CSV_NAME}."


def write_csv(campaign: Campaign) -> None:
    """Write ``reports/espaces-a-creer.csv``: those that Moodle's course upload tool can create, and has not to skip."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";", lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for space in new_spaces(campaign):
        writer.writerow((space.code, space.fullname, space.code, space.category or ""))
    folder = storage.folder(campaign, "reports")
    storage.make_private(folder)
    storage.write(folder / CSV_NAME, text.getvalue().encode())
