"""The state schema, as the first version has it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
STATE = "state"  # mapped to the platform's schema by the connection


def upgrade() -> None:
    """Create every table that is missing."""
    _create(
        "approval",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("exceeding", sa.Boolean(), nullable=False),
        sa.Column("approved_by", sa.String(250), nullable=False),
        sa.Column("approved_at", MOMENT, nullable=False),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.Column("run", sa.Integer()),
    )
    _create(
        "arrival",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("courseid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("userid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("timestart", sa.BigInteger(), nullable=False),
        sa.Column("timeend", sa.BigInteger(), nullable=False),
    )
    _create(
        "content",
        sa.Column("year", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("contenthash", sa.String(40), primary_key=True),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
    )
    _create(
        "decision",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("courseid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("code", sa.String(100), nullable=False),
        sa.Column("shortname", sa.String(255), nullable=False),
        sa.Column("fullname", sa.String(1333), nullable=False),
        sa.Column("category", sa.String(1000), nullable=False),
        sa.Column("decision", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("in_scope", sa.Boolean(), nullable=False),
    )
    _create(
        "element",
        sa.Column("lot_id", sa.String(100), primary_key=True),
        sa.Column("code", sa.String(100), primary_key=True),
        sa.Column("cle", sa.String(100), nullable=False),
        sa.Column("libelle", sa.String(255), nullable=False),
        sa.Column("nature", sa.String(20), nullable=False),
        sa.Column("periode", sa.String(10)),
        sa.Column("composante", sa.String(20), nullable=False),
        sa.Column("etat", sa.String(10), nullable=False),
        sa.Column("fictif", sa.Boolean(), nullable=False),
        sa.Column("code_porteur", sa.String(100)),
        sa.Column("cle_porteur", sa.String(100)),
        sa.Index("element_cle", "lot_id", "cle"),
        sa.Index("element_porteur", "lot_id", "cle_porteur"),
    )
    _create(
        "element_etape",
        sa.Column("lot_id", sa.String(100), primary_key=True),
        sa.Column("code", sa.String(100), primary_key=True),
        sa.Column("etape", sa.String(20), primary_key=True),
        sa.Column("version", sa.String(10), primary_key=True),
        sa.Column("libelle_etape", sa.String(255), nullable=False),
        sa.Column("obligatoire", sa.Boolean(), nullable=False),
    )
    _create(
        "enseignant_affectation",
        sa.Column("lot_id", sa.String(100), primary_key=True),
        sa.Column("code", sa.String(100), primary_key=True),
        sa.Column("identifiant", sa.String(100), primary_key=True),
        sa.Column("role", sa.String(100), primary_key=True),
        sa.Column("cle", sa.String(100), nullable=False),
        sa.Column("origine", sa.String(50), nullable=False),
        sa.Column("depuis", sa.Date()),
        sa.Column("jusqu_a", sa.Date()),
        sa.Index("enseignant_cle", "lot_id", "cle"),
    )
    _create(
        "etudiant",
        sa.Column("lot_id", sa.String(100), primary_key=True),
        sa.Column("code_etudiant", sa.String(20), primary_key=True),
        sa.Column("identifiant", sa.String(100), nullable=False),
    )
    _create(
        "ex_change",
        sa.Column("year", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("courseid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("archived_in", sa.Integer()),
        sa.Column("fullname", sa.String(1333), nullable=False),
        sa.Column("shortname", sa.String(255), nullable=False),
        sa.Column("idnumber", sa.String(100), nullable=False),
        sa.Column("category", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.Column("new_fullname", sa.String(1333), nullable=False),
        sa.Column("new_shortname", sa.String(255), nullable=False),
        sa.Column("new_idnumber", sa.String(100), nullable=False),
        sa.Column("visible", sa.SmallInteger(), nullable=False),
        sa.Column("new_visible", sa.SmallInteger(), nullable=False),
    )
    _create(
        "ex_link",
        sa.Column("year", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("courseid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("enrolid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("new_status", sa.SmallInteger(), nullable=False),
    )
    _create(
        "exception_calendrier",
        sa.Column("lot_id", sa.String(100), primary_key=True),
        sa.Column("ligne", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("cible_type", sa.String(10), nullable=False),
        sa.Column("cible", sa.String(100), nullable=False),
        sa.Column("cle", sa.String(100), nullable=False),
        sa.Column("type", sa.String(20), nullable=False),
        sa.Column("debut", sa.Date()),
        sa.Column("fin", sa.Date()),
        sa.Column("motif", sa.String(1000), nullable=False),
        sa.Column("demandeur", sa.String(255), nullable=False),
    )
    _create(
        "fence",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("taken_at", MOMENT, nullable=False),
    )
    _create(
        "group_route",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("courseid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("code_groupe", sa.String(100), primary_key=True),
        sa.Column("name", sa.String(254), nullable=False),
        sa.Column("groupid", sa.BigInteger()),
        sa.Index("group_route_group", "run", "groupid"),
    )
    _create(
        "groupe",
        sa.Column("lot_id", sa.String(100), primary_key=True),
        sa.Column("code_groupe", sa.String(100), primary_key=True),
        sa.Column("code", sa.String(100), primary_key=True),
        sa.Column("cle", sa.String(100), nullable=False),
        sa.Column("libelle", sa.String(255), nullable=False),
        sa.Column("type", sa.String(20)),
        sa.Index("groupe_cle", "lot_id", "cle"),
    )
    _create(
        "groupe_membre",
        sa.Column("lot_id", sa.String(100), primary_key=True),
        sa.Column("code_groupe", sa.String(100), primary_key=True),
        sa.Column("code_etudiant", sa.String(20), primary_key=True),
    )
    _create(
        "inscription",
        sa.Column("lot_id", sa.String(100), primary_key=True),
        sa.Column("code_etudiant", sa.String(20), primary_key=True),
        sa.Column("code", sa.String(100), primary_key=True),
        sa.Column("etape", sa.String(20), primary_key=True),
        sa.Column("version", sa.String(10), primary_key=True),
        sa.Column("cle", sa.String(100), nullable=False),
        sa.Column("statut", sa.String(20), nullable=False),
        sa.Column("ia_payee", sa.Boolean()),
        sa.Column("depuis", sa.Date()),
        sa.Column("jusqu_a", sa.Date()),
        sa.Index("inscription_cle", "lot_id", "cle"),
    )
    _create(
        "journal",
        sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(40), nullable=False),
        sa.Column("rule", sa.String(40), nullable=False),
        sa.Column("table_name", sa.String(64), nullable=False),
        sa.Column("courseid", sa.BigInteger()),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("actor", sa.String(250), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float()),
        sa.Column("rows_before", sa.BigInteger()),
        sa.Column("rows_moved", sa.BigInteger()),
        sa.Column("rows_after", sa.BigInteger()),
        sa.Column("detail", TEXT, nullable=False),
        sa.Index("journal_run", "run", "stage", "rule", "table_name"),
    )
    _create(
        "lot",
        sa.Column("lot_id", sa.String(100), primary_key=True),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("annee", sa.Integer(), nullable=False),
        sa.Column("extrait_le", MOMENT, nullable=False),
        sa.Column("nb_lignes", TEXT, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("charge_le", MOMENT),
    )
    _create(
        "maintenance",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("was_closed", sa.Boolean(), nullable=False),
        sa.Column("value", TEXT),
        sa.Column("closed_at", MOMENT, nullable=False),
        sa.Column("reopened_at", MOMENT),
    )
    _create(
        "pad",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("padid", sa.String(255), primary_key=True),
        sa.Column("courseid", sa.BigInteger(), nullable=False),
        sa.Column("activity", sa.BigInteger(), nullable=False),
        sa.Column("saved", sa.String(1000)),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("emptied_at", MOMENT),
    )
    _create(
        "plan_line",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("rule", sa.String(40), primary_key=True),
        sa.Column("table_name", sa.String(64), primary_key=True),
        sa.Column("courseid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
    )
    _create(
        "progress",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("rule", sa.String(40), primary_key=True),
        sa.Column("table_name", sa.String(64), primary_key=True),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("moved", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
    )
    _create(
        "restore_row",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("table_name", sa.String(64), primary_key=True),
        sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("rule", sa.String(40), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("part", sa.Boolean(), nullable=False),
    )
    _create(
        "route",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("courseid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("cle", sa.String(100), primary_key=True),
    )
    _create(
        "run",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(250), nullable=False, unique=True),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("courses", TEXT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("frozen_at", MOMENT),
    )
    _create(
        "run_lot",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("annee", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("lot_id", sa.String(100), nullable=False),
    )
    _create(
        "snapshot",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("table_name", sa.String(64), primary_key=True),
        sa.Column("max_id", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.String(40), nullable=False),
    )
    _create(
        "space_context",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("contextid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("courseid", sa.BigInteger(), nullable=False),
        sa.Column("contextlevel", sa.Integer(), nullable=False),
        sa.Column("instanceid", sa.BigInteger(), nullable=False),
        sa.Column("module", sa.String(50), nullable=False),
        sa.Index("space_context_course", "run", "courseid", "contextlevel"),
    )
    _create(
        "space_reset",
        sa.Column("year", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("courseid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("verified_at", MOMENT, nullable=False),
    )
    _create(
        "standing",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("courseid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("userid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("standing", sa.String(10), nullable=False),
    )
    _create(
        "student_account",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("code_etudiant", sa.String(20), primary_key=True),
        sa.Column("userid", sa.BigInteger(), nullable=False),
        sa.Index("student_account_user", "run", "userid"),
    )
    _create(
        "unknown_student",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("code_etudiant", sa.String(20), primary_key=True),
    )
    _create(
        "way",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("table_name", sa.String(64), primary_key=True),
        sa.Column("way", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(250), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("max_id", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.String(40)),
    )
    _create(
        "space_component",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("courseid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("component", sa.String(255), nullable=False),
    )
    _create(
        "cap_crossed",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("cap", sa.String(40), primary_key=True),
        sa.Column("component", sa.String(255), primary_key=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("base", sa.BigInteger(), nullable=False),
        sa.Column("allowed", sa.Double(), nullable=False),
    )
    _create(
        "calendar_entry",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("cible_type", sa.String(10), nullable=False),
        sa.Column("cible", sa.String(100), nullable=False),
        sa.Column("cle", sa.String(100), nullable=False),
        sa.Column("type", sa.String(20), nullable=False),
        sa.Column("debut", sa.Date()),
        sa.Column("fin", sa.Date()),
        sa.Column("motif", sa.String(1000), nullable=False),
        sa.Column("demandeur", sa.String(255), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("entered_by", sa.String(250), nullable=False),
        sa.Column("entered_at", MOMENT, nullable=False),
        sa.Column("withdrawn_by", sa.String(250)),
        sa.Column("withdrawn_at", MOMENT),
        sa.Index("calendar_entry_year", "year", "cle"),
    )
    _create(
        "course_copy",
        sa.Column("source", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("target", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("source_state", sa.String(64), nullable=False),
        sa.Column("activities", TEXT, nullable=False),
        sa.Column("before", TEXT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("restored_at", MOMENT),
        sa.Column("verified_at", MOMENT),
    )
    _create(
        "held_setting",
        sa.Column("plugin", sa.String(100), primary_key=True),
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("value", TEXT),
        sa.Column("run", sa.Integer(), nullable=False),
    )
    _create(
        "expiry_item",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(10), primary_key=True),
        sa.Column("year", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("code", sa.String(100), nullable=False),
        sa.Column("action", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("since", MOMENT),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("done_at", MOMENT),
    )
    _create(
        "own_cohort",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("idnumber", sa.String(100), primary_key=True),
        sa.Column("cohortid", sa.BigInteger()),
        sa.Column("courseid", sa.BigInteger(), nullable=False),
        sa.Index("own_cohort_cohort", "run", "cohortid"),
    )
    _create(
        "cohort_space",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("courseid", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("idnumber", sa.String(100), primary_key=True),
    )
    _create(
        "cohort_student",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("idnumber", sa.String(100), primary_key=True),
        sa.Column("userid", sa.BigInteger(), primary_key=True, autoincrement=False),
    )
    _create(
        "missing_space",
        sa.Column("run", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("cle", sa.String(100), primary_key=True),
        sa.Column("code", sa.String(100), nullable=False),
        sa.Column("libelle", sa.String(255), nullable=False),
        sa.Column("composante", sa.String(20), nullable=False),
        sa.Column("category", sa.BigInteger()),
        sa.Column("obstacle", sa.String(500), nullable=False),
        sa.Column("courseid", sa.BigInteger()),
    )


def _create(name: str, *items: sa.schema.SchemaItem) -> None:
    """Create a table and its indexes, each only if it is missing: a kill may have come between two statements."""
    table = sa.Table(
        name, sa.MetaData(schema=STATE), *items,
        mysql_engine="InnoDB", mysql_charset="utf8mb4", mysql_collate="utf8mb4_bin",
        mariadb_engine="InnoDB", mariadb_charset="utf8mb4", mariadb_collate="utf8mb4_bin",
    )  # fmt: skip
    bind = op.get_bind()
    table.create(bind, checkfirst=True)
    for index in table.indexes:
        index.create(bind, checkfirst=True)
