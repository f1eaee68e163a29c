"""Students without an account are listed, for those who create accounts, and for nobody else."""

import stat
from pathlib import Path

from tests.enrolment.world import Registration, World
from transition.enrolment.people import record_people
from transition.enrolment.unknown import FILE, list_unknown


def test_listed_by_number_with_the_codes_and_private(world: World, tmp_path: Path) -> None:
    world.add_user("e26000001")
    campaign = world.campaign()
    world.decide(campaign, {2: "reset", 4: "reset", 3: "archive"})
    known, gone = Registration("26000001", "LI3INF01", "e26000001"), Registration("26000009", "LI3INF02", "e26000009")
    unknown = [Registration("26000002", code, "e26000002") for code in ("LI3INF01", "L1MAT101")]
    done = Registration("26000003", "L1MAT101", "e26000003", statut="dispense")
    world.feed(campaign, [known, gone, *unknown, done])
    record_people(campaign)
    sentence = list_unknown(campaign)
    path = tmp_path / "ecampus" / "2026" / "exports" / FILE
    assert sentence == f"1 étudiant inscrit dans Apogée n'a pas de compte dans Moodle : liste dans {path}."
    assert path.read_text() == "code_etudiant;codes\n26000002;L1MAT101 LI3INF01\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    world.add_user("e26000002")
    record_people(campaign)
    assert list_unknown(campaign) == ""
    assert not path.exists(), "an old list would have accounts created twice"
