"""State table of the expiry."""

import sqlalchemy as sa

from transition.state.tables import MOMENT, state_table

expiry_item = state_table(
    "expiry_item",  # what a run found of earlier campaigns: what goes, and what stays
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(10), primary_key=True),  # backup mbz exports pads filedir schema space
    sa.Column("year", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(100), primary_key=True),  # the folder's, the schema's, the course's id
    sa.Column("code", sa.String(100), nullable=False),  # of a space
    sa.Column("action", sa.String(10), nullable=False),  # delete hide keep
    sa.Column("reason", sa.String(1000), nullable=False),  # why it stays, or what no longer can be done after it
    sa.Column("since", MOMENT),  # its age counts from then; NULL: nobody can tell
    sa.Column("number", sa.BigInteger, nullable=False),  # of files or tables
    sa.Column("amount", sa.BigInteger, nullable=False),  # bytes or rows
    sa.Column("digest", sa.String(64), nullable=False),  # SHA-256 of its inventory
    sa.Column("state", sa.String(10), nullable=False),  # listed, begun (the proof is written), done
    sa.Column("done_at", MOMENT),
)
