"""The canonical Apogée tables, as every source fills them, in the platform's state schema.

Each row belongs to one ``lot`` (one extraction of one year). ``cle`` is the code normalised for comparison only (no
non-breaking space, trimmed, upper case); ``code`` stays byte-exact. Of people, only what enrolment needs is kept.
"""

import sqlalchemy as sa

from transition.state.tables import MOMENT, TEXT, state_table


def _code(name: str = "code", *, primary_key: bool = False, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(100), primary_key=primary_key, nullable=nullable)


def _lot() -> sa.Column[str]:
    return sa.Column("lot_id", sa.String(100), primary_key=True)


lot = state_table(
    "lot",
    _lot(),
    sa.Column("source", sa.String(20), nullable=False),
    sa.Column("annee", sa.Integer, nullable=False),
    sa.Column("extrait_le", MOMENT, nullable=False),
    sa.Column("nb_lignes", TEXT, nullable=False),  # JSON: rows by table
    sa.Column("sha256", sa.String(64), nullable=False),  # of the whole feed
    sa.Column("charge_le", MOMENT),  # NULL until every table of the lot is loaded
)

# The lots a run works with: year N, and N-1 where there is one.
run_lot = state_table(
    "run_lot",
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("annee", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("lot_id", sa.String(100), nullable=False),
)

element = state_table(
    "element",
    _lot(),
    _code(primary_key=True),
    _code("cle"),
    sa.Column("libelle", sa.String(255), nullable=False),
    sa.Column("nature", sa.String(20), nullable=False),
    sa.Column("periode", sa.String(10)),
    sa.Column("composante", sa.String(20), nullable=False),
    sa.Column("etat", sa.String(10), nullable=False),  # ouvert ferme suspendu
    sa.Column("fictif", sa.Boolean, nullable=False),
    _code("code_porteur", nullable=True),
    _code("cle_porteur", nullable=True),
    sa.Index("element_cle", "lot_id", "cle"),
    sa.Index("element_porteur", "lot_id", "cle_porteur"),
)

element_etape = state_table(
    "element_etape",
    _lot(),
    _code(primary_key=True),
    sa.Column("etape", sa.String(20), primary_key=True),
    sa.Column("version", sa.String(10), primary_key=True),
    sa.Column("libelle_etape", sa.String(255), nullable=False),
    sa.Column("obligatoire", sa.Boolean, nullable=False),
)

etudiant = state_table(
    "etudiant",
    _lot(),
    sa.Column("code_etudiant", sa.String(20), primary_key=True),
    sa.Column("identifiant", sa.String(100), nullable=False),
)

inscription = state_table(
    "inscription",
    _lot(),
    sa.Column("code_etudiant", sa.String(20), primary_key=True),
    _code(primary_key=True),
    sa.Column("etape", sa.String(20), primary_key=True),
    sa.Column("version", sa.String(10), primary_key=True),
    _code("cle"),
    sa.Column("statut", sa.String(20), nullable=False),  # active prise_en_compte dispense annulee
    sa.Column("ia_payee", sa.Boolean),
    sa.Column("depuis", sa.Date),
    sa.Column("jusqu_a", sa.Date),
    sa.Index("inscription_cle", "lot_id", "cle"),
)

enseignant_affectation = state_table(
    "enseignant_affectation",
    _lot(),
    _code(primary_key=True),
    sa.Column("identifiant", sa.String(100), primary_key=True),
    sa.Column("role", sa.String(100), primary_key=True),
    _code("cle"),
    sa.Column("origine", sa.String(50), nullable=False),
    sa.Column("depuis", sa.Date),
    sa.Column("jusqu_a", sa.Date),
    sa.Index("enseignant_cle", "lot_id", "cle"),
)

groupe = state_table(
    "groupe",
    _lot(),
    sa.Column("code_groupe", sa.String(100), primary_key=True),
    _code(primary_key=True),
    _code("cle"),
    sa.Column("libelle", sa.String(255), nullable=False),
    sa.Column("type", sa.String(20)),
    sa.Index("groupe_cle", "lot_id", "cle"),
)

groupe_membre = state_table(
    "groupe_membre",
    _lot(),
    sa.Column("code_groupe", sa.String(100), primary_key=True),
    sa.Column("code_etudiant", sa.String(20), primary_key=True),
)

exception_calendrier = state_table(
    "exception_calendrier",
    _lot(),
    sa.Column("ligne", sa.Integer, primary_key=True, autoincrement=False),  # line in the feed
    sa.Column("cible_type", sa.String(10), nullable=False),  # element etape cours
    _code("cible"),
    _code("cle"),
    sa.Column("type", sa.String(20), nullable=False),  # ouverture_precoce fermeture_tardive decale exclu
    sa.Column("debut", sa.Date),
    sa.Column("fin", sa.Date),
    sa.Column("motif", sa.String(1000), nullable=False),
    sa.Column("demandeur", sa.String(255), nullable=False),
)
