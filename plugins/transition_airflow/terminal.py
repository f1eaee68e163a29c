"""What the operator of the command sees: one line a task, the sentences for users, and nothing of Airflow's own."""

import logging
import os
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from airflow.listeners import hookimpl

from transition.french import decimal
from transition_airflow.tasks import run_name

WIDTH = 100


@contextmanager
def quiet(log_file: Path) -> Iterator[TextIO]:
    """Send all that this process prints (file descriptors 1 and 2) to a file; yields the real standard output."""
    log_file.parent.mkdir(exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    try:
        with os.fdopen(os.dup(saved[0]), "w", encoding="utf-8") as terminal:
            yield terminal
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)


class Terminal(logging.Handler):
    """The operator's terminal: a handler of the logger ``transition`` and a listener of Airflow's tasks.

    Tasks in `silent`, and what they say, are not shown. ``closing``: the run that has begun to close Moodle, if any.
    """

    def __init__(self, stream: TextIO, silent: tuple[str, ...] = ()) -> None:
        super().__init__(logging.INFO)
        self.stream = stream
        self.silent = silent
        self.task = ""
        self.begun = 0.0
        self.closing = ""

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(text, file=self.stream, flush=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Print a sentence of the library, indented under its task."""
        if self.task not in self.silent:
            self.say("\n".join(map(_fold, record.getMessage().splitlines())))

    @hookimpl
    def on_task_instance_running(self, previous_state: object, task_instance: Any) -> None:
        """Start the task's clock."""
        self.task, self.begun = task_instance.task_id, time.monotonic()
        if self.task == "approval.maintenance_on":
            self.closing = run_name(task_instance)

    @hookimpl
    def on_task_instance_success(self, previous_state: object, task_instance: Any) -> None:
        """Print that the task is done."""
        self._end("fait")

    @hookimpl
    def on_task_instance_skipped(self, previous_state: object, task_instance: Any) -> None:
        """Print that the task had nothing to do in this run."""
        self._end("sans objet")

    @hookimpl
    def on_task_instance_failed(self, previous_state: object, task_instance: Any, error: object) -> None:
        """Print that the task failed; a fault that no sentence explained by its kind alone: its text may quote data."""
        if not isinstance(error, SystemExit):
            self.say(f"    Erreur inattendue ({type(error).__name__}) : le journal technique en dit plus.")
        again = str(task_instance.state) == "up_for_retry"
        self._end("à refaire : nouvel essai dans un instant" if again else "ÉCHEC")

    def _end(self, word: str) -> None:
        if self.task not in self.silent:
            seconds = f"{decimal(time.monotonic() - self.begun)} s"
            self.say(f"  {self.task:<32} {seconds:>9}  {word}")


def _fold(line: str) -> str:
    """A line, indented, on as many lines of the terminal as it needs."""
    indent = "    " + line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line.strip(), WIDTH, initial_indent=indent, subsequent_indent=indent + "  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
