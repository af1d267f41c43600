"""A memory control group of Linux, of version 1 or 2, in which commands run."""

import contextlib
import dataclasses
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOME = Path("/sys/fs/cgroup")


@dataclasses.dataclass(frozen=True)
class Group:
    folder: Path
    events: str  # the file that counts processes ended for want of memory

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the group."""
        enter = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
        return subprocess.run(
            ["sh", "-c", enter, str(self.folder), *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    def killed(self) -> int:
        """Processes that the system has ended for want of memory."""
        found = re.search(r"^oom_kill (\d+)", (self.folder / self.events).read_text(), re.M)
        return int(found[1]) if found else 0


@contextlib.contextmanager
def limited(most: int) -> Iterator[Group]:
    """Yield a group of so many bytes, and remove it; skips the test where none can be made."""
    name = f"colorization-{uuid.uuid4()}"
    try:
        paths = {}
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            paths[controllers] = path.lstrip("/")
        if "memory" in paths:  # version 1: below this process's own
            group = Group(HOME / "memory" / paths["memory"] / name, "memory.oom_control")
            limits = {"memory.limit_in_bytes": most}
        else:  # version 2 has no processes in a group that has others: beside this process's own
            group = Group((HOME / paths[""]).parent / name, "memory.events")
            limits = {"memory.max": most, "memory.swap.max": 0}
        group.folder.mkdir()
    except (OSError, KeyError) as error:
        pytest.skip(f"no memory control group can be made here: {error}")
    try:
        try:
            for file, value in limits.items():
                (group.folder / file).write_text(str(value))
            (group.folder / "cgroup.procs").touch()
        except OSError as error:
            pytest.skip(f"no memory control group can be limited here: {error}")
        yield group
    finally:
        group.folder.rmdir()
