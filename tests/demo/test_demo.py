"""`make demo` without a browser: its errors, what it offers, and what it makes of photos."""

import socket
import sys
import zipfile

import numpy as np
import pytest

from common import cli, files, photos
from common.cli import UserError
from common.colorize import Colorizer, dials
from common.colorize.settings import Settings
from common.commands import colorize, demo
from common.demo import page, previews, quiet, server
from common.demo.studio import Outcome, Studio
from tests import drawn


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An .h5 that classifies ab, with a dial."""
    return drawn.with_dial(tmp_path_factory.mktemp("demo") / "dial.h5")


def test_without_gradio_one_line_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert cli.run(demo.main, []) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: The page needs Gradio") and error.count("\n") == 1
    assert "make setup DEMO=1" in error


def test_mistakes_are_one_line_each(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="There is no model wombt"):
        demo.main(["--model=wombt"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"PORT={port} is in use"):
            server.free_port("127.0.0.1", port)
        monkeypatch.setattr(server, "PORT", port)
        assert server.free_port("127.0.0.1", None) > port  # the next free one
    for host in ("192.0.2.1", "no.such.invalid"):
        with pytest.raises(UserError, match=f"HOST={host} is no address of this machine"):
            server.free_port(host, None)


def test_what_a_killed_page_left_is_removed_by_the_next(tmp_path):
    with files.own_folder(tmp_path, "demo-") as first:
        (tmp_path / "demo-left").mkdir()
        (tmp_path / "demo-left" / "photo.png").write_bytes(b"x")
        with files.own_folder(tmp_path, "demo-") as second:
            assert {first, second} == set(tmp_path.iterdir())
            assert first.stat().st_mode & 0o077 == 0
    assert not list(tmp_path.iterdir())


def test_every_model_is_offered_the_given_one_first(model):
    choices = page.models(Settings(model="koala"))
    assert list(choices)[0] == "koala" and "wombat" in choices
    assert list(page.models(Settings(model=model)))[0] == "dial.h5"
    assert page.dial(model).default == 0.0


def test_other_dials_of_a_loaded_model_are_as_if_made_with_them(model):
    how = Settings(model, vivid=0.7, tint=(3.0, -4.0), refine="tv", border="keep")
    assert how.undialled == Settings(model)
    grey = drawn.picture(1, 40)[..., 0]
    plain = Colorizer(model)
    made = Colorizer(model, vivid=0.7, tint=(3.0, -4.0), refine="tv", border="keep")
    assert np.array_equal(how.turned(plain)(grey), made(grey))
    assert not np.array_equal(plain(grey), made(grey))
    with pytest.raises(UserError, match="REFINE= is"):
        plain.turned(refine="x")


def test_a_photo_becomes_the_file_that_the_command_writes(model, tmp_path):
    uploads = drawn.folder(tmp_path / "uploads", 1)
    (source,) = uploads.iterdir()
    actions = page._Actions(None, None, tmp_path, {"dial": Settings(model)})
    how = actions.settings("dial", 0.5, "warm", "guided", False, "colour")
    assert how == Settings(model, vivid=0.5, tint=dials.TINTS["warm"])
    own = actions.settings("dial", 0.0, page.NO_TINT, "guided", False, "colour")
    assert own == Settings(model)  # its own layers decode, as without VIVID=
    studio = Studio(photos.MAX_MEGAPIXELS, isolate="no")
    outcome = studio.colour(source, how, tmp_path / "page")
    studio.close()
    colorize.main(
        [
            *(f"--in={source}", f"--out={tmp_path / 'command'}", f"--model={model}"),
            *("--vivid=0.5", "--tint=warm", "--isolate=no"),
        ]
    )
    assert outcome.path.read_bytes() == (tmp_path / "command" / source.name).read_bytes()
    assert outcome.before.is_file() and outcome.after.is_file()


def test_what_is_no_photo_is_told_in_one_line(model, tmp_path):
    (tmp_path / "x.png").write_bytes(b"no photo")
    studio = Studio(photos.MAX_MEGAPIXELS, isolate="no")
    outcome = studio.colour(tmp_path / "x.png", Settings(model), tmp_path / "out")
    assert outcome.path is None and outcome.said and "\n" not in outcome.said
    assert not (tmp_path / "out").exists()


def test_what_strangers_files_say_is_text_on_the_page():
    said = page._said([Outcome("<img src=x onerror=alert(1)>.png", "a\n<b>& 'c'")], error="<i>")
    assert "<img" not in said and "<b>" not in said and "<i>" not in said
    assert "&lt;img src=x onerror=alert(1)&gt;.png: a &lt;b&gt;&amp;" in said


def test_results_of_one_name_have_names_of_their_own_in_the_archive(tmp_path):
    outcomes = [Outcome("c.png", "damaged")]
    for folder, name in (("1", "a.png"), ("2", "A.png"), ("3", "b.png")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(folder.encode())
        outcomes.append(Outcome(name, "", tmp_path / folder / name))
    actions = page._Actions(None, None, tmp_path, {})
    assert actions._archive(outcomes[:2]) is None
    with zipfile.ZipFile(actions._archive(outcomes)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a.png": b"1",
            "A-2.png": b"2",
            "b.png": b"3",
        }


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_a_preview_is_small_and_eight_bits_deep(dtype, channels):
    pixels = np.full((20, 2 * previews.SIDE, *channels), np.iinfo(dtype).max, dtype)
    small = previews.small(pixels)
    assert small.shape == (10, previews.SIDE, *channels[:0], *([3] if channels else []))
    assert small.dtype == np.uint8 and (small == 255).all()
    same = previews.small(pixels[:, :30])
    assert same.shape[:2] == (20, 30) and not np.shares_memory(same, pixels)


def test_gradio_is_told_to_call_nobody():
    assert quiet.OFF["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert quiet.OFF["HF_HUB_OFFLINE"] == "1"
