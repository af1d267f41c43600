"""The house's rules: who may import whom, what is declared, what the Makefile promises."""

import ast
import dataclasses
import functools
import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
REPORTS = [
    name
    for name in ("koala", "iizuka", "vgg_autoencoder", "cs230", "feup")
    if (ROOT / name).is_dir()
]
PACKAGES = ["common", *REPORTS, "benchmarks", "tests"]

# import name -> distribution, where the two differ
DISTRIBUTIONS = {
    "cv2": "opencv-python",
    "skimage": "scikit-image",
    "PIL": "pillow",
    "google_crc32c": "google-crc32c",
}
ONE_BACKEND = {"tensorflow", "jax", "tensorboard"}  # Keras runs without them


# --- who imports whom -------------------------------------------------------------------------


@functools.cache
def sources(package):
    """[(path, syntax tree)] of a package's modules."""
    return [
        (path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def imports(tree):
    """Dotted names of every import in a syntax tree, those inside functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide who imports whom"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            yield from (a.value for a in node.args[:1] if isinstance(a, ast.Constant))


def _called(call):
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def outside_functions(tree):
    """The nodes that run when a module is imported: all but the bodies of functions."""
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for statement in function.body
        for node in ast.walk(statement)
    }
    return [node for node in ast.walk(tree) if id(node) not in inner]


def roots(package):
    """{first part of an import: the file it is in} for a package."""
    return {name.split(".")[0]: path for path, tree in sources(package) for name in imports(tree)}


@pytest.mark.parametrize("package", ["common", *REPORTS])
def test_common_knows_no_report_and_no_report_a_sibling(package):
    strangers = {*REPORTS, "benchmarks", "tests"} - {package}
    assert not strangers & roots(package).keys()


# The stages of common/ in the order of its map: each may import those before it.
STAGES = [
    "config",
    "cli",
    "files",
    "color",
    "photos",
    "networks",
    "datasets",
    "metrics",
    "training",
    "colorize",
    "evaluation",
    "survey",
    "commands",
]


def stage_of(dotted):
    """The stage of a module of common/, or None."""
    first, *rest = dotted.split(".")
    return rest[0] if first == "common" and rest else None


def test_no_stage_imports_a_later_one():
    for path, tree in sources("common"):
        own = stage_of(".".join(path.with_suffix("").parts))
        for name in imports(tree):
            other = stage_of(name)
            if own != "__init__" and other in STAGES:
                assert STAGES.index(other) <= STAGES.index(own), f"{path} imports {name}"


def test_every_module_of_common_lies_in_a_stage():
    found = {stage_of(".".join(path.with_suffix("").parts)) for path, _ in sources("common")}
    assert found - {"__init__"} <= set(STAGES)


def test_imports_are_found_wherever_they_stand():
    tree = ast.parse("def f():\n    from koala import model\n    importlib.import_module('feup')")
    assert set(imports(tree)) == {"koala", "koala.model", "feup"}


@pytest.mark.parametrize("package", ["common", *REPORTS, "benchmarks"])
def test_one_backends_libraries_are_imported_inside_functions_only(package):
    for path, tree in sources(package):
        for node in outside_functions(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {name.split(".")[0] for name in imports(node)}
                assert not names & ONE_BACKEND, f"{path}:{node.lineno}"


def test_nothing_but_definitions_at_import():
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef)
    for package in ["common", *REPORTS, "benchmarks"]:
        for path, tree in sources(package):
            for node in tree.body:
                docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                command = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
                assert isinstance(node, allowed) or docstring or command, f"{path}:{node.lineno}"


def test_import_opens_no_file_no_connection_and_needs_no_tensorflow(tmp_path):
    """In a process without TensorFlow, where every such event during our imports is noted."""
    ours, theirs = [], set()
    for package in ["common", *REPORTS]:
        for path, tree in sources(package):
            ours.append(".".join(path.with_suffix("").parts))
            for node in outside_functions(tree):
                if isinstance(node, ast.Import):
                    theirs |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    theirs.add(node.module)
    theirs = sorted(name for name in theirs if name.split(".")[0] not in PACKAGES)
    script = f"""
import importlib, sys
sys.modules["tensorflow"] = None
for name in {theirs!r}:
    importlib.import_module(name)
events = []
def note(event, args):
    file = str(args[0]) if event == "open" else ""
    ignored = file.startswith((sys.prefix, sys.base_prefix)) or file.endswith((".py", ".pyc"))
    if event in ("open", "subprocess.Popen", "os.system", "socket.connect") and not ignored:
        events.append(f"{{event}} {{args[0]}}")
sys.addaudithook(note)
for name in {ours!r}:
    importlib.import_module(name)
print(events)
"""
    done = subprocess.run(
        [sys.executable, "-B", "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "numpy", "KERAS_HOME": str(tmp_path)},
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stdout + done.stderr


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_is_whole(report):
    for name in ("README.md", "config.py", "model.py", "train.py", "survey.py"):
        assert (ROOT / report / name).is_file(), name
    package = importlib.import_module(report)
    assert package.CONFIGS and callable(package.build_model)
    assert callable(importlib.import_module(f"{report}.train").main)
    for name, config in package.CONFIGS.items():
        assert dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen, name


# --- what is declared -------------------------------------------------------------------------


def declared(name):
    """{distribution: Requirement} of a requirements file."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {requirement.name.lower(): requirement for requirement in found}


def pinned(name):
    return {
        name: next(iter(requirement.specifier)).version
        for name, requirement in declared(name).items()
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_is_declared(package):
    known = {**declared("requirements.txt"), **declared("requirements-test.txt")}
    if package in ("common", *REPORTS):  # jax is optional: asked for by the user's backend
        known = {**declared("requirements.txt"), "jax": None}
    for name, path in roots(package).items():
        if name not in sys.stdlib_module_names and name not in PACKAGES:
            assert DISTRIBUTIONS.get(name, name) in known, f"{path} imports {name}"


def test_both_ends_of_every_range_are_pinned_and_lie_within_it():
    ranges = {**declared("requirements.txt"), **declared("requirements-test.txt")}
    lowest, lock = pinned("requirements-lowest.txt"), pinned("requirements.lock")
    assert lowest.keys() == ranges.keys()
    for name, requirement in ranges.items():
        assert requirement.specifier.contains(lock[name]), name
        assert requirement.specifier.contains(lowest[name]), name
        floor = next(part.version for part in requirement.specifier if part.operator == ">=")
        assert f"{lowest[name]}.".startswith(f"{floor}."), name
    assert lock["opencv-python-headless"] == lock["opencv-python"]


def test_the_lock_names_versions_only():
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line), line


def test_the_installed_versions_lie_within_the_ranges():
    for name, requirement in declared("requirements.txt").items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # set up with HEADLESS=1
            version = importlib.metadata.version(f"{name}-headless")
        assert requirement.specifier.contains(version), name


def test_every_package_is_installed_by_pip_install():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {f"{name}*" for name in ("common", *REPORTS)} <= set(patterns)


def test_whatever_a_package_reads_is_installed_with_it():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]
    for package in ("common", *REPORTS):
        for path in (ROOT / package).iterdir():
            if path.is_file() and path.suffix not in (".py", ".md"):
                assert any(path.match(pattern) for pattern in patterns.get(package, ())), path


# --- the files --------------------------------------------------------------------------------


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode > 1:
        pytest.skip(f"no git repository here: {done.stderr.strip()}")
    return done.stdout


@pytest.mark.parametrize(
    "path",
    [
        "data/raw/a.png",
        "data/tfrecords/x/train-00000.tfrecord",
        "runs/x/config.json",
        "models/koala.h5",
        "reports/eval/index.html",
        ".venv/bin/python",
        ".venv-lowest/ready",
    ],
)
def test_what_commands_make_is_ignored(path):
    assert git("check-ignore", "--no-index", path).strip() == path


@pytest.mark.parametrize("path", ["data/sources.toml", "common/color/lab.py", "tests/golden.h5"])
def test_what_belongs_to_the_project_is_not_ignored(path):
    assert not git("check-ignore", "--no-index", path)


def test_no_file_names_a_machine():
    """Homes, and the folders of one machine: what works there fails everywhere else."""
    homes = "|".join(("work", "farm", "root", r"home/\w+", r"Users/\w+", "opt/pypi", "tmp"))
    machine = re.compile(rf"(?<![\w.])/(?:{homes})/".encode())
    assert machine.search(b"see /" + b"work/x") and machine.search(b"'/" + b"home/ann/x'")
    assert not machine.search(b"../shared/network/root/x") and not machine.search(b"a/home/")
    names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, names):
        path = ROOT / name
        if path.is_file() and path.suffix != ".h5":
            found = machine.search(path.read_bytes())
            assert not found, f"{name}: {found.group().decode()}"


def test_the_readme_begins_with_the_two_commands():
    commands, fenced = [], False
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            commands.append(line.split("#")[0].strip().removeprefix("$ "))
    assert [line for line in commands if line][:2] == ["make train-koala", "make test"]


# --- make -------------------------------------------------------------------------------------

COMMANDS = {
    "data": "common.commands.prepare",
    "eval": "common.commands.evaluate",
    "bench": "benchmarks.bench",
    **{f"train-{report}": f"{report}.train" for report in REPORTS},
    **{
        f"{kind}-{report}": f"{report}.{kind}"
        for kind in ("reproduce", "survey")
        for report in REPORTS
        if (ROOT / report / f"{kind}.py").exists()
    },
    **{
        f"{kind}-{report}": f"{report}.experiments.{module}"
        for kind, module in (
            ("compare", "regularisation"),
            ("study", "study"),
            ("pretext", "pretext"),
        )
        for report in REPORTS
        if (ROOT / report / "experiments" / f"{module}.py").exists()
    },
}

# Stands for an interpreter and the pip of its virtual environments; $FAKE holds what it was told.
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
    [ ! -e "$FAKE/stopped" ] || kill -9 $$ ;;
  '-m common.commands.quietly '*) printf '%s\\0' "$@" >"$FAKE/flags" ;;
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
            shutil.copytree(ROOT / report, self.folder / report)
        self.python = folder / "python"
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)

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
        """[module, flag, ...] of the Python command that make called last."""
        words = (self.notes / "flags").read_text().split("\0")[:-1]
        assert words[:2] == ["-m", "common.commands.quietly"]
        return words[2:]


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_make_alone_lists_every_target(house):
    done = house.make()
    assert done.returncode == 0 and not done.stderr and not house.calls("")
    listed = re.findall(r"^  ([a-z][\w-]*) +\w", done.stdout, re.MULTILINE)
    phony = re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)[0]
    expected = {*phony.split(), *COMMANDS}
    assert sorted(listed) == sorted(expected)
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


@pytest.mark.parametrize("target", COMMANDS)
def test_a_target_runs_its_module_with_the_variables_given(house, target):
    done = house.make(target, "DATA=a folder", "SPLIT_BY=", "OVERWRITE=1", "MAX_MEGAPIXELS=9")
    assert done.returncode == 0, done.stderr
    assert house.command() == [
        COMMANDS[target],
        "--data=a folder",
        "--overwrite",
        "--max-megapixels=9",
    ]


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
def test_a_value_arrives_as_it_was_typed(house, value):
    done = house.make("colorize", f"IN={value}", f"OUT={value}")
    assert done.returncode == 0, done.stderr
    assert house.command() == ["common.commands.colorize", f"--in={value}", f"--out={value}"]


def test_switches_are_on_or_off(house):
    house.make("data", "OVERWRITE=0", "SEED=0")
    assert house.command() == ["common.commands.prepare", "--seed=0"]
    house.make("train-koala", "BINS=1", "REBALANCE=", "EMBED_VIEWS=0", "EPOCHS=1")
    assert house.command() == ["koala.train", "--epochs=1", "--bins"]


SENSIBLE = {
    "common.commands.prepare": "DATA SIZE CUT EMBEDDING EMBEDDING_WEIGHTS SEED SPLIT_BY OVERWRITE "
    "MAX_MEGAPIXELS",
    "common.commands.evaluate": "DATA SIZE CUT EMBEDDING EMBEDDING_WEIGHTS BATCH PRECISION MODEL "
    "OUT "
    "SPLIT SPLIT_BY REBALANCE AGAINST PREDICTIONS PRESET METRICS CLASSIFIER "
    "CLASSIFIER_WEIGHTS INCEPTION_V3_WEIGHTS VGG16_WEIGHTS "
    "MOBILENET_V2_WEIGHTS PERCEPTUAL LPIPS_WEIGHTS",
    "common.commands.colorize": "IN OUT MODEL EMBEDDING_WEIGHTS PRECISION OVERWRITE MAX_MEGAPIXELS",
    "common.commands.survey_results": "IN KEY",
    **{
        f"{report}.survey": "DATA EMBEDDING_WEIGHTS MODEL OUT PRECISION RECOLOURED ORIGINALS SEED "
        "SPLIT SPLIT_BY"
        for report in REPORTS
    },
    **{
        f"{report}.train": "DATA CONFIG EMBEDDING EMBEDDING_WEIGHTS EPOCHS STEPS BATCH SIZE "
        "PRECISION RUN SEED SPLIT_BY OVERWRITE BINS REBALANCE EMBED_VIEWS"
        for report in REPORTS
    },
}
PRETRAINED = {
    "vgg_autoencoder.train": " VGG16_WEIGHTS MOBILENET_V2_WEIGHTS",
    "feup.train": " RESNET18_WEIGHTS DENSENET_WEIGHTS VGG16_WEIGHTS "
    "MOBILENET_V2_WEIGHTS LPIPS_WEIGHTS",
}
SENSIBLE |= {module: SENSIBLE[module] + names for module, names in PRETRAINED.items()}
SENSIBLE |= {
    "feup.experiments.study": "DATA SPLIT_BY SIZE CONFIG VGG16_WEIGHTS LPIPS_WEIGHTS",
    "feup.experiments.pretext": "DATA SPLIT_BY SIZE BATCH EPOCHS COLORIZER_EPOCHS LABELS SEEDS "
    "PRECISION RUN RESNET18_WEIGHTS",
}


@pytest.mark.parametrize("module", SENSIBLE)
def test_a_command_knows_the_variables_as_flags(module):
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        env=os.environ | {"KERAS_BACKEND": "numpy"},
    )
    assert done.returncode == 0, done.stderr
    flags = {"--" + name.lower().replace("_", "-") for name in SENSIBLE[module].split()}
    assert flags <= set(re.findall(r"--[a-z0-9-]+", done.stdout))


def test_make_knows_every_variable_that_a_command_does():
    variables = (
        re.search(
            r"^VARIABLES := (.*?[^\\])$", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL
        )
        .group(1)
        .replace("\\", "")
        .split()
    )
    assert set(variables) == set(" ".join(SENSIBLE.values()).split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["colorize"], "IN= is missing"),
        (["survey-results"], "make survey-results IN=folder"),
        (["survey-nonsense"], "survey-koala"),
        (["train-nonsense"], "train-koala"),
        (["reproduce-nonsense"], "There are:"),
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


def test_opencv_without_system_libraries_is_told_and_headless_helps(house):
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
