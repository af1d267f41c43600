"""A short `make torture`: every stage is killed and goes on to the same results."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

# Colorizing without its helper processes, whose start takes longer than the rest.
STAGES = ("preparing", "training", "exporting", "colorizing, two runs at once")


@pytest.mark.slow
def test_killed_at_random_every_stage_goes_on_to_the_same_results():
    """In a process of its own, since it forks: TensorFlow may not have computed before."""
    only = [f"--only={stage}" for stage in STAGES]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.torture", "--kills=1", *only],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    rows = re.findall(r"^\| [a-z, ]+ \| (\d) \| \d \| 0 \| 0 \|", run.stdout, re.MULTILINE)
    assert len(rows) == len(STAGES) and all(int(kills) >= 1 for kills in rows), run.stdout
