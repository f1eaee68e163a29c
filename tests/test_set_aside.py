"""A space without a good backup: nothing moves out of it, the others go on, and the run says which and why."""

import json
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.campaign import add_newcomers, reference_feed, reference_platform, run_chain
from tests.support.dump import dump
from tests.support.mbz import facts_of, stand_in
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.files import rules_folder
from transition.spaces import record_contexts
from transition.state import schema

STAGES = (
    "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan", "approval", "freeze", "purge",
)  # fmt: skip


def test_a_space_whose_mbz_fails_keeps_all_and_is_named(
    real_moodle: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules").mkdir()
    for rule in ("assign", "logs", "enrolment"):
        shutil.copy(rules_folder() / f"{rule}.yaml", tmp_path / "rules")
    monkeypatch.setenv("TRANSITION_RULES", str(tmp_path / "rules"))
    # What other rules would move stays, on purpose; verify's other findings are then many.
    monkeypatch.setattr("transition.plan.foreseen", lambda *_: [])
    script, exchange = tmp_path / "cli", tmp_path / "exchange"
    script.mkdir()
    exchange.mkdir()
    platform = reference_platform(
        tmp_path / "storage", name="deux", moodle_command=stand_in(script), exchange=str(exchange)
    )
    reference_feed(tmp_path / "feed")
    add_newcomers(real_moodle)
    with real_moodle.connect() as connection:
        facts = facts_of(connection, (2, 4))
    facts[2]["keep"] = 0.5  # LI3INF01's file is truncated, each time; L1MAT101's is good
    (script / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    campaign = Campaign(
        platform, 2026, "essai", real_moodle, feed=tmp_path / "feed", dry_run=False, courses=("LI3INF01", "L1MAT101")
    )
    with real_moodle.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {campaign.archive_schema} COLLATE utf8mb4_bin")
    schema.upgrade(campaign)  # not the whole preflight, which asks for every rule
    record_contexts(campaign)
    campaign.take_fence()
    before = dump(real_moodle, str(real_moodle.url.database))["assign_submission"]
    run_chain(campaign, STAGES)
    after = dump(real_moodle, str(real_moodle.url.database))["assign_submission"]
    with real_moodle.connect() as connection:
        course_of: dict[int, int] = dict(connection.exec_driver_sql("SELECT id, course FROM mdl_assign").all())
    kept = {id_: row for id_, row in before.items() if course_of[row["assignment"]] != 4}
    assert after == kept
    assert len(before) > len(kept) > 0
    with campaign.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT courseid, decision, reason FROM deux_transition.decision").all()
    [(decision, reason)] = [row[1:] for row in found if row[0] == 2]
    assert decision == "hold"
    assert reason.startswith("mis de côté : fichier .mbz de Moodle : est tronqué ou altéré")
    with pytest.raises(TransitionError, match=r"espace LI3INF01 : mis de côté : fichier \.mbz de Moodle : est tronqué"):
        run_chain(campaign, ["verify"])
