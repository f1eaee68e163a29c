"""The campaign's own tables, in the schema ``<platform>_transition``.

``schema="state"`` is a token: :meth:`transition.campaign.Campaign.engine` maps it to the platform's schema.
Dates are UTC. ``run`` columns hold ``run.number``.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

STATE = "state"
metadata = sa.MetaData(schema=STATE)

OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin",
            "mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4", "mariadb_collate": "utf8mb4_bin"}  # fmt: skip
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def state_table(name: str, *items: sa.schema.SchemaItem) -> sa.Table:
    """A table of the state schema, with the options that every one of them has."""
    return sa.Table(name, metadata, *items, **OPTIONS)


run = state_table(
    "run",
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("run_id", sa.String(250), nullable=False, unique=True),
    sa.Column("year", sa.Integer, nullable=False),
    sa.Column("dry_run", sa.Boolean, nullable=False),
    sa.Column("courses", TEXT, nullable=False),  # JSON list of course codes; empty = all
    sa.Column("started_at", MOMENT, nullable=False),
    sa.Column("fingerprint", sa.String(64)),  # of the plan
    sa.Column("frozen_at", MOMENT),  # the approved plan was checked again, its keys are written down
)

approval = state_table(
    "approval",
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("year", sa.Integer, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("exceeding", sa.Boolean, nullable=False),  # the second approval: of the caps that the plan crosses
    sa.Column("approved_by", sa.String(250), nullable=False),
    sa.Column("approved_at", MOMENT, nullable=False),
    sa.Column("planned", sa.Integer, nullable=False),  # the run whose plan was shown
    sa.Column("run", sa.Integer),  # the run that it serves; NULL until one uses it
)

fence = state_table(
    "fence",
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # always 1: one writer a platform
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("taken_at", MOMENT, nullable=False),
)

# Moodle in maintenance mode, by the campaign or before it.
maintenance = state_table(
    "maintenance",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("was_closed", sa.Boolean, nullable=False),  # before the campaign: then it stays so
    sa.Column("value", TEXT),  # of config.maintenance_enabled before; NULL: no such row
    sa.Column("closed_at", MOMENT, nullable=False),
    sa.Column("reopened_at", MOMENT),  # put back as it was
)

space_context = state_table(
    "space_context",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("contextid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("courseid", sa.BigInteger, nullable=False),
    sa.Column("contextlevel", sa.Integer, nullable=False),
    sa.Column("instanceid", sa.BigInteger, nullable=False),
    sa.Column("module", sa.String(50), nullable=False),
    sa.Index("space_context_course", "run", "courseid", "contextlevel"),
)

decision = state_table(
    "decision",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("courseid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("code", sa.String(100), nullable=False),
    sa.Column("shortname", sa.String(255), nullable=False),
    sa.Column("fullname", sa.String(1333), nullable=False),
    sa.Column("category", sa.String(1000), nullable=False),  # names from the top, « A / B »
    sa.Column("decision", sa.String(10), nullable=False),  # reset archive defer exclude hold
    sa.Column("reason", sa.String(1000), nullable=False),
    sa.Column("in_scope", sa.Boolean, nullable=False),  # reset or archive, and among the run's course codes
)

standing = state_table(
    "standing",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("courseid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("userid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("standing", sa.String(10), nullable=False),  # teacher leaving staying
)

plan_line = state_table(
    "plan_line",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("rule", sa.String(40), primary_key=True),
    sa.Column("table_name", sa.String(64), primary_key=True),  # without Moodle's prefix
    sa.Column("courseid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
)

# Pads of the spaces in scope, on the Etherpad server.
pad = state_table(
    "pad",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("padid", sa.String(255), primary_key=True),  # as the server knows it
    sa.Column("courseid", sa.BigInteger, nullable=False),
    sa.Column("activity", sa.BigInteger, nullable=False),  # etherpadlite.id
    sa.Column("saved", sa.String(1000)),  # folder below the year's storage; NULL: not saved, nothing was emptied
    sa.Column("public", sa.Boolean, nullable=False),  # its status before, given back after
    sa.Column("emptied_at", MOMENT),
)

# Contents of Moodle's filedir that only archived rows of `files` name.
content = state_table(
    "content",
    sa.Column("year", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("contenthash", sa.String(40), primary_key=True),
    sa.Column("run", sa.Integer, nullable=False),  # that found it
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),  # listed moved absent damaged
)

snapshot = state_table(
    "snapshot",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("max_id", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("checksum", sa.String(40), nullable=False),
)

progress = state_table(
    "progress",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("rule", sa.String(40), primary_key=True),
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("last_id", sa.BigInteger, nullable=False),
    sa.Column("moved", sa.BigInteger, nullable=False),
    sa.Column("done", sa.Boolean, nullable=False),
)

# Which way the rows of a table go, and how far a swap has come.
way = state_table(
    "way",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("way", sa.String(10), nullable=False),  # chunks swap
    sa.Column("reason", sa.String(250), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),  # of a swap: '' begun ready done dropped
    sa.Column("max_id", sa.BigInteger, nullable=False),  # of a swap: rows after this one came while it copied
    sa.Column("checksum", sa.String(40)),  # of the rows that stay, as it copied them; NULL: not compared
)

# Spaces whose transition was carried out and verified: a later run of the year leaves them alone, what their new
# students have done since is nobody's trace of last year.
space_reset = state_table(
    "space_reset",
    sa.Column("year", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("courseid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("verified_at", MOMENT, nullable=False),
)

journal = state_table(
    "journal",
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=True),
    sa.Column("at", MOMENT, nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("year", sa.Integer, nullable=False),
    sa.Column("stage", sa.String(40), nullable=False),
    sa.Column("rule", sa.String(40), nullable=False),
    sa.Column("table_name", sa.String(64), nullable=False),
    sa.Column("courseid", sa.BigInteger),
    sa.Column("action", sa.String(20), nullable=False),  # started done failed skipped moved and a stage's own
    sa.Column("actor", sa.String(250), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float),
    sa.Column("rows_before", sa.BigInteger),
    sa.Column("rows_moved", sa.BigInteger),
    sa.Column("rows_after", sa.BigInteger),
    sa.Column("detail", TEXT, nullable=False),
    sa.Index("journal_run", "run", "stage", "rule", "table_name"),
)

# The component (UFR, institute) that each decided space counts for: `element.composante`, else its top category.
space_component = state_table(
    "space_component",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("courseid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("component", sa.String(255), nullable=False),
)

# Caps of the platform's file that the run's plan crosses.
cap_crossed = state_table(
    "cap_crossed",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(20), nullable=False),  # fewer archived unenrolled moved
    sa.Column("cap", sa.String(40), primary_key=True),  # key of the platform's `limits`
    sa.Column("component", sa.String(255), primary_key=True),  # '' = the whole platform
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("base", sa.BigInteger, nullable=False),  # what the count is compared with; 0: nothing
    sa.Column("allowed", sa.Double, nullable=False),  # what the cap was
)

# Elements of the model that no space carries.
missing_space = state_table(
    "missing_space",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cle", sa.String(100), primary_key=True),
    sa.Column("code", sa.String(100), nullable=False),
    sa.Column("libelle", sa.String(255), nullable=False),
    sa.Column("composante", sa.String(20), nullable=False),
    sa.Column("category", sa.BigInteger),  # where its space belongs; NULL: nothing says
    sa.Column("obstacle", sa.String(500), nullable=False),  # why it is not to be created, in French; '': nothing
    sa.Column("courseid", sa.BigInteger),  # the space that the run created for it
)
