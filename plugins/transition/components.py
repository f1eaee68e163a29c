"""The component (UFR, institute) that each course space belongs to."""

import sqlalchemy as sa

from transition.apogee.codes import compare_key
from transition.apogee.tables import element, run_lot
from transition.campaign import Campaign
from transition.state import tables

NONE = "sans composante"


def components(campaign: Campaign) -> dict[int, str]:
    """The component of every course that the run decided on, by course id.

    ``element.composante`` of the space's code in the run's lot of year N; else in that of N-1; else the name of the
    space's top-level category, as the decision recorded it. A run without lots or decisions has none of them.
    """
    by_key = _by_key(campaign)
    decision = tables.decision.c
    query = sa.select(decision.courseid, decision.code, decision.category).where(decision.run == campaign.run)
    with campaign.engine.connect() as connection:
        return {
            courseid: by_key.get(compare_key(code)) or category.split(" / ")[0] or NONE
            for courseid, code, category in connection.execute(query)
        }


def _by_key(campaign: Campaign) -> dict[str, str]:
    """The component of every element of the run's lots, by compare key; that of the newest year wins."""
    query = (
        sa.select(element.c.cle, element.c.composante)
        .join(run_lot, sa.and_(run_lot.c.run == campaign.run, run_lot.c.lot_id == element.c.lot_id))
        .where(run_lot.c.annee.in_((campaign.year - 1, campaign.year)))
        .order_by(run_lot.c.annee)
    )
    with campaign.engine.connect() as connection:
        return dict(connection.execute(query).all())
