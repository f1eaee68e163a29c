"""The lines that say how far a long work has come."""

import logging

import pytest

from transition.french import duration
from transition.progress import Progress


def test_counts_rate_and_time_left(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = iter([4.0, 12.0, 13.0, 20.0])  # one a step
    monkeypatch.setattr("transition.progress.time.monotonic", lambda: next(clock))
    work = Progress("Sauvegarde", 4, "tables", "lignes", _begin=0.0, _said=0.0)
    with caplog.at_level(logging.INFO, "transition.progress"):
        for _ in range(4):
            work.step(600)
    assert [record.getMessage() for record in caplog.records] == [
        "Sauvegarde : tables 2/4, lignes 1\u00a0200 (100/s), reste environ 12 s",
        "Sauvegarde : tables 4/4, lignes 2\u00a0400 (120/s), reste environ 0 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (89.4, "89 s"), (90, "2 min"), (5_369, "89 min"), (5_400, "1 h 30"), (43_200, "12 h 00")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
