"""The freeze backs up again what changed since July, on the real Moodle database."""

from collections.abc import Collection
from typing import Any

import pytest
import sqlalchemy as sa

from tests.backup.conftest import Edit, Open
from tests.backup.helpers import L1MAT101, SPACES, SUBMIT, WITHDRAW, journalled, the_set
from transition.backup import manifest as sets
from transition.backup.coverage import stale_spaces
from transition.backup.stage import complete_backup, july_backup
from transition.campaign import Campaign
from transition.state import tables

CHANGED = "UPDATE mdl_forum_posts SET modified = modified {} 1 WHERE id IN (SELECT MAX(id) FROM mdl_forum_posts)"


def put_in_scope(campaign: Campaign, scope: Collection[int]) -> None:
    with campaign.engine.begin() as connection:
        for courseid in SPACES:
            connection.execute(
                sa.insert(tables.decision).values(
                    run=campaign.run, courseid=courseid, code="", shortname="", fullname="", category="",
                    decision="reset", reason="essai", in_scope=courseid in scope,
                )
            )  # fmt: skip


def test_the_freeze_completes_the_spaces_in_scope_only(open_campaign: Open, few_rules: None, edit: Edit) -> None:
    campaign = open_campaign()
    july_backup(campaign)
    put_in_scope(campaign, {L1MAT101})
    with edit(SUBMIT, WITHDRAW), edit(CHANGED.format("+"), CHANGED.format("-")):
        assert len(stale_spaces(campaign)) == 2
        assert complete_backup(campaign) == {}
        assert the_set(campaign).manifest.spaces.keys() == {L1MAT101}
        assert len(stale_spaces(campaign)) == 1


def test_a_space_that_changes_while_the_freeze_backs_it_up_is_set_aside(
    open_campaign: Open, few_rules: None, edit: Edit, backup_moodle: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, mark = open_campaign(), sets.mark_verified
    july_backup(campaign)
    put_in_scope(campaign, SPACES)

    def meanwhile(folder: Any) -> str:  # a cron that still runs
        with backup_moodle.begin() as connection:
            connection.exec_driver_sql("UPDATE mdl_assign_submission SET status = 'draft' WHERE id = 999999")
        return mark(folder)

    with edit(SUBMIT, WITHDRAW), edit(CHANGED.format("+"), CHANGED.format("-")):
        with monkeypatch.context() as patch:
            patch.setattr(sets, "mark_verified", meanwhile)
            failures = complete_backup(campaign)
        assert failures.keys() == {L1MAT101}
        assert "déjà à refaire (modifié depuis la sauvegarde du" in failures[L1MAT101]
        assert [entry.courseid for entry in journalled(campaign, "failed")] == [L1MAT101]
        assert "1 sur 8 espaces en sauvegarde relue" in journalled(campaign, "completed")[0].detail
        assert complete_backup(campaign) == {}, "once nobody writes"
