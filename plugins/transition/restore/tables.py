"""State table of the restore."""

import sqlalchemy as sa

from transition.state.tables import state_table

restore_row = state_table(
    "restore_row",  # the rows that a restore looks at, and what keeps some of them from coming back
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("table_name", sa.String(64), primary_key=True),  # without Moodle's prefix
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("rule", sa.String(40), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),  # see transition.restore.conflicts.State
    sa.Column("part", sa.Boolean, nullable=False),  # of the part of the space that transition.restore.part looks for
)
