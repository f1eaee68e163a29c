"""A space without a good backup: nothing moves out of it, the others go on, and the run says which and why."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import sqlalchemy as sa

from tests.backup.helpers import L1MAT101, LI3INF01, alter, truncate
from tests.enrolment.nightly import enrol_cohort
from tests.enrolment.test_nightly import STEP, cohort, members
from tests.enrolment.world import World
from tests.support.campaign import add_newcomers, reference_feed, reference_platform, run_chain
from tests.support.dump import Rows, dump
from tests.support.mbz import facts_of, stand_in
from transition import freeze, grades, storage
from transition.backup import manifest as sets
from transition.backup.coverage import present_states
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.files import rules_folder
from transition.keys import count_keys, frozen_keys
from transition.plan import is_frozen
from transition.rules.kept import kept_file
from transition.spaces import record_contexts
from transition.state import schema, tables

STAGES = (
    "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan", "approval", "freeze", "purge",
)  # fmt: skip
BEFORE_FREEZE = (
    "preflight", "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan", "approval", "create_spaces",
    "maintenance_on",
)  # fmt: skip
_DONE_BUT = (
    r"^Transition conforme .*:\n  - espace LI3INF01 : mis de côté : .*"
    r"\n  - espace L1MAT101 : 3 étudiants d'Apogée n'y ont pas accès"
)
FILE = "assign_submission.parquet"


@pytest.fixture
def open_campaign(real_moodle: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Campaign]:
    """Opens a campaign on two spaces that knows three rules only."""

    def open_(**platform: Any) -> Campaign:
        (tmp_path / "rules").mkdir()
        for rule in ("assign", "logs", "enrolment"):
            shutil.copy(rules_folder() / f"{rule}.yaml", tmp_path / "rules")
        monkeypatch.setenv("TRANSITION_RULES", str(tmp_path / "rules"))
        # What other rules would move stays, on purpose; verify's other findings are then many.
        monkeypatch.setattr("transition.plan.foreseen", lambda *_: [])
        reference_feed(tmp_path / "feed")
        add_newcomers(real_moodle)
        campaign = Campaign(
            reference_platform(tmp_path / "storage", name="deux", **platform), 2026, "essai", real_moodle,
            feed=tmp_path / "feed", dry_run=False, courses=("LI3INF01", "L1MAT101"),
        )  # fmt: skip
        with real_moodle.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {campaign.archive_schema} COLLATE utf8mb4_bin")
        schema.upgrade(campaign)  # not the whole preflight, which asks for every rule
        record_contexts(campaign)
        campaign.take_fence()
        return campaign

    return open_


def whole_campaign(moodle: sa.Engine, folder: Path, **platform: Any) -> Campaign:
    """A campaign on two spaces, with every rule."""
    reference_feed(folder / "feed")
    add_newcomers(moodle)
    return Campaign(
        reference_platform(folder / "storage", name="deux", **platform), 2026, "essai", moodle, feed=folder / "feed",
        dry_run=False, courses=("LI3INF01", "L1MAT101"),
    )  # fmt: skip


def lose_the_export(campaign: Campaign, courseid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delete the file of the space's grades, and let no other one be made."""
    export = grades._export

    def failing(given: Campaign, due: Any, labels: Any) -> grades.Export:
        if due.courseid == courseid:
            raise ValueError("unreadable")
        return export(given, due, labels)

    monkeypatch.setattr(grades, "_export", failing)
    folder = Path(str(storage.folder(campaign, "exports")))
    spaces = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["spaces"]
    (folder / spaces[str(courseid)]["file"]).unlink()


def reset_spaces(campaign: Campaign) -> dict[int, tuple[Any, ...]]:
    """What is recorded of the spaces that were carried over."""
    with campaign.engine.connect() as connection:
        return {row.courseid: tuple(row) for row in connection.execute(sa.select(tables.space_reset))}


def submissions(campaign: Campaign) -> dict[int, Rows]:
    """The submissions that are in Moodle, row by row, by course."""
    moodle, found = dump(campaign.server, campaign.moodle.schema), dict[int, Rows]()
    for id_, row in moodle["assign_submission"].items():
        found.setdefault(moodle["assign"][row["assignment"]]["course"], {})[id_] = row
    return found


def held(campaign: Campaign) -> dict[int, str]:
    """The spaces that were put on hold, and why."""
    with campaign.engine.connect() as connection:
        query = "SELECT courseid, reason FROM deux_transition.decision WHERE decision = 'hold' AND courseid IN (2, 4)"
        return dict(connection.exec_driver_sql(query).all())


def test_a_space_whose_mbz_fails_keeps_all_and_is_named(
    open_campaign: Callable[..., Campaign], real_moodle: sa.Engine, tmp_path: Path
) -> None:
    script, exchange = tmp_path / "cli", tmp_path / "exchange"
    script.mkdir()
    exchange.mkdir()
    campaign = open_campaign(moodle_command=stand_in(script, real_moodle.url), exchange=str(exchange))
    with campaign.engine.connect() as connection:
        facts = facts_of(connection, (LI3INF01, L1MAT101))
    facts[LI3INF01]["keep"] = 0.5  # its file is truncated, each time; the other's is good
    (script / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    before = submissions(campaign)
    run_chain(campaign, STAGES)
    assert before[L1MAT101]
    assert before[LI3INF01]
    assert submissions(campaign) == {course: ids for course, ids in before.items() if course != L1MAT101}
    found = held(campaign)
    assert found.keys() == {LI3INF01}
    assert found[LI3INF01].startswith("mis de côté : fichier .mbz de Moodle : est tronqué ou altéré")
    with pytest.raises(TransitionError, match=r"espace LI3INF01 : mis de côté : fichier \.mbz de Moodle : est tronqué"):
        run_chain(campaign, ["verify"])


@pytest.mark.parametrize(
    ("damage", "concerned"),
    [(truncate, {LI3INF01, L1MAT101}), (alter, {LI3INF01, L1MAT101}), (Path.unlink, {LI3INF01, L1MAT101}),
     (None, {LI3INF01})],
    ids=["truncated", "altered", "missing", "aged"],
)  # fmt: skip
def test_nothing_moves_out_of_a_space_whose_backup_is_bad_and_cannot_be_made_again(
    open_campaign: Callable[..., Campaign],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], object] | None,
    concerned: set[int],
) -> None:
    campaign = open_campaign()
    begin = STAGES.index("freeze")
    run_chain(campaign, STAGES[:begin])
    [backup] = sets.verified_sets(campaign, [])
    if damage:
        damage(Path(str(backup.folder)) / FILE)
    else:
        with campaign.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE mdl_assign_submission SET timemodified = timemodified + 1"
                f" WHERE assignment IN (SELECT id FROM mdl_assign WHERE course = {LI3INF01})"
            )
    store = sets.store

    def store_on_a_bad_disk(folder: Any, manifest: Any) -> None:
        store(folder, manifest)
        alter(Path(str(folder)) / FILE)

    monkeypatch.setattr(sets, "store", store_on_a_bad_disk)
    before, states = submissions(campaign), present_states(campaign, sorted(concerned))
    run_chain(campaign, STAGES[begin:])
    after = submissions(campaign)
    assert {course for course in (LI3INF01, L1MAT101) if after.get(course) == before[course]} == concerned
    assert present_states(campaign, sorted(concerned)) == states, "of every table that the rules name"
    found = held(campaign)
    assert found.keys() == concerned
    assert all(reason.startswith("mis de côté : sauvegarde ") and FILE in reason for reason in found.values())
    with pytest.raises(TransitionError, match=r"espace LI3INF01 : mis de côté : sauvegarde "):
        run_chain(campaign, ["verify"])


def test_the_others_are_done_and_the_next_run_takes_up_only_the_one_that_was_mended(
    real_moodle: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = whole_campaign(real_moodle, tmp_path)
    with real_moodle.begin() as connection:  # the other one is done, and closed to its students
        connection.exec_driver_sql(
            f"UPDATE mdl_enrol SET status = 1 WHERE enrol = 'database' AND courseid = {L1MAT101}"
        )
    assert submissions(campaign).keys() >= {LI3INF01, L1MAT101}
    run_chain(campaign, BEFORE_FREEZE)
    with monkeypatch.context() as patched:
        lose_the_export(campaign, LI3INF01, patched)
        run_chain(campaign, ["freeze", "ex_rename", "purge", "file_contents", "enrolment"])
    verified = []
    for _ in range(2):
        with pytest.raises(TransitionError, match=_DONE_BUT):
            run_chain(campaign, ["verify"])
        verified.append(reset_spaces(campaign))
    assert verified[0].keys() == {L1MAT101}
    assert verified[1] == verified[0], "of the first verification"
    run_chain(campaign, ["maintenance_off"])
    with real_moodle.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO mdl_assign_submission (assignment, userid, timecreated, timemodified, status)"
            f" SELECT MIN(id), 2, 1, 1, 'submitted' FROM mdl_assign WHERE course = {L1MAT101}"
        )
    new = submissions(campaign)
    assert len(new[L1MAT101]) == 1
    after = replace(campaign, run_id="suite")
    run_chain(after)
    assert submissions(campaign) == {course: ids for course, ids in new.items() if course != LI3INF01}
    with after.engine.connect() as connection:
        query = sa.select(tables.decision.c.courseid, tables.decision.c.decision).where(
            tables.decision.c.run == after.run, tables.decision.c.courseid.in_((LI3INF01, L1MAT101))
        )
        assert dict(connection.execute(query).all()) == {LI3INF01: "reset", L1MAT101: "exclude"}
    assert reset_spaces(after).keys() == {LI3INF01, L1MAT101}


@pytest.mark.parametrize("aside", [L1MAT101, LI3INF01])
def test_a_cohort_keeps_those_whom_it_enrols_in_a_space_set_aside(
    real_moodle: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aside: int
) -> None:
    """Moodle's next synchronisation would unenrol them there, and delete what they did. Old members: users 9 to 12."""
    world, store = World(real_moodle, tmp_path), sets.store
    ours = cohort(world, STEP, [8, 9, 10], [LI3INF01, L1MAT101])
    only = {11: LI3INF01, 12: L1MAT101}
    for userid, courseid in only.items():
        world.add("cohort_members", cohortid=ours, userid=userid, timeadded=1)
        enrolid = world.row("enrol", enrol="cohort", customint1=ours, courseid=courseid)["id"]
        world.add("user_enrolments", enrolid=enrolid, userid=userid)
    campaign = whole_campaign(real_moodle, tmp_path, enrolment="cohort", cohorts="etape")
    before, enrolled = world.rows("cohort_members", cohortid=ours), world.enrolled(aside)
    run_chain(campaign, BEFORE_FREEZE)

    def store_on_a_bad_disk(folder: Any, manifest: Any) -> None:
        store(folder, manifest)
        alter(Path(str(folder)) / FILE)

    if aside == LI3INF01:  # the members are rows of this one, which is therefore backed up again
        monkeypatch.setattr(sets, "store", store_on_a_bad_disk)
    else:
        lose_the_export(campaign, aside, monkeypatch)
    run_chain(campaign, ["freeze", "ex_rename", "purge", "file_contents", "enrolment"])
    assert held(campaign).keys() == {aside}
    with pytest.raises(TransitionError, match=r"^Transition conforme .*:\n.* mis de côté : [^\n]*$"):
        run_chain(campaign, ["verify"])
    assert world.enrolled(aside) == enrolled
    assert [change for change in enrol_cohort(world) if change[:2] == ("unenrol", aside)] == []
    gone = {row["userid"] for row in before} - members(world, ours)
    # They are rows of the first space: set aside, none goes.
    assert gone == ({11} if aside == L1MAT101 else set())
    after = world.rows("cohort_members", cohortid=ours)
    assert [row for row in after if row["id"] <= before[-1]["id"]] == [
        row for row in before if row["userid"] not in gone
    ]
    with campaign.engine.connect() as connection:
        said = connection.execute(
            sa.select(tables.journal.c.detail).where(
                tables.journal.c.stage == "enrolment", tables.journal.c.action == "done"
            )
        ).scalar_one()
    back = 3 if aside == L1MAT101 else 4
    assert f"{back} étudiants sortis reviendront par une cohorte qui tient aussi des inscriptions à garder" in said


def test_a_row_left_in_a_space_keeps_the_others_from_nothing(
    real_moodle: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the plan and the freeze, somebody who is a student now takes over a teacher's file."""
    campaign = whole_campaign(real_moodle, tmp_path)
    run_chain(campaign, BEFORE_FREEZE)
    stray = (
        "UPDATE mdl_files f JOIN mdl_context x ON x.id = f.contextid AND x.contextlevel = 70"
        " JOIN mdl_course_modules m ON m.id = x.instanceid JOIN mdl_user u ON u.username = '22300003'"
        f" SET f.userid = u.id WHERE f.filearea = 'singletemplate' AND f.filename <> '.' AND m.course = {LI3INF01}"
    )
    with real_moodle.begin() as connection:
        strays = connection.exec_driver_sql(stray).rowcount
    run_chain(campaign, ["freeze", "ex_rename", "purge", "file_contents", "enrolment"])
    with pytest.raises(TransitionError) as caught:
        run_chain(campaign, ["verify"])
    intro, *findings = str(caught.value).splitlines()
    assert intro.startswith("Transition non conforme (Ecampus) dans 1 espace, seuls les autres sont faits")
    assert strays == 1
    [finding] = findings
    assert re.match(
        r"  - espace LI3INF01 : 1 ligne reste dans files \(id \d+\), sans motif pour la garder ; d", finding
    )
    done = reset_spaces(campaign)
    assert done.keys() == {L1MAT101}
    shutil.copytree(rules_folder(), tmp_path / "rules")
    shutil.copy(kept_file(), tmp_path)
    with (tmp_path / "kept_tables.yaml").open("a", encoding="utf-8") as kept:
        kept.write("  - {reason: Modèles de fiches, table: files, where: {filearea: singletemplate}}\n")
    monkeypatch.setenv("TRANSITION_RULES", str(tmp_path / "rules"))
    run_chain(campaign, ["verify"])
    assert reset_spaces(campaign).keys() == {LI3INF01, L1MAT101}
    assert reset_spaces(campaign)[L1MAT101] == done[L1MAT101], "of the first verification"


class KilledError(Exception):
    """What a killed freeze ends with."""


def of_run(campaign: Campaign, table: sa.Table) -> list[tuple[Any, ...]]:
    """The run's rows of a state table."""
    with campaign.engine.connect() as connection:
        return sorted(map(tuple, connection.execute(sa.select(table).where(table.c.run == campaign.run))))


def frozen_state(campaign: Campaign) -> tuple[Any, ...]:
    """What a freeze leaves: decisions, lines, progress, snapshot, the number of keys, the spaces journalled."""
    entry = tables.journal.c
    with campaign.engine.connect() as connection:
        keys = {
            name: count_keys(connection, frozen_keys(campaign, name), campaign.run)
            for name in {line[2] for line in of_run(campaign, tables.plan_line)}
        }
        journalled = connection.execute(sa.select(entry.courseid).where(entry.action == "set_aside")).scalars().all()
    kept = (tables.decision, tables.plan_line, tables.progress, tables.snapshot)
    return *(of_run(campaign, table) for table in kept), keys, journalled


def test_a_freeze_killed_once_a_space_is_set_aside_starts_again(
    open_campaign: Callable[..., Campaign], monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = open_campaign()
    run_chain(campaign, STAGES[: STAGES.index("freeze")])
    lose_the_export(campaign, LI3INF01, monkeypatch)
    plan = {table: of_run(campaign, table) for table in (tables.decision, tables.plan_line)}
    freeze.freeze(campaign)
    unkilled = frozen_state(campaign)
    assert unkilled[-1] == [*held(campaign)] == [LI3INF01]
    for step in ("forget_space", "snapshot.take", "open_progress"):
        with campaign.engine.begin() as connection:  # as it was approved
            for table, rows in plan.items():
                connection.execute(sa.delete(table).where(table.c.run == campaign.run))
                connection.execute(sa.insert(table).values(rows))
            connection.execute(sa.delete(tables.journal).where(tables.journal.c.action == "set_aside"))
            connection.execute(sa.update(tables.run).values(frozen_at=None))
        with monkeypatch.context() as patched:
            die_after(patched, f"transition.freeze.{step}")
            with pytest.raises(KilledError):
                freeze.freeze(campaign)
        freeze.freeze(campaign)
        assert frozen_state(campaign) == unkilled, step
        assert is_frozen(campaign), step


def die_after(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """Raise once a function has done its work."""
    function = resolve_name(target)

    def dying(*arguments: Any) -> None:
        function(*arguments)
        raise KilledError

    monkeypatch.setattr(target, dying)
