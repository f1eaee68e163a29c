"""The curriculum models that a run compares, as its lots hold them: what is taught in year N, what was in N-1."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from transition.apogee import tables
from transition.campaign import Campaign
from transition.errors import TransitionError


@dataclass(frozen=True)
class Model:
    """Codes, as compare keys, of the two years of a run.

    :param lots: year to ``lot_id``; N-1 is absent when no snapshot of it was ever loaded.
    :param states: elements of N that are not taught: key to ``fermé``, ``suspendu`` or ``fictif``.
    :param taught: elements of N that are open and not fictitious. :param hosts: codes that host one of them.
    :param last: elements of N-1 and their hosts, None without a snapshot.
    :param hosting: element to the codes that host it, in N or N-1.
    :param registered: codes with an active registration in N, theirs or that of an element they host in N.
    """

    year: int
    lots: Mapping[int, str]
    taught: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    states: Mapping[str, str] = field(default_factory=dict)
    last: frozenset[str] | None = None
    hosting: Mapping[str, frozenset[str]] = field(default_factory=dict)
    registered: frozenset[str] = frozenset()

    def wants(self, key: str) -> bool:
        """Whether year N has a use for a code's space: it is taught, hosts an element, or has registrations."""
        return key in self.taught or key in self.hosts or key in self.registered

    def knows(self, key: str) -> bool:
        """Whether a code is in the model of N, in whatever state, or in that of N-1."""
        return key in self.taught or key in self.hosts or key in self.states or key in (self.last or ())

    def with_hosts(self, codes: Iterable[str]) -> frozenset[str]:
        """These codes and those that host them: the spaces where their students are."""
        own = frozenset(codes)
        return own.union(*(self.hosting.get(code, frozenset()) for code in own))


def run_lots(campaign: Campaign) -> dict[int, str]:
    """The lots of the run, by year; raises :class:`TransitionError` if ``apogee_sync`` has not recorded them."""
    run_lot = tables.run_lot
    with campaign.engine.connect() as connection:
        rows = connection.execute(sa.select(run_lot.c.annee, run_lot.c.lot_id).where(run_lot.c.run == campaign.run))
        lots = {row.annee: row.lot_id for row in rows}
    if campaign.year not in lots:
        raise TransitionError(
            f"Aucun lot Apogée de {campaign.year} n'est chargé pour l'exécution {campaign.run_id} :"
            " relancez d'abord la tâche apogee_sync."
        )
    return lots


def load_model(campaign: Campaign) -> Model:
    """The model of the run's lots."""
    return read_model(campaign, run_lots(campaign))


def read_model(campaign: Campaign, lots: Mapping[int, str]) -> Model:
    """The model of those lots, by year; without a lot of the campaign's year, nothing is taught."""
    taught, hosts, last = set[str](), set[str](), set[str]()
    states, hosting, hosting_now = dict[str, str](), dict[str, set[str]](), dict[str, set[str]]()
    element, registration = tables.element.c, tables.inscription.c
    with campaign.engine.connect() as connection:
        for year, lot_id in lots.items():
            rows = sa.select(element.cle, element.cle_porteur, element.etat, element.fictif)
            for key, host, state, fictitious in connection.execute(rows.where(element.lot_id == lot_id)):
                if host:
                    hosting.setdefault(key, set()).add(host)
                if year != campaign.year:
                    last.update({key, host} if host else {key})
                    continue
                if host:
                    hosting_now.setdefault(key, set()).add(host)
                if state == "ouvert" and not fictitious:
                    taught.add(key)
                    hosts.update({host} if host else ())
                else:
                    states[key] = "fictif" if fictitious else {"ferme": "fermé"}.get(state, state)
        active = (
            sa.select(registration.cle)
            .distinct()
            .where(registration.lot_id == lots.get(campaign.year, ""), registration.statut == "active")
        )
        registered = set(connection.execute(active).scalars())
    return Model(
        campaign.year,
        lots,
        taught=frozenset(taught),
        hosts=frozenset(hosts),
        states=states,
        last=frozenset(last) if campaign.year - 1 in lots else None,
        hosting={key: frozenset(codes) for key, codes in hosting.items()},
        # Last year's host gets none of them: its space would be emptied and never archived.
        registered=frozenset(registered.union(*(hosting_now.get(key, ()) for key in registered))),
    )
