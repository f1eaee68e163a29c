"""The operator's command: what it asks for, what it prints, how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from transition.errors import TransitionError
from transition_airflow.command import Order


def test_a_dry_run_is_the_default() -> None:
    assert Order.read({"PLATFORM": "ecampus", "YEAR": "2026"}) == Order("ecampus", 2026, (), "")


def test_course_codes_are_a_list() -> None:
    assert Order.read({"PLATFORM": "ecampus", "YEAR": "2026", "COURSES": " B, A,,B"}).courses == ("B", "A")


def test_a_name_alone_executes_nothing() -> None:
    assert Order.read({"PLATFORM": "ecampus", "YEAR": "2026", "APPROVED_BY": "Nadia"}).approved_by == ""


def test_an_execution_has_a_name() -> None:
    order = {"PLATFORM": "ecampus", "YEAR": "2026", "EXECUTE": "1"}
    assert Order.read(order | {"APPROVED_BY": "Zoé d'Été"}).approved_by == "Zoé d'Été"
    with pytest.raises(TransitionError, match="APPROVED_BY"):
        Order.read(order)


def test_who_approves_that_caps_are_crossed_is_another_person() -> None:
    order = {"PLATFORM": "ecampus", "YEAR": "2026", "APPROVED_BY": "Nadia", "EXCEED": "Zoé"}
    assert Order.read(order).exceeded_by == "", "a name alone executes nothing"
    assert Order.read(order | {"EXECUTE": "1"}).exceeded_by == "Zoé"
    with pytest.raises(TransitionError, match="« nadia » a déjà approuvé le plan"):
        Order.read(order | {"EXECUTE": "1", "EXCEED": "nadia"})


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"PLATFORM": ""}, "plateformes déclarées : collegium_sante, ecampus"),
        ({"PLATFORM": "moodle"}, "Plateforme inconnue : « moodle »"),
        ({"YEAR": ""}, "Indiquez la plateforme et l'année"),
        ({"YEAR": "2026-2027"}, "Indiquez la plateforme et l'année"),
        ({"EXECUTE": "oui"}, "EXECUTE vaut 1"),
    ],
)
def test_a_wrong_order_is_refused(wrong: dict[str, str], sentence: str) -> None:
    with pytest.raises(TransitionError, match=sentence):
        Order.read({"PLATFORM": "ecampus", "YEAR": "2026"} | wrong)


def command(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(PROJECT / "plugins"), str(PROJECT)])
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return subprocess.run(
        [sys.executable, "-m", "transition_airflow.command"],
        env=inherited | {"PYTHONPATH": paths, "TRANSITION_RUNS": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", ["command", "restore_command"])
def test_no_thread_runs_before_the_signals_are_held(module: str) -> None:
    """A thread that numpy started before would take Ctrl-C, and leave Moodle closed."""
    code = f"import os, transition_airflow.{module}; print(len(os.listdir('/proc/self/task')))"
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "plugins")}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True)
    assert found.stdout == "1\n"


def test_a_missing_connection_is_one_sentence(tmp_path: Path) -> None:
    done = command(tmp_path, PLATFORM="ecampus", YEAR="2026")
    assert done.returncode == 1
    assert done.stderr == ""
    title, *folded = done.stdout.splitlines()
    failed = next(line for line in folded if not line.startswith("    "))
    assert title == "Ecampus, année 2026-2027 : plan (exécution à blanc)"
    assert folded[0].startswith("    La connexion Airflow « moodle_ecampus » n'existe pas : ")
    assert max(map(len, folded[: folded.index(failed)])) <= 100
    assert failed.split()[0] == "preflight"
    assert failed.endswith("ÉCHEC")
    [log] = tmp_path.iterdir()
    assert done.stdout.splitlines()[-1] == f"Échec avant toute écriture. Journal technique : {log}"
    assert "Task exited" in log.read_text(encoding="utf-8")


def test_a_wrong_code_is_one_sentence(tmp_path: Path) -> None:
    done = command(tmp_path, PLATFORM="ecampus", YEAR="2026", COURSES="LI3 INF01")
    assert (done.returncode, done.stderr) == (1, "")
    assert "Valeur refusée pour « courses » : ['LI3 INF01']." in done.stdout
