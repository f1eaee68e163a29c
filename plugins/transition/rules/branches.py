"""How a row hangs from the row above it, as the rules say: what finds a row whose row above is gone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from transition.moodle.database import MoodleDatabase
from transition.rules.compile import link
from transition.rules.model import JsonKey, Node, Rule, TextPattern, load_rules


@dataclass(frozen=True)
class Branch:
    """One place of a table in a rule: ``by``, in ``table``, names ``to``, in ``parent``.

    :param above: the branch of the table above; None when ``parent`` is where the path begins.
    :param parent: the table above: of ``above``, or the rule's activity, ``course`` or ``context``.
    :param areas: for ``files``: the areas (component/filearea) to which this path applies.
    :param work: the column of the person whose work in the activity a row is, if it is one.
    """

    rule: str
    table: str
    by: str | JsonKey | TextPattern
    parent: str
    to: str = "id"
    above: "Branch | None" = None
    areas: tuple[str, ...] = ()
    work: str | None = None

    def joins(self, table: sa.FromClause, parent: sa.FromClause) -> sa.ColumnElement[bool]:
        """Whether a row of ``table`` hangs from a row of ``parent``."""
        return link(self.by, table, parent.c[self.to])

    @property
    def depth(self) -> int:
        """How many tables are above."""
        return 1 + (self.above.depth if self.above else 0)


Branches = dict[tuple[str, str], list[Branch]]  # by (rule, table)


def branches(moodle: MoodleDatabase) -> Branches:
    """Every branch of the rules whose tables exist."""
    found: Branches = {}
    for rule in load_rules():
        for branch in _of_rule(rule, moodle):
            found.setdefault((branch.rule, branch.table), []).append(branch)
    return found


def parents_first(tables: Iterable[str], known: Branches) -> list[str]:
    """The tables in the order in which a restore fills them: a row comes after the row it hangs from."""
    depths: dict[str, int] = {}
    for (_, table), found in known.items():
        depths[table] = max(depths.get(table, 0), *(branch.depth for branch in found))
    return sorted(tables, key=lambda table: (depths.get(table, 0), table))


def _of_rule(rule: Rule, moodle: MoodleDatabase) -> Iterator[Branch]:
    if rule.files:
        yield Branch(rule.rule, "files", "contextid", "context", areas=rule.files)
    for node in rule.traces:
        yield from _of_node(rule, moodle, node, None)


def _of_node(rule: Rule, moodle: MoodleDatabase, node: Node, above: Branch | None) -> Iterator[Branch]:
    if node.table not in moodle:
        return
    if node.by is None:
        branch = Branch(rule.rule, node.table, str(node.context), "context")
    else:
        parent = above.table if above else rule.activity or "course"
        branch = Branch(rule.rule, node.table, node.by, parent, node.to, above, work=node.work)
    yield branch
    if node.files:
        yield Branch(rule.rule, "files", "itemid", node.table, above=branch, areas=node.files)
    for child in node.children:
        yield from _of_node(rule, moodle, child, branch)
