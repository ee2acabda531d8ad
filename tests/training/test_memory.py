"""Memory taken and memory left, told by files as the system writes them."""

import numpy as np
import pytest

from seqgen_core.training import memory

MIB = 2**20


def system(root, *, available, groups="", files=()):
    """proc and sys below a folder. available: MiB. files: path below sys/fs/cgroup → text."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {available * 1024} kB\n")
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in dict(files).items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(text))
    return root


def limits(folder, limit, usage, spare, version=2):
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    stat = f"anon 5\n{names[2]} {spare * MIB}\n"
    values = (limit if isinstance(limit, str) else limit * MIB, usage * MIB, stat)
    return {f"{folder}/{name}": value for name, value in zip((*names[:2], "memory.stat"), values, strict=True)}


@pytest.mark.parametrize(
    ("groups", "files", "left"),
    [
        ("", {}, 800),
        ("0::/a/b\n", limits("a/b", 500, 200, 50), 350),
        ("0::/a/b\n", limits("a/b", "max", 200, 50) | limits("a", 300, 200, 0), 100),
        ("0::/on/the/host\n", limits(".", 500, 300, 0), 200),
        ("0::/a\n", limits("a", 2000, 200, 0), 800),
        ("0::/a\n", limits("a", 200, 300, 0), 0),
        ("5:cpu:/a\n4:memory:/a\n", limits("memory/a", 500, 100, 20, 1), 420),
        ("5:cpu,memory:/a\n", limits("memory", 400, 100, 0, 1), 300),
    ],
)
def test_left_is_what_the_machine_and_every_group_leave(tmp_path, groups, files, left):
    assert memory.available(system(tmp_path, available=800, groups=groups, files=files)) == left * MIB


def test_this_machine_tells():
    assert memory.available() > 0


def test_the_peak_stays_once_it_was_reached():
    before = memory.peak()
    taken = np.ones(64 * MIB, np.uint8)
    reached = memory.peak()
    del taken
    unsure = 4 * MIB  # Linux counts each thread's pages in lots
    assert memory.peak() > reached - unsure
    assert reached > before - unsure
    assert reached > 64 * MIB
