"""What memory a process may still take."""

import sys

import pytest

from common import memory
from tests import cgroup

LIMIT = 300 << 20


V2 = "max", "current", "inactive_file"
V1 = "limit_in_bytes", "usage_in_bytes", "total_inactive_file"


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize(("limit", "left"), [("5000", 2500), ("max", None)])
def test_a_group_has_left_what_it_may_take_and_what_holds_files(tmp_path, version, limit, left):
    most, used, files = version
    (tmp_path / f"memory.{most}").write_text(f"{limit}\n")
    (tmp_path / f"memory.{used}").write_text("3000\n")
    (tmp_path / "memory.stat").write_text(f"cache 900\n{files} 500\nunevictable 7\n")
    assert memory._left(tmp_path) == left


def test_what_is_no_group_has_no_limit(tmp_path):
    assert memory._left(tmp_path) is None


def test_a_control_group_bounds_what_is_free():
    with cgroup.limited(LIMIT) as group:
        run = group.run(sys.executable, "-c", "from common import memory; print(memory.free())")
    assert run.returncode == 0, run.stderr
    assert 0 < int(run.stdout) < LIMIT < memory.free()
