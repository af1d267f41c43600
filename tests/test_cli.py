"""Errors in one line and exit codes; files that are whole or absent."""

import argparse
import errno
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common import cli, files
from common.cli import UserError


def _raises(error):
    def main(argv):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("two\nlines become one"), "error: two lines become one\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "error: /x/y: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "error: /x: no permission"),
        (OSError(errno.EROFS, "Read-only"), "error: the file system is read-only"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_2(error, line, capsys):
    assert cli.run(_raises(error)) == 2
    assert capsys.readouterr().err.startswith(line)


def test_a_defect_keeps_its_traceback():
    with pytest.raises(OSError, match="strange"):
        cli.run(_raises(OSError(errno.EBADF, "strange")))
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda argv: 1 / 0)


def test_exit_codes():
    assert cli.run(lambda argv: None) == 0
    assert cli.run(lambda argv: 1) == 1
    assert cli.run(_raises(KeyboardInterrupt())) == 130


def test_numbers_have_a_lower_end():
    parser = cli.Parser("p")
    parser.add_argument("--n", type=cli.at_least(1))
    assert parser.parse_args(["--n", "1"]).n == 1
    with pytest.raises(argparse.ArgumentTypeError):
        cli.at_least(0, float)("nan")
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["--n", "0"])
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ([], False),
        (["--bins"], True),
        (["--bins=1"], True),
        (["--bins=0"], False),
        (["--bins", "--bins=0"], False),
        (["--bins=0", "--bins=1"], True),
    ],
)
def test_a_switch_is_set_and_left_by_numbers_and_the_last_counts(words, chosen):
    parser = cli.Parser("p")
    parser.add_argument("--bins", action="store_true")
    assert parser.parse_args(words).bins is chosen


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("--bins=yes", "--bins: 1 turns it on and 0 leaves it off. Received: yes."),
        ("--bin=1", "unknown argument --bin=1. Did you mean --bins?"),
        ("--x=1", "unknown argument --x=1"),
    ],
)
@pytest.mark.parametrize("installed", [True, False])
def test_a_wrong_argument_is_one_line_that_ends_in_a_command_that_works(
    word, line, installed, monkeypatch, capsys
):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if installed else None)
    parser = cli.Parser("colorization train koala")
    parser.add_argument("--bins", action="store_true")
    with pytest.raises(SystemExit):
        parser.parse_args([word])
    program = "colorization"
    if not installed:
        program = f"{os.path.relpath(sys.executable)} -m common.commands"
    expected = f"error: {line} (see {program} train koala --help)\n"
    assert capsys.readouterr().err == expected


def test_help_names_the_defaults_that_there_are():
    parser = cli.Parser("p")
    parser.add_argument("--out", help="folder")
    parser.add_argument("--many", action="append", default=[], help="several")
    parser.add_argument("--bins", action="store_true", help="classify")
    parser.add_argument("--seed", default=0, help="of the order")
    parser.add_argument("--steady", type=cli.yes_or_no, default=True, help="along the motion")
    lines = [line.split("  ")[-1].strip() for line in parser.format_help().splitlines()]
    assert lines[-5:] == [
        "folder",
        "several",
        "classify",
        "of the order (default: 0)",
        "along the motion (default: yes)",
    ]


def test_replacing_leaves_the_old_or_the_new_and_nothing_else(tmp_path):
    path = tmp_path / "new folder" / "a.b.txt"
    with files.replacing(path) as temporary:
        temporary.write_text("one")
        assert temporary.name == path.name and not path.exists()
    with pytest.raises(ValueError, match="halfway"), files.replacing(path) as temporary:
        temporary.write_text("two")
        raise ValueError("halfway")
    assert path.read_text() == "one"
    assert [item.name for item in path.parent.iterdir()] == ["a.b.txt"]


def test_what_a_killed_process_left_is_cleared(tmp_path):
    path = tmp_path / "a.txt"
    script = (
        "import os, sys; from common import files\n"
        "with files.replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, path], cwd=Path(__file__).parents[1])
    (left,) = tmp_path.iterdir()
    assert (left / "a.txt").read_text() == "half"
    files.write_text(tmp_path / "b.txt", "whole")
    assert [item.name for item in tmp_path.iterdir()] == ["b.txt"]


def test_several_write_the_same_path_and_each_leaves_it_whole(tmp_path):
    path = tmp_path / "a.txt"

    def write(number):
        for _ in range(50):
            files.write_text(path, str(number) * 1000)
            assert set(path.read_text()) <= set("0123") and len(path.read_text()) == 1000

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_one_write_within_another_of_the_same_path(tmp_path):
    path = tmp_path / "a.txt"
    with files.replacing(path) as temporary:
        temporary.write_text("outer")
        files.write_text(path, "inner")
        assert path.read_text() == "inner"
    assert path.read_text() == "outer"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["x" * 251 + ".txt", "é" * 125 + ".txt"])
def test_the_longest_names_are_written(tmp_path, name):
    files.write_text(tmp_path / name, "whole")
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_a_message_is_one_line_and_controls_no_terminal(capsys):
    def fails(argv):
        raise cli.UserError("a\x1b]0;name\x07 of\r\ntwo\u2028lines, \u202bé and \x9b2J")

    assert cli.run(fails) == 2
    assert capsys.readouterr().err == "error: a?]0;name? of two lines, \u202bé and ?2J\n"


def test_a_long_text_is_cut():
    assert cli.one_line("x" * 61, 60) == "x" * 57 + "..."
    assert cli.one_line("x" * 60, 60) == "x" * 60
    assert cli.first_line(ValueError()) == "ValueError"
