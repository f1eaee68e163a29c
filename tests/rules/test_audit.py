"""The coverage audit on a small Moodle to which modules without rules are added."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copy, copytree

import pytest
import sqlalchemy as sa

from tests.rules.world import ACTIVITIES, add_activity, record_activity
from transition.audit import audit, journal_absent, uncovered
from transition.campaign import Campaign
from transition.errors import TransitionError
from transition.files import INCLUDE
from transition.rules.compile import Scope, compile_rule
from transition.rules.kept import load_kept
from transition.rules.model import load_rule, load_rules
from transition.state import tables

OWN = len(ACTIVITIES) + 2
Add = Callable[..., Campaign]


@pytest.fixture
def add(small: Campaign) -> Iterator[Add]:
    """Add tables (name: columns, all numbers), a row each (``row``: values), an activity; gone after the test."""
    with ExitStack() as stack:

        def build(row: dict[str, int], activity: str = "", **named: str) -> Campaign:
            stack.enter_context(added(small, row, activity, named))
            return fresh(small)

        yield build


@contextmanager
def added(small: Campaign, row: dict[str, int], activity: str, named: dict[str, str]) -> Iterator[None]:
    with small.engine.begin() as connection:
        for name, columns in named.items():
            types = ", ".join(f"{column} bigint NOT NULL DEFAULT 0" for column in columns.split())
            connection.exec_driver_sql(f"CREATE TABLE mdl_{name} (id bigint NOT NULL PRIMARY KEY, {types})")
            if row:
                values = {column: row[column] for column in columns.split() if column in row}
                connection.exec_driver_sql(
                    f"INSERT INTO mdl_{name} (id{''.join(f', {c}' for c in values)})"
                    f" VALUES (1{''.join(f', {v}' for v in values.values())})"
                )
        if activity:
            add_activity(connection, activity, OWN)
            record_activity(connection, small.run, activity, OWN)
    yield
    with small.engine.begin() as connection:
        for name in named:
            connection.exec_driver_sql(f"DROP TABLE mdl_{name}")
        ids = f"{OWN}, {2000 + OWN}, {8000 + OWN}"
        for table in ("modules", "course_modules", "context"):
            connection.exec_driver_sql(f"DELETE FROM mdl_{table} WHERE id IN ({ids})")
        connection.execute(
            sa.delete(tables.space_context).where(tables.space_context.c.contextid.in_([2000 + OWN, 8000 + OWN]))
        )
        connection.execute(sa.delete(tables.journal))


def fresh(small: Campaign) -> Campaign:
    """The same campaign, which has read nothing of the schema yet."""
    return replace(small)


@pytest.fixture
def own_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the rules and of the kept tables, to change."""
    copytree(INCLUDE / "rules", tmp_path / "rules")
    copy(INCLUDE / "kept_tables.yaml", tmp_path)
    monkeypatch.setenv("TRANSITION_RULES", str(tmp_path / "rules"))
    return tmp_path


def remarks(campaign: Campaign) -> str:
    entry = tables.journal.c
    with campaign.engine.connect() as connection:
        return "\n".join(connection.execute(sa.select(entry.detail).where(entry.action == "remark")).scalars())


def skeleton_in(finding: str) -> str:
    """The rule that a finding proposes."""
    return "\n".join(line[8:] for line in finding.splitlines()[1:]) + "\n"


DEFI = {
    "defi": "course usermodified", "defi_sujets": "defiid", "defi_reponses": "defiid auteur_user_id",
    "defi_votes": "reponseid userid", "defi_alertes": "cmid destinataire",
}  # fmt: skip
IN_SPACE = {"course": 2, "courseid": 2, "defiid": 1, "reponseid": 1, "userid": 6, "auteur_user_id": 6,
            "cmid": 2000 + OWN, "contextid": 102, "destinataire": 6}  # fmt: skip


def test_the_project_covers_the_small_moodle(small: Campaign) -> None:
    assert audit(fresh(small)) == []


def test_an_activity_without_a_rule_stops_with_a_rule_to_start_from(add: Add, own_rules: Path) -> None:
    campaign = add(IN_SPACE, "defi", **DEFI)
    (finding,) = audit(campaign)
    assert "l'activité defi n'a pas de règle ; elle est 1 fois dans les espaces concernés" in finding
    for table in ("defi_reponses", "defi_votes", "defi_alertes"):
        assert table in finding.splitlines()[0]
    (own_rules / "rules" / "defi.yaml").write_text(skeleton_in(finding), encoding="utf-8")
    assert audit(campaign) == []
    with campaign.engine.connect() as connection:
        moved = {
            trace.table: list(connection.execute(trace.rows).scalars())
            for trace in compile_rule(load_rule("defi"), campaign.moodle, Scope(campaign.run))
        }
    assert moved == {"defi_sujets": [1], "defi_reponses": [1], "defi_votes": [1], "defi_alertes": [1]}


def test_an_activity_that_only_excluded_spaces_use_does_not_stop(add: Add, small: Campaign) -> None:
    campaign = add({**IN_SPACE, "course": 8, "defiid": 9}, "defi", **DEFI)
    with campaign.engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM mdl_course_modules WHERE id = {2000 + OWN}")
    assert audit(campaign) == []
    assert "activités sans règle, dont aucune n'est dans les espaces concernés : defi" in remarks(campaign)


@pytest.mark.parametrize(
    ("columns", "path"),
    [
        ("courseid userid", "- table: local_suivi\n    by: courseid"),
        ("contextid studentid", "- table: local_suivi\n    context: contextid"),
        ("cmid graderid", "- table: course_modules\n    by: course\n    keep: chemin vers les tables ci-dessous\n"
         "    with:\n      - table: local_suivi\n        by: cmid"),
        ("userid", "# - table: local_suivi    # À compléter, aucune colonne ne mène à l'espace"),
    ],
)  # fmt: skip
def test_a_table_without_a_rule_stops(add: Add, own_rules: Path, columns: str, path: str) -> None:
    *_, person = columns.split()
    campaign = add({**IN_SPACE, "cmid": 2001, person: 6}, local_suivi=columns)
    (finding,) = audit(campaign)
    assert finding.startswith(f"la table local_suivi nomme des personnes ({person}), 1 de ses lignes")
    assert path in skeleton_in(finding)
    if "by:" in path or "context:" in path:
        (own_rules / "rules" / "local_suivi.yaml").write_text(skeleton_in(finding), encoding="utf-8")
    else:
        kept = own_rules / "kept_tables.yaml"
        more = "kept:\n  - reason: Réglages de chaque personne, hors des espaces\n    tables: [local_suivi]\n"
        kept.write_text(kept.read_text(encoding="utf-8").replace("kept:\n", more, 1), encoding="utf-8")
    assert audit(campaign) == []


def test_a_table_that_leads_to_people_through_another_stops(add: Add) -> None:
    campaign = add(IN_SPACE, local_suivi_fiches="courseid userid", local_suivi_notes="ficheid valeur")
    with campaign.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE mdl_local_suivi_notes SET ficheid = 1")
    assert [finding.split()[2] for finding in audit(campaign)] == ["local_suivi_fiches", "local_suivi_notes"]


@pytest.mark.parametrize(
    ("row", "columns"), [({}, "courseid userid"), ({"courseid": 8, "userid": 6}, "courseid userid")]
)
def test_without_rows_in_scope_it_is_a_remark(add: Add, row: dict[str, int], columns: str) -> None:
    campaign = add(row, local_suivi=columns)
    assert audit(campaign) == []
    assert "qui nomment des personnes, sans ligne dans les espaces concernés : local_suivi" in remarks(campaign)


def test_a_table_that_names_nobody_is_a_remark(add: Add) -> None:
    campaign = add({"courseid": 2}, local_couleurs="courseid couleur")
    assert audit(campaign) == []
    assert "tables inconnues qui ne nomment personne : local_couleurs" in remarks(campaign)


def test_a_rule_may_keep_tables_of_its_module(add: Add, own_rules: Path) -> None:
    campaign = add(IN_SPACE, "defi", defi="course usermodified", defi_sujets="defiid authorid")
    rule = "rule: defi\nactivity: defi\nlabel: Défi\nkept: Sujets\nmoved: Rien\ntables_kept: [defi_sujets]\n"
    (own_rules / "rules" / "defi.yaml").write_text(rule, encoding="utf-8")
    assert audit(campaign) == []


def test_a_table_cannot_be_both_purged_and_kept(small: Campaign, own_rules: Path) -> None:
    kept = own_rules / "kept_tables.yaml"
    kept.write_text(kept.read_text(encoding="utf-8").replace("tables: [scheduler_slots]", "tables: [quiz_attempts]"))
    with pytest.raises(
        TransitionError, match="à la fois déplacées par une règle et déclarées conservées : quiz_attempts"
    ):
        uncovered(small.moodle, load_rules(), load_kept())


@pytest.mark.parametrize(
    ("old", "new", "refusal"),
    [
        ("[scheduler_slots]", "[scheduler_slots, quiz]", "chaque table n'a qu'un motif, retirez le second de quiz"),
        ("kept:\n", "kept:\n  - {raison: x, tables: [y]}\n", r"ligne 5 : il manque la clé « reason »"),
        ("standing: not leaving", "standing: partant", r"ligne \d+ : « rows.0.users.standing » : valeur refusée ; val"),
    ],
)  # fmt: skip
def test_faults_of_the_kept_tables(own_rules: Path, old: str, new: str, refusal: str) -> None:
    kept = own_rules / "kept_tables.yaml"
    kept.write_text(kept.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(TransitionError, match=re.compile(refusal)):
        load_kept()


def test_a_declared_row_of_an_unknown_column_stops(small: Campaign, own_rules: Path) -> None:
    kept = own_rules / "kept_tables.yaml"
    kept.write_text(kept.read_text(encoding="utf-8").replace("{forum.type: single}", "{forum.kind: single}"))
    (finding,) = audit(fresh(small))
    assert finding.startswith("lignes gardées de la table forum_discussions : forum.kind n'existe pas")


def test_absent_tables_and_activities_are_said_once(small: Campaign) -> None:
    campaign = fresh(small)
    with campaign.engine.begin() as connection:
        connection.execute(sa.delete(tables.journal))
        connection.exec_driver_sql("RENAME TABLE mdl_chat TO mdl_retired")
    try:
        journal_absent(campaign)
        journal_absent(campaign)
    finally:
        with campaign.engine.begin() as connection:
            connection.exec_driver_sql("RENAME TABLE mdl_retired TO mdl_chat")
    entry = tables.journal.c
    with campaign.engine.connect() as connection:
        said = connection.execute(sa.select(entry.rule, entry.table_name, entry.detail).order_by(entry.id)).all()
    assert [(rule, table) for rule, table, _ in said] == [
        ("chat", ""), ("questionnaire", "questionnaire_response_file"), ("scorm", "scorm_scoes_track")
    ]  # fmt: skip
    assert said[0].detail == "l'activité chat n'est pas installée : la règle n'a rien à faire"
    assert "Moodle avant 4.3" in said[2].detail
