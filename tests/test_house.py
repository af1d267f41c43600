"""The house's rules: who may import whom, what is declared, what Git keeps."""

import ast
import dataclasses
import fnmatch
import functools
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from common.commands import reports

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ["koala", "iizuka", "vgg_autoencoder", "cs230", "feup", "wombat"]
PACKAGES = ["common", *REPORTS, "benchmarks", "tests"]

# import name -> distribution, where the two differ
DISTRIBUTIONS = {
    "cv2": "opencv-python",
    "skimage": "scikit-image",
    "PIL": "pillow",
    "google_crc32c": "google-crc32c",
    "pillow_heif": "pillow-heif",
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
    "cli",
    "config",
    "drives",
    "files",
    "memory",
    "locks",
    "seals",
    "processes",
    "engines",
    "color",
    "photos",
    "networks",
    "datasets",
    "metrics",
    "training",
    "exports",
    "colorize",
    "film",
    "evaluation",
    "survey",
    "demo",
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
    stages = {stage_of(".".join(path.with_suffix("").parts)) for path, _ in sources("common")}
    assert stages - {"__init__"} <= set(STAGES)


def test_every_stages_map_names_its_files():
    for init in (ROOT / "common").glob("*/__init__.py"):
        docstring = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))
        named = set(re.findall(r"^ *(\w+) +\S", docstring, re.MULTILINE))
        files = {path.stem for path in init.parent.glob("*.py")} - {"__init__"}
        assert files <= named, f"{init.parent.name}: {files - named}"


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
                condition = ast.unparse(node.test) if isinstance(node, ast.If) else ""
                command, for_types = "__name__" in condition, condition == "TYPE_CHECKING"
                definition = isinstance(node, allowed)
                assert definition or docstring or command or for_types, f"{path}:{node.lineno}"


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


def test_the_reports_are_discovered_by_their_form():
    assert reports.names() == sorted(REPORTS)


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_is_whole(report):
    for name in ("README.md", *reports.FORM):
        assert (ROOT / report / name).is_file(), name
    package = importlib.import_module(report)
    assert package.CONFIGS and callable(package.build_model)
    assert callable(importlib.import_module(f"{report}.train").main)
    assert importlib.import_module(f"{report}.claims").ROWS.keys() <= package.CONFIGS.keys()
    for name, config in package.CONFIGS.items():
        assert dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen, name


# --- what is declared -------------------------------------------------------------------------


def declared(name):
    """{distribution: Requirement} of a requirements file."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {requirement.name.lower(): requirement for requirement in requirements}


def pinned(name):
    return {
        name: next(iter(requirement.specifier)).version
        for name, requirement in declared(name).items()
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_is_declared(package):
    known = declared("requirements.txt")
    for extra in ("film", "heif", "onnx", "demo", "ray"):
        known |= declared(f"requirements-{extra}.txt")
    if package in ("common", *REPORTS):  # jax is optional: asked for by the user's backend
        known["jax"] = None
    else:
        known |= declared("requirements-test.txt")
        known |= declared("requirements-bench.txt")
        known["tf_keras"] = None  # of make_golden_keras2.py, in an environment of its own
        known["scenedetect"] = None  # benchmarks.film measures it where it is
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


def hashed():
    """{distribution: (version, its hashes)} of what LOCKED=1 installs."""
    names = "requirements-hashes.lock", "requirements-demo-hashes.lock"
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in names)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.startswith("#")]
    entry = re.compile(r"([a-z0-9-]+)==([\w.]+)(?: ; [^\\#]*?)?((?: +--hash=sha256:[0-9a-f]{64})+)")
    matches = [entry.fullmatch(line.rstrip()) for line in lines]
    assert all(matches), [line for line, match in zip(lines, matches, strict=True) if not match]
    return {match[1]: (match[2], match[3].split()) for match in matches if match}


def test_the_hashes_are_those_of_the_locked_versions():
    lock = {
        canonicalize_name(name): version for name, version in pinned("requirements.lock").items()
    }
    versions = {name: version for name, (version, _) in hashed().items()}
    lite = pinned("requirements-lite.txt")
    assert (lock | lite).items() - versions.items() <= {("wheel", lock["wheel"])}
    # what other systems need besides, and what pip freeze leaves out
    others = {"appnope", "cffi", "colorama", "pycparser", "setuptools"}
    others |= {"audioop-lts", "httpx2-jsfetch"}  # of Gradio
    assert versions.keys() <= lock.keys() | lite.keys() | others


def test_the_hashes_cover_whatever_a_package_needs():
    """They are installed without looking for dependencies; here of what is installed."""
    locked = hashed()
    for name, (version, _) in locked.items():
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # another option's or system's
            continue
        for requirement in map(Requirement, package.requires or []):
            if package.version == version and (
                requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            ):
                assert canonicalize_name(requirement.name) in locked, f"{name} needs {requirement}"


def test_the_installed_versions_lie_within_the_ranges():
    for name, requirement in declared("requirements.txt").items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # set up with HEADLESS=1
            version = importlib.metadata.version(f"{name}-headless")
        assert requirement.specifier.contains(version), name


def test_every_package_is_installed_by_pip_install():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    excluded = settings["tool"]["setuptools"]["packages"]["find"]["exclude"]
    installed = {
        path.parent.name
        for path in ROOT.glob("*/__init__.py")
        if not any(fnmatch.fnmatch(path.parent.name, pattern) for pattern in excluded)
    }
    assert installed == {"common", *REPORTS}


def test_whatever_a_package_reads_is_installed_with_it():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["*"]
    for package in ("common", *REPORTS):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                assert any(path.match(pattern) for pattern in patterns), path


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


@pytest.mark.parametrize("path", ["data/sources.toml", "models/shipped/x.h5", "tests/golden.h5"])
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
            match = machine.search(path.read_bytes())
            assert not match, f"{name}: {match.group().decode()}"


def test_links_between_documents_lead_somewhere():
    """Files by their path, headings by the anchor that GitHub makes of them."""
    names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md").split("\0")
    texts = {ROOT / name: (ROOT / name).read_text("utf-8") for name in filter(None, names)}
    prose = {path: re.sub(r"```.*?```", "", text, flags=re.DOTALL) for path, text in texts.items()}
    for path, text in prose.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            place, _, anchor = link.partition("#")
            if "://" in link:
                continue
            target = (path.parent / place).resolve() if place else path
            assert target.exists(), f"{path.name}: {link}"
            headings = re.findall(r"^#+ (.*)", prose.get(target, ""), re.MULTILINE)
            anchors = {
                re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
            }
            assert not anchor or target.suffix != ".md" or anchor in anchors, f"{path.name}: {link}"
