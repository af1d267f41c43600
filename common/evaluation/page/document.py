"""An HTML page in one file, which opens from disk and requests nothing from anywhere.

Templates, style sheets and scripts are files of the package that makes a page, or of this one.
"""

import base64
import dataclasses
import functools
import hashlib
import html
import json
from collections.abc import Iterable
from importlib import resources
from typing import Any

import jinja2

PACKAGE = "common.evaluation.page"


@dataclasses.dataclass(frozen=True)
class Image:
    """A picture inside a page: its MIME type and the bytes of its file."""

    mime: str
    content: bytes

    @property
    def uri(self) -> str:
        return f"data:{self.mime};base64,{base64.b64encode(self.content).decode()}"


def render(
    package: str, template: str, *, script: str, styles: Iterable[str], **context: Any
) -> str:
    """The page of a template that extends document.html.

    package: where template, script and style sheets lie; what it lacks is taken from this package.
    script, styles: names of files, which become part of the page. Its Content-Security-Policy lets
    that script run, by its hash, and nothing else, and nothing be loaded. context: the template's
    variables; its texts are escaped. A variable that the template lacks is a jinja2.UndefinedError.
    """
    code = _source(package, script)
    return (
        _environment(package)
        .get_template(template)
        .render(
            context,
            style="\n".join(_source(package, name) for name in styles),
            script=code,
            script_sha256=base64.b64encode(hashlib.sha256(code.encode()).digest()).decode(),
        )
    )


@functools.cache
def _environment(package):
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(each, ".") for each in (package, PACKAGE)]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False}
    return environment


def _source(package, name):
    file = resources.files(package) / name
    return (file if file.is_file() else resources.files(PACKAGE) / name).read_text("utf-8")


def document(title, body, script, *styles):
    """The page of a body, with a script (or None) and style sheets of common/ put into it by name.

    The Content-Security-Policy of the page lets no other script run and nothing be loaded.
    """
    style, code = (
        "\n".join(_source(PACKAGE, name) for name in styles),
        _source(PACKAGE, script) if script else "",
    )
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
<title>{html.escape(title)}</title>
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
    uri = f"data:{mime};base64,{base64.b64encode(content).decode()}"
    return f'<img src="{uri}" alt="{html.escape(words)}">'
