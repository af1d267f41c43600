"""Colouring in a helper process: its death costs one picture, and no picture comes out grey."""

import csv
import functools
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common import cli, photos
from common.colorize import Colorizer, engine, places, remote
from common.colorize.folder import colour_folder
from common.colorize.places import Options
from common.colorize.remote import RemoteColorizer
from common.colorize.report import REPORT
from common.colorize.room import Room
from common.colorize.single import colour_photo
from common.commands import colorize as command
from common.photos import PhotoError
from tests import cgroup, drawn
from tests.colorize import limited
from tests.colorize.inverting import Settings
from tests.photos.test_decoder import FILES

SOUND = np.full((20, 30), 100, np.uint8)
FATAL = np.full((20, 30), 7, np.uint8)


def _folder(options, engine):
    """As the command does it."""
    with places.made(options):
        return colour_folder(options, engine)


@pytest.fixture
def colorizer():
    """One of given settings, which is closed in the end."""
    made = []

    def start(**settings):
        made.append(RemoteColorizer(Settings(**settings), 2, print))
        return made[0]

    yield start
    for each in made:
        each.close()


def test_pictures_of_every_kind_come_back(colorizer):
    colour, rng = colorizer(), np.random.default_rng(0)
    for shape in ((5, 7), (5, 7, 3), (5, 7, 4)):
        for dtype in (np.uint8, np.uint16):
            picture = rng.integers(0, np.iinfo(dtype).max, shape, dtype)
            before, notes = picture.copy(), []
            result = colour(picture, notes)
            expected = picture if picture.ndim == 3 else np.dstack([picture] * 3)
            np.testing.assert_array_equal(result, np.iinfo(dtype).max - expected)
            np.testing.assert_array_equal(picture, before)
            assert result.dtype == dtype and not notes


@pytest.mark.parametrize(
    ("how", "survived"), [(signal.SIGKILL, 1), (signal.SIGABRT, 2), (MemoryError, 1)]
)
def test_a_picture_is_tried_again_with_less_memory(colorizer, how, survived):
    notes = []
    result = colorizer(how=how, survived=survived)(FATAL, notes)
    np.testing.assert_array_equal(result, np.full((20, 30, 3), 248))
    assert notes == ([remote.IN_BANDS] if survived == 2 else [])


@pytest.mark.parametrize(
    ("how", "reason"),
    [(MemoryError, remote.NO_MEMORY), (signal.SIGSEGV, "SIGSEGV")],
)
def test_in_the_end_it_is_a_clear_error_and_the_next_is_coloured(colorizer, how, reason):
    colour = colorizer(how=how)
    with pytest.raises(PhotoError, match=reason):
        colour(FATAL, [])
    assert (colour(SOUND, []) == 155).all()


def test_a_model_for_which_there_is_no_memory_is_one_line(colorizer):
    with pytest.raises(cli.UserError, match="process that loads the model was killed"):
        colorizer(loads=False)(SOUND, [])


def test_a_file_that_crashes_what_loads_it_is_one_line(colorizer):
    with pytest.raises(cli.UserError, match=r"crashed \(SIGSEGV\). The file may be damaged"):
        colorizer(how=signal.SIGSEGV, loads=False)(SOUND, [])


def test_a_model_that_cannot_be_loaded_again_costs_the_picture(colorizer, tmp_path):
    """A large picture waits for it in memory, say."""
    loaded = tmp_path / "loaded"
    colour = colorizer(loaded=loaded)
    assert (colour(SOUND, []) == 155).all() and loaded.exists()
    with pytest.raises(PhotoError, match=remote.NO_MEMORY):
        colour(FATAL, [])
    loaded.unlink()
    assert (colour(SOUND, []) == 155).all()


FILLING = """
import numpy as np
from common.colorize.remote import RemoteColorizer
from common.photos import PhotoError
from tests.colorize.inverting import Settings

for survived in (1, 3):
    colour = RemoteColorizer(Settings(how="fill", survived=survived), 1, print)
    for value in (7, 100):
        try:
            print(value, colour(np.full((20, 30), value, np.uint8), []).mean())
        except PhotoError as error:
            print(value, error)
    colour.close()
"""


@pytest.mark.slow
def test_what_the_system_ends_for_want_of_memory_is_tried_again_or_fails_alone():
    """In a memory control group of Linux, skipped where none can be made."""
    with cgroup.limited(600 << 20) as group:
        done = group.run(sys.executable, "-c", FILLING)
        assert done.stdout.splitlines() == [
            *("model: inverting", "7 248.0", "100 155.0"),
            *("model: inverting", f"7 {remote.NO_MEMORY}", "100 155.0"),
        ], done.stderr
        assert group.killed() == 4


def test_a_folder_loses_the_fatal_photo_alone(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    pictures = {f"{index}.png": FATAL if index == 3 else SOUND for index in range(8)}
    for name, picture in pictures.items():
        Image.fromarray(picture).save(source / name)
    with engine.started(Settings(), at_a_time=engine.threads()) as started:
        assert _folder(Options(source, out), started) == 1
    with open(out / REPORT, encoding="utf-8", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(pictures)
    for name, picture in pictures.items():
        fatal = picture is FATAL
        assert rows[name]["result"] == ("failed" if fatal else "coloured")
        assert rows[name]["reason"] == (remote.NO_MEMORY if fatal else "")
        assert (out / name).exists() is not fatal
    assert "7 coloured, 1 failed" in capsys.readouterr().out


def test_an_interrupt_ends_the_processes_and_leaves_whole_files(tmp_path, monkeypatch):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for index in range(60):  # more than are read ahead
        Image.fromarray(SOUND).save(source / f"{index:02d}.png")
    begun = threading.Event()

    def interrupted(path, most, read):
        if begun.is_set():
            raise KeyboardInterrupt
        if (out / "03.png").exists():
            begun.set()
        return read(path, most)

    with engine.started(Settings(pause=0.01), at_a_time=engine.threads()) as started:
        helper = started.prepare()
        read = functools.partial(interrupted, read=started.read)
        stopped = engine.Engine(
            read, started.is_picture, started.colour, started.prepare, started.stop
        )
        with pytest.raises(KeyboardInterrupt):
            _folder(Options(source, out), stopped)
        assert not helper.alive
    done = list(out.glob("*.png"))
    assert len(done) < 60 and not list(out.glob(".*")) and not (out / REPORT).exists()
    for path in done:
        assert (np.asarray(Image.open(path)) == 155).all()


def test_photos_in_memory_are_bounded_by_megapixels_and_by_count():
    room, inside, most = Room(10, 3), [], []

    def photo(megapixels, together):
        with room.taken(megapixels):
            inside.append(megapixels)
            most.append(list(inside))
            together.wait() if together else time.sleep(0.002)
            inside.remove(megapixels)

    for sizes, together in (
        ([6, 1, 3], threading.Barrier(3)),  # none leaves before all are in
        ([6, 6, 1, 50, 1, 1, 1, 1, 4, 10, 6], None),
    ):
        threads = [threading.Thread(target=photo, args=(size, together)) for size in sizes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(most) == 3 + 11
    assert all(len(each) <= 3 and (sum(each) <= 10 or len(each) == 1) for each in most)


# --- Where results go -----------------------------------------------------------------------------


@pytest.fixture
def here():
    """An engine without a model, in this process."""
    colour = lambda pixels, notes: 255 - np.dstack([pixels] * 3)  # noqa: E731
    return engine.Engine(photos.read, photos.is_picture, colour, lambda: None, lambda: None)


def test_no_link_leads_a_result_out_of_its_folder(tmp_path, here, capsys):
    source, out, elsewhere = tmp_path / "in", tmp_path / "out", tmp_path / "elsewhere"
    for folder in (source / "deep/er", out, elsewhere):
        folder.mkdir(parents=True)
    for name in ("deep/a.png", "deep/er/b.png", "c.png", "d.png"):
        Image.fromarray(SOUND).save(source / name)
    (elsewhere / "mine.png").write_bytes(b"mine")
    (out / "deep").symlink_to(elsewhere)
    (out / "c.png").symlink_to(elsewhere / "mine.png")
    (out / "d.png").symlink_to(elsewhere / "none.png")
    for overwrite in (False, True):
        assert _folder(Options(source, out, overwrite), here) == 1
        with open(out / REPORT, encoding="utf-8", newline="") as file:
            rows = {row["file"]: row for row in csv.DictReader(file)}
        for name in ("deep/a.png", "deep/er/b.png"):
            assert "would lie outside" in rows[name]["reason"]
        assert rows["c.png"]["result"] == ("coloured" if overwrite else "kept")
        assert ("broken link" in rows["d.png"]["reason"]) is not overwrite
        assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == {
            "mine.png": b"mine"
        }
    assert not (out / "c.png").is_symlink() and not (out / "d.png").is_symlink()  # replaced
    with pytest.raises(cli.UserError, match="broken link"):
        (out / "x.png").symlink_to(elsewhere / "none.png")
        Image.fromarray(SOUND).save(tmp_path / "x.png")
        colour_photo(Options(tmp_path / "x.png", out), here)


@pytest.mark.parametrize(
    "name", ["CON.png", "nul", "a..", "b .png", "...", "..png", "c\\..\\..\\d.png", "~", "-.png"]
)
def test_names_that_mean_something_elsewhere_are_names_here(tmp_path, here, capsys, name):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    Image.fromarray(SOUND).save(source / name, "PNG")
    hidden = name.startswith(".")  # and left out, as every hidden file
    if hidden:
        Image.fromarray(SOUND).save(source / "shown.png", "PNG")
    assert _folder(Options(source, out), here) == 0
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    expected = {f"in/{name}", f"out/{'shown.png' if hidden else name}", f"out/{REPORT}"}
    assert written == {"in", "out", *expected, *(["in/shown.png"] * hidden)}


# --- With a model ---------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    return drawn.exported(tmp_path / "tiny.h5")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's limit of memory")
def test_what_memory_does_not_suffice_for_fails_alone_and_never_comes_out_grey(model):
    """The limit is one of address space, which the system holds the process to."""
    settings = limited.Settings(model=model, memory=300 << 20)
    colour, here = RemoteColorizer(settings, 1, print), Colorizer(model)
    small = drawn.picture(1, 300, 400)
    large = np.zeros((12_000, 10_000), np.uint8)  # and 360 MB of its colours
    try:
        np.testing.assert_array_equal(colour(small.copy(), []), here(small))
        with pytest.raises(PhotoError, match=remote.NO_MEMORY):
            colour(large, [])
        np.testing.assert_array_equal(colour(small.copy(), []), here(small))
    finally:
        colour.close()


@pytest.mark.slow
def test_helper_processes_change_no_byte(tmp_path, model, capsys):
    source = tmp_path / "in"
    source.mkdir()
    for name, data in FILES.items():
        (source / name).write_bytes(data)
    (source / "notes.txt").write_text("no photo")
    results = []
    for isolate in ("yes", "no"):
        out = tmp_path / isolate
        flags = f"--in={source}", f"--out={out}", f"--model={model}", f"--isolate={isolate}"
        assert cli.run(command.main, list(flags)) == 1
        results.append({path.name: path.read_bytes() for path in out.iterdir()})
        assert "6 coloured, 3 failed, 1 not a photo" in capsys.readouterr().out
    assert results[0] == results[1] and len(results[0]) == 7
