"""What expires: only what is due, proven, approved and unchanged; all the rest survives byte for byte."""

import csv
import hashlib
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
import sqlalchemy as sa

from tests.expiry.conftest import EX_SPACE, MOODLE, NAME, STATE, World, facts, in_months, moodle_command, reasons
from tests.support.backup_sets import LOSSES, add_older
from tests.support.dump import Difference, compare, dump
from transition import journal, plan, storage
from transition.backup.mbz import Made
from transition.campaign import Campaign, now
from transition.errors import TransitionError, UnreachableError
from transition.expiry import due, stage
from transition.expiry.age import months_after
from transition.expiry.destroy import destroy
from transition.expiry.due import measure
from transition.expiry.item import Folder
from transition.expiry.stage import due_items, expire, list_due

LOST = "delete après cela, plus rien ne permet de restaurer l'année"


def test_months() -> None:
    assert months_after(datetime(2026, 8, 31, 3), 6) == datetime(2027, 2, 28, 3)
    assert months_after(datetime(2026, 12, 1), 12) == datetime(2027, 12, 1)
    assert months_after(datetime(2023, 2, 28), 12) == datetime(2024, 2, 28)


def test_every_folder_of_the_storage_expires_but_the_reports() -> None:
    assert {*get_args(Folder), "reports"} == set(get_args(storage.Kind))


def test_what_is_young_or_of_unknown_age_or_unfinished_stays(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.leave_year(2022, None)
    for year in (2023, 2024):
        world.leave_year(year, datetime(year, 8, 20))
    world.execute(
        f"INSERT INTO {STATE}.run (run_id, year, dry_run, courses, started_at, frozen_at)"
        f" SELECT 'later', 2023, 0, '[]', started_at, frozen_at FROM {STATE}.run WHERE year = 2023"
    )
    world.execute(
        f"INSERT INTO {STATE}.way SELECT number, 'logstore_standard_log', 'swap', '', 'ready', 1, NULL FROM {STATE}.run"
        " WHERE year = 2024"
    )
    before, campaign = world.everything(), world.open("young")
    list_due(campaign, in_months(6))
    found = reasons(campaign)
    young = {name: reason for name, reason in found.items() if name.startswith("2026")}
    things = ("backup backup", "exports exports", f"schema {NAME}_2026", f"space {EX_SPACE}")
    assert set(young) == {f"2026 {thing}" for thing in things}
    assert all(reason.startswith("keep à garder jusqu'au ") for reason in young.values())
    for year, reason in {
        2022: "âge inconnu : ni exécution vérifiée, ni sauvegarde vérifiée de l'année",
        2023: "l'exécution later est figée et n'a pas été vérifiée : terminez-la, ou relancez-en une",
        2024: "l'échange de la table logstore_standard_log n'est pas terminé : relancez une exécution de l'année",
    }.items():
        assert [found[name] for name in found if name.startswith(f"{year}")] == [f"keep {reason}"] * 6
    assert "Rien n'est à l'échéance." in capsys.readouterr().out
    assert world.everything() == before
    world.execute(f"DELETE FROM {STATE}.way WHERE state = 'ready'")
    for year in (2022, 2023, 2024):
        world.forget_year(year)


def test_who_else_is_at_work_refuses(old: World) -> None:
    campaign = old.listed("busy", now())
    with old.open("other").lock("restore"), pytest.raises(TransitionError, match="l'étape restore d'une autre"):
        expire(campaign)
    with old.open("other").lock("restore_drill"), pytest.raises(TransitionError, match="l'étape restore_drill"):
        list_due(campaign)
    with old.open("other").lock("expiry"), pytest.raises(TransitionError, match="l'étape expiry d'une autre"):
        expire(campaign)
    old.execute(f"UPDATE {STATE}.maintenance SET reopened_at = NULL")
    with pytest.raises(TransitionError, match="run-2026 tient Moodle en maintenance"):
        expire(campaign)
    old.execute(f"UPDATE {STATE}.maintenance SET reopened_at = closed_at")
    verified = f"{STATE}.journal SET action = :now WHERE stage = 'verify' AND year = 2026 AND action = :before"
    old.execute(f"UPDATE {verified}", now="undone", before="done")
    with pytest.raises(TransitionError, match="l'exécution run-2026 est figée et n'est pas terminée"):
        list_due(campaign)
    old.execute(f"UPDATE {verified}", now="done", before="undone")
    assert len(due_items(campaign)) == 8
    assert old.files(2021, "backup")


def test_a_campaign_that_is_given_up_before_its_plan_is_frozen_stops_counting_after_a_week(old: World) -> None:
    given_up = old.open("given up")
    with journal.stage(given_up, "preflight"):
        given_up.take_fence()
    with pytest.raises(TransitionError, match="given up n'est pas terminée : attendez sa fin ; abandonnée"):
        list_due(old.open("too early"))
    later = f"UPDATE {STATE}.journal SET at = at - INTERVAL :days DAY WHERE run = {given_up.run}"
    old.execute(later, days=7)
    with pytest.raises(TransitionError, match="given up n'est pas terminée"):
        list_due(old.open("too early"))
    old.execute(later, days=2)
    expire(old.listed("later", now()))
    with pytest.raises(TransitionError, match="L'exécution given up n'a plus la main"):
        given_up.check_fence()


def test_moodle_s_own_backups_are_listed_by_what_vouches_for_them(old: World) -> None:
    file = old.storage / "2021" / "mbz" / "2" / "20210701T020000.mbz"
    made = Made(
        file=file.name, bytes=file.stat().st_size, sha256="vouched", courseid=2, code="LI3INF01", site="",
        site_identifier="", state="", activities=1, users=1, run_id="run-2021", made_at=now(),
    )  # fmt: skip
    file.with_suffix(".json").write_text(made.model_dump_json())
    campaign = old.open("mbz")
    list_due(campaign)
    [item] = [item for item in due_items(campaign) if item.kind == "mbz"]
    lines = csv.reader(measure(campaign, item).text.decode().splitlines()[1:], delimiter=";")
    digests = {name: digest for name, _, digest in lines}
    assert digests.pop(f"2/{file.name}") == "vouched"
    assert [len(digest) for digest in digests.values()] == [64]


def test_only_a_person_s_approval_of_a_run_that_is_not_dry(old: World) -> None:
    campaign = old.open("alone", approval="automatic")
    list_due(campaign)
    with pytest.raises(TransitionError, match="n'est pas approuvée"):
        expire(campaign)
    dry = replace(campaign, run_id="dry", dry_run=True)
    list_due(dry)
    with pytest.raises(TransitionError, match="Exécution à blanc"):
        expire(dry)
    assert old.files(2021, "backup")
    assert f"{NAME}_2021" in old.schemas()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("file", "exports des notes 2021"),
        ("row", f"schéma {NAME}_2021"),
        ("section", "espace OLD90001"),
        ("name", "espace OLD90002"),
        ("longer", "exports des notes 2021"),
    ],
)
def test_what_changed_since_its_approval_is_refused(old: World, change: str, named: str) -> None:
    settings: dict[str, Any] = {"moodle_command": moodle_command(old), "retention": {"ex_action": "delete"}}
    campaign = old.listed(f"stale-{change}", now(), **settings)
    assert len(due_items(campaign)) == 8
    match change:
        case "file":
            (old.storage / "2021" / "exports" / "L1.xlsx").write_bytes(b"2021 exports/L1.xlsX")
        case "row":
            old.execute(f"UPDATE {NAME}_2021.mdl_choice_answers SET optionid = 9 WHERE userid = 2")
        case "section":
            old.execute(f"INSERT INTO {MOODLE}.mdl_course_sections (course, section) VALUES (90001, 1)")
        case "name":
            old.execute(f"UPDATE {MOODLE}.mdl_course SET fullname = 'Repris' WHERE id = 90002")
        case "longer":
            settings["retention"] = {"ex_action": "delete", "exports": 1000}
    before = old.everything()
    with pytest.raises(TransitionError, match=rf"^La liste approuvée est périmée[^\n]*\n  - {named}[^\n]*$"):
        expire(old.open(campaign.run_id, **settings))
    assert old.everything() == before


def test_a_list_that_was_not_the_one_shown_is_not_approved(old: World) -> None:
    campaign = old.open("asked", retention={"archive": 1200, "backups": 1200, "exports": 1200, "ex_spaces": 1200})
    list_due(campaign)
    shown, before = plan.stored_fingerprint(campaign), old.everything()
    changed = old.open("asked")
    list_due(changed)  # cleared alone, while a person reads the first list
    with pytest.raises(TransitionError, match="asked a changé depuis la question posée à Nadia"):
        plan.approve(changed, shown, by="Nadia")
    with pytest.raises(TransitionError, match="n'est pas approuvée"):
        expire(changed)
    assert old.everything() == before


def test_what_is_not_ours_or_still_serves_stays(old: World) -> None:
    [(named,)] = old.execute(f"SELECT contenthash FROM {MOODLE}.mdl_files WHERE filesize > 0 LIMIT 1")
    content = old.storage / "2021" / "filedir" / named[:2] / named[2:4] / named
    content.parent.mkdir(parents=True)
    content.write_bytes(b"x")
    old.execute(f"UPDATE {MOODLE}.mdl_course SET shortname = 'Repris' WHERE id = 90001")
    campaign = old.open("held", retention={"ex_action": "delete"})
    list_due(campaign)
    found = reasons(campaign)
    assert found["2021 filedir filedir"].startswith("keep 1 contenu manque à Moodle")
    assert found["2021 space 90001"] == "keep n'est plus archivé : une personne l'a renommé ou sorti d'Archives"
    assert found["2021 space 90002"].startswith("keep la suppression passe par Moodle : déclarez moodle_command")
    assert found[f"2021 schema {NAME}_2021"] == found["2021 backup backup"] == f"{LOST} 2021"
    for table in ("factures", "mdl_config"):
        old.execute(f"CREATE TABLE {NAME}_2021.{table} (id BIGINT PRIMARY KEY)")
        campaign = old.open(f"strange-{table}", retention={"ex_action": "delete"})
        list_due(campaign)
        found = reasons(campaign)
        assert found[f"2021 schema {NAME}_2021"].startswith(f"keep la table {table} n'est pas d'une archive")
        assert found["2021 backup backup"] == "delete", "the year can still be restored"
        assert found["2021 filedir filedir"] == "keep sert encore aux restaurations de l'année"
        left = f"Il ne restera de 2021 que : contenus de fichiers 2021, schéma {NAME}_2021, les rapports."
        assert left in stage.page(campaign).splitlines()
        old.execute(f"DROP TABLE {NAME}_2021.{table}")


def test_the_schema_that_is_the_only_copy_stays_as_long_as_a_backup_would(world: World) -> None:
    moment, retention = in_months(13), {"backups": 24}
    name = f"2026 schema {NAME}_2026"

    def said(run_id: str, **keep: int) -> str:
        campaign = world.open(run_id, retention={**retention, **keep})
        list_due(campaign, moment)
        return reasons(campaign)[name]

    assert said("intact") == "delete", "the backup would still restore the year"
    file = next((world.storage / "2026" / "backup").glob("*/*.parquet"))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert said("altered") == "keep seule copie de 1 espace, sans sauvegarde intacte"
    file.write_bytes(content)
    newest, intact = file.parent, world.storage.parent / "intact"
    shutil.copytree(newest, intact)
    older = add_older(newest)
    assert said("two sets") == "delete"
    for loss, lose in LOSSES.items():
        lose(newest)
        assert said(loss) == "keep seule copie de 1 espace, sans sauvegarde intacte"
        shutil.rmtree(newest, ignore_errors=True)
        shutil.copytree(intact, newest)
    shutil.rmtree(older)
    folder = world.storage / "2026" / "backup"
    folder.rename(folder.with_name("elsewhere"))
    assert said("none").startswith("keep à garder jusqu'au ")
    assert said("none-short", backups=6) == f"{LOST} 2026"
    folder.with_name("elsewhere").rename(folder)


def test_the_backup_that_is_the_only_copy_stays_as_long_as_the_schema_would(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(run_id: str, **keep: int) -> str:
        campaign = world.open(run_id, retention=keep)
        list_due(campaign, in_months(13))
        return reasons(campaign)["2026 backup backup"]

    assert said("with schema", archive=24) == "delete", "the schema would still restore the year"
    monkeypatch.setattr(due, "_schemas", lambda _: {})
    assert said("without schema", archive=24).startswith("keep à garder jusqu'au ")
    assert said("without schema, short", archive=6) == f"{LOST} 2026"


def test_an_ex_space_that_no_campaign_archived_is_due_a_year_after_it_was_modified_last(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = "category, visible, visibleold, summary, cacherev"
    long_ago, lately = int(datetime(2022, 3, 1, tzinfo=UTC).timestamp()), int(time.time())
    made = {  # fullname, shortname, when it was modified, whether it is in Archives
        90003: ("ex_Chimie", "ex_CHIM", long_ago, True),
        90004: ("ex_Physique", "ex_PHYS", lately, True),
        90005: ("ex_Optique", "ex_OPT", long_ago, False),
        90006: ("ex_Ondes", "ONDES", long_ago, True),
        90007: ("Exercices", "ex_ERC", long_ago, True),
    }
    for id_, (fullname, shortname, modified, inside) in made.items():
        world.execute(
            f"INSERT INTO {MOODLE}.mdl_course (id, fullname, shortname, idnumber, timemodified, {columns}) SELECT"
            f" :id, :fullname, :shortname, :code, :modified, {columns} FROM {MOODLE}.mdl_course WHERE id = :like",
            id=id_, fullname=fullname, shortname=shortname, code=f"C{id_}", modified=modified,
            like=EX_SPACE if inside else 2,
        )  # fmt: skip
    before = world.everything()
    campaign = world.listed("by-hand", now(), moodle_command=moodle_command(world))
    found = {name: reason for name, reason in reasons(campaign).items() if " space 9" in name}
    assert found.keys() == {"2022 space 90003", f"{now().year} space 90004"}
    warning = (
        "des espaces ex_ n'ont pas été archivés par ce projet, leur âge est compté depuis leur dernière modification"
    )
    assert found["2022 space 90003"] == f"hide {warning}"
    assert found[f"{now().year} space 90004"].startswith("keep à garder jusqu'au ")
    page = capsys.readouterr().out
    assert "| masquer | 2022 | espace C90003 (cours 90003) |  | 01/03/2022 |" in page
    assert f"**Attention : {warning}.**" in page
    assert world.everything() == before
    expire(campaign)
    hidden = f"SELECT id FROM {MOODLE}.mdl_course WHERE id > 90000 AND visible = 0"
    assert world.execute(hidden) == [(90003,)]
    again = world.open("by-hand-again")
    list_due(again)
    assert "2022 space 90003" not in reasons(again)
    world.execute(f"DELETE FROM {MOODLE}.mdl_course WHERE id > 90000")


def test_however_many_spaces_are_due_the_list_shows_every_folder_and_schema(
    old: World, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = "category, visible, visibleold, summary, cacherev"
    modified = int(datetime(2020, 3, 1, tzinfo=UTC).timestamp())
    old.execute(
        f"INSERT INTO {MOODLE}.mdl_course (id, fullname, shortname, idnumber, timemodified, {columns})"
        " WITH RECURSIVE n AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 249)"
        f" SELECT 91000 + i, 'ex_Ancien', CONCAT('ex_A', i), CONCAT('A', i), {modified} + 86400 * (i MOD 3), {columns}"
        f" FROM {MOODLE}.mdl_course, n WHERE id = {EX_SPACE}"
    )
    list_due(old.open("many"))
    lines = capsys.readouterr().out.splitlines()
    old.execute(f"DELETE FROM {MOODLE}.mdl_course WHERE id >= 91000")
    due = [line for line in lines if line.startswith(("| supprimer ", "| masquer "))]
    assert [line.split(" | ")[2].split(" : ")[0] for line in due] == [
        "sauvegardes 2021", "exports des notes 2021", "contenus de fichiers 2021", "sauvegardes de Moodle (.mbz) 2021",
        "pads 2021", f"schéma {NAME}_2021", "250 espaces", "2 espaces",
    ]  # fmt: skip
    assert due[6].startswith("| masquer | 2020 | 250 espaces : espace A0 (cours 91000), espace A1 (cours 91001), ")
    assert due[6].endswith(", espace A19 (cours 91019) et 230 autres |  | 01/03/2020 – 03/03/2020 |")
    assert "| 2 espaces : espace OLD90001 (cours 90001), espace OLD90002 (cours 90002) |" in due[7]
    assert "Tous les espaces sont nommés dans la table expiry_item de l'état." in lines
    remains = [line for line in lines if line.startswith("Il ne restera")]
    assert remains == ["Il ne restera de 2021 que : les rapports."], "2026 loses nothing"


def test_a_space_that_moodle_does_not_delete_blocks_no_other(old: World) -> None:
    refusing = moodle_command(old, '[ $id = 90002 ] || { echo "disk full" >&2; exit 1; }; $sql "DELETE FROM mdl_course'
                                   ' WHERE id = $id"')  # fmt: skip
    settings: dict[str, Any] = {"moodle_command": refusing, "retention": {"ex_action": "delete"}}
    campaign = old.listed("refusing", now(), **settings)
    with pytest.raises(UnreachableError, match=r"espace OLD90001 \(cours 90001\) : .*disk full"):
        expire(campaign)
    courses = f"SELECT id FROM {MOODLE}.mdl_course WHERE id IN (90001, 90002)"
    assert old.execute(courses) == [(90001,)]
    moodle_command(old, ":")
    with pytest.raises(TransitionError, match=r"Moodle n'a pas supprimé l'espace OLD90001 \(cours 90001\)"):
        expire(campaign)
    moodle_command(old)
    expire(campaign)
    assert old.execute(courses) == []
    deleted = f"SELECT courseid FROM {STATE}.journal WHERE action = 'deleted' AND rule = 'space' ORDER BY courseid"
    assert old.execute(deleted) == [(90001,), (90002,)]


def test_a_space_that_changes_while_others_go_blocks_no_other_and_the_proof_tells_what_went(
    old: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = old.listed("changing", now())

    def renaming(*arguments: Any) -> None:
        old.execute(f"UPDATE {MOODLE}.mdl_course SET fullname = 'Repris' WHERE id = 90001")
        destroy(*arguments)

    monkeypatch.setattr(stage, "destroy", renaming)
    for _ in range(2):
        with pytest.raises(TransitionError, match=r"^Des espaces ne sont ni[^\n]*\n  - espace OLD90001 [^\n]*$"):
            expire(campaign)
        [path] = (old.storage / "2021" / "reports").glob("expiry-changing.json")
        states = {item["name"]: (item["state"], item["done_at"] is None) for item in facts(path)["items"]}
        assert states.pop("90001") == ("begun", True)
        assert set(states.values()) == {("done", False)}
        assert len(states) == 7
    visible = f"SELECT id, visible FROM {MOODLE}.mdl_course WHERE id IN (90001, 90002) ORDER BY id"
    assert old.execute(visible) == [(90001, 1), (90002, 0)]


def test_a_restore_and_an_expiry_that_begin_together_never_meet(old: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks for the other before it takes its own lock, and once it holds it."""
    campaign = old.listed("together", now())
    looked = stage._check

    def then_comes(_: Campaign) -> None:
        looked(campaign)
        held.enter_context(old.open("other").lock("restore"))

    monkeypatch.setattr(stage, "_check", then_comes)
    with ExitStack() as held, pytest.raises(TransitionError, match="rien n'est supprimé :\n  - l'étape restore d'une"):
        expire(campaign)
    assert old.files(2021, "backup")


# What a kill can come right before and leave another state behind: within a transaction it leaves none.
LASTING = {"os.remove", "os.rmdir", "os.rename", "subprocess.Popen"}


def killed_at(campaign: Campaign, step: int) -> bool:
    """Expire in a process that dies right before its ``step``-th lasting change; False if it ended before."""
    child = os.fork()
    if child == 0:
        left = step

        def count(*_: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def drops(_: Any, __: Any, statement: str, *___: Any) -> None:
            if statement.startswith("DROP"):
                count()

        sys.addaudithook(lambda event, _: count() if event in LASTING else None)
        sa.event.listen(sa.Engine, "before_cursor_execute", drops)
        sa.event.listen(sa.Engine, "commit", count)
        status = 1
        try:
            expire(campaign)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "the expiry failed"
    return False


def final(world: World) -> tuple[Any, ...]:
    """All that an expiry leaves, moments aside."""
    courses = f"SELECT id, visible, visibleold FROM {MOODLE}.mdl_course WHERE id > 90000"
    files = {
        name: [line for line in content.split(b"\n") if b'"done_at"' not in line]
        for name, content in world.files(2021).items()
    }
    items = world.execute(
        f"SELECT kind, name, state, done_at IS NULL FROM {STATE}.expiry_item ORDER BY run, kind, name"
    )
    done = world.execute(
        f"SELECT DISTINCT action, rule, detail FROM {STATE}.journal WHERE stage = 'expiry' AND rule <> '' ORDER BY 1, 3"
    )
    return world.execute(courses), files, items, done, world.schemas()


def test_killed_anywhere_and_run_again_it_ends_in_the_same_state(old: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"moodle_command": moodle_command(old), "retention": {"ex_action": "delete"}}
    monkeypatch.setattr(stage, "_check", lambda _: None)  # it only reads
    fewer(old)
    campaign = old.listed("killed", now(), **settings)
    expire(campaign)
    whole, step = final(old), 1
    while True:
        old.put_old_back()
        fewer(old)
        old.execute(f"UPDATE {STATE}.expiry_item SET state = 'listed', done_at = NULL WHERE run = {campaign.run}")
        if not killed_at(campaign, step):
            break
        expire(campaign)
        assert final(old) == whole, f"killed before lasting change {step}"
        step += 1
    assert step > 20
    assert final(old) == whole


def fewer(world: World) -> None:
    """Leave one thing of each kind, or the kills would take a minute."""
    for folder in ("exports", "pads"):
        shutil.rmtree(world.storage / "2021" / folder)
    world.execute(f"DELETE FROM {STATE}.ex_change WHERE courseid = 90002")
    world.execute(f"DELETE FROM {MOODLE}.mdl_course WHERE id = 90002")


def test_a_year_expires_with_its_proof_and_nothing_else_changes(world: World) -> None:
    world.leave_year(2027, in_months(6))
    world.execute(f"CREATE DATABASE {NAME}_2026_scratch")
    world.execute(f"CREATE TABLE {NAME}_2026_scratch.mdl_choice_answers LIKE {MOODLE}.mdl_choice_answers")
    moment, before, rows = in_months(13), world.everything(), dump(world.campaign.server, MOODLE)
    [archived] = world.execute(f"SELECT COUNT(*) FROM {NAME}_2026.mdl_quiz_attempts")
    manifests = [facts(path) for path in world.storage.glob("2026/backup/*/manifest.json")]
    campaign = world.listed("expiry", moment, moodle_command=moodle_command(world))
    assert {name: reason.split()[0] for name, reason in reasons(campaign).items() if name.startswith("2027")} == {
        f"2027 {thing}": "keep" for thing in (*(f"{kind} {kind}" for kind in get_args(Folder)), f"schema {NAME}_2027")
    }
    assert world.everything() == before
    caches = world.storage.parent / "cli" / "purge_caches.php"
    caches.write_text("exit 1")
    with pytest.raises(UnreachableError, match=r"purge_caches\.php a échoué"):
        expire(campaign, moment)
    moodle_command(world)
    expire(campaign, moment)

    assert world.schemas() == {f"{NAME}_2027"}
    assert {path.name for path in (world.storage / "2026").iterdir()} == {"reports"}
    after = world.everything()
    gone = {name for name in before if name not in after}
    assert all(f"{NAME}_2026" in name or "/2026/" in name for name in gone)
    assert {name for name in gone if "/reports/" in name} == set()
    course = f"`{MOODLE}`.`mdl_course`"
    assert {name for name in before.keys() - gone if before[name] != after[name]} == {course.replace("`", "")}
    hidden = {EX_SPACE: frozenset({"visible", "visibleold", "timemodified", "cacherev"})}
    changes = compare(rows, dump(world.campaign.server, MOODLE))
    assert changes == {"course": Difference(frozenset(), frozenset(), hidden)}
    assert world.execute(f"SELECT visible, visibleold FROM {MOODLE}.mdl_course WHERE id = {EX_SPACE}") == [(0, 0)]
    assert (world.storage.parent / "cli" / "purged").exists()

    reports = world.storage / "2026" / "reports"
    proof = {item["kind"] + item["name"]: item for item in facts(reports / "expiry-expiry.json")["items"]}
    assert len(proof) == 5
    assert all(item["state"] == "done" and item["done_at"] for item in proof.values())
    lists = {name: (reports / str(item["inventory"])).read_bytes() for name, item in proof.items() if item["inventory"]}
    assert {name: hashlib.sha256(text).hexdigest() for name, text in lists.items()} == {
        name: proof[name]["digest"] for name in lists
    }
    files = {
        line.split(";")[0].split("/")[1]: line.split(";")[2] for line in lists["backupbackup"].decode().split()[3:]
    }
    for manifest in manifests:
        for table in manifest["tables"].values():
            assert files[table["file"]] == table["sha256"]
    told = b"".join([*lists.values(), (reports / "expiry-expiry.json").read_bytes()]).decode()
    people = {row[column] for row in rows["user"].values() for column in ("username", "email", "lastname")}
    assert not [name for name in people if len(name) > 4 and name in told]
    assert f"mdl_quiz_attempts;{archived[0]};" in lists[f"schema{NAME}_2026"].decode()
    journal = world.execute(
        f"SELECT j.action, COUNT(*) FROM {STATE}.journal j JOIN {STATE}.run r ON r.number = j.run"
        " WHERE r.run_id = 'expiry' AND j.rule <> '' GROUP BY j.action"
    )
    assert dict(journal) == {"proven": 5, "deleted": 4, "hidden": 1}

    expire(campaign, moment)
    assert {n: v for n, v in world.everything().items() if "expiry-" not in n} == {
        n: v for n, v in after.items() if "expiry-" not in n
    }
    again = world.open("again")
    list_due(again, moment)
    assert due_items(again) == []
