"""From rules to SQL: each trace becomes one SELECT of the ids that go, and the course of each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.sql.selectable import NamedFromClause

from transition.moodle.database import MoodleDatabase, quoted
from transition.rules.model import (
    Above,
    Conditions,
    JsonKey,
    Like,
    Node,
    Not,
    Rule,
    Test,
    TextPattern,
    Unlike,
    Users,
)
from transition.state import tables

Alias: TypeAlias = "NamedFromClause[Any]"
By: TypeAlias = str | JsonKey | TextPattern  # how a row names the row above it
CATEGORY, COURSE, MODULE = 40, 50, 70  # Moodle's CONTEXT_COURSECAT, CONTEXT_COURSE, CONTEXT_MODULE
BY_VALUE = "by_value"  # the index of a table of values


@dataclass(frozen=True)
class Scope:
    """Which spaces and people of a run a rule is compiled for.

    :param run: the run's number. :param everything: all spaces and everybody (backup), else the spaces in scope only.
    """

    run: int
    everything: bool = False


@dataclass(frozen=True)
class Values:
    """A temporary table that ``rows`` of a trace read, and what fills it: ``value``, perhaps ``courseid``.

    For a row that is named by a value without an index to look it up: any other way would compare each row of the one
    table with each row of the other.
    """

    table: sa.Table
    filled: sa.Select[Any]


@dataclass(frozen=True)
class Trace:
    """One table of one rule. ``rows``: a SELECT of ``id`` (of ``table``) and ``courseid``, from the small side.

    ``whole``: the column of the table whose every row that holds the space goes; '' if the rows depend on more.
    ``values``: what must be there before ``rows`` is executed (:func:`transition.keys.fill_values`).
    """

    rule: str
    table: str
    rows: sa.Select[int, int]
    whole: str = ""
    values: tuple[Values, ...] = ()


@dataclass(frozen=True)
class _Step:
    """A table of a path, and ``on``, what joins it to the one above; the first has none.

    :param down: an index leads to it from the table above. :param up: the index that leads from it to the table above.
    """

    table: Alias
    on: sa.ColumnElement[bool]
    down: bool = True
    up: str = ""


@dataclass(frozen=True)
class _Path:
    """The tables from the scope down to one of Moodle's.

    :param spaces: those of ours, with the spaces. :param steps: Moodle's, each below the one before it.
    """

    spaces: tuple[_Step, ...]
    steps: tuple[_Step, ...]
    conditions: tuple[sa.ColumnElement[bool], ...]
    courseid: sa.ColumnElement[int]
    last: Alias
    named: dict[str, Alias]
    values: tuple[Values, ...] = ()

    def select(self, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """A SELECT whose tables the server reads in the order of the path, the small side first.

        But a table to which no index leads is read first, once, and the path followed up from it: after the tables
        above, the server would compare each of its rows with each of theirs.
        """
        steps = (*self.spaces, *self.steps)
        first = max((number for number, step in enumerate(steps) if not step.down), default=0)
        joined: sa.FromClause = steps[first].table
        forced: list[tuple[Alias, str]] = []
        for above, step in reversed(list(pairwise(steps[: first + 1]))):
            joined = joined.join(above.table, step.on)
            forced += [(above.table, step.up)] if step.up else []
        for step in steps[first + 1 :]:
            joined = joined.join(step.table, step.on)
        query = sa.select(*columns).select_from(joined).where(*self.conditions).prefix_with("STRAIGHT_JOIN")
        for table, index in forced:  # whatever the statistics say: a small table is not always as small as they say
            query = query.with_hint(table, f"FORCE INDEX ({quoted(index)})")
        return query


@dataclass(frozen=True)
class Absent:
    """A table that a rule names and the schema lacks. ``variant``: where it is expected to be absent, '' if nowhere."""

    rule: str
    table: str
    variant: str


def absent_tables(rule: Rule, moodle: MoodleDatabase) -> list[Absent]:
    """The tables of a rule that the schema lacks; of a rule whose activity is not installed, none."""
    if not is_installed(rule, moodle):
        return []
    return [Absent(rule.rule, node.table, node.variant) for node in _nodes(rule.traces) if node.table not in moodle]


def moved_tables(rule: Rule, moodle: MoodleDatabase) -> set[str]:
    """The tables that rows leave by this rule, present in the schema; none if its activity is not installed."""
    if not is_installed(rule, moodle):
        return set()
    moved = {node.table for node in _nodes(rule.traces) if not node.keep and node.table in moodle}
    return moved | ({"files"} if rule.files or any(node.files for node in _nodes(rule.traces)) else set())


def unknown_columns(rule: Rule, moodle: MoodleDatabase) -> list[str]:
    """Columns (``table.column``) that a rule names and the schema lacks."""
    if not is_installed(rule, moodle):
        return []
    named = [pair for node in rule.traces for pair in _columns(node, rule.activity or "course")]
    return [f"{table}.{column}" for table, column in named if table in moodle and column not in moodle[table].c]


def compile_rule(rule: Rule, moodle: MoodleDatabase, scope: Scope) -> list[Trace]:
    """The traces of a rule, leaves first. Absent tables and activities give none (see :func:`absent_tables`)."""
    if not is_installed(rule, moodle):
        return []
    compiler = _Compiler(rule, moodle, scope)
    return [*compiler.files(), *(trace for node in rule.traces for trace in compiler.traces(node, None))]


def is_installed(rule: Rule, moodle: MoodleDatabase) -> bool:
    """Whether the rule's activity is there (its plugin and its table); a rule of the whole space always is."""
    return rule.activity is None or (rule.activity in moodle and rule.activity in moodle.activities)


def _nodes(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _nodes(node.children)


def _columns(node: Node, above: str) -> Iterator[tuple[str, str]]:
    """Each column that a node and those below it name, with its table."""
    if node.by is not None:
        yield node.table, node.by if isinstance(node.by, str) else node.by.column
        yield above, node.to
    if node.context:
        yield node.table, node.context
    if node.users:
        yield node.table, node.users.column
    if node.work:
        yield node.table, node.work
    for name in (*node.where, *node.unless):
        owner, _, column = name.rpartition(".")
        yield owner or node.table, column
    for child in node.children:
        yield from _columns(child, node.table)


class _Compiler:
    def __init__(self, rule: Rule, moodle: MoodleDatabase, scope: Scope) -> None:
        self.rule, self.moodle, self.scope = rule, moodle, scope

    def traces(self, node: Node, above: _Path | None) -> Iterator[Trace]:
        if node.table not in self.moodle:
            return
        path = self._path(node, above)
        for child in node.children:
            yield from self.traces(child, path)
        if node.keep:
            return
        if node.files:
            yield self._trace("files", self._files_of(node, path))
        trace = self._trace(node.table, path)
        filtered = node.where or node.unless or node.users or node.to != "id"
        of_course = above is None and self.rule.activity is None and isinstance(node.by, str)
        yield replace(trace, whole=str(node.by)) if of_course and not filtered else trace

    def files(self) -> Iterator[Trace]:
        if self.rule.files:
            files = self.moodle["files"].alias("files")
            path = self._in_context(files, "contextid")
            areas = in_areas(files, self.rule.files)
            yield self._trace("files", replace(path, conditions=(*path.conditions, areas)))

    def _trace(self, table: str, path: _Path) -> Trace:
        rows = path.select(path.last.c.id, path.courseid.label("courseid"))
        return Trace(self.rule.rule, table, rows, values=path.values)

    def _path(self, node: Node, above: _Path | None) -> _Path:
        table = self.moodle[node.table].alias(node.table if above is None or node.table not in above.named else None)
        if node.by is None:
            path = self._in_context(table, str(node.context), node.where)
        else:
            path = self._below(node, node.by, table, above or self._root())
        path = replace(path, named={**path.named, node.table: table})
        conditions = [_condition(path.named, table, node.where)] if node.where else []
        if node.unless:
            # IS NOT TRUE, not NOT: a NULL in a condition must not make a row vanish from both sides.
            conditions.append(_condition(path.named, table, node.unless).is_not(sa.true()))
        if node.users and not self.scope.everything:
            conditions.append(self._standing(node.users, table, path.courseid))
        return replace(path, conditions=(*path.conditions, *conditions))

    def _below(self, node: Node, by: By, table: Alias, above: _Path) -> _Path:
        """Rows of a table that name a row of the table above."""
        to = above.last.c[node.to]
        # A text with an id in it leads down only. A number inside JSON leads up only: it has no index.
        down = isinstance(by, TextPattern) or (isinstance(by, str) and bool(self._index(table, by, node.where)))
        up = self._index(above.last, node.to)
        if down or up:
            steps = (*above.steps, _Step(table, link(by, table, to), down, up))
            return replace(above, steps=steps, last=table)
        values = values_table(f"values_{node.table}", to, sa.Column("courseid", sa.BigInteger, nullable=False))
        filled = above.select(to.label("value"), above.courseid.label("courseid")).distinct()
        value = values.alias("value")
        step = _Step(table, link(by, table, value.c.value), down=False, up=BY_VALUE)
        before = (*above.values, Values(values, filled))
        return _Path((_Step(value, sa.true()),), (step,), (), value.c.courseid, table, {}, before)

    def _index(self, table: Alias, column: str, where: Conditions | None = None) -> str:
        """An index that leads to the rows with a value of a column and the values that the conditions name."""
        equal = [name for name, test in (where or {}).items() if isinstance(test, int | str)]
        return self.moodle.index(table, column, equal)

    def _root(self) -> _Path:
        """The rule's own activities in the spaces of the scope; of a course-wide rule, the courses."""
        name, column = (self.rule.activity, "course") if self.rule.activity else ("course", "id")
        spaces, space, conditions = self._spaces(COURSE)
        root = self.moodle[name].alias(name)
        of_space = root.c[column] == space.c.courseid
        step = _Step(root, of_space, bool(self._index(root, column)), "space_context_course")
        return _Path(spaces, (step,), conditions, space.c.courseid, root, {name: root})

    def _in_context(self, table: Alias, column: str, where: Conditions | None = None) -> _Path:
        """Rows of a table whose context is one of the rule's activities, or, course-wide, any of the space."""
        spaces, space, conditions = self._spaces(MODULE if self.rule.activity else None)
        step = _Step(table, table.c[column] == space.c.contextid, bool(self._index(table, column, where)), "PRIMARY")
        return _Path(spaces, (step,), conditions, space.c.courseid, table, {})

    def _spaces(self, level: int | None) -> tuple[tuple[_Step, ...], Alias, tuple[sa.ColumnElement[bool], ...]]:
        """The contexts to start from: the first tables of a path, the contexts' one among them, conditions."""
        space, decision = tables.space_context.alias("space"), tables.decision.alias("decision")
        conditions = [space.c.run == self.scope.run]
        if level:
            conditions.append(space.c.contextlevel == level)
        if level == MODULE:
            conditions.append(space.c.module == self.rule.activity)
        if self.scope.everything:
            return (_Step(space, sa.true()),), space, tuple(conditions)
        conditions += [decision.c.run == self.scope.run, decision.c.in_scope == sa.true()]
        of_space = _Step(space, space.c.courseid == decision.c.courseid, up="PRIMARY")
        return (_Step(decision, sa.true()), of_space), space, tuple(conditions)

    def _files_of(self, node: Node, path: _Path) -> _Path:
        """Files of the node's areas whose itemid is a row of the node, in the contexts of the rule."""
        files, context = self.moodle["files"].alias("node_files"), tables.space_context.alias("file_space")
        of_module = (
            [context.c.contextlevel == MODULE, context.c.module == self.rule.activity] if self.rule.activity else []
        )
        in_space = sa.and_(context.c.run == self.scope.run, context.c.courseid == path.courseid, *of_module)
        of_areas = sa.and_(files.c.contextid == context.c.contextid, in_areas(files, node.files))
        steps = [*path.spaces, _Step(context, in_space), _Step(files, of_areas)]
        # The files lead, up to the rows that they are of and on to the space: few rows have any.
        link_up = files.c.itemid == path.last.c.id
        for step in reversed(path.steps):
            steps.append(_Step(step.table, link_up))
            link_up = step.on
        return replace(path, spaces=(), steps=tuple(steps), conditions=(*path.conditions, link_up), last=files)

    def _standing(self, users: Users, table: Alias, courseid: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
        people = tables.standing.alias(f"people_{table.name}")
        found = (
            sa.exists()
            .where(
                people.c.run == self.scope.run,
                people.c.courseid == courseid,
                people.c.userid == table.c[users.column],
                people.c.standing == users.standing.removeprefix("not "),
            )
            .correlate_except(people)
        )
        return ~found if users.standing.startswith("not ") else found


def values_table(name: str, named: sa.ColumnElement[Any], *also: sa.Column[Any]) -> sa.Table:
    """A temporary table of the values of a column. Texts compare as they are: they are hashes, codes."""
    kind = sa.BigInteger() if isinstance(named.type, sa.BigInteger) else sa.String(255)
    index = sa.UniqueConstraint("value", *(column.name for column in also), name=BY_VALUE)
    return sa.Table(
        name, sa.MetaData(), sa.Column("value", kind), *also, index, schema=tables.STATE, prefixes=["TEMPORARY"],
        **tables.OPTIONS,
    )  # fmt: skip


def link(by: By, table: sa.FromClause, above: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """How a row names the row above it."""
    if isinstance(by, JsonKey):
        text = _column(table, by.column)
        # MySQL refuses the whole statement for one text that is not JSON; Moodle stores '' where there is nothing.
        value = sa.func.json_extract(sa.case((sa.func.json_valid(text) == 1, text), else_="{}"), f"$.{by.json_key}")
        return sa.cast(sa.func.json_unquote(value), sa.BigInteger) == above
    if isinstance(by, TextPattern):
        before, after = by.pattern.split("{id}")
        return _column(table, by.column) == sa.func.concat(before, above, after)
    return _column(table, by) == above


def _column(table: sa.FromClause, name: str) -> sa.ColumnElement[Any]:
    column: sa.ColumnElement[Any] = table.c[name]
    return column


def in_areas(files: Alias, areas: Iterable[str]) -> sa.ColumnElement[bool]:
    """Whether a row of ``files`` lies in one of those areas (component/filearea; ``*`` at the end: any)."""

    def one(area: str) -> sa.ColumnElement[bool]:
        component, filearea = area.split("/")
        if filearea.endswith("*"):
            return sa.and_(files.c.component == component, files.c.filearea.startswith(filearea[:-1], autoescape=True))
        return sa.and_(files.c.component == component, files.c.filearea == filearea)

    return sa.or_(*map(one, areas))


def _condition(named: dict[str, Alias], table: Alias, conditions: Conditions) -> sa.ColumnElement[bool]:
    """All the conditions at once; a column may be ``table.column`` of a table above."""

    def column(name: str) -> sa.ColumnElement[Any]:
        owner, _, rest = name.rpartition(".")
        return _column(named[owner] if owner else table, rest)

    return sa.and_(*(matches(column(name), test) for name, test in conditions.items()))


def matches(column: sa.ColumnElement[Any], test: Test) -> sa.ColumnElement[bool]:  # noqa: PLR0911 (one line a form)
    """Whether a column's value fulfils one condition of a rule."""
    match test:
        case None:
            return column.is_(None)
        case list():
            return column.in_(test)
        case Not(value=None):
            return column.is_not(None)
        case Not(value=list() as values):
            return column.not_in(values)
        case Not(value=value):
            return column != value
        case Above(above=limit):
            return column > limit
        case Like(like=pattern):
            return column.like(pattern)
        case Unlike(unlike=pattern):
            return column.like(pattern).is_not(sa.true())
        case _:
            return column == test
