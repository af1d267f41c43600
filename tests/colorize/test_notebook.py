"""What notebooks show: a Colorizer as a table, pictures side by side."""

import html.parser

import cv2
import numpy as np
import pytest

from common.colorize import Colorizer
from common.colorize.notebook import beside
from common.networks import h5
from tests import drawn

HOSTILE = "<script>alert('x')</script>&\n\x1b[2J"


class _Reader(html.parser.HTMLParser):
    """The elements of an HTML text, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = set(), ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)

    def handle_data(self, data):
        self.text += f"{data}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def exported(folder, metadata):
    path = folder / "a & <b>.h5"
    config = drawn.Config()
    h5.export(h5.wrap(drawn.build_model(config), config), path, metadata)
    return path


def test_a_colorizer_says_what_it_is(folder):
    metadata = {
        "report": "tiny",
        "config_name": "plain",
        "image_size": 32,
        "epochs": 7,
        "data": {"name": "my photos"},
        "metrics": {"split": "validation", "pictures": 40, "psnr_rgb": 23.456789},
        "pretrained": {"encoder": {"network": "vgg16", "weights": "random"}},
    }
    colorizer = Colorizer(exported(folder, metadata), tint="warm")
    shown = _Reader(colorizer._repr_html_())
    assert shown.elements == {"table", "caption", "b", "tbody", "tr", "th", "td"}
    for words in (
        "a & <b>",
        "tiny, config plain",
        "my photos, epochs: 7",
        "psnr_rgb 23.46, validation pictures",
        "vgg16, weights: random",
        f"{colorizer.parameters:,}",
        "a* +1, b* +11",
        "Keras",
    ):
        assert words in shown.text.splitlines()
    assert "None" not in shown.text and "embedding" not in shown.text
    assert "a & <b>.h5" in repr(colorizer)


@pytest.mark.parametrize("wrong", [HOSTILE, 5, [HOSTILE], {HOSTILE: {HOSTILE: HOSTILE}}, None])
def test_what_a_file_says_of_itself_is_text_whatever_it_is(folder, wrong):
    metadata = dict.fromkeys(
        ("report", "config_name", "options", "epochs", "runs", "pretrained", "metrics", "versions"),
        wrong,
    )
    metadata |= {"data": {"name": wrong}, "commit": wrong, "trained_by": "z" * 5000}
    text = Colorizer(exported(folder, metadata))._repr_html_()
    assert _Reader(text).elements == {"table", "caption", "b", "tbody", "tr", "th", "td"}
    assert "\x1b" not in text and len(text) < 8000


def test_pictures_stand_side_by_side_at_one_height():
    grey = np.full((40, 80), 200, np.uint8)
    deep = np.full((90, 30, 3), (65535, 0, 0), np.uint16)
    clear = np.zeros((20, 20, 4), np.uint8)
    sheet = beside(grey, deep, clear, height=20)
    # 40, 7 and 20 wide, with 6 of white between; what is transparent is white
    assert sheet.pixels.shape == (20, 40 + 6 + 7 + 6 + 20, 3)
    row = sheet.pixels[10]
    assert [tuple(row[at]) for at in (0, 43, 49, 56, 70)] == [
        (200, 200, 200),
        (255, 255, 255),
        (255, 0, 0),
        (255, 255, 255),
        (255, 255, 255),
    ]
    shown = cv2.imdecode(np.frombuffer(sheet._repr_jpeg_(), np.uint8), cv2.IMREAD_COLOR)
    # JPEG at quality 90 changes flat areas a little, and swapped channels would be off by 255.
    assert np.abs(shown[10, 49].astype(int) - (0, 0, 255)).max() < 16
    with pytest.raises(ValueError, match="at least one picture"):
        beside()
