"""What keeps rows from coming back: found and listed before anything is written."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.french import counted
from transition.moodle.database import quoted, unique_keys
from transition.restore.again import old_work
from transition.restore.held import Held
from transition.restore.tables import restore_row
from transition.rules.branches import Branch, Branches, branches, parents_first
from transition.rules.compile import in_areas
from transition.rules.model import TextPattern, load_rules

# back: comes back; there: Moodle has this very row, or one that stands in for it; taken: its id is another row's;
# unique: another row has its place; again: of somebody who has worked in the activity again; content: a file whose
# content is nowhere; orphan: what it hangs from is gone, or does not come back itself; lost: Moodle has no place for it
# any more.
State = Literal["back", "there", "taken", "unique", "again", "content", "orphan", "lost"]
COMING: tuple[State, ...] = ("back", "there")
_SHOWN = 5
_HASHES = 1_000  # contents a query
_WHY = {
    "taken": "identifiant déjà pris par une autre ligne",
    "unique": "place prise par une autre ligne ({key})",
    "again": "travail de quelqu'un qui a retravaillé depuis dans cette activité",
    "content": "{key} : rebranchez le stockage, ou remettez dans filedir ce qui manque",
    "orphan": "dépendance qui n'existe plus ou ne revient pas",
    "lost": "depuis une mise à jour, Moodle n'a plus {key}",
}


@dataclass(frozen=True)
class Conflict:
    """Rows of one table that cannot come back for one reason. ``ids``: all of them, ascending."""

    table: str
    state: State
    key: str
    ids: tuple[int, ...]

    def __str__(self) -> str:
        more = "…" if len(self.ids) > _SHOWN else ""
        why = _WHY[self.state].format(key=self.key)
        rows = counted(len(self.ids), "ligne", "lignes")
        return f"{self.table} : {rows}, {why} (id {', '.join(map(str, self.ids[:_SHOWN]))}{more})"


def find_conflicts(
    connection: sa.Connection, held: Held, names: Iterable[str], lost: Collection[str]
) -> list[Conflict]:
    """Set the state of each row in ``restore_row``; returns what does not come back, tables in their order.

    A unique key is read from the server (``information_schema.statistics``); the paths to what a row hangs from are
    those of the rules. Writes in the state schema only.
    :param lost: hashes of the contents that no file may come back without.
    """
    return _Search(connection, held, list(names)).run(lost)


class _Search:
    def __init__(self, connection: sa.Connection, held: Held, names: list[str]) -> None:
        self.connection, self.held, self.campaign = connection, held, held.campaign
        self.branches: Branches = branches(self.campaign.moodle)
        self.names = parents_first(names, self.branches)
        self.found: list[Conflict] = []
        self.marks = _temporary_ids(connection, self.campaign)

    def run(self, lost: Collection[str]) -> list[Conflict]:
        keys = unique_keys(self.connection, self.campaign.moodle.schema)
        for name in self.names:
            if gone := self.held.lost(name):
                self._mark(name, "lost", sa.select(restore_row.c.id).where(self._here(name)), ", ".join(gone))
                continue
            self._same_id(name)
            for key in keys.get(self.campaign.moodle[name].name, []):
                self._unique(name, key)
                self._twice(name, key)
        live = {rule.rule for rule in load_rules() if rule.live}
        for name, old in old_work(self.connection, self.held, self.names).items():
            lasting = sa.and_(restore_row.c.id.in_(old), restore_row.c.rule.not_in(live))  # a log is nobody's work
            self._mark(name, "again", sa.select(restore_row.c.id).where(self._here(name), lasting))
        if lost:
            self._contents(lost)
        # A row that does not come back takes along what hangs from it; again until nothing more is found.
        hanging = [(name, lost) for name, rule in self._rules() for lost in self._orphans(name, rule)]
        while sum([self._mark(name, "orphan", lost) for name, lost in hanging]):
            pass
        # What Moodle writes by itself at every page view is newer in Moodle, and stays: nobody's work, no conflict.
        newer = {table for rule, table in self.branches if rule in live}
        self.found = [one for one in self.found if one.state != "unique" or one.table not in newer]
        order = {name: place for place, name in enumerate(self.names)}
        ids: dict[tuple[str, State, str], set[int]] = {}
        for conflict in self.found:
            ids.setdefault((conflict.table, conflict.state, conflict.key), set()).update(conflict.ids)
        merged = [Conflict(*what, tuple(sorted(of_what))) for what, of_what in ids.items()]
        return sorted(merged, key=lambda conflict: (order[conflict.table], conflict.state))

    def _rows(self, name: str, state: State = "back") -> tuple[sa.Table, sa.Join, sa.ColumnElement[bool]]:
        """The held table, a FROM clause that begins with the rows of that state, and its condition."""
        table = self.held.table(name)
        return table, restore_row.join(table, table.c.id == restore_row.c.id), self._here(name, state)

    def _here(self, name: str, state: State = "back") -> sa.ColumnElement[bool]:
        rows = restore_row.c
        return sa.and_(rows.run == self.campaign.run, rows.table_name == name, rows.state == state)

    def _same_id(self, name: str) -> None:
        table, joined, here = self._rows(name)
        moodle = self.campaign.moodle[name]
        # Without the held table: its rows lie far apart, and most often none of their ids is in Moodle.
        probe = sa.select(moodle.c.id).select_from(restore_row.join(moodle, moodle.c.id == restore_row.c.id))
        if self.connection.execute(probe.where(here).limit(1)).first() is not None:
            query = sa.select(table.c.id).select_from(joined.join(moodle, moodle.c.id == table.c.id)).where(here)
            same = sa.and_(*(_identical(moodle.c[column.name], column) for column in table.c))
            self._mark(name, "there", query.where(same))
            self._mark(name, "taken", query)

    def _unique(self, name: str, key: tuple[str, ...]) -> None:
        table, joined, here = self._rows(name)
        if not set(key) <= set(table.c.keys()):
            return  # a column that an update of Moodle added: what the row will hold there is not known here
        moodle = self.campaign.moodle[name]
        place = sa.and_(*(moodle.c[column] == table.c[column] for column in key), moodle.c.id != table.c.id)
        self._displaced(name, key, sa.select(table.c.id).select_from(joined.join(moodle, place)).where(here))

    def _twice(self, name: str, key: tuple[str, ...]) -> None:
        """Of held rows with one place between them, which several resets moved one after the other, the last comes
        back: it is what the last reset found."""
        table, joined, here = self._rows(name)
        if not set(key) <= set(table.c.keys()):
            return
        columns = [table.c[column] for column in key]
        given = sa.and_(here, *(column.is_not(None) for column in columns))
        shared = (
            sa.select(*columns, sa.func.max(table.c.id).label("last"))
            .select_from(joined).where(given).group_by(*columns).having(sa.func.count() > 1)
        )  # fmt: skip
        if self.connection.execute(shared.limit(1)).first() is not None:
            places = shared.subquery("places")
            same = sa.and_(*(places.c[column] == table.c[column] for column in key), table.c.id < places.c.last)
            self._displaced(name, key, sa.select(table.c.id).select_from(joined.join(places, same)).where(here))

    def _displaced(self, name: str, key: tuple[str, ...], query: sa.Select[int]) -> None:
        """Mark rows whose place another row has. A folder is its place alone: Moodle makes it again with each backup of
        its own, and that entry stands in for the one that was moved."""
        if name == "files":
            self._mark(name, "there", query.where(self.held.table(name).c.filename == "."))
        self._mark(name, "unique", query, ", ".join(key))

    def _contents(self, lost: Collection[str]) -> None:
        """Files whose content is lost, those that Moodle has too: where they are held, they tell what is missed."""
        absent = counted(len(lost), "contenu absent", "contenus absents")
        key = f"{absent} de Moodle et de l'archive, dont {min(lost)}"
        hashes = sorted(lost)
        for state in COMING:
            table, joined, here = self._rows("files", state)
            query = sa.select(table.c.id).select_from(joined).where(here)
            for start in range(0, len(hashes), _HASHES):
                part = table.c.contenthash.in_(hashes[start : start + _HASHES])
                self._mark("files", "content", query.where(part), key)

    def _rules(self) -> list[tuple[str, str]]:
        """Tables in their order, each with the rules that moved rows of it."""
        rows = restore_row.c
        query = sa.select(rows.table_name, rows.rule).where(rows.run == self.campaign.run, rows.state == "back")
        found = [(name, rule) for name, rule in self.connection.execute(query.distinct())]
        return sorted(found, key=lambda pair: self.names.index(pair[0]))

    def _orphans(self, name: str, rule: str) -> Iterator[sa.Select[int]]:
        """What finds the rows of a table that a rule moved and that hang from nothing, if they may."""
        paths = self.branches.get((rule, name), [])
        # A text that names a row would be compared with every row of the table above. Rows whose keys are a view hang
        # from the space itself, which is there.
        if not paths or any(isinstance(path.by, TextPattern) for path in paths) or self.held.keys_follow(name):
            return
        table, joined, here = self._rows(name)
        hangs = sa.or_(*(self._hangs(path, table) for path in paths))
        yield sa.select(table.c.id).select_from(joined).where(here, restore_row.c.rule == rule, ~hangs)

    def _hangs(self, path: Branch, table: sa.Table) -> sa.ColumnElement[bool]:
        """Whether the row above is in Moodle, or comes back."""
        rows = restore_row.alias("above_row")
        above = self.campaign.moodle[path.parent].alias("above")
        known = sa.and_(rows.c.run == self.campaign.run, rows.c.table_name == path.parent, rows.c.id == above.c.id)
        # A row of ours is judged by its state: Moodle's row of that id may be another one.
        ours = sa.exists().where(known, rows.c.state.not_in(COMING)).correlate(above)
        there = sa.exists().where(path.joins(table, above), ~ours).correlate(table)
        conditions = [there]
        if path.parent in self.names:
            coming = self.held.table(path.parent).alias("coming")
            of_ours = sa.and_(
                rows.c.run == self.campaign.run, rows.c.table_name == path.parent, rows.c.id == coming.c.id,
                rows.c.state.in_(COMING),
            )  # fmt: skip
            conditions.append(sa.exists().where(path.joins(table, coming), of_ours).correlate(table))
        found = sa.or_(*conditions)
        return sa.and_(in_areas(table, path.areas), found) if path.areas else found

    def _mark(self, name: str, state: State, query: sa.Select[int], key: str = "") -> int:
        """Give the rows that the query finds their state; the server may not read and update one table at once."""
        ids = tuple(sorted(set(self.connection.execute(query).scalars())))
        if ids:
            marks, rows = self.marks, restore_row
            self.connection.execute(sa.delete(marks))
            self.connection.execute(sa.insert(marks), [{"id": id_} for id_ in ids])
            here = sa.and_(rows.c.run == self.campaign.run, rows.c.table_name == name, rows.c.id == marks.c.id)
            self.connection.execute(sa.update(rows).where(here).values(state=state))
            if state != "there":
                self.found.append(Conflict(name, state, key, ids))
        return len(ids)


def _temporary_ids(connection: sa.Connection, campaign: Campaign) -> sa.Table:
    table = sa.Table(
        "restore_marks", sa.MetaData(), sa.Column("id", sa.BigInteger, primary_key=True), schema=campaign.state_schema
    )
    connection.execute(sa.text(f"DROP TEMPORARY TABLE IF EXISTS {quoted(table)}"))
    connection.execute(
        sa.text(f"CREATE TEMPORARY TABLE {quoted(table)} (id BIGINT NOT NULL PRIMARY KEY) ENGINE=InnoDB")
    )
    return table


def _identical(one: sa.ColumnElement[object], other: sa.ColumnElement[object]) -> sa.ColumnElement[bool]:
    """Equal byte for byte, NULL equal to NULL: a collation would take « é » for « e »."""
    if isinstance(one.type, sa.Text):
        one, other = sa.cast(one, sa.LargeBinary), sa.cast(other, sa.LargeBinary)
    return one.is_not_distinct_from(other)
