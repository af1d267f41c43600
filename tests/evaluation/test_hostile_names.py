"""No script runs from names and metadata that strangers chose: the pages, in a browser.

Each page is tried as it is, and without its Content-Security-Policy, so that what is shown must
have been escaped, and cannot only have been stopped.
"""

import os
import re

import pytest

from common import datasets, files
from common.evaluation import models, rows
from common.survey import ask
from tests import drawn
from tests.evaluation.scoring import evaluated

pytestmark = pytest.mark.browser

IMAGE = '"><img src=x onerror=window.injected=1>'
NAMES = [
    # A slash in a name is a folder: `<script>...<` and, in it, `script>`.
    "<script>window.injected=1</script>.png",
    "</script><script>window.injected=1</script>.png",
    f"{IMAGE}.png",
    "' onmouseover='window.injected=1' style='position:fixed;inset:0.png",
    "javascript:window.injected=1.png",
    "\u2028window.injected=1\u2029.png",
    "\u202egnp.1=detcejni.wodniw.png",
    "${window.injected=1}`+window.injected=1+`.png",
    "]]><!--<script>{{ injected }}<textarea>.png",
    "&lt;img src=x onerror=window.injected=1&gt;.png",
    "two\nlines\tand\x1b[2J.png",
    os.fsdecode(b"no UTF-8 \xff.png"),
]
TITLE = "</script><script>Object.assign(window, {injected: 1})</script>"


def _pictures(folder, names):
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.folder(folder / "made", 1, 16)
        (folder / "made" / "picture-000.png").rename(path)
        path.write_bytes(path.read_bytes() + bytes([seed]))  # no two are the same file
    (folder / "made").rmdir()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    source = tmp_path_factory.mktemp("hostile") / IMAGE
    _pictures(source / "train", ["1.png", "2.png"])
    _pictures(source / "val", ["3.png"])
    _pictures(source / "test", NAMES)
    return datasets.prepare(
        source, 16, "squash", split_by="folder", folder=source.parent / "shards"
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / f"{IMAGE}.h5"
    return drawn.exported(path, drawn.Config(image_size=16), data=TITLE)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, dataset, model):
    home = tmp_path_factory.mktemp("page")
    theirs = home / "<b>"
    _pictures(theirs, NAMES[3:])
    evaluated([model], dataset, out=home, predictions=[f"{TITLE}={theirs}"])
    return home / "index.html"


@pytest.fixture(scope="module")
def survey(tmp_path_factory, dataset, model):
    home = tmp_path_factory.mktemp("survey")
    ask.make(models.Model(model, IMAGE, dataset, 4), dataset, "test", 1, 1).write(home)
    return home / "index.html"


def unprotected(page):
    """A copy of a page without its policy."""
    text = page.read_text(encoding="utf-8")
    without, count = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert count == 1
    copy = page.with_name("unprotected.html")
    files.write_text(copy, without)
    return copy


def check(browser, tags):
    """Nothing ran, and every element is of a kind that the page is made of."""
    assert browser.run("window.injected === undefined")
    assert browser.run("document.scripts.length") == 2
    assert browser.errors() == []
    found = set(browser.run("[...document.querySelectorAll('*')].map((each) => each.localName)"))
    assert not found & tags
    assert browser.run("""[...document.images].every(
        (each) => !each.src || each.src.startsWith("data:"))""")
    attributes = browser.run("""[...document.querySelectorAll('*')].flatMap(
        (each) => each.getAttributeNames()).filter((name) => name.startsWith("on"))""")
    assert attributes == []


@pytest.mark.parametrize("protected", [True, False])
def test_an_evaluation_shows_names_as_text(browser, evaluation, protected):
    browser.open(evaluation if protected else unprotected(evaluation))
    check(browser, {"textarea", "b"})
    shown = browser.run("""[...document.querySelectorAll(".gallery h3")].map(
        (each) => each.textContent)""")
    stored = rows.read(evaluation.with_name("metrics.json"))
    assert {IMAGE, TITLE} <= {row.name for row in stored.rows}
    for name in NAMES:
        readable = name.encode(errors="backslashreplace").decode()
        assert f"test/{readable}" in shown
    # The script uses the names anew: it compares two versions, and sorts.
    browser.click(".gallery li button")
    assert browser.run("document.getElementById('compared').textContent") in shown
    browser.click("dialog [data-close]")
    browser.click("thead button")
    check(browser, {"textarea", "b"})


@pytest.mark.parametrize("protected", [True, False])
def test_a_survey_tells_no_name(browser, survey, protected):
    page = survey if protected else unprotected(survey)
    text = page.read_text(encoding="utf-8")
    assert "injected" not in text and "lines" not in text
    browser.open(page)
    browser.click("#start")
    browser.click("[data-verdict]")
    check(browser, {"svg"})


def test_the_check_notices_what_runs(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(f"<p title='{IMAGE}'>{IMAGE}<script></script><script></script>")
    browser.open(page)
    browser.run("new Promise((resolve) => setTimeout(resolve, 200))")
    with pytest.raises(AssertionError):
        check(browser, set())
