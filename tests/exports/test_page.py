"""The page that colours in the browser, in Chromium, from a plain server of files."""

import dataclasses
import functools
import http.server
import threading

import cv2
import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from skimage.color import rgb2lab

from common.cli import UserError
from common.colorize import Colorizer
from common.exports import browser as page_files
from common.exports import export
from tests import chromium, drawn

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")


def test_without_npm_one_line_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(page_files.shutil, "which", lambda name: None)
    source = export.Source.of(drawn.exported(tmp_path / "tiny.h5"))
    with pytest.raises(UserError, match=r"needs npm, .* ARCHIVE=onnxruntime-web-[\d.]+tgz"):
        page_files.write(source, tmp_path / "page")
    (tmp_path / "x.tgz").write_bytes(b"x")
    for name, message in (("x.tgz", "its SHA-256 is not"), ("none.tgz", "There is no file")):
        with pytest.raises(UserError, match=message):
            page_files.write(source, tmp_path / "page", archive=tmp_path / name)
    assert not (tmp_path / "page").exists()


def test_what_the_page_cannot_serve_is_one_line_before_anything_is_fetched(tmp_path):
    source = export.Source.of(drawn.exported(tmp_path / "tiny.h5"))
    with pytest.raises(UserError, match=r"OUT=.*tiny\.h5 is a file"):
        page_files.write(source, tmp_path / "tiny.h5")
    with pytest.raises(UserError, match="cuts no letterbox"):
        page_files.write(dataclasses.replace(source, metadata={"cut": "letterbox"}), tmp_path / "p")
    with pytest.raises(UserError, match="has no embedding network"):
        page_files.write(dataclasses.replace(source, embedder=object()), tmp_path / "p")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(the page's folder, the .h5 of its model, a classifier with a dial)."""
    folder = tmp_path_factory.mktemp("page")
    drawn.with_dial(folder / "dial.h5")
    try:
        page_files.write(export.Source.of(folder / "dial.h5"), folder / "page")
    except UserError as error:
        if "npm" not in str(error):
            raise
        pytest.skip(str(error))
    return folder / "page", folder / "dial.h5"


@pytest.fixture(scope="module")
def address(made):
    """Of a server of the page's folder, as `python -m http.server` is one."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=str(made[0]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def said(browser, words):
    """Wait until the page's status or error begins with the words."""

    def found(_):
        texts = [browser.find(selector).text for selector in ("#status", "#error")]
        return any(text.startswith(words) for text in texts)

    WebDriverWait(browser.driver, chromium.PATIENCE).until(found)


@pytest.mark.slow
@pytest.mark.browser
def test_a_photo_is_coloured_in_the_browser_as_by_us(browser, address, made, tmp_path):
    browser.downloads(tmp_path)
    browser.errors(), browser.requests()
    browser.show(width=390)
    browser.driver.get(address)
    said(browser, "Ready")
    assert browser.run("document.documentElement.scrollWidth") <= 390  # a phone's

    photo = drawn.picture(5, 90, 131)
    cv2.imwrite(str(tmp_path / "a & ü.png"), photo[..., ::-1])
    browser.find("#file").send_keys(str(tmp_path / "a & ü.png"))
    said(browser, "Done")
    _same(downloaded(browser, tmp_path / "a & ü-coloured.png"), Colorizer(made[1])(photo))

    browser.run("document.getElementById('vivid').focus()")
    browser.press([Keys.END])
    said(browser, "Done")
    vivid = downloaded(browser, tmp_path / "a & ü-coloured.png")
    _same(vivid, Colorizer(made[1], vivid=1.0)(photo))
    off = np.abs(rgb2lab(vivid)[..., 0] - rgb2lab(photo)[..., 0])
    assert off.max() <= 0.5  # a level of each channel, rounded

    (tmp_path / "no.png").write_bytes(b"no photo")
    browser.find("#file").send_keys(str(tmp_path / "no.png"))
    said(browser, "no.png is no photo")
    assert not browser.errors()
    assert all(url.startswith((address, "blob:")) for url in browser.requests())


def downloaded(browser, path):
    """The picture that the link downloads, (H, W, 3) uint8; the file is removed again."""
    browser.find("#download").send_keys(Keys.ENTER)
    browser.downloaded(path.parent, path.name)
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    path.unlink()
    return picture[..., ::-1]


def _same(ours, theirs):
    """Within a level, where values that agree to a hundredth of one are rounded."""
    off = np.abs(ours.astype(int) - theirs)
    assert ours.shape == theirs.shape and off.max() <= 1 and (off > 0).mean() < 0.01
