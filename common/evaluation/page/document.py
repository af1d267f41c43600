"""An HTML page in one file, which opens from disk and asks for nothing from anywhere."""

import base64
import hashlib
import json
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent


def document(title, body, script, *styles):
    """The page of a body, with a script (or None) and style sheets of common/ put into it by name.

    The Content-Security-Policy of the page lets no other script run and nothing be loaded.
    """
    style, code = "\n".join(map(_read, styles)), _read(script) if script else ""
    allowed = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:;
 style-src 'unsafe-inline'; script-src 'sha256-{allowed}'">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
{body}
{f"<script>{code}</script>" if code else ""}
</body>
</html>
"""


def data(name, content):
    """`content` as JSON in the page, for its script: what stands in it cannot end the element."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def image(file, words):
    """An <img> of (MIME type, bytes); `words` are what it shows."""
    mime, content = file
    return (
        f'<img src="data:{mime};base64,{base64.b64encode(content).decode()}" alt="{escape(words)}">'
    )


def _read(name):
    return (FOLDER / name).read_text(encoding="utf-8")
