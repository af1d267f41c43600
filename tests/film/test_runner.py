"""Whole films: what is kept, what is coloured, what is refused, and that a stopped one goes on."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.cli import UserError
from common.film import segments
from tests import drawn
from tests.film import films
from tests.film.films import av

ROOT = Path(__file__).parents[2]
CHAPTERS = [
    {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
    {"id": 2, "start": 200, "end": 480, "time_base": Fraction(1, 1000), "metadata": {}},
]


@pytest.fixture
def source(tmp_path):
    """Twelve grey frames of a moving camera."""
    return films.write(tmp_path / "film.mp4", films.shot(0, 12))


def test_a_film_keeps_its_times_lightness_sound_chapters_and_metadata(tmp_path):
    times = [0, 40, 70, 150, 190, 230, 270, 310, 330, 400, 440, 480]
    source = films.write(
        tmp_path / "film.mkv",
        films.shot(0, 12),
        times=times,
        sound="flac",
        chapters=CHAPTERS,
        metadata={"title": "Our street", "artist": "N."},
    )
    result = films.colour(source, tmp_path / "out.mkv")

    before, after = films.read(source), films.read(tmp_path / "out.mkv")
    assert after[0] == pytest.approx(before[0], abs=1e-6) and result.frames == 12
    differences = [np.abs(a - b).mean() for a, b in zip(before[1], after[1], strict=True)]
    # What was handed over is within 0.45 at every pixel; on average rounding is a fourth of that.
    assert np.mean(differences) < result.difference + 0.2
    assert result.difference < 1 and not result.notes
    assert np.abs(np.stack(after[2])).mean() > 5 > np.abs(np.stack(before[2])).mean()
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert [stream.type for stream in out.streams] == ["video", "audio"]
        assert [chapter["start"] for chapter in out.chapters()] == [0, 200 * 10**6]
        assert out.metadata["title"] == "Our street" and out.metadata["ARTIST"] == "N."
        assert sum(packet.size > 0 for packet in out.demux(audio=0)) > 3
    assert not (tmp_path / "out.mkv.work").exists()


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_time_code_is_kept(tmp_path, suffix):
    """MP4 keeps it as a track, which counts in a frame rate: without one nothing is written."""
    source = films.write(
        tmp_path / "film.mov", films.shot(0, 4), metadata={"timecode": "10:00:00:00"}
    )
    result = films.colour(source, tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as out:
        described = [out.metadata, *(stream.metadata for stream in out.streams)]
    codes = [
        value for each in described for name, value in each.items() if "timecode" in name.lower()
    ]
    assert set(codes) == {"10:00:00:00"}
    assert not result.notes


def test_what_the_container_does_not_hold_is_named(tmp_path):
    source = films.write(
        tmp_path / "film.mkv", films.shot(0, 8), sound="flac", metadata={"colour_of_box": "blue"}
    )
    result = films.colour(source, tmp_path / "out.webm")
    assert any("its sound (flac): left out, webm" in note for note in result.notes)
    result = films.colour(source, tmp_path / "out.mp4")
    assert any("COLOUR_OF_BOX" in note for note in result.notes)


def test_without_loss_a_film_has_the_lightness_of_its_source_at_every_pixel(tmp_path, source):
    result = films.colour(source, tmp_path / "out.mkv", lossless=True)
    before, after = films.read(source), films.read(tmp_path / "out.mkv")
    # 0.45 as in test_yuv, and a read by FFmpeg changes nothing
    assert max(np.abs(a - b).max() for a, b in zip(before[1], after[1], strict=True)) < 0.45
    assert result.difference == 0


def test_frames_in_colour_pass_untouched_unless_all_are_asked_for(tmp_path):
    frames = [*films.shot(1, 8), *films.shot(22, 8, colour=True)]
    source = films.write(tmp_path / "film.mkv", frames, codec="ffv1", encoder={})
    kept = films.colour(source, tmp_path / "kept.mkv", lossless=True)
    every = films.colour(source, tmp_path / "all.mkv", lossless=True, colour="all")

    assert (kept.kept, every.kept) == (8, 0)
    with av.open(str(source)) as a, av.open(str(tmp_path / "kept.mkv")) as b:
        pairs = list(zip(a.decode(video=0), b.decode(video=0), strict=True))
    same = [bool((x.to_ndarray() == y.to_ndarray()).all()) for x, y in pairs]
    assert same == [False] * 8 + [True] * 8


def test_steady_colours_change_less_from_frame_to_frame(tmp_path):
    source = films.write(tmp_path / "film.mp4", films.shot(4, 16, step=0))
    changes = {}
    for steady in (False, True):
        out = tmp_path / f"{steady}.mkv"
        films.colour(source, out, lossless=True, is_steady=steady)
        means = np.array([ab.mean(axis=(0, 1)) for ab in films.read(out)[2]])
        changes[steady] = np.abs(np.diff(means, axis=0)).mean()
    assert changes[True] < 0.6 * changes[False] or changes[False] < 0.05


@pytest.mark.parametrize(
    ("layout", "codec", "expected"),
    [
        ("yuv420p10le", "ffv1", "yuv420p10le"),
        ("yuv444p", "ffv1", "yuv444p"),
        ("gray", "ffv1", "yuv420p"),
        ("bgr0", "ffv1", "yuv444p"),
    ],
)
def test_depth_and_sampling_are_the_sources(tmp_path, layout, codec, expected):
    source = films.write(
        tmp_path / "film.mkv", films.shot(2, 4), codec=codec, layout=layout, encoder={}
    )
    films.colour(source, tmp_path / "out.mkv", lossless=True)
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert out.streams.video[0].codec_context.pix_fmt == expected
    before, after = films.read(source), films.read(tmp_path / "out.mkv")
    assert max(np.abs(a - b).max() for a, b in zip(before[1], after[1], strict=True)) < 0.5


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_film_stored_turned_is_written_upright(tmp_path, turn):
    source = films.write(tmp_path / "film.mp4", films.shot(2, 4), turn=turn)
    result = films.colour(source, tmp_path / "out.mp4")
    with av.open(str(source)) as stored, av.open(str(tmp_path / "out.mp4")) as out:
        first, turned = next(stored.decode(video=0)), next(out.decode(video=0))
    assert turned.rotation == 0 and any("upright" in note for note in result.notes)
    upright = np.rot90(first.to_ndarray(format="gray"), round(first.rotation / 90))
    assert np.abs(turned.to_ndarray(format="gray").astype(int) - upright).mean() < 3


@pytest.mark.parametrize("size", [(49, 65), (16, 18)])
def test_odd_and_small_films_keep_their_size(tmp_path, size):
    frames = films.shot(3, 3, size=size)
    source = films.write(tmp_path / "film.mkv", frames, "ffv1", "yuv444p", encoder={})
    films.colour(source, tmp_path / "out.mp4")
    assert films.read(tmp_path / "out.mp4")[1][0].shape == size


def test_a_film_of_one_frame_is_a_film(tmp_path):
    source = films.write(tmp_path / "film.mp4", films.shot(0, 1))
    assert films.colour(source, tmp_path / "out.mp4").frames == 1
    assert len(films.read(tmp_path / "out.mp4")[0]) == 1


def test_a_stopped_film_goes_on_and_ends_as_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "LENGTH", 24)
    frames = [*films.shot(0, 70), *films.shot(21, 50)]
    source = films.write(tmp_path / "film.mp4", frames, sound="aac")
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    films.colour(source, whole, lossless=True)
    for calls in (60, 40):
        with pytest.raises(KeyboardInterrupt):
            films.colour(source, parts, films.Waves(stop_after=calls), lossless=True)
        assert not parts.exists() and (tmp_path / "parts.mkv.work").is_dir()
    last = films.Waves()
    films.colour(source, parts, last, lossless=True)

    assert last.calls < 120  # what was done was not done again
    for a, b in zip(films.read(whole), films.read(parts), strict=True):
        np.testing.assert_array_equal(a, b)


def test_work_of_other_settings_is_not_gone_on_with(tmp_path, source):
    out = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        films.colour(source, out, films.Waves(stop_after=3), settings={"tint": "warm"})
    with pytest.raises(UserError, match="another tint"):
        films.colour(source, out, settings={"tint": "cool"})
    assert films.colour(source, out, settings={"tint": "cool"}, overwrite=True).frames == 12


def test_a_result_is_replaced_only_where_asked(tmp_path, source):
    out = tmp_path / "out.mp4"
    out.write_bytes(b"mine")
    with pytest.raises(UserError, match="OVERWRITE=1"):
        films.colour(source, out)
    assert out.read_bytes() == b"mine"
    films.colour(source, out, overwrite=True)
    assert len(films.read(out)[0]) == 12


def test_a_film_cut_short_is_coloured_as_far_as_it_goes(tmp_path):
    source = films.write(tmp_path / "film.mkv", films.shot(0, 60))
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    result = films.colour(source, tmp_path / "out.mkv")
    assert 10 < result.frames < 60
    assert any("its frames end at" in note for note in result.notes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.avi", "films are written as .mp4"),
        ("out", "films are written as .mp4"),
        ("out.gif", "no animation"),
    ],
)
def test_a_container_that_is_not_written_is_refused(tmp_path, source, name, message):
    with pytest.raises(UserError, match=message):
        films.colour(source, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_ffv1_goes_into_matroska_alone(tmp_path, source):
    with pytest.raises(UserError, match=r"OUT=.*\.mkv"):
        films.colour(source, tmp_path / "out.mp4", lossless=True)


def test_what_holds_no_film_is_refused_in_one_line(tmp_path):
    text = tmp_path / "film.mp4"
    text.write_text("not a film")
    with pytest.raises(UserError, match=r"cannot be read as a film \(Invalid data found"):
        films.colour(text, tmp_path / "out.mp4")
    sound = tmp_path / "sound.mkv"
    with av.open(str(sound), "w") as out:
        voice = out.add_stream("flac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
        frame.rate, frame.pts = 48000, 0
        out.mux(voice.encode(frame))
        out.mux(voice.encode())
    with pytest.raises(UserError, match="no film in it: it holds audio"):
        films.colour(sound, tmp_path / "out.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "sound.mkv"]


def test_a_photo_is_no_film(tmp_path):
    cv2.imwrite(str(tmp_path / "photo.jpg"), drawn.picture(3, 64))
    with pytest.raises(UserError, match="make colorize IN=.*photo.jpg"):
        films.colour(tmp_path / "photo.jpg", tmp_path / "out.mp4")


def test_without_pyav_a_line_says_how_to_get_it(tmp_path, source, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match="make setup FILM=1"):
        films.colour(source, tmp_path / "out.mp4")


KILLED = """
import itertools, os, runpy, signal
from common.film.segments import Segment

write, frames = Segment.write, itertools.count(1)


def killed(segment, *frame):
    if next(frames) == 150:
        os.kill(os.getpid(), signal.SIGKILL)
    write(segment, *frame)


Segment.write = killed
runpy.run_module("common.commands", run_name="__main__")
"""


@pytest.mark.slow
def test_a_killed_command_goes_on(tmp_path):
    """As a person meets it: the command, a real model, and no chance to tidy up."""
    source = films.write(tmp_path / "film.mp4", films.shot(0, 400, step=1), sound="aac")
    flags = [f"--in={source}", f"--out={tmp_path / 'out.mp4'}"]
    flags.append(f"--model={ROOT / 'tests' / 'golden.h5'}")

    def run(*program):
        command = [sys.executable, *program, "video", *flags]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    done = run("-c", KILLED)  # in the second of five segments
    assert done.returncode == -9, done.stderr
    work = tmp_path / "out.mp4.work"
    assert [path.name for path in work.glob("*.npz")] == ["segment-000000.npz"]
    assert not (tmp_path / "out.mp4").exists()

    done = run("-m", "common.commands")

    assert done.returncode == 0, done.stderr
    assert "goes on behind frame" in done.stdout + done.stderr
    assert "400 frames; coding changed L*" in done.stdout
    times = films.read(tmp_path / "out.mp4")[0]
    assert times == pytest.approx([i / 25 for i in range(400)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "out.mp4"]
