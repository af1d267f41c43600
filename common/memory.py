"""How much memory this process may still take: of the machine, and of its control groups."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")

# Files of a group of version 2 and 1, and the line of its statistics that says how much of the
# memory in use holds files only, which the system gives up when it is asked for more.
_VERSIONS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free() -> int | None:
    """Bytes that this process may still take before the machine, or a group that it is in, is full.

    None where the system does not say. What holds files that can be read again counts as free.
    """
    rooms = [room for room in (_of_machine(), *_of_groups()) if room is not None]
    return max(0, min(rooms)) if rooms else None


def _of_machine():
    """The machine's memory that is free; half of it where the system says no more (macOS)."""
    try:
        found = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(), re.M)
        if found:
            return int(found[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return None


def _of_groups() -> Iterator[int | None]:
    """Yield what is left in each control group of Linux that this process is in.

    A container sees its own group as the root, whatever /proc says of its path.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        home = GROUPS / "memory" if controllers else GROUPS
        own = home / path.lstrip("/")
        for folder in (own, *own.parents):
            yield _left(folder)
            if folder == home:
                break


def _left(folder: Path) -> int | None:
    """What is left in one group; None if it has no limit."""
    for limit, usage, files in _VERSIONS:
        try:
            most, used = (int((folder / name).read_text()) for name in (limit, usage))
            statistics = (folder / "memory.stat").read_text()
        except (OSError, ValueError):  # of the other version, or "max"
            continue
        found = re.search(rf"^{files} (\d+)", statistics, re.MULTILINE)
        return most - used + (int(found[1]) if found else 0)
    return None
