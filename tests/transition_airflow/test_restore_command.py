"""The operator's command ``make restore``: what it asks for, how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from transition.errors import TransitionError
from transition_airflow.restore_command import Order

ASKED = {"PLATFORM": "ecampus", "YEAR": "2026", "CODE": "LI3INF01"}


def test_the_space_alone_is_the_default() -> None:
    order = Order.read(ASKED)
    assert order.platform == "ecampus"
    assert order.form == {
        "code": "LI3INF01", "year": 2026, "name": False, "enrolments": False, "conflicts": "stop", "activity": "",
        "student": "",
    }  # fmt: skip


def test_everything_may_be_asked_for() -> None:
    more = {"NAME": "1", "ENROLMENTS": "1", "CONFLICTS": "skip", "ACTIVITY": "Devoir 1", "STUDENT": "e.un"}
    form = Order.read(ASKED | more).form
    assert (form["name"], form["enrolments"], form["conflicts"]) == (True, True, "skip")
    assert (form["activity"], form["student"]) == ("Devoir 1", "e.un")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"CODE": ""}, "Indiquez la plateforme, l'année et le code"),
        ({"YEAR": "2026-2027"}, "Indiquez la plateforme, l'année et le code"),
        ({"PLATFORM": "moodle"}, "Plateforme inconnue : « moodle »"),
        ({"NAME": "oui"}, "NAME vaut 1 ou rien, pas « oui »"),
    ],
)
def test_a_wrong_order_is_refused(wrong: dict[str, str], sentence: str) -> None:
    with pytest.raises(TransitionError, match=sentence):
        Order.read(ASKED | wrong)


def test_a_wrong_value_and_a_missing_connection_are_one_sentence(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(PROJECT / "plugins"), str(PROJECT)])
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment = inherited | {"PYTHONPATH": paths, "TRANSITION_RUNS": str(tmp_path)} | ASKED

    def said(**more: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "transition_airflow.restore_command"], env=environment | more,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    status, output, errors = said()
    assert (status, errors) == (1, "")
    assert "    La connexion Airflow « moodle_ecampus » n'existe pas : " in output
    assert "L'espace n'est pas restauré. Journal technique : " in output
    status, output, errors = said(CONFLICTS="force")
    assert (status, errors) == (1, "")
    assert "Valeur refusée pour « conflicts » : force." in output
