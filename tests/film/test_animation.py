"""GIF, animated WebP and animated PNG."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from common import film
from common.cli import UserError
from common.color import lab
from tests.film import films

SHOWN = [50, 120, 200, 70]


def animation(path, clear=False, **about):
    """Four grey frames, shown for `SHOWN` milliseconds, with a transparent corner if clear."""
    pictures = []
    for pixels in films.shot(5, 4, step=4):
        alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
        alpha[:10, :10] = 0 if clear else 255
        picture = Image.fromarray(np.dstack([pixels, alpha]))
        pictures.append(picture if clear else picture.convert("RGB"))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=SHOWN, **about)
    return path


def frames(path):
    with Image.open(path) as image:
        pairs = []
        for frame in ImageSequence.Iterator(image):
            pixels = np.array(frame.convert("RGBA"))  # a WebP's times are known when it is decoded
            pairs.append((pixels, frame.info.get("duration")))
        return pairs


@pytest.mark.parametrize(
    ("suffix", "about", "loop"),
    [
        (".gif", {"loop": 3, "disposal": 2}, 3),
        (".webp", {"loop": 2, "lossless": True}, 2),
        (".png", {"loop": 4}, 4),
    ],
)
@pytest.mark.parametrize("clear", [False, True])
def test_an_animation_keeps_its_times_loops_and_transparency(tmp_path, suffix, about, loop, clear):
    source = animation(tmp_path / f"in{suffix}", clear, **about)
    out = tmp_path / f"out{suffix}"
    result = films.colour(source, out)

    before, after = frames(source), frames(out)
    assert [shown for _, shown in after] == SHOWN and result.frames == 4
    with Image.open(out) as image:
        assert image.info["loop"] == loop
    for (grey, _), (colour, _) in zip(before, after, strict=True):
        np.testing.assert_array_equal(grey[..., 3], colour[..., 3])
        visible = grey[..., 3] > 0
        difference = lab.rgb_to_l(colour[visible][:, :3]) - lab.rgb_to_l(grey[visible][:, :3])
        if suffix != ".gif":
            assert np.abs(difference).max() < 0.5
        assert np.abs(difference).mean() < 3
        assert np.ptp(colour[visible][:, :3], axis=1).mean() > 10
    assert (result.difference == 0) == (suffix != ".gif")


def test_a_gif_that_plays_once_plays_once_and_its_model_is_loaded_once(tmp_path):
    out, loaded = tmp_path / "out.gif", []

    def load():
        loaded.append(films.Waves())
        return loaded[-1]

    film.colour(film.Options(animation(tmp_path / "in.gif"), out), load)
    assert len(loaded) == 1 and loaded[0].calls == len(SHOWN)
    with Image.open(out) as image:
        assert "loop" not in image.info


def test_what_is_no_animation_is_refused(tmp_path):
    source = tmp_path / "in.gif"
    source.write_text("GIF89a of nothing")
    with pytest.raises(UserError, match=r"no animation .* \.m4v"):
        films.colour(source, tmp_path / "out.gif")
    assert not (tmp_path / "out.gif").exists()
