"""What a long run holds (benchmarks/soak.py): a short one, and the judge of all."""

import sys

import pytest

from benchmarks import soak
from benchmarks.soak import Sample

linux = pytest.mark.skipif(sys.platform != "linux", reason="watches by Linux's /proc")


def run(memory=lambda photos: 3e8, handles=lambda photos: 40, threads=lambda photos: 30):
    """The samples of a run of 10,000 photos that holds so much after each."""
    return [
        Sample(photos, int(memory(photos)), int(handles(photos)), int(threads(photos)), 3)
        for photos in range(0, 10_001, 50)
    ]


def test_what_varies_does_not_grow():
    noisy = run(
        memory=lambda photos: 3e8 + photos % 7 * 5e6,
        handles=lambda photos: 40 + photos % 5,
        threads=lambda photos: min(30, photos),
    )
    assert soak.growth(noisy) == []


def test_a_leak_is_named():
    assert soak.growth(run(memory=lambda photos: 3e8 + 20_000 * photos)) == [
        "memory grew by 100 MB over 5000 photos"
    ]
    # one handle in fifty photos
    assert soak.growth(run(handles=lambda photos: 40 + photos / 50)) == [
        "handles grew from 116 to 216 over 5000 photos"
    ]
    assert len(soak.growth(run(threads=lambda photos: photos))) == 1


def test_too_few_samples_are_an_error():
    with pytest.raises(ValueError, match="Sample more often"):
        soak.growth(run()[:1])


@linux
def test_what_a_process_and_its_children_hold_is_seen(tmp_path, monkeypatch):
    """A child keeps 40 MB and ten files; its own child waits until it has been seen three times."""
    script = (
        "import subprocess, sys\n"
        "kept = [open(sys.argv[1] + str(i), 'w') for i in range(10)], b'x' * 40_000_000\n"
        "wait = 'import os, sys, time\\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)'\n"
        "with subprocess.Popen([sys.executable, '-c', wait, sys.argv[2]]): pass\n"
    )
    out, enough, sample, seen = tmp_path / "out", tmp_path / "enough", soak._sample, []
    out.mkdir()

    def sampled(*given):
        found = sample(*given)
        seen.extend([found] if found.processes == 2 else [])
        if len(seen) == 3:
            enough.touch()
        return found

    monkeypatch.setattr(soak, "_sample", sampled)
    command = [sys.executable, "-c", script, str(out / "file"), str(enough)]
    samples, code, _ = soak.watch(command, out, every=0.02)
    second = seen[1]  # the first may have begun before the child's child did
    assert code == 0 and second in samples
    assert second.memory > 40e6 and second.handles >= 13 and second.photos == 10


@linux
@pytest.mark.slow
def test_a_short_run_keeps_no_photo_and_no_handle(capsys):
    assert soak.main(["--photos=200"]) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert "nothing grew" in out and "coloured" in out and "failed" in out
