"""The exceptions that pedagogical engineers entered: read, add, withdraw."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from transition import journal
from transition.apogee.calendar import CalendarException
from transition.calendars.tables import calendar_entry
from transition.campaign import Campaign, now
from transition.errors import TransitionError
from transition.french import counted

STAGE = "calendar_exceptions"


def standing(campaign: Campaign) -> sa.ColumnElement[bool]:
    """The condition of an entry that counts for the campaign's year."""
    return sa.and_(calendar_entry.c.year == campaign.year, calendar_entry.c.withdrawn_at.is_(None))


def load_entries(campaign: Campaign) -> list[CalendarException]:
    """The entries that count for the campaign's year, as exceptions."""
    entry = calendar_entry.c
    query = sa.select(entry.id, entry.cible_type, entry.cle, entry.type, entry.debut, entry.fin)
    with campaign.engine.connect() as connection:
        rows = connection.execute(query.where(standing(campaign)).order_by(entry.id))
        return [CalendarException(*row, entered=True) for row in rows]


def added_by_this_run(campaign: Campaign) -> int:
    """How many entries the run has added already: a retry must not add them again."""
    query = sa.select(sa.func.count()).where(calendar_entry.c.run == campaign.run)
    with campaign.engine.connect() as connection:
        return connection.execute(query).scalar_one()


def add(campaign: Campaign, rows: Sequence[dict[str, Any]]) -> None:
    """Add checked entries, all or none. :param rows: their columns from ``cible_type`` to ``demandeur``."""
    heading = {"year": campaign.year, "run": campaign.run, "entered_by": campaign.actor, "entered_at": now()}
    with campaign.engine.begin() as connection:
        connection.execute(sa.insert(calendar_entry), [{**heading, **row} for row in rows])
        journal.record(connection, campaign, STAGE, "entered", detail=counted(len(rows), "saisie", "saisies"))


def withdraw(campaign: Campaign, number: int) -> None:
    """Withdraw an entry; does nothing twice. Raises :class:`TransitionError` if the year has no such entry."""
    entry = calendar_entry
    mine = sa.and_(entry.c.id == number, entry.c.year == campaign.year)
    with campaign.engine.begin() as connection:
        if connection.execute(sa.select(sa.func.count()).where(mine)).scalar_one() == 0:
            raise TransitionError(
                f"L'année {campaign.year} n'a pas de saisie n° {number} : « afficher » en donne la liste. Une ligne du"
                " dépôt d'Apogée se corrige dans exception_calendrier.csv."
            )
        values = {"withdrawn_by": campaign.actor, "withdrawn_at": now()}
        gone = connection.execute(sa.update(entry).where(mine, entry.c.withdrawn_at.is_(None)).values(values))
        if gone.rowcount:
            journal.record(connection, campaign, STAGE, "withdrawn", detail=f"saisie n° {number}")
