"""The page of `make demo` in Chromium: uploads, downloads, and that nothing leaves the machine."""

import contextlib
import importlib.util
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest
import tifffile
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from skimage.color import rgb2lab

from common.commands import colorize
from tests import chromium, drawn
from tests.demo import serving

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("gradio"), reason="needs Gradio: DEMO=1"),
]
HOSTILE = """<img src=x onerror=document.title='owned'> "quoted" 'é'.png"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An .onnx whose ab are L*, scaled: it is loaded at once, without Keras."""
    helper = onnx.helper
    given = helper.make_tensor_value_info("l", onnx.TensorProto.FLOAT, ("N", 32, 32, 1))
    ab = helper.make_tensor_value_info("ab", onnx.TensorProto.FLOAT, ("N", 32, 32, 2))
    scale = onnx.numpy_helper.from_array(np.array([0.3, -0.2], np.float32), "scale")
    node = helper.make_node("Mul", ["l", "scale"], ["ab"])
    graph = helper.make_graph([node], "scaled", [given], [ab], [scale])
    opset = [helper.make_opsetid("", 15)]
    path = tmp_path_factory.mktemp("model") / "scaled.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory, model):
    """A page that is served, for all tests here."""
    flags = ["--max-megabytes=2", "--tint=10,-3"]
    with serving.served(tmp_path_factory.mktemp("demo"), model, *flags) as page:
        yield page


@pytest.fixture
def photos(tmp_path):
    """A TIFF of 16 bits, turned by its metadata, a PNG with a hostile name, and no photo."""
    grey = cv2.resize(drawn.picture(5, 90, 131)[..., 0], (130, 90)).astype(np.uint16) * 256 + 77
    turned = (274, "H", 1, 6, True)  # its right is up
    tifffile.imwrite(
        tmp_path / "scan.tif",
        grey,
        photometric="minisblack",
        compression="zlib",
        description="Grandmother, 1931",
        metadata=None,
        extratags=[turned],
    )
    cv2.imwrite(str(tmp_path / HOSTILE), drawn.picture(7, 40, 60)[..., 0])
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    return [tmp_path / name for name in ("scan.tif", HOSTILE, "broken.jpg")]


def wait(browser, what):
    """Until a JavaScript expression or a function is true."""

    def true(_):
        with contextlib.suppress(WebDriverException, StaleElementReferenceException):
            return browser.run(what) if isinstance(what, str) else what()

    WebDriverWait(browser.driver, chromium.PATIENCE, poll_frequency=0.05).until(true)


def said(browser):
    """What the page says of the photos."""
    return browser.find("#said").text


def opened(browser, page, tmp_path, width=None):
    """Load the page anew; downloads go to tmp_path."""
    browser.errors(), browser.requests()
    browser.show(width=width)
    browser.downloads(tmp_path)
    browser.driver.get(page.address)
    wait(browser, "!!document.querySelector('#photos input[type=file]')")


def coloured(browser):
    """Wait until everything is coloured."""
    wait(browser, lambda: browser.find("#run").is_enabled() and "Colouring" not in said(browser))


def errors(browser):
    """What script, policy and console reported, without a remark of Gradio's own."""
    return [error for error in browser.errors() if "Method not implemented" not in error]


@pytest.mark.browser
def test_uploads_become_the_files_that_the_command_writes(
    browser, page, model, photos, tmp_path_factory
):
    got, made = tmp_path_factory.mktemp("got"), tmp_path_factory.mktemp("made")
    opened(browser, page, got)
    browser.find("#photos input[type=file]").send_keys("\n".join(map(str, photos)))
    wait(browser, lambda: "broken.jpg: " in said(browser))
    coloured(browser)

    lines = said(browser).splitlines()
    assert len(lines) == 3 and lines[0].startswith("scan.tif") and "onerror=" in lines[1]
    assert browser.run("document.querySelectorAll('#said img, #shown img').length") == 0
    assert browser.run("document.title") == "Colour grey photos"

    labels = browser.run("[...document.querySelectorAll('#shown label')].map(l => l.innerText)")
    assert labels[0].strip() == "scan.tif" and len(labels) == 2
    browser.click("#shown label:first-of-type")
    wait(browser, "document.querySelector('#one').innerText.includes('scan.tif')")
    wait(
        browser,
        "[...document.querySelectorAll('#slider img')].map(i => i.naturalWidth + 'x'"
        " + i.naturalHeight).join() == '90x130,90x130'",  # upright, before and after
    )
    browser.click("#one")
    result = browser.downloaded(got, "scan.tif").read_bytes()
    command = [f"--out={made}", f"--model={model}", "--tint=10,-3", "--isolate=no"]
    colorize.main([f"--in={photos[0]}", *command])
    assert result == (made / "scan.tif").read_bytes()

    with tifffile.TiffFile(got / "scan.tif") as file:
        pixels, tags = file.asarray(), file.pages[0].tags
    assert pixels.dtype == np.uint16 and tags["ImageDescription"].value == "Grandmother, 1931"
    before = np.rot90(tifffile.imread(photos[0]), -1)
    grey = np.repeat(before[..., None], 3, axis=2)
    off = np.abs(rgb2lab(pixels) - rgb2lab(grey))
    assert off[..., 0].max() < 0.5 and off[..., 1:].max() > 5

    browser.click("#all")
    assert browser.downloaded(got, "coloured.zip").read_bytes()[:2] == b"PK"
    assert not errors(browser)
    theirs = [url for url in browser.requests() if not url.startswith((page.address, "blob:"))]
    assert not theirs
    assert page.connections() <= {"127.0.0.1"}


@pytest.mark.browser
def test_the_keyboard_suffices(browser, page, tmp_path):
    opened(browser, page, tmp_path)
    _tab_to(browser, "#examples button")
    browser.press([Keys.ENTER])
    wait(browser, "document.querySelector('#one')?.innerText.includes('chelsea.png')")
    coloured(browser)
    _tab_to(browser, "#share input[type=range]")
    where = browser.run("document.querySelector('#slider img.fixed').style.clipPath")
    browser.press([Keys.END])
    wait(browser, f"document.querySelector('#slider img.fixed').style.clipPath != '{where}'")
    _tab_to(browser, "#one")
    browser.press([Keys.ENTER])
    assert browser.downloaded(tmp_path, "chelsea.png").read_bytes()[:4] == b"\x89PNG"
    assert not errors(browser)


def _tab_to(browser, selector):
    """Press Tab until an element that the selector finds has the focus, which is then seen."""
    for _ in range(40):
        browser.press([Keys.TAB])
        if browser.run(f"document.activeElement.matches({selector!r})"):
            assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError(f"Tab never reaches {selector}")


@pytest.mark.browser
def test_a_phone_needs_no_scrolling_sideways(browser, page, tmp_path, photos):
    opened(browser, page, tmp_path, width=390)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    browser.find("#photos input[type=file]").send_keys(str(photos[1]))
    wait(browser, "!!document.querySelector('#slider img')")
    coloured(browser)
    assert browser.run("document.documentElement.scrollWidth") <= 390


@pytest.mark.browser
def test_mistakes_are_one_line_on_the_page(browser, page, tmp_path):
    opened(browser, page, tmp_path)
    browser.click("#run")
    wait(browser, lambda: said(browser).startswith("There is no photo yet."))
    (tmp_path / "large.tif").write_bytes(bytes(2_100_000))
    browser.find("#photos input[type=file]").send_keys(str(tmp_path / "large.tif"))
    wait(browser, "document.body.innerText.includes('maximum allowed size')")
    assert "Traceback" not in browser.run("document.body.innerText")


def test_no_request_reads_other_files_or_makes_it_fetch(page, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    log = f"{page.temporary()[0]}/../../log"
    for path in (tmp_path / "secret.png", log, "http://192.0.2.1/x.png"):
        assert _status(f"{page.address}gradio_api/file={path}") == 403
    for path in (str(tmp_path / "secret.png"), "http://192.0.2.1/x.png"):
        given = f'{{"path": "{path}", "url": "{path}", "meta": {{"_type": "gradio.FileData"}}}}'
        body = f'{{"data": [[{given}], "scaled", 0, "none", "guided", false, "colour"]'
        for index in range(8):  # whatever the page's functions are
            _status(
                f"{page.address}gradio_api/run/predict",
                f'{body}, "fn_index": {index}, "session_hash": "a"}}'.encode(),
            )
    assert not [path for folder in page.temporary() for path in folder.rglob("secret*")]
    assert page.connections() <= {"127.0.0.1", "192.0.2.1"}  # the latter was tried, and refused


def _status(address, body=None):
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_ctrl_c_ends_it_quietly_and_removes_what_was_uploaded(page):
    assert page.temporary()
    code, words = page.interrupt()
    assert code == 0 and "Traceback" not in words and "rror" not in words, words
    assert not page.temporary()
