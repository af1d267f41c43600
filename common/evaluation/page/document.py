"""An HTML page in one file, which opens from disk and requests nothing from anywhere.

Templates, style sheets and scripts are files of the package that makes a page, or of this one.
"""

import base64
import dataclasses
import functools
import hashlib
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
        environment(package)
        .get_template(template)
        .render(
            context,
            style="\n".join(_source(package, name) for name in styles),
            script=code,
            script_sha256=base64.b64encode(hashlib.sha256(code.encode()).digest()).decode(),
        )
    )


@functools.cache
def environment(package: str) -> jinja2.Environment:
    """The templates of a package, and those of this one, which it may extend and import."""
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
