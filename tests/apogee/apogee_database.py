"""A small Apogée database: the tables and columns that the queries read, with Apogée's names and lengths."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "COD_ANU": sa.String(4), "COD_CMP": sa.String(3), "COD_TPC": sa.String(3), "COD_ETP": sa.String(6),
    "COD_VRS_VET": sa.Numeric(3), "LIB_ETP": sa.String(60), "LIB_WEB_VET": sa.String(120), "COD_DIP": sa.String(7),
    "COD_VRS_VDI": sa.Numeric(3), "DAA_DEB_RCT_VET": sa.String(4), "DAA_FIN_RCT_VET": sa.String(4),
    "COD_ELP": sa.String(8), "LIB_ELP": sa.String(60), "COD_NEL": sa.String(4), "COD_PEL": sa.String(2),
    "ETA_ELP": sa.CHAR(1), "TEM_SUS_ELP": sa.CHAR(1), "TEM_FICTIF": sa.CHAR(1), "COD_LSE": sa.String(8),
    "COD_TYP_LSE": sa.CHAR(1), "ETA_LSE": sa.CHAR(1), "DAT_CRE_REL_LSE_VET": sa.DateTime(),
    "DAT_FRM_REL_LSE_VET": sa.DateTime(), "DAT_CRE_REL_LSE_ELP": sa.DateTime(), "DAT_FRM_REL_LSE_ELP": sa.DateTime(),
    "COD_ELP_PORTE": sa.String(8), "COD_ELP_PORTEUR": sa.String(8), "COD_IND": sa.Numeric(8), "COD_ETU": sa.Numeric(8),
    "ETA_IAE": sa.CHAR(1), "ETA_PMT_IAE": sa.CHAR(1), "NUM_OCC_IAE": sa.Numeric(2), "TEM_PRC_ICE": sa.CHAR(1),
    "COD_GPE": sa.Numeric(8), "LIB_GPE": sa.String(40), "COD_TGR": sa.String(6), "DAA_DEB_VAL_GPE": sa.String(4),
    "DAA_FIN_VAL_GPE": sa.String(4), "TYP_OBJ_GPO": sa.String(3),
}  # fmt: skip
_TABLES = {
    "ANNEE_UNI": "COD_ANU",
    "COMPOSANTE": "COD_CMP COD_TPC",
    "ETAPE": "COD_ETP LIB_ETP",
    "VERSION_ETAPE": "COD_ETP COD_VRS_VET LIB_WEB_VET COD_CMP",
    "VDI_FRACTIONNER_VET": "COD_DIP COD_VRS_VDI COD_ETP COD_VRS_VET DAA_DEB_RCT_VET DAA_FIN_RCT_VET",
    "ELEMENT_PEDAGOGI": "COD_ELP LIB_ELP COD_CMP COD_NEL COD_PEL ETA_ELP TEM_SUS_ELP",
    "NATURE_ELP": "COD_NEL TEM_FICTIF",
    "LISTE_ELP": "COD_LSE COD_TYP_LSE ETA_LSE",
    "VET_REGROUPE_LSE": "COD_ETP COD_VRS_VET COD_LSE DAT_CRE_REL_LSE_VET DAT_FRM_REL_LSE_VET",
    "LSE_REGROUPE_ELP": "COD_LSE COD_ELP",
    "ELP_REGROUPE_LSE": "COD_ELP COD_LSE DAT_CRE_REL_LSE_ELP DAT_FRM_REL_LSE_ELP",
    "ELP_PORTEUR_PORTE": "COD_ANU COD_ELP_PORTE COD_ELP_PORTEUR",
    "INDIVIDU": "COD_IND COD_ETU",
    "INS_ADM_ETP": "COD_ANU COD_IND COD_ETP COD_VRS_VET NUM_OCC_IAE ETA_IAE ETA_PMT_IAE",
    "IND_CONTRAT_ELP": "COD_ANU COD_IND COD_ETP COD_VRS_VET COD_ELP TEM_PRC_ICE",
    "IND_DISPENSE_ELP": "COD_ANU COD_IND COD_ETP COD_VRS_VET COD_ELP",
    "GROUPE": "COD_GPE LIB_GPE COD_TGR DAA_DEB_VAL_GPE DAA_FIN_VAL_GPE",
    "GPE_OBJ": "COD_GPE TYP_OBJ_GPO COD_ELP COD_ETP COD_VRS_VET",
    "IND_AFFECTE_GPE": "COD_GPE COD_IND COD_ANU",
}
metadata = sa.MetaData()
TABLES = {
    name: sa.Table(name, metadata, *(sa.Column(column, _TYPES[column]) for column in columns.split()))
    for name, columns in _TABLES.items()
}
SPACED = "INF 503\u00a0"  # a code typed with a non-breaking space
CLOSED = datetime(2026, 6, 1)  # staff close links in June to prepare the next year
Rows = Mapping[str, Sequence[tuple[Any, ...]]]

# L3INF 140: S5 (compulsory) > INF501 > INF502 (optional) > S5 again, a loop; INF503 by choice; MIR501 is a mirror whose
# porteur is MAT501; OLD501 left in June; CLO501 is closed, and hides SUB501; SUS501 is suspended.
WORLD: Rows = {
    "ANNEE_UNI": [("2024",), ("2025",), ("2026",)],
    "COMPOSANTE": [("SCI", "UFR"), ("IFS", "EXT")],
    "ETAPE": [("L3INF", "L3 Informatique"), ("L3EXT", "Soins infirmiers"), ("L3VIE", "L3 ancienne")],
    "VERSION_ETAPE": [
        ("L3INF", 140, None, "SCI"), ("L3EXT", 1, "Soins infirmiers", "IFS"), ("L3VIE", 130, "Ancienne", "SCI")
    ],
    "VDI_FRACTIONNER_VET": [
        ("LINF", 1, "L3INF", 140, "2024", "2028"), ("LINF", 2, "L3INF", 140, "2024", "2028"),
        ("LEXT", 1, "L3EXT", 1, "2024", "2028"), ("LVIE", 1, "L3VIE", 130, "2019", "2024"),
    ],
    "NATURE_ELP": [("SEM", "N"), ("EC", "N"), ("MIR", "O")],
    "ELEMENT_PEDAGOGI": [
        ("S5", "Semestre 5", "SCI", "SEM", "S5", "O", "N"), ("INF501", "Réseaux", "SCI", "EC", "S5", "O", "N"),
        ("INF502", "Compilation", "SCI", "EC", "S5", "O", None), (SPACED, "Éthique", "SCI", "EC", "S6", "O", "N"),
        ("MIR501", "Miroir", "SCI", "MIR", None, "O", "N"), ("MIR502", "Sous le miroir", "SCI", "EC", None, "O", "N"),
        ("OLD501", "Ancien", "SCI", "EC", "S5", "O", "N"), ("CLO501", "Fermé", "SCI", "EC", "S5", "F", "N"),
        ("SUB501", "Sous le fermé", "SCI", "EC", "S5", "O", "N"), ("SUS501", "Suspendu", "SCI", "EC", "S5", "O", "O"),
        ("EXT501", "Stage", "IFS", "EC", "S5", "O", "N"), ("VIE501", "Vieux", "SCI", "EC", "S5", "O", "N"),
        ("IPS501", "Sans lien", "SCI", "EC", "S5", "O", "N"), ("MAT501", "Algèbre", "SCI", "EC", "S5", "O", "N"),
    ],
    "LISTE_ELP": [
        ("L1", "O", "O"), ("L2", "O", "O"), ("L3", "X", "O"), ("L4", "O", "O"), ("L5", "O", "F"), ("LE", "O", "O"),
        ("LV", "O", "O"), ("LM", "O", "O"), ("LS", "O", "O"), ("LO", "O", "O"),
    ],
    "VET_REGROUPE_LSE": [
        ("L3INF", 140, "L1", None, None), ("L3INF", 140, "LO", None, CLOSED), ("L3EXT", 1, "LE", None, None),
        ("L3VIE", 130, "LV", None, None),
    ],
    "LSE_REGROUPE_ELP": [
        ("L1", "S5"), ("L2", "INF501"), ("L2", "CLO501"), ("L2", "SUS501"), ("L2", "MIR501"), ("L3", "INF502"),
        ("L3", SPACED), ("L4", "S5"), ("L5", "IPS501"), ("LE", "EXT501"), ("LV", "VIE501"), ("LM", "MIR502"),
        ("LS", "SUB501"), ("LO", "OLD501"),
    ],
    "ELP_REGROUPE_LSE": [
        ("S5", "L2", datetime(2020, 1, 1), None), ("S5", "L5", None, None),
        ("INF501", "L3", None, datetime(2099, 1, 1)), ("INF502", "L4", None, None),
        ("MIR501", "LM", None, None), ("CLO501", "LS", None, None),
    ],
    "ELP_PORTEUR_PORTE": [("2026", "MIR501", "MAT501"), ("2025", "MIR501", "AUTRE")],
    "INDIVIDU": [(1, 22600001), (2, 22600002), (3, None), (4, 22600004), (5, 22600005)],
    "INS_ADM_ETP": [
        ("2026", 1, "L3INF", 140, 1, "A", "P"), ("2026", 1, "L3INF", 140, 2, "E", "P"),
        ("2026", 2, "L3INF", 140, 1, "E", "N"), ("2026", 3, "L3INF", 140, 1, "E", "P"),
        ("2026", 4, "L3INF", 140, 1, "R", "P"), ("2025", 5, "L3INF", 140, 1, "E", "P"),
    ],
    "IND_CONTRAT_ELP": [
        ("2026", 1, "L3INF", 140, "INF501", "N"), ("2026", 1, "L3INF", 140, SPACED, "O"),
        ("2026", 1, "L3INF", 140, "MIR501", "N"), ("2026", 2, "L3INF", 140, "INF501", "N"),
        ("2026", 2, "L3INF", 140, "INF502", "N"), ("2026", 3, "L3INF", 140, "INF501", "N"),
        ("2026", 4, "L3INF", 140, "INF501", "N"), ("2025", 5, "L3INF", 140, "IPS501", "N"),
    ],
    "IND_DISPENSE_ELP": [("2026", 2, "L3INF", 140, "INF502"), ("2025", 1, "L3INF", 140, "INF501")],
    "GROUPE": [(1, "TD 1", "TD", "2020", None), (2, "Ancien", "TD", "2018", "2020"), (3, "L3", "CM", None, None)],
    "GPE_OBJ": [(1, "ELP", "INF501", None, None), (2, "ELP", "INF501", None, None), (3, "VET", None, "L3INF", 140)],
    "IND_AFFECTE_GPE": [(1, 1, "2026"), (1, 2, "2025"), (1, 3, "2026"), (2, 2, "2026"), (1, 5, "2026")],
}  # fmt: skip


def fill(engine: sa.Engine, rows: Rows = WORLD) -> None:
    """Create the tables and write those rows."""
    metadata.create_all(engine)
    with engine.begin() as connection:
        for name, values in rows.items():
            columns = [column.name for column in TABLES[name].columns]
            connection.execute(sa.insert(TABLES[name]), [dict(zip(columns, row, strict=True)) for row in values])
