"""Keys that nobody needs to write down: where a rule takes every row of a space, the space names the rows.

Such a table, the log above all, has a view in the place of its key table, with the same columns: the rows of the run's
spaces, up to the last one at the freeze. It reads Moodle's table until that one is swapped into the archive, then the
archive's.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from transition.campaign import Campaign
from transition.moodle.database import quoted
from transition.pace import Pace
from transition.progress import Progress
from transition.rules.compile import Trace
from transition.state import tables

_SPACES = "key_of_spaces"


@dataclass(frozen=True)
class Whole:
    """A rule takes every row of a table by its ``column`` of course ids, and no other rule takes any."""

    rule: str
    column: str


def whole_by(traces: Sequence[Trace]) -> Whole | None:
    """Whether a table goes by whole spaces; ``traces``: all those of the table. None: its keys must be written down."""
    if len(traces) == 1 and traces[0].whole:
        return Whole(traces[0].rule, traces[0].whole)
    return None


def spaces_table(campaign: Campaign) -> sa.Table:
    """The spaces whose rows of a table go, in the archive schema.

    ``column_name``: of the table, that holds the course; ``max_id``: the table's last row at the freeze.
    """
    return sa.Table(
        _SPACES, sa.MetaData(), sa.Column("run", sa.Integer, primary_key=True),
        sa.Column("table_name", sa.String(64), primary_key=True),
        sa.Column("courseid", sa.BigInteger, primary_key=True),
        sa.Column("rule", sa.String(40)), sa.Column("column_name", sa.String(64)), sa.Column("max_id", sa.BigInteger),
        schema=campaign.archive_schema,
    )  # fmt: skip


def write_spaces(
    connection: sa.Connection, campaign: Campaign, name: str, whole: Whole, last: Mapping[int, int]
) -> None:
    """Write down, anew, the spaces whose rows of a table go; make the view of their keys.

    The archive has no row of the table yet: spaces that a stopped run had written down name nothing there, and once the
    table is swapped they would name rows that stayed.
    :param last: by course id, the id of the last row that goes.
    """
    spaces = spaces_table(campaign)
    connection.execute(
        sa.text(
            f"CREATE TABLE IF NOT EXISTS {quoted(spaces)} (run INT NOT NULL, table_name VARCHAR(64) NOT NULL,"
            " courseid BIGINT NOT NULL, `rule` VARCHAR(40) CHARACTER SET ascii NOT NULL,"
            " column_name VARCHAR(64) NOT NULL, max_id BIGINT NOT NULL,"
            " PRIMARY KEY (table_name, run, courseid)) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )
    )
    connection.execute(sa.delete(spaces).where(spaces.c.table_name == name))
    rows = [
        {"run": campaign.run, "table_name": name, "courseid": courseid, "rule": whole.rule, "column_name": whole.column,
         "max_id": max_id}
        for courseid, max_id in last.items()
    ]  # fmt: skip
    connection.execute(sa.insert(spaces), rows)
    point(connection, campaign, name, campaign.moodle.schema)


def spaces_column(connection: sa.Connection, campaign: Campaign, name: str) -> str:
    """The column that holds the course, of a table whose keys are a view."""
    spaces = spaces_table(campaign).c
    query = sa.select(spaces.column_name).where(spaces.table_name == name).limit(1)
    return str(connection.execute(query).scalar_one())


def at_spaces(
    connection: sa.Connection, campaign: Campaign, name: str, rows: sa.FromClause
) -> tuple[sa.Table, sa.ColumnElement[bool]]:
    """The spaces whose rows of a table go, and when a row (of Moodle's table, or of the archive's) is the run's in one.

    For statements to which the view itself would dictate an order: it goes from the spaces to their rows.
    """
    spaces, column = spaces_table(campaign), spaces_column(connection, campaign, name)
    mine = sa.and_(spaces.c.run == campaign.run, spaces.c.table_name == name)
    return spaces, sa.and_(mine, rows.c[column] == spaces.c.courseid, rows.c.id <= spaces.c.max_id)


def point(connection: sa.Connection, campaign: Campaign, name: str, schema: str) -> None:
    """Make the key view of a table over the rows where they are: in Moodle's schema, or in the archive's."""
    column = spaces_column(connection, campaign, name)
    spaces, table = spaces_table(campaign), campaign.moodle[name]
    # No bound parameter may stand in a view; `name` is a table of Moodle's, as reflected.
    body = " ".join([
        "SELECT s.run AS run, t.id AS id, s.courseid AS courseid, s.`rule` AS `rule`",
        f"FROM {quoted(spaces)} s JOIN {quoted(table.name, schema)} t",
        f"ON t.{quoted(column)} = s.courseid AND t.id <= s.max_id WHERE s.table_name = '{name}'",
    ])  # fmt: skip
    view = quoted(f"key_{name}", campaign.archive_schema)
    connection.exec_driver_sql(f"CREATE OR REPLACE SQL SECURITY INVOKER VIEW {view} AS {body}")


def is_view(connection: sa.Connection, keys: sa.Table) -> bool:
    """Whether a key table is a view: then no key can be deleted, and a key goes when its row leaves the archive."""
    query = sa.text("SELECT 1 FROM information_schema.views WHERE table_schema = :schema AND table_name = :name")
    return connection.execute(query, {"schema": keys.schema, "name": keys.name}).first() is not None


def forget_space(connection: sa.Connection, campaign: Campaign, keys: sa.Table, courseid: int) -> None:
    """Delete the run's keys of a space, in whichever form; ``keys``: from :func:`transition.keys.frozen_keys`."""
    if is_view(connection, keys):
        spaces = spaces_table(campaign)
        mine = sa.and_(spaces.c.run == campaign.run, spaces.c.table_name == keys.name.removeprefix("key_"))
        connection.execute(sa.delete(spaces).where(mine, spaces.c.courseid == courseid))
    else:
        connection.execute(sa.delete(keys).where(keys.c.run == campaign.run, keys.c.courseid == courseid))


def write_down(connection: sa.Connection, campaign: Campaign, keys: sa.Table) -> None:
    """Turn a key view into a key table of the same content: a later run is to add keys of another kind.

    One transaction a space: of a whole log, this takes hours. Safe to run again after a kill: it goes on with the next
    space, and the complete table takes the view's name in one statement, so that a restore finds keys at any moment.
    The view of a swap that never was is only dropped.
    """
    copy, view = (keys.to_metadata(sa.MetaData(), name=f"{keys.name}_{form}") for form in ("copy", "view"))
    if is_view(connection, keys):
        if _is_swapped(connection, campaign, keys):
            create_key_table(connection, quoted(copy))
            _copy_spaces(connection, campaign, keys, copy)
            moves = f"{quoted(keys)} TO {quoted(view)}, {quoted(copy)} TO {quoted(keys)}"
            connection.execute(sa.text(f"RENAME TABLE {moves}"))
        else:
            connection.execute(sa.text(f"DROP VIEW {quoted(keys)}"))
    connection.execute(sa.text(f"DROP VIEW IF EXISTS {quoted(view)}"))


def _is_swapped(connection: sa.Connection, campaign: Campaign, keys: sa.Table) -> bool:
    """Whether a run of the year swapped the table of a key view; else no row of it was moved."""
    way, run = tables.way.c, tables.run
    name = keys.name.removeprefix("key_")
    swapped = sa.select(way.run).join(run, run.c.number == way.run).where(run.c.year == campaign.year)
    query = swapped.where(way.table_name == name, way.state == "done").limit(1)
    return connection.execute(query).first() is not None


def _copy_spaces(connection: sa.Connection, campaign: Campaign, keys: sa.Table, copy: sa.Table) -> None:
    """Copy the keys of every space that has none in the copy yet."""
    spaces, name = spaces_table(campaign).c, keys.name.removeprefix("key_")
    copied = sa.exists().where(copy.c.courseid == spaces.courseid, copy.c.run == spaces.run)
    query = sa.select(spaces.run, spaces.courseid).where(spaces.table_name == name, ~copied)
    left = connection.execute(query.order_by(spaces.run, spaces.courseid)).all()
    pace, progress = Pace(campaign, 1), Progress(f"Clés de {name}", len(left), "espaces", "lignes")
    for run, courseid in left:
        begun = time.monotonic()
        of_space = sa.select(*keys.c).where(keys.c.run == run, keys.c.courseid == courseid)
        rows = connection.execute(sa.insert(copy).from_select(keys.c.keys(), of_space)).rowcount
        connection.commit()
        progress.step(rows)
        pace.after(time.monotonic() - begun)


def create_key_table(connection: sa.Connection, name: str) -> None:
    """Create a key table if it is missing; ``name``: quoted."""
    connection.execute(
        sa.text(
            f"CREATE TABLE IF NOT EXISTS {name} (run INT NOT NULL, id BIGINT NOT NULL,"
            " courseid BIGINT NOT NULL, rule VARCHAR(40) CHARACTER SET ascii NOT NULL, PRIMARY KEY (run, id),"
            " KEY by_rule (run, rule, id), KEY by_course (courseid, id)) ENGINE=InnoDB"
        )
    )
