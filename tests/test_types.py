"""Public functions are annotated, so that mypy (`make lint`) checks their bodies and callers."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("common", "koala", "iizuka", "vgg_autoencoder", "cs230", "feup", "wombat")
FILES = sorted(path for package in PACKAGES for path in ROOT.glob(f"{package}/**/*.py"))


def public_functions(nodes):
    """Yield the functions without a leading underscore, and those of such classes."""
    for node in nodes:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef) and (
            not node.name.startswith("_") or node.name in ("__init__", "__call__")
        ):
            yield node


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_are_annotated(path):
    missing = []
    for function in public_functions(ast.parse(path.read_text(encoding="utf-8")).body):
        arguments = function.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [each for each in (arguments.vararg, arguments.kwarg) if each]
        unannotated = [
            each.arg for each in every if not each.annotation and each.arg not in ("self", "cls")
        ]
        if not function.returns and function.name != "__init__":
            unannotated.append("return")
        if unannotated:
            missing.append(f"{function.name} (line {function.lineno}): {', '.join(unannotated)}")
    assert not missing
