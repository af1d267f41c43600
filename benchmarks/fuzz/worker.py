"""Cases in a process of their own, which may crash, hang or take too much: `cases`.

The process writes a line of JSON before each case and one after it. The system ends it when a case
has taken too much processor time, or too much time altogether; another goes on with the next case.
"""

import dataclasses
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from common.cli import UserError, first_line

ROOT = Path(__file__).parents[2]
SECONDS = 10  # of processor time a case: more is a hang
PATIENCE = 120  # seconds altogether, on a machine that others use too
MEMORY = 2 << 30  # bytes that a case may take
CASES = 1000  # a process: what a library leaves behind does not add up
ENDED = {
    signal.SIGPROF: f"more than {SECONDS} s of processor time",
    signal.SIGALRM: f"more than {PATIENCE} s",
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a case: "read", "refused" with the reason, or "failed" with what went wrong.

    seconds: of processor time. memory: the most that it took, in bytes.
    """

    target: str
    seed: int
    result: str
    detail: str = ""
    seconds: float = 0.0
    memory: int = 0


def cases(wanted: Iterable[tuple[str, int]]) -> Iterator[Outcome]:
    """Yield the outcomes of cases, (target, seed), in their order."""
    waiting = list(wanted)
    while waiting:
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.fuzz.worker", json.dumps(waiting[:CASES])],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            started = False
            with process:
                for line in process.stdout or ():
                    entry = json.loads(line)
                    started = entry["result"] == "started"
                    if not started:
                        del waiting[0]
                        yield Outcome(**entry)
            errors.seek(0)
            words = errors.read().decode(errors="replace")
            if started:
                yield Outcome(*waiting.pop(0), "failed", _end(process.returncode, words))
            elif process.returncode:
                raise RuntimeError(words)


def _end(code, errors):
    """Why a process ended in mid-case."""
    words = errors.strip().splitlines()[-1:]
    try:
        number = signal.Signals(-code)
    except ValueError:
        return ": ".join([f"exit {code}", *words])
    return ENDED.get(number) or ": ".join([f"killed by {number.name}", *words])


def outcome(target: str, seed: int) -> Outcome:
    """Do a case in this process."""
    from benchmarks.fuzz import targets

    reader = targets.TARGETS[target]
    data = targets.case(target, seed)
    result, detail = "read", ""
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-") as folder,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        path = Path(folder, reader.name)
        path.write_bytes(data)
        _forget_peak()
        before, begun = _memory("VmRSS"), time.process_time()
        try:
            reader.read(path)
        except Exception as error:
            result, detail = _judged(error, reader.also)
        seconds, memory = time.process_time() - begun, _memory("VmHWM") - before
    ours = [
        each
        for each in caught
        if str(ROOT / "common") in each.filename and each.category is not ResourceWarning
    ]
    if memory > MEMORY:
        result, detail = "failed", f"{memory / 1e6:.0f} MB"
    elif ours and result != "failed":
        result = "failed"
        detail = f"a warning, {Path(ours[0].filename).name}:{ours[0].lineno}: {ours[0].message}"
    return Outcome(target, seed, result, detail, seconds, memory)


def _judged(error, also):
    """(result, detail) of a case that raised an error."""
    from benchmarks.fuzz import targets

    if type(error).__name__ in also:
        return "refused", f"{type(error).__name__}: {first_line(error)}"
    if isinstance(error, UserError):
        try:
            targets.one_line(error)
            return "refused", str(error)
        except AssertionError as wrong:
            return "failed", str(wrong)
    frames = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if str(ROOT / "common") in frame.filename
    ]
    return "failed", f"{' '.join(frames[-2:])} {type(error).__name__}: {first_line(error)}"


def _memory(name):
    """A size from /proc/self/status, in bytes."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{name}:\s*(\d+)", status)
    return int(found[1]) * 1024 if found else 0


def _forget_peak():
    """Let the process's peak of memory be what it takes now."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Do the cases that the argument lists."""
    from benchmarks.fuzz import targets

    report = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries say
    wanted = json.loads(sys.argv[1])
    for target, seed in {target: (target, seed) for target, seed in wanted}.values():
        targets.case(target, seed)  # what they begin with is made outside the limits
    _limit()
    for target, seed in wanted:
        started = Outcome(target, seed, "started")
        print(json.dumps(dataclasses.asdict(started)), file=report, flush=True)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        done = outcome(target, seed)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(dataclasses.asdict(done)), file=report, flush=True)


def _limit():
    """No dump of the memory; and far more than a case may take is not to be had at all."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _memory("VmSize") + 4 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
