"""Damaged files for every reader (benchmarks/fuzz): the first cases of the long run, and its judge.

What earlier runs found has tests of its own beside those of each reader.
"""

import sys

import pytest

from benchmarks.fuzz import targets, worker
from common.cli import UserError
from common.exports import extras

# TensorFlow builds a pipeline anew for each case, which takes as long as ten cases of another.
COUNTS = dict.fromkeys(targets.TARGETS, 300) | {"shard-tensorflow": 60}
if not extras.has(*extras.TITLES):
    del COUNTS["onnx"]

RARE = {"shard-tensorflow"}  # of which sixty may all be refused
SEEDS = range(200), range(200, 400), range(200)

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits are those of Linux")


@linux
@pytest.mark.slow
def test_no_damaged_file_does_harm():
    wanted = [(target, seed) for target, count in COUNTS.items() for seed in range(count)]
    outcomes = list(worker.cases(wanted))
    assert [each for each in outcomes if each.result == "failed"] == []
    assert [(each.target, each.seed) for each in outcomes] == wanted
    # Some changes leave a file whole; else none would have got beyond the first check.
    assert {each.target for each in outcomes if each.result == "read"} >= {*COUNTS} - RARE
    assert {each.target for each in outcomes if each.result == "refused"} == {*COUNTS}


def test_a_seed_is_always_the_same_case():
    first, other, again = ([targets.case("answers", seed) for seed in at] for at in SEEDS)
    assert first == again != other


@pytest.fixture
def reads(monkeypatch):
    """Let the reader of answers do something else."""

    def put(read):
        monkeypatch.setitem(
            targets.TARGETS, "answers", targets.TARGETS["answers"]._replace(read=read)
        )

    return put


def test_a_line_is_a_refusal_and_anything_else_a_failure(reads):
    def raises(error):
        def read(path):
            raise error

        return read

    for error, result, detail in (
        (UserError("it is damaged"), "refused", "it is damaged"),
        (UserError("two\nlines"), "failed", "not one line"),
        (UserError("\x1b[2J"), "failed", "not one line"),
        (UserError("x" * 501), "failed", "not one line"),
        (KeyError("name"), "failed", "KeyError: 'name'"),
    ):
        reads(raises(error))
        outcome = worker.outcome("answers", 0)
        assert outcome.result == result and detail in outcome.detail


@linux
def test_a_case_that_takes_too_much_memory_fails(reads, monkeypatch):
    monkeypatch.setattr(worker, "MEMORY", 1 << 24)
    reads(lambda path: bytes(1 << 20).count(b"\1"))
    assert worker.outcome("answers", 0).result == "read"
    reads(lambda path: (b"\1" * (1 << 25)).count(b"\1"))
    assert worker.outcome("answers", 0).result == "failed"


@linux
@pytest.mark.parametrize(
    ("code", "detail"),
    [(-6, "killed by SIGABRT: free(): wrong"), (-27, "10 s of processor time"), (3, "exit 3")],
)
def test_the_end_of_a_process_is_a_failure_and_the_next_goes_on(
    monkeypatch, tmp_path, code, detail
):
    """A stand-in for the process: it ends in its first case."""
    end = f"os.kill(os.getpid(), {-code})" if code < 0 else f"os._exit({code})"
    script = tmp_path / "worker"
    script.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        "for target, seed in json.loads(sys.argv[-1]):\n"
        "    entry = dict(target=target, seed=seed, result='started')\n"
        "    print(json.dumps(entry), flush=True)\n"
        "    if seed == 0:\n"
        "        print('free(): wrong', file=sys.stderr, flush=True)\n"
        f"        {end}\n"
        "    print(json.dumps(entry | dict(result='read')), flush=True)\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(worker.sys, "executable", str(script))
    first, second = worker.cases([("answers", 0), ("answers", 1)])
    assert first.result == "failed" and detail in first.detail
    assert second.result == "read"
