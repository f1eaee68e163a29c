"""A swapped table on both sides, undone, or killed on its way."""

import re
from typing import Any

import sqlalchemy as sa

from tests.support.dump import Rows
from tests.support.kill import die_in
from transition import swap
from transition.campaign import Campaign
from transition.key_views import is_view, point
from transition.keys import frozen_keys
from transition.moodle.database import quoted
from transition.restore.held import Held
from transition.restore.put_back import Wanted, pick_rows
from transition.state import tables

LOG = "logstore_standard_log"  # goes by whole spaces: its keys are a view
POSTS = "forum_posts"  # goes by a path of tables: its keys are written down
RECENT = "block_recentlyaccesseditems"  # the same, and small
NEXT_ID = re.compile(r" AUTO_INCREMENT=(\d+)")


def rows(campaign: Campaign, name: str, schema: str) -> Rows:
    """The rows of a table, by id; none if the schema lacks it."""
    table = campaign.moodle[name].name
    with campaign.engine.connect() as connection:
        if not sa.inspect(connection).has_table(table, schema):
            return {}
        found = connection.execute(sa.text(f"SELECT * FROM {quoted(table, schema)}")).mappings()
        return {row["id"]: dict(row) for row in found}


def state(campaign: Campaign, name: str) -> tuple[Rows, Rows, str, list[Any]]:
    """A table in Moodle, in the archive, its definition but the next id, and what was journalled of it."""
    moodle, archive = (rows(campaign, name, campaign.moodle.schema), rows(campaign, name, campaign.archive_schema))
    entry = tables.journal.c
    query = sa.select(entry.rule, entry.courseid, entry.rows_before, entry.rows_moved, entry.rows_after).where(
        entry.table_name == name, entry.action == "moved", entry.run == campaign.run
    )
    with campaign.engine.connect() as connection:
        journalled = [tuple(row) for row in connection.execute(query.order_by(entry.courseid))]
    return moodle, archive, NEXT_ID.sub("", definition(campaign, name)), journalled


def definition(campaign: Campaign, name: str) -> str:
    with campaign.engine.connect() as connection:
        return str(connection.execute(sa.text(f"SHOW CREATE TABLE {quoted(campaign.moodle[name])}")).one()[1])


def next_id(campaign: Campaign, name: str) -> int:
    [number] = NEXT_ID.findall(definition(campaign, name))
    return int(number)


def keyed(campaign: Campaign, name: str) -> set[int]:
    keys = frozen_keys(campaign, name)
    with campaign.engine.connect() as connection:
        return set(connection.execute(sa.select(keys.c.id).where(keys.c.run == campaign.run)).scalars())


def indexes(campaign: Campaign, name: str, schema: str) -> dict[str | None, list[str | None]]:
    """The columns of each index of a table but the primary key, by name."""
    with campaign.engine.connect() as connection:
        found = sa.inspect(connection).get_indexes(campaign.moodle[name].name, schema)
    return {index["name"]: index["column_names"] for index in found}


def undo(campaign: Campaign, name: str) -> None:
    """Give Moodle's table its rows back, as they were after the freeze."""
    moodle, archive = quoted(campaign.moodle[name]), quoted(campaign.moodle[name].name, campaign.archive_schema)
    with campaign.engine.connect() as connection:
        connection.execute(sa.text(f"DELETE FROM {moodle}"))
        connection.execute(sa.text(f"INSERT INTO {moodle} SELECT * FROM {archive}"))
        connection.execute(sa.text(f"DROP TABLE {archive}"))
        if is_view(connection, frozen_keys(campaign, name)):
            point(connection, campaign, name, campaign.moodle.schema)
        for table in (tables.way, tables.progress, tables.journal):
            mine = sa.and_(table.c.run == campaign.run, table.c.table_name == name)
            if table is tables.journal:
                connection.execute(sa.delete(table).where(mine, table.c.action == "moved"))
            elif table is tables.way:
                connection.execute(sa.update(table).where(mine).values(state="", max_id=0))
            else:
                connection.execute(sa.update(table).where(mine).values(moved=0, done=False, last_id=0))
        connection.commit()


def picked(campaign: Campaign, courseid: int) -> list[str]:
    """The tables of which a restore of the space would bring rows back."""
    held = Held(campaign, campaign.archive_schema, courseid)
    with campaign.engine.begin() as connection:
        return pick_rows(connection, held, Wanted(traces=True, enrolments=False))


def swap_and_die(campaign: Campaign, name: str, statement: int) -> bool:
    """As :func:`~tests.support.kill.die_in`, a swap."""
    return die_in(campaign, lambda: swap.swap_table(campaign, name), statement)
