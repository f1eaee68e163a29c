"""Part of a space: one activity, or one student's traces, and what hangs from them."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.restore.held import Held
from transition.restore.tables import restore_row
from transition.rules.branches import Branch, branches, parents_first
from transition.rules.compile import MODULE

# Columns that name the person whom a row is of; those of whoever graded or changed it are not among them.
_PERSONS = ("userid", "user_id", "authorid", "reviewerid", "studentid", "tiuserid", "relateduserid")

# The answers of an attempt hang from it in Moodle (quiz_attempts.uniqueid); the rule finds them by their
# context, strays included.
_ANSWERS = Branch(
    "quiz", "question_usages", "id", "quiz_attempts", "uniqueid", Branch("quiz", "quiz_attempts", "quiz", "quiz")
)

Own = Callable[
    [sa.FromClause], Sequence[sa.ColumnElement[bool]]
]  # what a row says of itself; nothing: ask what is above


@dataclass(frozen=True)
class Activity:
    """An activity of a space, as Moodle names it in its tables."""

    module: str
    instance: int
    cmid: int
    contextid: int

    def own(self, table: sa.FromClause) -> list[sa.ColumnElement[bool]]:
        """Whether a row names the activity itself: by its context, its course module, its instance."""
        columns = table.c
        if {"itemmodule", "iteminstance"} <= set(columns.keys()):
            return [sa.and_(columns.itemmodule == self.module, columns.iteminstance == self.instance)]
        for name, value in (("contextid", self.contextid), ("coursemoduleid", self.cmid), ("cmid", self.cmid)):
            if name in columns:
                return [columns[name] == value]
        return []


def person(*userids: int) -> Own:
    """Whether a row is of one of these users."""

    def own(table: sa.FromClause) -> list[sa.ColumnElement[bool]]:
        return [table.c[name].in_(userids) for name in _PERSONS if name in table.c]

    return own


def activities(connection: sa.Connection, campaign: Campaign, courseid: int) -> list[Activity]:
    """The activities of a space."""
    moodle = campaign.moodle
    cm, modules, context = moodle["course_modules"], moodle["modules"], moodle["context"]
    query = (
        sa.select(modules.c.name, cm.c.instance, cm.c.id, context.c.id)
        .select_from(
            cm.join(modules, modules.c.id == cm.c.module).join(
                context, sa.and_(context.c.contextlevel == MODULE, context.c.instanceid == cm.c.id)
            )
        )
        .where(cm.c.course == courseid)
    )
    return [Activity(*row) for row in connection.execute(query)]


def find_activity(connection: sa.Connection, campaign: Campaign, courseid: int, wanted: str) -> Activity:
    """The activity of a space with that course module id or that name; raises :class:`TransitionError`."""
    moodle, found = campaign.moodle, activities(connection, campaign, courseid)
    names = {}
    for activity in found:
        if activity.module in moodle:
            table = moodle[activity.module]
            name = connection.execute(sa.select(table.c.name).where(table.c.id == activity.instance)).scalar()
            names[activity] = str(name or "")
    chosen = [activity for activity in found if wanted in (str(activity.cmid), names.get(activity))]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        ids = ", ".join(str(activity.cmid) for activity in chosen)
        raise TransitionError(f"{len(chosen)} activités se nomment « {wanted} » : donnez le numéro de l'une ({ids}).")
    near = difflib.get_close_matches(wanted, set(names.values()), n=5)
    hint = f" ; les plus proches : {', '.join(near)}" if near else ""
    raise TransitionError(
        f"L'espace n'a pas, ou plus, d'activité « {wanted} »{hint} : corrigez, ou restaurez dans un schéma d'essai."
    )


def find_student(connection: sa.Connection, campaign: Campaign, wanted: str) -> int:
    """Id of the account of that user name; raises :class:`TransitionError`, which does not repeat the name."""
    user = campaign.moodle["user"]
    host = int(campaign.moodle.config.get("mnet_localhost_id", 0))
    query = sa.select(user.c.id).where(user.c.username == wanted.lower(), user.c.mnethostid == host)
    userid = connection.execute(query).scalar()
    if userid is None:
        raise TransitionError("Aucun compte de Moodle n'a l'identifiant demandé : corrigez « student ».")
    return int(userid)


def keep_part(
    connection: sa.Connection, held: Held, names: Sequence[str], own: Own, activity: Activity | None = None
) -> list[str]:
    """Leave in ``restore_row`` the rows that say they are of the part, and those that hang from them.

    Returns the tables that have some.
    """
    rows, kept = restore_row, find_part(connection, held, names, own, activity)
    connection.execute(sa.delete(rows).where(rows.c.run == held.campaign.run, ~rows.c.part))
    return sorted(kept)


def find_part(
    connection: sa.Connection, held: Held, names: Sequence[str], own: Own, activity: Activity | None = None
) -> dict[str, set[int]]:
    """The ids, by table, of the rows in ``restore_row`` that say they are of the part, and of those that hang from
    them: they are marked there (``part``).

    What a row hangs from is followed along the rules' paths, through rows that are held and rows that never left
    Moodle.
    """
    campaign, rows = held.campaign, restore_row
    known = branches(campaign.moodle)
    known.setdefault((_ANSWERS.rule, _ANSWERS.table), []).append(_ANSWERS)
    ordered = parents_first(names, known)
    mine = rows.c.run == campaign.run
    connection.execute(sa.update(rows).where(mine).values(part=False))
    search = _Search(held, set(names), own, activity)
    while sum([search.keep(connection, name, known) for name in ordered]):
        pass
    found: dict[str, set[int]] = {}
    for name, id_ in connection.execute(sa.select(rows.c.table_name, rows.c.id).where(mine, rows.c.part)):
        found.setdefault(name, set()).add(id_)
    return found


@dataclass(frozen=True)
class _Search:
    held: Held
    names: set[str]
    own: Own
    activity: Activity | None

    def keep(self, connection: sa.Connection, name: str, known: dict[tuple[str, str], list[Branch]]) -> int:
        """Mark the rows of a table that belong, among those that are not yet; returns how many."""
        run, rows, table = self.held.campaign.run, restore_row, self.held.table(name)
        aside = sa.and_(rows.c.run == run, rows.c.table_name == name, ~rows.c.part)
        joined = rows.join(table, table.c.id == rows.c.id)
        rules = connection.execute(sa.select(rows.c.rule).where(aside).distinct()).scalars().all()
        ids: set[int] = set()
        for rule in rules:
            belongs = list(self.own(table))
            if not (self.activity and belongs):  # where a row stands is said once: by itself, else by what is above
                belongs += [self._below(path, table) for path in known.get((rule, name), [])]
            if belongs:
                query = sa.select(table.c.id).select_from(joined).where(aside, rows.c.rule == rule, sa.or_(*belongs))
                ids |= set(connection.execute(query).scalars())
        if ids:
            kept = sa.and_(rows.c.run == run, rows.c.table_name == name, rows.c.id == sa.bindparam("row"))
            connection.execute(sa.update(rows).where(kept).values(part=True), [{"row": id_} for id_ in sorted(ids)])
        return len(ids)

    def _below(self, path: Branch, table: sa.FromClause) -> sa.ColumnElement[bool]:
        """Whether the row above belongs: it is kept already or, if it never left Moodle, says so or hangs so."""
        campaign, rows = self.held.campaign, restore_row.alias()
        above = campaign.moodle[path.parent].alias()
        conditions = []
        if path.parent in self.names:
            coming = self.held.table(path.parent).alias()
            kept = sa.and_(
                rows.c.run == campaign.run, rows.c.table_name == path.parent, rows.c.id == coming.c.id,
                rows.c.part,
            )  # fmt: skip
            conditions.append(sa.exists().where(path.joins(table, coming), kept).correlate(table))
        if inside := self._in_moodle(path, above):
            conditions.append(sa.exists().where(path.joins(table, above), sa.or_(*inside)).correlate(table))
        return sa.or_(*conditions) if conditions else sa.false()

    def _in_moodle(self, path: Branch, above: sa.FromClause) -> list[sa.ColumnElement[bool]]:
        if self.activity and path.parent == self.activity.module and path.above is None:
            return [above.c.id == self.activity.instance]
        if self.activity and path.parent == "context":
            return [above.c.id == self.activity.contextid]
        if self.activity and path.parent == "course_modules":
            return [above.c.id == self.activity.cmid]
        if path.above is None:
            return []  # the course, or an activity as a whole: of nobody, and not of another activity
        found = list(self.own(above))
        return found if self.activity and found else [*found, self._below(path.above, above)]
