"""A page in one file: what may run in it, and texts that stay texts."""

import base64
import hashlib
import importlib
import json
import re

import jinja2
import pytest

from common.evaluation.page import document

HOSTILE = "</script><script>\"a\" & 'b'</script>"


@pytest.fixture
def render(tmp_path, monkeypatch):
    """render(**context) -> the page of a package with a template, a script and a style sheet."""
    folder = tmp_path / "leaflet"
    folder.mkdir()
    files = {
        "__init__.py": "",
        "leaflet.html": '{% extends "document.html" %}{% block title %}{{ text }}{% endblock %}'
        '{% block body %}<p class="{{ text }}">{{ text }}</p>'
        '<script type="application/json" id="data">{{ content | tojson }}</script>{% endblock %}',
        "leaflet.js": 'if (1 < 2 && "é") {}\n',
        "leaflet.css": "p > b {}\n",
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()

    def render(**context):
        return document.render(
            "leaflet",
            "leaflet.html",
            script="leaflet.js",
            styles=["page.css", "leaflet.css"],
            **context,
        )

    return render


def test_texts_are_escaped_and_data_cannot_end_its_element(render):
    page = render(text=HOSTILE, content={"text": HOSTILE})
    assert HOSTILE not in page and page.count("&lt;/script&gt;") == 6
    data = re.search(r'id="data">(.*?)</script>', page).group(1)
    assert json.loads(data) == {"text": HOSTILE}


def test_script_and_styles_are_part_of_the_page_and_the_policy_names_the_script(render):
    page = render(text="", content=None)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script == 'if (1 < 2 && "é") {}\n' and "p > b {}" in page and ":root {" in page
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'; base-uri 'none'" in page
    assert f"script-src 'sha256-{digest}'" in page


def test_a_variable_that_is_missing_is_an_error(render):
    with pytest.raises(jinja2.UndefinedError, match="text"):
        render(content=None)
