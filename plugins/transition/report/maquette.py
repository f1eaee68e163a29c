"""How the curriculum model changed between year N-1 and year N, element by element."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from transition.apogee.codes import compare_key
from transition.apogee.tables import element, lot, run_lot
from transition.campaign import Campaign
from transition.state import tables

ENTERED, LEFT, BACK, HOST, COMPONENT, NO_SPACE = (
    "entré", "sorti", "revenu", "porteur changé", "composante changée", "sans espace",
)  # fmt: skip
_STATES = {"ouvert": "ouvert", "ferme": "fermé", "suspendu": "suspendu"}


@dataclass(frozen=True)
class Element:
    """An element of one year's model; ``key`` and ``host_key``: compare keys, the latter '' without a porteur."""

    key: str
    code: str
    label: str
    nature: str
    component: str
    state: str
    fictitious: bool
    host: str
    host_key: str

    @property
    def taught(self) -> bool:
        """Whether students take it: open and not fictitious."""
        return self.state == "ouvert" and not self.fictitious


@dataclass(frozen=True)
class Change:
    """One thing that happened to an element, in French; ``element``: as year N has it, else N-1."""

    kind: str
    element: Element
    before: str
    after: str


Model = Mapping[str, Element]  # by compare key


def read_model(campaign: Campaign, year: int) -> dict[str, Element] | None:
    """The elements of the run's lot of that year, by compare key; None if the run has no such lot."""
    of_run = sa.select(run_lot.c.lot_id).where(run_lot.c.run == campaign.run, run_lot.c.annee == year)
    columns = element.c
    with campaign.engine.connect() as connection:
        lot_id = connection.execute(of_run).scalar()
        if lot_id is None:
            return None
        query = sa.select(
            columns.cle, columns.code, columns.libelle, columns.nature, columns.composante, columns.etat,
            columns.fictif, sa.func.coalesce(columns.code_porteur, ""), sa.func.coalesce(columns.cle_porteur, ""),
        ).where(columns.lot_id == lot_id)  # fmt: skip
        return {row[0]: Element(*row) for row in connection.execute(query.order_by(columns.cle))}


def earlier_years(campaign: Campaign) -> dict[str, int]:
    """The last year before N-1 in which each element was open, by compare key, as the lots that were kept tell."""
    last = sa.func.max(lot.c.annee)
    query = (
        sa.select(element.c.cle, last)
        .join(lot, lot.c.lot_id == element.c.lot_id)
        .where(lot.c.annee < campaign.year - 1, lot.c.charge_le.is_not(None))
        .where(element.c.etat == "ouvert", sa.not_(element.c.fictif))
        .group_by(element.c.cle)
    )
    with campaign.engine.connect() as connection:
        return dict(connection.execute(query).all())


def spaces_by_key(campaign: Campaign) -> dict[str, str]:
    """The names of the spaces that carry each code, by compare key, as the run decided on them."""
    found: dict[str, list[str]] = {}
    decision = tables.decision.c
    query = sa.select(decision.code, decision.fullname).where(decision.run == campaign.run, decision.code != "")
    with campaign.engine.connect() as connection:
        for code, name in connection.execute(query.order_by(decision.courseid)):
            found.setdefault(compare_key(code), []).append(name)
    return {key: " ; ".join(names) for key, names in found.items()}


def changes(before: Model, after: Model, year: int, earlier: Mapping[str, int]) -> Iterator[Change]:
    """What changed from the model ``before`` to the model ``after``, that of ``year``; pure.

    :param earlier: see :func:`earlier_years`.
    """
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        was, will = old is not None and old.taught, new is not None and new.taught
        if new is not None and will and not was:
            back = old is not None or key in earlier
            seen = f", ouvert en {earlier[key]}" if key in earlier else ""
            yield Change(BACK if back else ENTERED, new, _state(old, year - 1) + seen, _state(new, year))
        elif old is not None and was and not will:
            yield Change(LEFT, new or old, _state(old, year - 1), _state(new, year))
        elif old is not None and new is not None and was:
            if old.host_key != new.host_key:
                yield Change(HOST, new, old.host or "aucun", new.host or "aucun")
            if old.component != new.component:
                yield Change(COMPONENT, new, old.component, new.component)


def without_space(model: Model, year: int, spaces: Collection[str]) -> Iterator[Change]:
    """Elements of year N that no space carries, neither by their own code nor by that of their porteur.

    :param spaces: compare keys of the codes that the platform's spaces carry.
    """
    for one in model.values():
        if one.taught and one.key not in spaces and one.host_key not in spaces:
            yield Change(NO_SPACE, one, "", _state(one, year))


def _state(one: Element | None, year: int) -> str:
    if one is None:
        return f"absent en {year}"
    return f"{'fictif' if one.fictitious else _STATES.get(one.state, one.state)} en {year}"
