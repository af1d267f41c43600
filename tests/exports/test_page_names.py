"""The page that colours in the browser shows names and errors as text, whoever chose them."""

import functools
import http.server
import json
import shutil
import threading
from pathlib import Path

import pytest
from selenium.webdriver.support.wait import WebDriverWait

from tests import chromium, drawn

pytestmark = pytest.mark.browser

PAGE = Path(__file__).parents[2] / "common" / "exports" / "page"
HOSTILE = '"><img src=x onerror=window.injected=1><script>window.injected=1</script>\u202e'
# A stand-in for the worker, which needs onnxruntime-web: it says of the model and of every photo
# what a stranger's model.json or file might let the true one say.
WORKER = """
const hostile = %s;
postMessage({ about: { name: hostile, dial: null } });
onmessage = ({ data }) => postMessage({ turn: data.turn, error: `${data.file.name}: ${hostile}` });
"""


@pytest.fixture
def address(tmp_path):
    folder = shutil.copytree(PAGE, tmp_path / "page")
    (folder / "worker.mjs").write_text(WORKER % json.dumps(HOSTILE), encoding="utf-8")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def test_names_and_errors_are_text(browser, address, tmp_path):
    photo = drawn.folder(tmp_path / "photos", 1, 16) / "picture-000.png"
    photo = photo.rename(photo.with_name("<img src=x onerror=window.injected=1>.png"))
    browser.errors()
    browser.driver.get(address)

    def text(of):
        return browser.run(f"document.getElementById('{of}').textContent")

    wait = WebDriverWait(browser.driver, chromium.PATIENCE)
    wait.until(lambda _: text("model") == HOSTILE)
    browser.find("#file").send_keys(str(photo))
    wait.until(lambda _: text("error") == f"{photo.name}: {HOSTILE}")
    assert browser.run("window.injected === undefined && document.scripts.length === 1")
    assert browser.run("document.querySelector('#model > *, #error > *')") is None
    assert browser.errors() == []
