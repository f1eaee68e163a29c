"""State table of the calendar exceptions that pedagogical engineers enter, between two feeds."""

import sqlalchemy as sa

from transition.state.tables import MOMENT, state_table

# Append-only: an entry is withdrawn, never changed nor deleted. Columns as in `exception_calendrier`.
calendar_entry = state_table(
    "calendar_entry",
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("year", sa.Integer, nullable=False),
    sa.Column("cible_type", sa.String(10), nullable=False),  # element etape cours
    sa.Column("cible", sa.String(100), nullable=False),
    sa.Column("cle", sa.String(100), nullable=False),
    sa.Column("type", sa.String(20), nullable=False),  # ouverture_precoce fermeture_tardive decale exclu
    sa.Column("debut", sa.Date),
    sa.Column("fin", sa.Date),
    sa.Column("motif", sa.String(1000), nullable=False),
    sa.Column("demandeur", sa.String(255), nullable=False),
    sa.Column("run", sa.Integer, nullable=False),  # that entered it
    sa.Column("entered_by", sa.String(250), nullable=False),
    sa.Column("entered_at", MOMENT, nullable=False),
    sa.Column("withdrawn_by", sa.String(250)),
    sa.Column("withdrawn_at", MOMENT),
    sa.Index("calendar_entry_year", "year", "cle"),
)
