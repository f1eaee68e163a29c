"""Part of a space: one activity, or one student's traces, and what hangs from them."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.restore.held import Held
from transition.restore.tables import restore_row
from transition.rules.branches import Branch, Branches, branches, parents_first
from transition.rules.compile import MODULE, Alias, in_areas

_MARKED = 1_000  # rows of one UPDATE
# Columns that name the person whom a row is of; those of whoever graded or changed it are not among them.
_PERSONS = (
    "userid", "user_id", "authorid", "reviewerid", "studentid", "tiuserid", "relateduserid", "useridfrom", "useridto",
)  # fmt: skip


@dataclass(frozen=True)
class _Tie(Branch):
    """What Moodle ties to a row of a person; the rules find it by its place instead, strays included.

    :param component: of the row, or of the grid that it fills, when ``by`` names a row of ``parent``.
    """

    component: str = ""


def _tie(table: str, by: str, parent: str, to: str = "id", component: str = "") -> _Tie:
    return _Tie("", table, by, parent, to, component=component)


def _files(parent: str, *areas: str) -> _Tie:
    return _Tie("", "files", "itemid", parent, areas=areas)


_TIES = (
    _tie("question_usages", "id", "quiz_attempts", "uniqueid"),
    _tie("grading_instances", "itemid", "assign_grades", component="mod_assign"),
    _tie("grading_instances", "itemid", "forum_grades", component="mod_forum"),
    _tie("offlinequiz_scanned_pages", "resultid", "offlinequiz_results"),
    _tie("comments", "itemid", "assign_submission", component="assignsubmission_comments"),
    _tie("comments", "itemid", "data_records", component="mod_data"),
    _tie("comments", "itemid", "glossary_entries", component="mod_glossary"),
    _tie("rating", "itemid", "forum_posts", component="mod_forum"),
    _tie("rating", "itemid", "data_records", component="mod_data"),
    _tie("rating", "itemid", "glossary_entries", component="mod_glossary"),
    _tie("blog_association", "blogid", "post"),
    _tie("checklist_comment_student", "usermodified", "user"),
    # Files that a teacher sent about a person's work, and those that name nobody.
    _files("assign_submission", "assignsubmission_file/submission_files"),
    _files("assign_submission", "assignsubmission_onlinetext/submissions_onlinetext"),
    _files("assign_grades", "assignfeedback_comments/feedback", "assignfeedback_file/feedback_files"),
    _files("assign_grades", "assignfeedback_editpdf/*"),
    _files("grade_grades", "grade/feedback"),
    _files("grade_grades_history", "grade/historyfeedback"),
    _files("lesson_attempts", "mod_lesson/essay_answers", "mod_lesson/essay_responses"),
    _files("question_attempt_steps", "question/response_*"),
    _files("scheduler_appointment", "mod_scheduler/appointmentnote", "mod_scheduler/teachernote"),
    _files("simplecertificate_issues", "mod_simplecertificate/issues"),
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
        named = {"contextid": self.contextid, "coursemoduleid": self.cmid, "cmid": self.cmid}
        for name, value in (named | {f"{self.module}id": self.instance}).items():
            if name in columns:
                return [columns[name] == value]
        return []


def person(*userids: int) -> Own:
    """Whether a row is of one of these users, or is the account of one."""

    def own(table: sa.FromClause) -> list[sa.ColumnElement[bool]]:
        if "mnethostid" in table.c:
            return [table.c.id.in_(userids)]
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
    ordered = parents_first(names, known)
    mine = rows.c.run == campaign.run
    connection.execute(sa.update(rows).where(mine).values(part=False))
    search = _Search(held, set(names), own, activity, known)
    above = {name: search.above(name) for name in ordered}
    rules: dict[str, list[str]] = {}
    for name, rule in connection.execute(sa.select(rows.c.table_name, rows.c.rule).where(mine).distinct()):
        rules.setdefault(name, []).append(rule)
    queries = {name: search.belonging(name, sorted(rules[name])) for name in ordered if name in rules}
    todo = set(queries)
    while todo:
        name = next(name for name in ordered if name in todo)
        todo.discard(name)
        if _keep(connection, campaign.run, name, queries[name]):
            todo |= {below for below in queries if name in above[below]}
    found: dict[str, set[int]] = {}
    for name, id_ in connection.execute(sa.select(rows.c.table_name, rows.c.id).where(mine, rows.c.part)):
        found.setdefault(name, set()).add(id_)
    return found


def _keep(connection: sa.Connection, run: int, name: str, belonging: sa.Select[int]) -> bool:
    """Mark the rows of a table that belong; whether there are any."""
    rows, ids = restore_row, sorted(connection.execute(belonging).scalars())
    for start in range(0, len(ids), _MARKED):
        kept = sa.and_(rows.c.run == run, rows.c.table_name == name, rows.c.id.in_(ids[start : start + _MARKED]))
        connection.execute(sa.update(rows).where(kept).values(part=True))
    return bool(ids)


@dataclass(frozen=True)
class _Search:
    held: Held
    names: set[str]
    own: Own
    activity: Activity | None
    known: Branches

    def above(self, name: str) -> set[str]:
        """The tables through which a row of that one may belong."""
        paths = [path for (_, table), found in self.known.items() if table == name for path in found]
        return {parent for path in [*paths, *self._ties(name)] for parent in self._parents(path)}

    def _parents(self, path: Branch) -> Iterator[str]:
        yield path.parent
        for further in (*self._ties(path.parent), *([path.above] if path.above else [])):
            yield from self._parents(further)

    def belonging(self, name: str, rules: Sequence[str]) -> sa.Select[int]:
        """The ids of a table's rows that belong, among those that are not marked yet."""
        rows, table = restore_row, self.held.table(name)
        aside = (rows.c.run == self.held.campaign.run, rows.c.table_name == name, ~rows.c.part)
        joined = rows.join(table, table.c.id == rows.c.id)
        belongs = [
            sa.and_(rows.c.rule == rule, sa.or_(sa.false(), *self._belongs(name, rule, table))) for rule in rules
        ]
        return sa.select(table.c.id).select_from(joined).where(*aside, sa.or_(*belongs))

    def _belongs(self, name: str, rule: str, table: sa.Table) -> list[sa.ColumnElement[bool]]:
        own = list(self.own(table))
        if self.activity and own:  # where a row stands is said once: by itself, else by what is above
            return own
        return [
            *own,
            *(self._below(path, table) for path in self.known.get((rule, name), [])),
            *self._tied(name, table),
        ]

    def _below(self, path: Branch, table: Alias) -> sa.ColumnElement[bool]:
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
        found = sa.or_(*conditions) if conditions else sa.false()
        return sa.and_(in_areas(table, path.areas), found) if path.areas else found

    def _ties(self, name: str) -> list[_Tie]:
        """How a row of a table is tied to a row of the person; an activity's rows all say where they stand."""
        moodle = self.held.campaign.moodle
        return [tie for tie in _TIES if tie.table == name and tie.parent in moodle and not self.activity]

    def _tied(self, name: str, table: Alias) -> list[sa.ColumnElement[bool]]:
        return [sa.and_(self._of_component(tie, table), self._below(tie, table)) for tie in self._ties(name)]

    def _of_component(self, tie: _Tie, table: Alias) -> sa.ColumnElement[bool]:
        if not tie.component:
            return sa.true()
        if "component" in table.c:
            return sa.and_(table.c.component == tie.component)
        moodle = self.held.campaign.moodle
        definitions, areas = moodle["grading_definitions"].alias(), moodle["grading_areas"].alias()
        graded = sa.exists().where(definitions.c.id == table.c.definitionid, areas.c.id == definitions.c.areaid)
        return graded.where(areas.c.component == tie.component).correlate(table)

    def _in_moodle(self, path: Branch, above: Alias) -> list[sa.ColumnElement[bool]]:
        if self.activity and path.parent == self.activity.module and path.above is None:
            return [above.c.id == self.activity.instance]
        if self.activity and path.parent == "context":
            return [above.c.id == self.activity.contextid]
        if self.activity and path.parent == "course_modules":
            return [above.c.id == self.activity.cmid]
        if path.above is None and not isinstance(path, _Tie):
            return []  # the course, or an activity as a whole: of nobody, and not of another activity
        found = [*self.own(above), *self._tied(path.parent, above)]
        return [*found, self._below(path.above, above)] if path.above and not (self.activity and found) else found
