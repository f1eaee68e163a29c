"""What must not change: checksums of the rows that stay, taken at the freeze, compared when verifying."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.checksum import rows_checksum
from transition.french import counted
from transition.keys import frozen_keys
from transition.moodle.database import last_id
from transition.side_by_side import side_by_side
from transition.state import tables

# Tables that Moodle writes by itself, without anybody working in a course: their rows are no teacher's work.
LIVE = frozenset({
    "adminpresets_app", "analytics_predictions", "cache_filters", "cache_flags", "config", "config_log",
    "config_plugins", "external_tokens", "lock_db", "logstore_standard_log", "log_queries",
    "message_email_messages", "message_popup", "message_popup_notifications", "notifications",
    "search_index_requests", "sessions", "stats_daily", "stats_monthly", "stats_user_daily",
    "stats_user_monthly", "stats_user_weekly", "stats_weekly", "task_adhoc", "task_log", "task_scheduled",
    "upgrade_log", "user", "user_devices", "user_lastaccess", "user_preferences", "user_private_key",
})  # fmt: skip

# What enrolment and ex_ renaming may change: in every row, and in the rows of the spaces in scope.
_ANYWHERE = {"course": {"sortorder"}, "course_categories": {"sortorder", "coursecount", "timemodified"}}
_IN_SCOPE = {
    "course": {
        "fullname",
        "shortname",
        "idnumber",
        "category",
        "sortorder",
        "timemodified",
        "cacherev",
        "visible",
        "visibleold",  # of a space that the expiry hid and that comes back from Archives
    },
    "context": {"path", "depth"},
    "enrol": {"status"},  # of a cohort's link to a space that is archived, or that comes back
    "user_enrolments": {"status", "timestart", "timeend", "modifierid", "timemodified"},
}
# Tables that the campaign adds rows to.
GROWING = frozenset({
    "enrol", "user_enrolments", "role_assignments", "cohort", "cohort_members", "course_categories", "context",
    "groups", "groups_members", "message_conversation_members", "forum_subscriptions",
})  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Some rows of a table, and the columns of theirs that may change."""

    name: str  # of the part: the table's, « /scope » added for the rows of the spaces in scope
    table: str
    where: sa.ColumnElement[bool]
    without: frozenset[str]


def take(campaign: Campaign, keyed: Collection[str], aside: Collection[int]) -> None:
    """Store the checksum of every part's kept rows: those without a frozen key of this run.

    :param keyed: the tables that have such keys. :param aside: courses that are about to leave the run's scope.
    """

    def measured(part: Part) -> dict[str, object]:
        with campaign.engine.connect() as connection:
            max_id = last_id(connection, campaign.moodle[part.table])
            count, checksum = _measure(connection, campaign, part, max_id, part.table in keyed)
        return {"run": campaign.run, "table_name": part.name, "max_id": max_id, "rows": count, "checksum": checksum}

    rows = side_by_side(measured, _parts(campaign, aside))
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(tables.snapshot).where(tables.snapshot.c.run == campaign.run))
        connection.execute(sa.insert(tables.snapshot), rows)


def differences(campaign: Campaign) -> Iterator[Callable[[], list[str]]]:
    """What compares each part; it returns French sentences if kept rows changed, or rows came that should not have."""
    stored = tables.snapshot.c
    query = sa.select(stored.table_name, stored.max_id, stored.rows, stored.checksum)
    with campaign.engine.connect() as connection:
        before = {name: tuple(rest) for name, *rest in connection.execute(query.where(stored.run == campaign.run))}

    def compared(part: Part) -> list[str]:
        with campaign.engine.connect() as connection:
            return list(_compare(connection, campaign, part, before[part.name]))

    for part in _parts(campaign):
        yield partial(compared, part)


def _compare(connection: sa.Connection, campaign: Campaign, part: Part, before: tuple[int, int, str]) -> Iterator[str]:
    """What changed of a part. ``before``: its last id, number of rows and checksum, as :func:`take` stored them."""
    max_id, rows, checksum = before
    count, present = _measure(connection, campaign, part, max_id, keyed=False)
    if count != rows:
        yield f"table {part.name} : {counted(rows, 'ligne devait', 'lignes devaient')} rester, il y en a {count}"
    elif present != checksum:
        yield f"table {part.name} : une ligne au moins a changé parmi les {rows} qui devaient rester intactes"
    if part.name == part.table and part.table not in GROWING:
        id_ = campaign.moodle[part.table].c.id
        if new := connection.execute(sa.select(sa.func.count()).where(id_ > max_id)).scalar_one():
            yield f"table {part.name} : {counted(new, 'ligne ajoutée', 'lignes ajoutées')} pendant la campagne"


def _measure(connection: sa.Connection, campaign: Campaign, part: Part, max_id: int, keyed: bool) -> tuple[int, str]:
    table = campaign.moodle[part.table]
    query = sa.select(sa.func.count(), rows_checksum(table, part.without)).where(table.c.id <= max_id, part.where)
    if keyed:
        keys = frozen_keys(campaign, part.table)
        gone = sa.exists().where(keys.c.run == campaign.run, keys.c.id == table.c.id)
        query = query.where(~gone)
    count, checksum = connection.execute(query).one()
    return count, str(checksum or 0)


def _parts(campaign: Campaign, aside: Collection[int] = ()) -> Iterator[Part]:
    for name, table in campaign.moodle.tables.items():
        if name in LIVE or "id" not in table.c:
            continue
        anywhere = frozenset(_ANYWHERE.get(name, ()))
        if name not in _IN_SCOPE:
            yield Part(name, name, sa.true(), anywhere)
            continue
        inside = _inside(campaign, name, table, aside)
        yield Part(name, name, ~inside, anywhere)
        yield Part(f"{name}/scope", name, inside, frozenset(_IN_SCOPE[name]))


def _inside(campaign: Campaign, name: str, table: sa.Table, aside: Collection[int]) -> sa.ColumnElement[bool]:
    """Rows of the spaces in scope of the run, those set ``aside`` left out."""
    decision, space = tables.decision, tables.space_context
    courses = sa.select(decision.c.courseid).where(
        decision.c.run == campaign.run, decision.c.in_scope == sa.true(), decision.c.courseid.not_in(list(aside))
    )
    if name == "course":
        return table.c.id.in_(courses)
    if name == "context":
        return table.c.id.in_(
            sa.select(space.c.contextid).where(space.c.run == campaign.run, space.c.courseid.in_(courses))
        )
    if name == "enrol":
        return table.c.courseid.in_(courses)
    enrol = campaign.moodle["enrol"]
    return table.c.enrolid.in_(sa.select(enrol.c.id).where(enrol.c.courseid.in_(courses)))
