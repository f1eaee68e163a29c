"""Moodle's command line, run for real: small scripts in its place."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transition.errors import TransitionError, UnreachableError
from transition.moodle.command_line import CommandLine


def command(folder: Path, script: str) -> CommandLine:
    (folder / "some.php").write_text(script, encoding="utf-8")
    return CommandLine(("sh", str(folder)))


def test_the_words_of_the_prefix_and_the_arguments_arrive_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "some.php").write_text('echo "$0|$1|$2"', encoding="utf-8")
    line = CommandLine(("env", "LANG=C", "sh", f"{tmp_path}/"))
    assert line.run("some.php", "--courseid=7", "--destination=/a/b") == (
        f"{tmp_path}/some.php|--courseid=7|--destination=/a/b\n"
    )


@given(st.lists(st.text("abzAZ09_./:=@%+,-", min_size=1), min_size=1))
def test_over_ssh_what_is_not_refused_arrives_as_it_is(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ssh = folder / "ssh"  # as ssh does: the words after the host, joined, are read by a shell
        ssh.write_text('#!/bin/sh\n[ "$1" = moodle.example.fr ] || exit 9\nshift\nexec sh -c "$*"\n', encoding="utf-8")
        ssh.chmod(0o700)
        (folder / "some.php").write_text('printf "%s\\n" "$@"', encoding="utf-8")
        line = CommandLine((str(ssh), "moodle.example.fr", "sh", str(folder)))
        assert line.run("some.php", *arguments).splitlines() == arguments


@pytest.mark.parametrize("argument", ["a\\b", "a b", "a;b", "$(id)", "`id`", "a|b", "'", '"', "a\nb", ""])
def test_an_argument_that_a_remote_shell_would_read_is_refused(tmp_path: Path, argument: str) -> None:
    line = command(tmp_path, f"touch {tmp_path}/ran")
    with pytest.raises(TransitionError, match="refuse l'argument"):
        line.run("some.php", argument)
    assert not (tmp_path / "ran").exists()


def test_a_script_that_fails_is_worth_another_try_and_says_its_last_word(tmp_path: Path) -> None:
    line = command(tmp_path, "echo bruit; echo 'Error: no database' >&2; exit 3")
    with pytest.raises(UnreachableError, match=r"some.php a échoué \(code 3 : Error: no database\)"):
        line.run("some.php")


def test_a_script_that_hangs_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="n'a pas répondu en 1 s"):
        command(tmp_path, "exec sleep 30").run("some.php", seconds=1)


def test_an_absent_program_is_a_mistake_in_the_platform_file() -> None:
    with pytest.raises(TransitionError, match=r"« no-such-php » ne se lance pas .* moodle_command"):
        CommandLine(("no-such-php", "/var/www/moodle/admin/cli")).run("maintenance.php")


def test_what_is_read_from_the_terminal_is_nothing(tmp_path: Path) -> None:
    assert command(tmp_path, "cat; echo end").run("some.php", seconds=5) == "end\n"
