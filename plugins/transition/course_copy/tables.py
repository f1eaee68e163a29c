"""State tables of the copy of an archived space."""

import sqlalchemy as sa

from transition.state.tables import MOMENT, TEXT, state_table

course_copy = state_table(
    "course_copy",  # the last copy of one space into another
    sa.Column("source", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("target", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("source_state", sa.String(64), nullable=False),  # of the source's content then
    sa.Column("activities", TEXT, nullable=False),  # JSON: how many of each kind the backup file holds
    sa.Column("before", TEXT, nullable=False),  # JSON: the target before, see transition.course_copy.target.Before
    sa.Column("started_at", MOMENT, nullable=False),  # Moodle began to restore
    sa.Column("restored_at", MOMENT),  # Moodle said that it had ended
    sa.Column("verified_at", MOMENT),
)

held_setting = state_table(
    "held_setting",  # settings of Moodle that are changed for the time of a command, as they were before
    sa.Column("plugin", sa.String(100), primary_key=True),
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("value", TEXT),  # NULL: the setting had no row
    sa.Column("run", sa.Integer, nullable=False),
)
