"""How old a year's remains are: from the end of its campaign, as the state tables know it, never from a file's date."""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from transition.campaign import Campaign, now
from transition.french import day
from transition.state import tables

_GIVEN_UP = timedelta(days=8)  # after its last task; approvals of a plan take days


@dataclass(frozen=True)
class Ages:
    """What is known of each year's campaign.

    :param ends: when a run of the year was last verified (UTC). :param unfinished: years that must not be touched: why.
    """

    ends: dict[int, datetime]
    unfinished: dict[int, str]


def read_ages(campaign: Campaign) -> Ages:
    """Read them from the journal and the runs."""
    entry, run, way = tables.journal.c, tables.run.c, tables.way.c
    verified = (
        sa.select(entry.year, sa.func.max(entry.at), sa.func.max(entry.run))
        .where(entry.stage == "verify", entry.action == "done")
        .group_by(entry.year)
    )
    frozen = sa.select(run.year, run.number, run.run_id).where(run.frozen_at.is_not(None), sa.not_(run.dry_run))
    swaps = sa.select(run.year, way.table_name).join(tables.run, run.number == way.run)
    with campaign.engine.connect() as connection:
        found = {year: (at, number) for year, at, number in connection.execute(verified)}
        unfinished = {
            year: f"l'exécution {run_id} est figée et n'a pas été vérifiée : terminez-la, ou relancez-en une"
            for year, number, run_id in connection.execute(frozen.order_by(run.number))
            if number > found.get(year, (None, 0))[1]
        }
        for year, name in connection.execute(swaps.where(way.state.in_(("begun", "ready")))):
            unfinished[year] = f"l'échange de la table {name} n'est pas terminé : relancez une exécution de l'année"
    return Ages({year: at for year, (at, _) in found.items()}, unfinished)


def open_campaign(campaign: Campaign) -> Iterator[str]:
    """A campaign that holds the platform and is not verified yet: the finding, if so.

    One that never froze its plan, and is silent since :data:`_GIVEN_UP`, does not count: it has written nothing in
    Moodle, and once the expiry has taken the platform it can only start again from its preflight.
    """
    fence, run, entry = tables.fence, tables.run, tables.journal.c
    holder = sa.select(run.c.number, run.c.run_id, run.c.frozen_at).join(fence, fence.c.run == run.c.number)
    with campaign.engine.connect() as connection:
        held = connection.execute(holder).one_or_none()
        if held is None:
            return
        stages = sa.select(entry.stage, entry.action, sa.func.max(entry.at)).where(entry.run == held.number)
        seen = {
            (stage, action): at for stage, action, at in connection.execute(stages.group_by(entry.stage, entry.action))
        }
    # Only a campaign has a preflight: a restore takes the platform too, and is over when its lock is free.
    if ("preflight", "started") not in seen or ("verify", "done") in seen:
        return
    if held.frozen_at:
        yield f"l'exécution {held.run_id} est figée et n'est pas terminée : terminez-la, ou relancez-en une"
    elif (until := max(seen.values()) + _GIVEN_UP) > now():
        yield (
            f"l'exécution {held.run_id} n'est pas terminée : attendez sa fin ; abandonnée, elle ne compte plus à partir"
            f" du {day(until, campaign.platform.zone)}"
        )


def months_after(moment: datetime, months: int) -> datetime:
    """The same day and hour some months later; the month's last day where it has no such day."""
    years, month = divmod(moment.month - 1 + months, 12)
    year = moment.year + years
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))


def too_young(campaign: Campaign, since: datetime, months: int, moment: datetime) -> str:
    """Until when what is so old must be kept, a French sentence; '' if it is due."""
    until = months_after(since, months)
    return f"à garder jusqu'au {day(until, campaign.platform.zone)}" if until > moment else ""
