"""The way back of a move: rows go from where they are held into Moodle, chunk by chunk."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from transition import journal
from transition.campaign import Campaign
from transition.enrolment.people import RULE as ENROLMENT
from transition.errors import TransitionError
from transition.moodle.database import quoted
from transition.moodle.revisions import raise_revisions
from transition.restore.conflicts import COMING
from transition.restore.held import Held
from transition.restore.tables import restore_row
from transition.state import tables

STAGE = "restore"
GRADES = "grade_grades"
# Rows a transaction: each is read three times in it, a page of its own in an interleaved log; so many pages stay in the
# server's memory meanwhile.
CHUNK = 1_000


@dataclass(frozen=True)
class Wanted:
    """Which held rows are asked for: what people left in the space, last year's enrolments and roles."""

    traces: bool
    enrolments: bool

    def of(self, rule: sa.ColumnElement[str]) -> list[sa.ColumnElement[bool]]:
        """The conditions on the rule that moved a row."""
        conditions = [] if self.traces else [rule == ENROLMENT]
        return conditions if self.enrolments else [*conditions, rule != ENROLMENT]


def pick_rows(connection: sa.Connection, held: Held, wanted: Wanted) -> list[str]:
    """Write the space's wanted rows into ``restore_row``, all to come ``back``; returns the tables that have some.

    A key whose row is not held was never moved, or is back already: it does not count.
    """
    rows, campaign = restore_row, held.campaign
    connection.execute(sa.delete(rows))  # what an earlier attempt or run left; one restore at a time holds the lock
    for name in held.names_with(connection, lambda keys: _of_space(keys, held, wanted)):
        keys, table = held.keys(name), held.table(name)
        # Keys that follow are the held rows: to look each up again would take a page of the log each.
        source = keys if held.keys_follow(name) else keys.join(table, table.c.id == keys.c.id)
        chosen = (
            sa.select(
                sa.literal(campaign.run),
                sa.literal(name),
                keys.c.id,
                sa.func.min(keys.c.rule),
                sa.literal("back"),
                sa.false(),
            )
            .select_from(source)
            .where(*_of_space(keys, held, wanted))
            .group_by(keys.c.id)
            .prefix_with("STRAIGHT_JOIN")
        )
        connection.execute(sa.insert(rows).from_select(["run", "table_name", "id", "rule", "state", "part"], chosen))
    found = sa.select(rows.c.table_name).where(rows.c.run == campaign.run).distinct().order_by(rows.c.table_name)
    return list(connection.execute(found).scalars())


def _of_space(keys: sa.Table, held: Held, wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    return [keys.c.courseid == held.courseid, *wanted.of(keys.c.rule)]


def put_back(held: Held, names: Iterable[str], outdates: bool) -> int:
    """Move back every row whose state lets it; returns the number of rows that Moodle did not have.

    One transaction for some thousand rows, of one table or of many, inserts them into Moodle, deletes them and their
    keys from where they were held, and journals it: a kill at any point loses nothing and repeats nothing. The archive
    keeps no copy, of rows out of a backup either (a later reset moves the rows there again); the off-server backup
    does. The same transaction raises the revision of the space's cache, so that Moodle rebuilds it.
    :param outdates: the grades are not all back: with them, the space's totals are marked for Moodle to recalculate.
    """
    campaign, total = held.campaign, 0
    # An archive schema that has lost some of the space's rows: they come from a backup, with those that it still has.
    archive = None
    if held.schema != campaign.archive_schema:
        archive = Held(campaign, campaign.archive_schema, held.courseid)
    todo, last = deque(names), 0
    while todo:
        with campaign.engine.begin() as connection:
            done: list[dict[str, Any]] = []
            room = CHUNK
            while todo and room:
                ids, inserted, taken = _put_rows(connection, held, todo[0], (last, room), archive)
                if taken:
                    done.append({"table_name": todo[0], "rows_before": taken, "rows_moved": inserted})
                last, room = (ids[-1] if ids else last), room - len(ids)
                if room:  # fewer than asked for: the table is done
                    todo.popleft()
                    last = 0
            _record(connection, held, done)
            if outdates and any(entry["table_name"] == GRADES and entry["rows_moved"] for entry in done):
                _outdate_totals(connection, held)
        total += sum(entry["rows_moved"] for entry in done)
    return total


def _put_rows(
    connection: sa.Connection, held: Held, name: str, bounds: tuple[int, int], archive: Held | None
) -> tuple[Sequence[int], int, int]:
    """Put some rows of a table back; returns their ids, how many were inserted, how many are not out of Moodle any more
    (with those of the archive schema that Moodle had already).

    :param bounds: the id after which to begin, the number of rows to take. :param archive: the archive schema, where
        the rows come from a backup.
    """
    campaign, rows = held.campaign, restore_row
    target, source = campaign.moodle[name], held.table(name)
    # The held rows are locked: an orphan of a killed restore and its successor never put one back twice.
    due = (
        sa.select(rows.c.id, rows.c.state)
        .select_from(rows.join(source, source.c.id == rows.c.id))
        .where(rows.c.run == campaign.run, rows.c.table_name == name, rows.c.id > bounds[0])
        .where(rows.c.state.in_(COMING))
        .order_by(rows.c.id)
        .limit(bounds[1])
        .prefix_with("STRAIGHT_JOIN")
        .with_for_update()
    )
    found = connection.execute(due).all()
    if not found:
        return [], 0, 0
    ids, missing = [row.id for row in found], sum(row.state == "back" for row in found)
    chunk = sa.and_(rows.c.run == campaign.run, rows.c.table_name == name, rows.c.id.between(ids[0], ids[-1]))
    new = (
        sa.select(*source.c)
        .select_from(rows.join(source, source.c.id == rows.c.id))
        .where(chunk, rows.c.state == "back")
        .prefix_with("STRAIGHT_JOIN")
    )
    inserted = 0
    if missing:
        inserted = connection.execute(sa.insert(target).from_select([c.name for c in source.c], new)).rowcount
    bound = {"run": campaign.run, "name": name, "first": ids[0], "last": ids[-1]}
    deleted = connection.execute(_delete(campaign, source), bound).rowcount
    if not held.keys_follow(name):
        # The keys of every run that froze these rows; by the course, for their index.
        of_space = {**bound, "courseid": held.courseid}
        connection.execute(_delete(campaign, held.keys(name), " AND t.courseid = :courseid"), of_space)
    if (inserted, deleted) != (missing, len(ids)):
        raise TransitionError(
            f"Lignes de {target.name} jusqu'à l'identifiant {ids[-1]} : à remettre {missing}, remises {inserted} ;"
            f" à retirer de {source.schema} {len(ids)}, retirées {deleted} ; ce lot est annulé. Quelqu'un modifie la"
            " base pendant la restauration : mettez Moodle en maintenance, puis relancez-la."
        )
    taken = inserted + _leave_archive(connection, archive, name, bound) if archive else deleted
    return ids, inserted, taken


def _leave_archive(connection: sa.Connection, archive: Held, name: str, bound: dict[str, Any]) -> int:
    """Delete rows that come back from a backup, and their keys, from the archive schema: there, they would be in the
    way of the space's next reset. Returns how many of those rows Moodle had already.
    """
    campaign, there = archive.campaign, 0
    bound = {**bound, "courseid": archive.courseid}
    if archive.has_rows(name) and (archive.has_keys(name) or archive.keys_follow(name)):
        keyed = f" STRAIGHT_JOIN {quoted(archive.keys(name))} k ON k.id = r.id AND k.courseid = :courseid"
        named = "" if archive.keys_follow(name) else keyed  # the keys of a view are all the rows of the space
        table = archive.table(name)
        there = connection.execute(_delete(campaign, table, " AND r.state = 'there'", named), bound).rowcount
        connection.execute(_delete(campaign, table, "", named), bound)
    if archive.has_keys(name):
        connection.execute(_delete(campaign, archive.keys(name), " AND t.courseid = :courseid"), bound)
    return there


def _delete(campaign: Campaign, table: sa.Table, more: str = "", joined: str = "") -> sa.TextClause:
    return sa.text(
        f"DELETE t FROM {campaign.state_name('restore_row')} r{joined} STRAIGHT_JOIN {quoted(table)} t ON t.id = r.id"
        " WHERE r.run = :run AND r.table_name = :name AND r.id BETWEEN :first AND :last"
        f" AND r.state IN ('back', 'there'){more}"
    )


def _outdate_totals(connection: sa.Connection, held: Held) -> None:
    items = held.campaign.moodle["grade_items"]
    totals = sa.and_(items.c.courseid == held.courseid, items.c.itemtype.in_(("course", "category")))
    connection.execute(sa.update(items).where(totals).values(needsupdate=1))


def _record(connection: sa.Connection, held: Held, done: list[dict[str, Any]]) -> None:
    if done:
        raise_revisions(connection, held.campaign.moodle, [held.courseid])
        shared = {
            **journal.heading(held.campaign, STAGE, "restored"),
            "rule": "",
            "detail": "",
            "courseid": held.courseid,
        }
        connection.execute(sa.insert(tables.journal), [{**shared, **entry} for entry in done])
