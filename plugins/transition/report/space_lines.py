"""What a run does, or did, to each course space: before, after and by how much."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from transition.backup.manifest import verified_sets
from transition.campaign import Campaign
from transition.components import components
from transition.enrolment.tables import arrival, ex_change
from transition.ex_changes import archived_until, name_after
from transition.ex_names import with_prefix, year_category
from transition.ex_return import coming_back
from transition.grades import Export, exported
from transition.spaces import Space, deciding_categories, read_categories, read_spaces
from transition.state import tables

PLANNED, DONE, UNFINISHED, ELSEWHERE, UNTOUCHED = (
    "prévu", "fait", "inachevé", "hors de cette exécution", "non traité",
)  # fmt: skip
ARRIVING = "arriving"  # beside the values of standing.standing


@dataclass(frozen=True)
class Place:
    """A space's name and the names of its categories, « A / B »."""

    name: str
    category: str


@dataclass(frozen=True)
class SpaceLine:
    """One space in a run.

    :param outcome: one of PLANNED, DONE, UNFINISHED, ELSEWHERE, UNTOUCHED.
    :param people: number by standing, and ARRIVING; empty for a space that the run leaves alone.
    :param planned: rows to move, and ``moved``: those that the journal says were.
    :param backed_up: when the newest verified backup that holds it was made, in the platform's time zone.
    """

    courseid: int
    component: str
    code: str
    decision: str
    reason: str
    in_scope: bool
    outcome: str
    before: Place
    after: Place
    people: Mapping[str, int]
    groups: int
    planned: int
    moved: int
    backed_up: datetime | None
    export: str

    @property
    def students_before(self) -> int:
        """Students that the space had."""
        return self.people.get("leaving", 0) + self.people.get("staying", 0)

    @property
    def students_after(self) -> int:
        """Students that it has, or will have: those who stay and those who arrive."""
        return self.people.get("staying", 0) + self.people.get(ARRIVING, 0)


@dataclass
class People:
    """Who is in the spaces in scope: numbers by space, and the same people counted once for each component."""

    by_space: dict[int, Counter[str]] = field(default_factory=dict)
    by_component: dict[str, dict[str, set[int]]] = field(default_factory=dict)

    def add(self, courseid: int, component: str, userid: int, standing: str) -> None:
        """Note one person in one space."""
        self.by_space.setdefault(courseid, Counter())[standing] += 1
        self.by_component.setdefault(component, {}).setdefault(standing, set()).add(userid)

    def count(self, component: str | None, *standings: str) -> int:
        """People with one of these standings in a component, or in all of them (None), each counted once."""
        places = self.by_component.values() if component is None else [self.by_component.get(component, {})]
        return len(set[int]().union(*(place.get(standing, set()) for place in places for standing in standings)))


def read_people(campaign: Campaign) -> People:
    """The people of the run's spaces in scope, as the run recorded them before it changed anything."""
    people, decision = tables.standing, tables.decision
    present = people.alias("present")
    here = sa.and_(decision.c.run == campaign.run, decision.c.in_scope == sa.true())

    def of(table: sa.Table, standing: sa.ColumnElement[str]) -> sa.Select[Any]:
        joined = decision.join(table, sa.and_(table.c.run == decision.c.run, table.c.courseid == decision.c.courseid))
        return sa.select(table.c.courseid, table.c.userid, standing).select_from(joined).where(here)

    known = sa.exists().where(
        present.c.run == arrival.c.run, present.c.courseid == arrival.c.courseid, present.c.userid == arrival.c.userid
    )
    found, of_course = People(), components(campaign)
    with campaign.engine.connect() as connection:
        for query in (of(people, people.c.standing), of(arrival, sa.literal(ARRIVING)).where(~known)):
            rows = connection.execution_options(stream_results=True).execute(query)
            for courseid, userid, standing in rows:
                found.add(courseid, of_course[courseid], userid, standing)
    return found


def read_lines(campaign: Campaign, people: People) -> list[SpaceLine]:
    """Every space of the platform, by component, code and name; needs the run's plan."""
    facts, decision = _read_facts(campaign, people), tables.decision
    with campaign.engine.connect() as connection:
        decided = connection.execute(sa.select(decision).where(decision.c.run == campaign.run)).all()
    lines = (_line(space, facts) for space in decided)
    return sorted(lines, key=lambda line: (line.component, line.code, line.before.name, line.courseid))


@dataclass(frozen=True)
class _Facts:
    """What the lines are made of, by course id; ``present``: the spaces as they are now."""

    people: People
    component: Mapping[int, str]
    present: Mapping[int, Space]
    earlier: Mapping[int, Place]
    planned: Mapping[int, int]
    moved: Mapping[int, int]
    groups: Mapping[int, int]
    backups: Mapping[int, datetime]
    exports: Mapping[int, Export]
    outcomes: "_Outcomes"
    foresight: "_Foresight"


def _read_facts(campaign: Campaign, people: People) -> _Facts:
    line, entry, groups = tables.plan_line.c, tables.journal.c, campaign.moodle["groups"].c
    planned = sa.select(line.courseid, sa.func.sum(line.rows)).where(line.run == campaign.run)
    moved = sa.select(entry.courseid, sa.func.sum(entry.rows_moved)).where(
        entry.run == campaign.run, entry.action == "moved"
    )
    return _Facts(
        people=people,
        component=components(campaign),
        present={space.courseid: space for space in read_spaces(campaign)},
        earlier=_earlier(campaign),
        planned=_by_course(campaign, planned),
        moved=_by_course(campaign, moved),
        groups=_by_course(campaign, sa.select(groups.courseid, sa.func.count())),
        backups=_backups(campaign),
        exports=exported(campaign),
        outcomes=_Outcomes(campaign),
        foresight=_Foresight(campaign),
    )


def _line(decided: sa.Row[Any], facts: _Facts) -> SpaceLine:
    courseid = decided.courseid
    export = facts.exports.get(courseid)
    return SpaceLine(
        courseid=courseid,
        component=facts.component[courseid],
        code=decided.code,
        decision=decided.decision,
        reason=decided.reason,
        in_scope=decided.in_scope,
        outcome=facts.outcomes.of(decided),
        before=_before(decided, facts),
        after=_after(decided, facts),
        people=facts.people.by_space.get(courseid, {}),
        groups=facts.groups.get(courseid, 0),
        planned=facts.planned.get(courseid, 0),
        moved=facts.moved.get(courseid, 0),
        backed_up=facts.backups.get(courseid),
        export=export.file if export else "",
    )


def _before(decided: sa.Row[Any], facts: _Facts) -> Place:
    """As the decision saw the space, unless an earlier run of the campaign had renamed it already."""
    seen = Place(decided.fullname, decided.category)
    return facts.earlier.get(decided.courseid, seen) if decided.in_scope else seen


def _after(decided: sa.Row[Any], facts: _Facts) -> Place:
    """As the space is now; while nothing is frozen, as ex_rename would leave it."""
    space = facts.present.get(decided.courseid)
    if space is None:
        return Place("(supprimé)", "")
    if decided.in_scope and not facts.outcomes.frozen:
        return facts.foresight.after(space, decided.decision)
    return Place(space.fullname, space.category)


class _Outcomes:
    """How far the run has come with each space: only what verify found in order is done."""

    def __init__(self, campaign: Campaign) -> None:
        run, reset = tables.run.c, tables.space_reset.c
        with campaign.engine.connect() as connection:
            moment = connection.execute(sa.select(run.frozen_at).where(run.number == campaign.run)).scalar()
            verified = sa.select(reset.courseid).where(reset.year == campaign.year, reset.run == campaign.run)
            self.verified = set(connection.execute(verified).scalars())
        self.frozen = moment is not None

    def of(self, decided: sa.Row[Any]) -> str:
        if not decided.in_scope:
            return ELSEWHERE if decided.decision in ("reset", "archive") else UNTOUCHED
        if not self.frozen:
            return PLANNED
        return DONE if decided.courseid in self.verified else UNFINISHED


class _Foresight:
    """What ex_rename would make of a space in scope: its name is not cut here at the column's length."""

    def __init__(self, campaign: Campaign) -> None:
        self.archives, self.categories = deciding_categories(campaign).archives, read_categories(campaign)
        self.target = f"{self.categories[self.archives][0]} / {year_category(campaign.year)}"
        changes = archived_until(campaign)
        self.returns = {courseid: changes[courseid] for courseid, _ in coming_back(campaign)}

    def after(self, space: Space, decision: str) -> Place:
        """Archived, back from Archives, or as it is."""
        if decision == "archive":
            category = space.category if self.archives in space.path else self.target
            return Place(with_prefix(space.fullname), category)
        if change := self.returns.get(space.courseid):
            return Place(name_after(space, change, "fullname"), self.categories[change.category][0])
        return Place(space.fullname, space.category)


def _by_course(campaign: Campaign, query: sa.Select[Any]) -> dict[int, int]:
    """The result of a query of (course id, number), grouped by the former."""
    with campaign.engine.connect() as connection:
        rows = connection.execute(query.group_by(query.selected_columns[0]))
        return {courseid: int(number) for courseid, number in rows}


def _earlier(campaign: Campaign) -> dict[int, Place]:
    """What the spaces were that the year's campaign archived or took out of Archives: an earlier run may have."""
    categories = read_categories(campaign)
    query = sa.select(ex_change.c.courseid, ex_change.c.fullname, ex_change.c.category)
    with campaign.engine.connect() as connection:
        return {
            courseid: Place(name, categories.get(category, ("(supprimée)", ()))[0])
            for courseid, name, category in connection.execute(query.where(ex_change.c.year == campaign.year))
        }


def _backups(campaign: Campaign) -> dict[int, datetime]:
    """When the newest verified backup of each space was made, in the platform's time zone."""
    found: dict[int, datetime] = {}
    for backup in verified_sets(campaign, []):  # latest first
        moment = backup.manifest.created_at.replace(tzinfo=UTC, microsecond=0)
        local = moment.astimezone(campaign.platform.zone).replace(tzinfo=None)
        for courseid in backup.manifest.spaces:
            found.setdefault(courseid, local)
    return found
