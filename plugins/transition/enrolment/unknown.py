"""Students whom Apogée registers and Moodle does not know: listed for whoever creates accounts."""

import csv
import io

import sqlalchemy as sa

from transition import storage
from transition.apogee.tables import inscription, run_lot
from transition.campaign import Campaign
from transition.enrolment.tables import route, unknown_student
from transition.french import counted

FILE = "comptes-inconnus.csv"


def list_unknown(campaign: Campaign) -> str:
    """Write ``exports/comptes-inconnus.csv`` (``code_etudiant;codes``); returns a French sentence, '' if there is none.

    For its owner only: it names students, by their number alone, hence not among the reports, which never expire. A
    list of an earlier run is replaced, or removed.
    """
    joined = unknown_student.join(inscription, inscription.c.code_etudiant == unknown_student.c.code_etudiant).join(
        run_lot, sa.and_(run_lot.c.lot_id == inscription.c.lot_id, run_lot.c.run == unknown_student.c.run)
    )
    query = (
        sa.select(inscription.c.code_etudiant, inscription.c.code)
        .select_from(joined.join(route, sa.and_(route.c.run == run_lot.c.run, route.c.cle == inscription.c.cle)))
        .where(
            unknown_student.c.run == campaign.run, run_lot.c.annee == campaign.year, inscription.c.statut == "active"
        )
        .distinct()
        .order_by(inscription.c.code_etudiant, inscription.c.code)
    )
    codes: dict[str, list[str]] = {}
    with campaign.engine.connect() as connection:
        for student, code in connection.execute(query):
            codes.setdefault(student, []).append(code)
    path = storage.folder(campaign, "exports") / FILE
    if not codes:
        path.unlink(missing_ok=True)
        return ""
    storage.make_private(path.parent)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\n")
    writer.writerow(("code_etudiant", "codes"))
    writer.writerows((student, " ".join(of_student)) for student, of_student in codes.items())
    storage.write(path, text.getvalue().encode())
    who = counted(len(codes), "étudiant inscrit dans Apogée n'a pas", "étudiants inscrits dans Apogée n'ont pas")
    return f"{who} de compte dans Moodle : liste dans {path}."
