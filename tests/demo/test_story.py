"""What the demonstration says, from what the tasks left."""

import json
from pathlib import Path

from demo import story


def test_refusals_are_the_error_sentences_each_once(tmp_path: Path) -> None:
    for task, lines in {
        "plan": ["not json", '{"level": "info", "event": "Bien"}', '{"level": "error", "event": "La base manque."}'],
        "purge.quiz": ['{"level": "error", "event": "La base manque."}', '{"level": "critical", "event": "Adieu"}'],
    }.items():
        folder = tmp_path / f"task_id={task}"
        folder.mkdir()
        (folder / "attempt=1.log").write_text("\n".join(lines), encoding="utf-8")
    assert list(story.refusals(tmp_path)) == ["plan : La base manque.", "purge.quiz : Adieu"]


def test_the_line_of_a_task() -> None:
    assert story.task_line({"task_id": "plan", "duration": 3.25, "state": "success"}).split() == [
        "plan",
        "3,2",
        "s",
        "fait",
    ]
    assert story.task_line({"task_id": "verify", "duration": None, "state": "upstream_failed"}).endswith("non exécutée")


def test_the_summary_is_that_of_the_newest_report(tmp_path: Path) -> None:
    facts = {
        "decisions": {"à réinitialiser": 2, "en attente d'une décision": 1}, "moved": 12345, "rows": 12346,
        "archive": "ecampus_2026",
        "spaces": [
            {"code": "A", "fullname": "Analyse", "decision": "à réinitialiser", "reason": "dans la maquette"},
            {"code": "", "fullname": "Tutorat", "decision": "en attente d'une décision", "reason": "sans code"},
        ],
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    text = story.summary(tmp_path)
    assert "12\u202f345 sur 12\u202f346" in text
    assert "À décider : Tutorat — sans code" in text
    assert "Analyse" not in text
    assert str(tmp_path / "run.html") in text
