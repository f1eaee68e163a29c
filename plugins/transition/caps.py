"""Caps: how much a plan may archive, unenrol and move, and how old and short its feed may be, before a second approval.

A crossed cap does not fail the plan: it is stored with it (state table ``cap_crossed``), is part of its fingerprint, is
shown with it, and keeps it from being frozen until somebody approves the crossing too. The caps themselves are
``limits`` in the platform's file.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

import sqlalchemy as sa

from transition.apogee.load import same_day_last_year
from transition.apogee.model import run_lots
from transition.apogee.tables import inscription, lot, run_lot
from transition.campaign import Campaign
from transition.components import components
from transition.enrolment.people import ACTIVE
from transition.enrolment.tables import ex_change, student_account
from transition.errors import TransitionError
from transition.platforms import Limits
from transition.rules.compile import COURSE
from transition.state import tables

PLATFORM = ""  # in the place of a component's name: the whole platform
_MODELLED = ("reset", "archive", "defer")
space_component, cap_crossed = tables.space_component, tables.cap_crossed


@dataclass(frozen=True)
class Kind:
    """One thing that is capped, by its share and by its number.

    :param ratio: key of ``limits``: the most that ``count`` may be of ``base``; '': it has no base. :param number: key
        of ``limits``: the most that ``count`` may be; '': any. :param check: French, what a person looks at before
        approving more.
    """

    label: str
    ratio: str
    number: str
    check: str


KINDS = {
    "fewer": Kind(
        "inscrits de moins qu'il y a un an", "fewer_share", "",
        "le lot d'Apogée est-il entier, et extrait à la même époque que celui de l'an dernier ?",
    ),
    "archived": Kind(
        "espaces archivés", "archived_share", "archived_number",
        "le lot d'Apogée porte-t-il toute l'offre de formation de l'année ?",
    ),
    "unenrolled": Kind(
        "étudiants désinscrits", "unenrolled_share", "unenrolled_number",
        "les inscriptions pédagogiques du lot sont-elles complètes ?",
    ),
    "moved": Kind(
        "lignes déplacées", "moved_ratio", "moved_number",
        "exclusions, calendriers décalés et règles sont-ils ceux que vous attendez ?",
    ),
    "feed": Kind(
        "jours entre l'extraction des données d'Apogée et aujourd'hui", "", "feed_days",
        "les inscriptions prises depuis y manquent : l'extraction s'est-elle arrêtée ?",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """What the plan does, in the whole platform (``component`` = PLATFORM) or in one component.

    :param kind: a key of KINDS. :param base: what ``count`` is compared with; 0: nothing to compare with.
    :param spaces: the spaces that it is about; of very few, one more is already a large share.
    """

    kind: str
    component: str
    count: int
    base: int
    spaces: int


@dataclass(frozen=True)
class Crossing:
    """A crossed cap. :param kind: a key of KINDS. :param cap: a key of ``limits``, its value then is ``allowed``."""

    kind: str
    cap: str
    component: str
    count: int
    base: int
    allowed: float


def crossings(figures: Sequence[Figure], limits: Limits) -> list[Crossing]:
    """The caps that the figures cross, the whole platform first; pure. A cap is crossed by more than its value only."""
    found = [crossing for figure in figures for crossing in _crossed_by(figure, limits)]
    return sorted(found, key=_order)


def _crossed_by(figure: Figure, limits: Limits) -> Iterator[Crossing]:
    kind, caps = KINDS[figure.kind], limits.component if figure.component else limits
    few = figure.component != PLATFORM and figure.spaces < limits.component.floor
    for cap, base in ((kind.ratio, 0 if few else figure.base), (kind.number, 1)):
        # As it is written: 0.29 × 100 is 29, not the 28.999… of floating point.
        if cap and base and figure.count > Fraction(str(allowed := getattr(caps, cap))) * base:
            yield Crossing(figure.kind, cap, figure.component, figure.count, figure.base, allowed)


def _order(crossing: Crossing) -> tuple[int, str, str]:
    return (list(KINDS).index(crossing.kind), crossing.component, crossing.cap)


def record(campaign: Campaign) -> None:
    """Compare the run's plan with its caps and store those that it crosses; replaces those of before.

    Needs the run's lots, decisions, people (``standing``) and plan lines. Changes nothing in Moodle.
    """
    with campaign.engine.begin() as connection:
        _record_components(connection, campaign)
        figures = [*_archived(connection, campaign), *_unenrolled(connection, campaign), *_moved(connection, campaign)]
    figures += [*_feed(campaign), *_fewer(campaign)]
    store(campaign, crossings(figures, campaign.platform.limits))


def store(campaign: Campaign, crossed: Sequence[Crossing]) -> None:
    """Replace the run's crossed caps."""
    rows = [{"run": campaign.run, **vars(crossing)} for crossing in crossed]
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(cap_crossed).where(cap_crossed.c.run == campaign.run))
        if rows:
            connection.execute(sa.insert(cap_crossed), rows)


def load(campaign: Campaign) -> list[Crossing]:
    """The caps that the run's plan crosses, the whole platform first."""
    columns = [column for column in cap_crossed.c if column.name != "run"]
    with campaign.engine.connect() as connection:
        rows = connection.execute(sa.select(*columns).where(cap_crossed.c.run == campaign.run))
        return sorted((Crossing(**row._mapping) for row in rows), key=_order)


def extracted(campaign: Campaign) -> datetime | None:
    """When the lot of year N that the run works with was extracted from Apogée (UTC); None: the run has none yet."""
    mine = sa.and_(run_lot.c.lot_id == lot.c.lot_id, run_lot.c.run == campaign.run, run_lot.c.annee == campaign.year)
    with campaign.engine.connect() as connection:
        return connection.execute(sa.select(lot.c.extrait_le).join(run_lot, mine)).scalar()


def refuse_same_person(first: str, second: str) -> None:
    """Raise :class:`TransitionError` when who approved the plan is also who approves that it crosses its caps."""
    if first.strip().casefold() == second.strip().casefold():
        raise TransitionError(
            f"« {second.strip()} » a déjà approuvé le plan : une autre personne doit approuver le dépassement des"
            " seuils ; à défaut, relevez « limits » dans le fichier de la plateforme et relancez le plan."
        )


def last_verified_year(connection: sa.Connection, campaign: Campaign) -> int | None:
    """The last year before this one of which spaces were carried over and verified; None: there is none."""
    reset = tables.space_reset.c
    return connection.execute(sa.select(sa.func.max(reset.year)).where(reset.year < campaign.year)).scalar()


def _record_components(connection: sa.Connection, campaign: Campaign) -> None:
    """Fill ``space_component`` for every decided course."""
    rows = [
        {"run": campaign.run, "courseid": courseid, "component": component[:255]}
        for courseid, component in components(campaign).items()
    ]
    connection.execute(sa.delete(space_component).where(space_component.c.run == campaign.run))
    if rows:
        connection.execute(sa.insert(space_component), rows)


def _fewer(campaign: Campaign) -> list[Figure]:
    """Students, or their registrations, whichever misses more: how many fewer than the same day last year.

    Of the whole platform, also when the run is limited to some codes: the lot is the same.
    """
    query = sa.select(lot.c.nb_lignes, lot.c.extrait_le).where(lot.c.lot_id == run_lots(campaign)[campaign.year])
    with campaign.engine.connect() as connection:
        this = connection.execute(query).one()
    rows, figures = json.loads(this.nb_lignes), list[Figure]()
    for table in ("etudiant", "inscription"):
        if last := same_day_last_year(campaign, this.extrait_le, table):
            before = json.loads(last.nb_lignes)[table]
            figures.append(Figure("fewer", PLATFORM, before - rows.get(table, 0), before, 0))
    return sorted(figures, key=lambda figure: Fraction(figure.count, figure.base or 1))[-1:]


def _archived(connection: sa.Connection, campaign: Campaign) -> list[Figure]:
    """Spaces archived, of those of the model, those that this campaign has done already included.

    Of the whole platform, also when the run is limited to some codes: an incomplete model shows there. A run that
    archives nothing itself has nothing to approve.
    """
    decision, done = tables.decision, tables.space_reset
    of_year = sa.and_(ex_change.c.year == done.c.year, ex_change.c.courseid == done.c.courseid)
    joined = (
        _with_component(decision)
        .outerjoin(done, sa.and_(done.c.year == campaign.year, done.c.courseid == decision.c.courseid))
        .outerjoin(ex_change, sa.and_(of_year, ex_change.c.archived_in.is_(None)))  # else it came back from Archives
    )
    mine = decision.c.decision == "archive"
    archives = sa.or_(mine, ex_change.c.courseid.is_not(None)).label("archives")
    query = (
        sa.select(space_component.c.component, archives, sa.func.sum(sa.case((mine, 1), else_=0)), sa.func.count())
        .select_from(joined)
        .where(
            decision.c.run == campaign.run,
            sa.or_(decision.c.decision.in_(_MODELLED), done.c.courseid.is_not(None)),
        )
        .group_by(space_component.c.component, "archives")
    )
    archived, modelled, new = Counter[str](), Counter[str](), Counter[str]()
    for component, goes, by_this_run, count in connection.execute(query):
        for place in (PLATFORM, component):
            modelled[place] += count
            archived[place] += count if goes else 0
            new[place] += int(by_this_run)
    places = [place for place in modelled if new[place]]
    return [Figure("archived", place, archived[place], modelled[place], modelled[place]) for place in places]


def _unenrolled(connection: sa.Connection, campaign: Campaign) -> list[Figure]:
    """People who lose an enrolment and have no active registration at all in the lot of year N, of today's students.

    In the spaces in scope. Whoever only changes spaces is not counted, so the share is that of graduates and leavers,
    and a feed cut short makes it jump. For a run limited to some codes, on the whole platform: all the students of a
    few spaces may have left, or none; their share says nothing.
    """
    if campaign.courses:
        return [_unenrolled_anywhere(connection, campaign)]
    people = tables.standing
    registered = _registered(campaign, people.c.userid)
    gone = sa.case((sa.and_(people.c.standing == "leaving", ~registered), people.c.userid))
    counts = [
        sa.func.count(gone.distinct()),
        sa.func.count(people.c.userid.distinct()),
        sa.func.count(people.c.courseid.distinct()),
    ]
    here = sa.and_(people.c.run == campaign.run, people.c.standing.in_(("leaving", "staying")))
    everywhere = sa.select(sa.literal(PLATFORM), *counts).where(here)
    by_component = (
        sa.select(space_component.c.component, *counts)
        .select_from(_with_component(people))
        .where(here)
        .group_by(space_component.c.component)
    )
    rows = [*connection.execute(everywhere), *connection.execute(by_component)]
    return [Figure("unenrolled", place, left, students, spaces) for place, left, students, spaces in rows]


def _unenrolled_anywhere(connection: sa.Connection, campaign: Campaign) -> Figure:
    """As :func:`_unenrolled`, of whoever holds a student's role in a space of the model, reset this year or not yet."""
    decision, reset = tables.decision, tables.space_reset.c
    context, ra, role = (campaign.moodle[name] for name in ("context", "role_assignments", "role"))
    done = sa.select(reset.courseid).where(reset.year == campaign.year)
    at_course = sa.and_(context.c.contextlevel == COURSE, context.c.instanceid == decision.c.courseid)
    students = (
        sa.select(ra.c.userid)
        .distinct()
        .select_from(
            decision.join(context, at_course)
            .join(ra, ra.c.contextid == context.c.id)
            .join(role, role.c.id == ra.c.roleid)
        )
        .where(decision.c.run == campaign.run, role.c.archetype == "student")
        .where(sa.or_(decision.c.decision.in_(_MODELLED), decision.c.courseid.in_(done)))
        .prefix_with("STRAIGHT_JOIN")
        .subquery()
    )
    gone = sa.case((~_registered(campaign, students.c.userid), 1), else_=0)
    left, all_ = connection.execute(
        sa.select(sa.func.coalesce(sa.func.sum(gone), 0), sa.func.count()).select_from(students)
    ).one()
    return Figure("unenrolled", PLATFORM, int(left), all_, len(campaign.courses))


def _registered(campaign: Campaign, userid: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Whether a person has an active registration in the lot of year N."""
    return sa.exists().where(
        student_account.c.run == campaign.run, student_account.c.userid == userid,
        inscription.c.lot_id == run_lots(campaign)[campaign.year],
        inscription.c.code_etudiant == student_account.c.code_etudiant, inscription.c.statut == ACTIVE,
    )  # fmt: skip


def _feed(campaign: Campaign) -> Iterator[Figure]:
    """Days between the extraction and today: whoever registered since would pass for someone who left."""
    moment = extracted(campaign)
    if moment:
        day = moment.replace(tzinfo=UTC).astimezone(campaign.platform.zone).date()
        yield Figure("feed", PLATFORM, abs((campaign.today - day).days), 0, 0)


def _moved(connection: sa.Connection, campaign: Campaign) -> list[Figure]:
    """Rows that go, compared with those that the last verified campaign moved out of the same component's spaces."""
    line, before = tables.plan_line, _moved_before(connection, campaign)
    query = (
        sa.select(space_component.c.component, sa.func.sum(line.c.rows), sa.func.count(line.c.courseid.distinct()))
        .select_from(_with_component(line))
        .where(line.c.run == campaign.run)
        .group_by(space_component.c.component)
    )
    rows, spaces = Counter[str](), Counter[str]()
    for component, moved, count in connection.execute(query):
        for place in (PLATFORM, component):
            rows[place] += int(moved)
            spaces[place] += count
    return [Figure("moved", place, rows[place], before[place], spaces[place]) for place in rows]


def _moved_before(connection: sa.Connection, campaign: Campaign) -> Counter[str]:
    """Rows that the last verified year's runs moved out of the spaces that it verified, by today's components."""
    found = Counter[str]()
    year = last_verified_year(connection, campaign)
    if year is None:
        return found
    run, entry, done = tables.run, tables.journal, tables.space_reset
    joined = (
        run.join(entry, entry.c.run == run.c.number)
        .join(done, sa.and_(done.c.year == run.c.year, done.c.courseid == entry.c.courseid))
        .outerjoin(
            space_component,
            sa.and_(space_component.c.run == campaign.run, space_component.c.courseid == entry.c.courseid),
        )
    )
    query = (
        sa.select(space_component.c.component, sa.func.sum(entry.c.rows_moved))
        .select_from(joined)
        .where(run.c.year == year, entry.c.action == "moved")
        .group_by(space_component.c.component)
    )
    for component, rows in connection.execute(query):
        found[PLATFORM] += int(rows)
        if component is not None:  # None: the course is gone since
            found[component] += int(rows)
    return found


def _with_component(table: sa.Table) -> sa.Join:
    """The rows of a table with ``run`` and ``courseid``, each with the component of its space."""
    same = sa.and_(space_component.c.run == table.c.run, space_component.c.courseid == table.c.courseid)
    return table.join(space_component, same)
