"""docs/quickstart.ipynb runs, in a clone and where the library is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


def cells(kind):
    return [
        cell
        for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == kind
    ]


def test_its_stored_outputs_are_small_and_without_errors():
    """They are for readers on the web; no test depends on them."""
    assert NOTEBOOK.stat().st_size < 200_000  # base64 of at most 100 KB of pictures, and the text
    outputs = [output for cell in cells("code") for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {
        "display_data",
        "execute_result",
        "stream",
    }
    pictures = [
        data
        for output in outputs
        for kind, data in output.get("data", {}).items()
        if kind.startswith("image/")
    ]
    assert pictures and sum(map(len, pictures)) * 3 / 4 < 100_000
    assert str(ROOT) not in NOTEBOOK.read_text(encoding="utf-8")


def test_in_a_clone_its_first_cell_finds_the_library_and_its_folder(tmp_path):
    """As a notebook starts there: in docs/, with nothing of ours on Python's path."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "common").symlink_to(ROOT / "common")
    code = "".join(cells("code")[0]["source"])
    code += "\nimport common\nprint(os.getcwd())\nprint(common.__file__)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "docs",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [str(tmp_path), str(tmp_path / "common" / "__init__.py")]


@pytest.mark.slow
def test_it_runs_where_the_library_is_installed(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # stands for `pip install .`
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # which the kernel chooses
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.pop("outputs", None)
    work = tmp_path / "work"
    work.mkdir()
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(work)}}
    ).execute()
    shown = [
        (output.get("name"), *output.get("data", {}), output.get("text", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    ]
    # Coloured photos, the dials, two comparisons; the model; the curves.
    assert sum("image/jpeg" in each for each in shown) == 4
    assert sum("text/html" in each for each in shown) == 1
    assert sum("image/png" in each for each in shown) == 1
    printed = "".join(each[-1] for each in shown if each[0] == "stdout")
    assert "koala " in printed and "epoch 5: loss" in printed and "mean colour" in printed
    assert (work / "runs" / "quickstart" / "history.csv").is_file()
    assert not (work / "models").exists()
