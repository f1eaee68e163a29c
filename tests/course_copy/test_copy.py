"""The content of an archived space in the new one, through stand-ins of Moodle's scripts that really write."""

import signal
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.course_copy.conftest import MOODLE, NAME, SOURCE, World
from tests.support.dump import Rows, compare
from transition.backup.stage import july_backup
from transition.enrolment.tables import ex_change
from transition.errors import TransitionError, UnreachableError
from transition.french import moment
from transition.state import schema


def assert_untouched(world: World, before: dict[str, Rows]) -> None:
    """Nothing in Moodle but new ids of settings, which are what they were; nothing in the exchange folder."""
    found = compare({name: before[name] for name in world.written()}, world.written())
    assert set(found) <= {"config_plugins"}
    assert_clean(world)


def assert_clean(world: World) -> None:
    assert list(world.exchange.iterdir()) == []
    assert world.setting("backup", "backup_general_users") == "1"
    assert world.setting("restore", "restore_general_enrolments") == "1"
    assert world.setting("restore", "restore_merge_overwrite_conf") == "0"
    assert world.execute(f"SELECT * FROM {NAME}_transition.held_setting") == []


def test_the_content_arrives_once_and_nobody_comes_along(world: World, before: dict[str, Rows]) -> None:
    world.execute("UPDATE mdl_config_plugins SET value = '0' WHERE name = 'restore_general_enrolments'")
    world.execute("DELETE FROM mdl_config_plugins WHERE name = 'restore_merge_overwrite_conf'")
    wanted = world.kinds(SOURCE)
    said = world.copy()
    assert said == f"ex_LI3INF02 vers LI3INF07 : {len(wanted)} activités copiées sans données d'utilisateurs, vérifié."
    assert Counter(world.kinds(world.target)) == Counter([*wanted, "forum"])

    found = compare(before, world.dump())
    found.pop("config_plugins")
    assert {name for name, difference in found.items() if difference.gone or difference.changed} == set()
    assert set(found) == {"course_modules", *wanted}
    assert list(world.exchange.iterdir()) == []
    held = "SELECT * FROM mdl_config_plugins WHERE name = 'restore_merge_overwrite_conf'"
    assert world.execute(held) == [], "a setting without a row has none again"
    scripts = " ".join(call.split(".php", 1)[0] for call in world.calls())
    assert scripts == "restore_backup cfg backup cfg cfg restore_backup cfg"
    assert world.calls()[1].endswith("--name=backup_general_users --set=0")
    assert world.calls()[-1].endswith("--name=restore_merge_overwrite_conf --unset")
    [entry] = world.journal("copied")
    assert (entry.courseid, entry.rows_before, entry.rows_moved, entry.rows_after) == (
        world.target, 1, len(wanted), len(wanted) + 1,
    )  # fmt: skip
    assert entry.detail == "de ex_LI3INF02 (id 3)"

    after = world.written()
    [(verified,)] = world.execute(f"SELECT verified_at FROM {NAME}_transition.course_copy")
    when = moment(verified, world.campaign().platform.zone)
    assert f"déjà copié le {when}, rien n'a changé" in world.copy(source="LI3INF02"), "by its code too"
    assert compare(after, world.written()) == {}
    with pytest.raises(TransitionError, match=rf"a déjà {len(wanted) - 1} activités") as refused:
        world.copy(source="3", again=True)
    assert "\n  - TP noté 1 (assign)\n" in str(refused.value)
    # A teacher changes the archived space: another copy is another state, and still does not come by itself.
    world.execute("UPDATE mdl_course_sections SET name = 'Chapitre neuf' WHERE course = 3 AND section = 1")
    with pytest.raises(TransitionError, match="confirm_not_empty"):
        world.copy()
    assert compare(after, world.written()).keys() == {"course_sections"}
    world.execute("UPDATE mdl_course_sections SET name = NULL WHERE course = 3 AND section = 1")
    world.copy(again=True, confirm_not_empty=True)
    assert len(world.kinds(world.target)) == 2 * len(wanted) + 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("users", r"contient des données d'utilisateurs \(3 comptes\)"),
        ("cut", "est tronqué ou altéré"),
        ("activity missing", "ne contient pas toutes les activités, il manque 1 « quiz »"),
        ("other course", "est celui du cours 4"),
        ("other site", "est celui d'un autre site Moodle"),
        ("no backup", r"a laissé 0 fichier .* \(Destination directory does not exists or not writable.\)"),
        ("stubborn", r"Le réglage backup \| backup_general_users de Moodle reste « 1 »"),
        ("old Moodle", r"Le restore_backup.php de Moodle 4\.5\.6 \(Build: 20250811\) ne restaure pas"),
    ],
)
def test_a_bad_backup_never_reaches_the_target(
    world: World, before: dict[str, Rows], wrong: str, sentence: str
) -> None:
    world.behave(wrong)
    with pytest.raises(TransitionError, match=sentence):
        world.copy()
    assert_untouched(world, before)
    assert not any("restore_backup.php --file" in call for call in world.calls())
    if wrong == "users":
        world.behave("")
        assert "vérifié" in world.copy()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("nothing restored", "activités « assign » ajoutées : 0 sur"),
        ("enrols", "1 ligne ajoutée dans user_enrolments"),
        ("assigns a role", "1 ligne ajoutée dans role_assignments"),
        ("renames", "son réglage fullname est passé de « Bases de données avancées » à « Bases de données »"),
        ("deletes", "1 activité qui s'y trouvait a disparu"),
    ],
)
def test_a_restore_that_does_something_else_is_no_success(world: World, wrong: str, sentence: str) -> None:
    world.behave(wrong)
    for _ in range(2):  # asked again, it looks again, and restores nothing again
        with pytest.raises(TransitionError, match=sentence):
            world.copy()
    assert len([call for call in world.calls() if "restore_backup.php --file" in call]) == 1
    assert_clean(world)
    assert world.journal("copied") == []
    if wrong == "enrols":
        world.execute("DELETE FROM mdl_user_enrolments ORDER BY id DESC LIMIT 1")
        assert "vérifié" in world.copy()


def test_a_restore_that_fails_half_way_waits_for_a_person(world: World) -> None:
    world.behave("fails half-way")
    with pytest.raises(TransitionError, match=r"a échoué et peut y avoir laissé une partie .*disk full"):
        world.copy()
    world.behave("")
    with pytest.raises(TransitionError, match="s'est arrêtée pendant la restauration"):
        world.copy()
    assert len(world.kinds(world.target)) == 3
    assert_clean(world)
    assert "vérifié" in world.copy(again=True, confirm_not_empty=True)


def test_killed_in_the_backup_it_starts_anew(world: World) -> None:
    world.behave("killed in backup")
    assert world.killed() == signal.SIGKILL
    assert world.setting("backup", "backup_general_users") == "0"
    assert len(list(world.exchange.iterdir())) == 1
    world.behave("")
    assert "vérifié" in world.copy()
    assert_clean(world)


def test_the_backup_of_july_puts_back_what_a_killed_copy_left(world: World) -> None:
    world.behave("killed in backup")
    assert world.killed() == signal.SIGKILL
    world.behave("")
    july_backup(world.campaign("juillet"))
    assert world.setting("backup", "backup_general_users") == "1"
    assert world.execute(f"SELECT * FROM {NAME}_transition.held_setting") == []


def test_killed_in_the_restore_it_waits_for_a_person(world: World) -> None:
    world.behave("killed in restore")
    assert world.killed() == signal.SIGKILL
    world.behave("")
    with pytest.raises(TransitionError, match="s'est arrêtée pendant la restauration"):
        world.copy()
    assert "vérifié" in world.copy(again=True, confirm_not_empty=True)
    assert_clean(world)


def test_a_code_is_the_new_spaces_once_that_of_the_archived_one_is_set_apart(world: World) -> None:
    campaign, named = world.campaign(), {"shortname": "LI3INF07", "fullname": "Bases de données", "visible": 1}
    schema.upgrade(campaign)
    change = {
        "courseid": SOURCE, "category": 4, "place": 1, "idnumber": "LI3INF07", **named,
        "new_idnumber": "ex_2025_LI3INF07", **{f"new_{name}": value for name, value in named.items()},
    }  # fmt: skip
    with campaign.engine.begin() as connection:
        connection.execute(
            sa.insert(ex_change).values(year=2026, run=1, at=datetime(2026, 8, 16), timemodified=1, **change)
        )
    world.execute("UPDATE mdl_course SET idnumber = 'ex_2025_LI3INF07' WHERE id = 3")
    wanted = world.kinds(SOURCE)
    assert "vérifié" in world.copy(source="LI3INF07", target="LI3INF07")
    assert Counter(world.kinds(world.target)) == Counter([*wanted, "forum"])
    world.execute("UPDATE mdl_course SET idnumber = '' WHERE idnumber = 'LI3INF07'")
    with pytest.raises(TransitionError, match="c'est l'espace archivé lui-même"):
        world.copy(source="LI3INF07", target="LI3INF07")


def test_refusals_before_the_first_call(world: World, before: dict[str, Rows]) -> None:
    def refused(sentence: str, source: str = "ex_LI3INF02", target: str = "LI3INF07") -> None:
        with pytest.raises(TransitionError, match=sentence):
            world.copy(source, target)

    refused("L'espace LI3INF01 .* n'est pas archivé", source="LI3INF01")
    refused("Aucun espace archivé ne s'appelle « ex_LI3INF20 » ; les plus proches : ex_LI3INF02", source="ex_LI3INF20")
    refused("Aucun espace d'arrivée ne s'appelle « LI3INF70 »", target="LI3INF70")
    refused("c'est l'espace archivé lui-même", target="LI3INF02")
    refused("il est archivé lui aussi", target="LI3INF01-2024")
    refused("c'est un espace complémentaire", target="ESPCOMP01")
    refused(r"L'espace LI3INF01 a déjà \d+ activités", target="LI3INF01")
    world.execute("UPDATE mdl_course SET idnumber = 'LI3INF07' WHERE id = 7")
    refused(r"« LI3INF07 » désigne 2 espaces : .*id 7")
    world.execute("UPDATE mdl_course SET idnumber = 'M2CHI305' WHERE id = 7")
    with world.campaign("autre").lock("purge:quiz"):
        refused("l'étape purge:quiz d'une autre exécution est en cours")
    with world.campaign("juillet").lock("july_backup"):
        refused("l'étape july_backup d'une autre exécution est en cours : attendez sa fin ou arrêtez-la")
    for missing, keys in ({"exchange": None}, "déclarez exchange dans"), (
        {"moodle_command": None, "exchange": None}, "déclarez moodle_command et exchange",
    ):  # fmt: skip
        world.more = missing
        refused(keys)
    world.more = {"exchange": str(world.folder / "nowhere")}
    refused("Le dossier d'échange .*nowhere n'existe pas")
    world.more = {"site": "https://ailleurs.example.org"}
    refused(f"la base {MOODLE} est celle du site")
    world.more = {}
    assert_untouched(world, before)
    assert world.calls() == []


def test_a_backup_that_fails_is_worth_another_try(world: World, before: dict[str, Rows]) -> None:
    script = Path(world.command[-1]) / "backup.php"
    good = script.read_text(encoding="utf-8")
    script.write_text("raise SystemExit('no database')", encoding="utf-8")
    with pytest.raises(UnreachableError, match="no database"):
        world.copy()
    assert_untouched(world, before)
    script.write_text(good, encoding="utf-8")
    assert "vérifié" in world.copy()
