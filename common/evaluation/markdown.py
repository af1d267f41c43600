"""A comparison's results as Markdown and as one HTML file that opens from disk."""

from html import escape
from pathlib import Path

from common import files
from common.evaluation import table
from common.evaluation.page import document

RUNS_ONLY = table.RUNS_ONLY


class Sheet:
    """A title, and beneath it paragraphs, lists, tables and pictures in the order they come.

    Texts are plain: in the HTML they are escaped. A cell that begins with a digit or a sign is
    set to the right.
    """

    def __init__(self, title):
        self.title, self._parts = title, []

    def heading(self, text):
        """A heading of the second level."""
        self._parts.append(("heading", text))

    def text(self, text):
        """A paragraph."""
        self._parts.append(("text", text))

    def list(self, items):
        """Points, a line each."""
        self._parts.append(("list", list(items)))

    def table(self, header, rows):
        """Rows of strings below a header of the same length."""
        self._parts.append(
            (
                "table",
                ([str(cell) for cell in header], [[str(cell) for cell in row] for row in rows]),
            )
        )

    def picture(self, name, described):
        """A picture that lies where the sheet is written, with what it shows in words."""
        self._parts.append(("picture", (name, described)))

    def write(self, folder, name):
        """Write folder/<name>.md and folder/index.html; return the Markdown, and where both are."""
        text = self.markdown()
        files.write_text(Path(folder) / f"{name}.md", text)
        files.write_text(Path(folder) / "index.html", self.html(folder))
        return f"{text}\n{folder}/{name}.md, {folder}/index.html"

    def markdown(self):
        """The sheet as Markdown."""
        lines = [f"# {self.title}", ""]
        for kind, part in self._parts:
            if kind == "heading":
                lines += [f"## {part}"]
            elif kind == "text":
                lines += [part]
            elif kind == "list":
                lines += [f"- {item}" for item in part]
            elif kind == "picture":
                lines += [f"![{part[1]}]({part[0]})"]
            else:
                header, rows = part
                marks = [
                    "---:" if _is_figure(column) else "---" for column in zip(*rows, strict=True)
                ]
                lines += ["| " + " | ".join(header) + " |", "|" + "|".join(marks) + "|"]
                lines += ["| " + " | ".join(row) + " |" for row in rows]
            lines.append("")
        return "\n".join(lines)

    def html(self, folder):
        """The sheet as one file; its pictures, from `folder`, are in it."""
        body = [f"<h1>{escape(self.title)}</h1>"]
        for kind, part in self._parts:
            if kind == "heading":
                body.append(f"<h2>{escape(part)}</h2>")
            elif kind == "text":
                body.append(f"<p>{escape(part)}</p>")
            elif kind == "list":
                body.append("<ul>" + "".join(f"<li>{escape(item)}</li>" for item in part) + "</ul>")
            elif kind == "picture":
                png = (Path(folder) / part[0]).read_bytes()
                body.append(f'<p class="wide">{document.image(("image/png", png), part[1])}</p>')
            else:
                body.append(_table(*part))
        body = "\n".join(body)
        return document.document(
            self.title, f"<main>\n{body}\n</main>", None, "page.css", "sheet.css"
        )


def _is_figure(cells):
    """Whether a column holds figures: what is not empty begins with a digit or a sign."""
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(cell[0] in "+-−0123456789" for cell in filled)


def _table(header, rows):
    kinds = ["" if _is_figure(column) else ' class="word"' for column in zip(*rows, strict=True)]
    head = "".join(
        f'<th scope="col"{kind}>{escape(cell)}</th>'
        for kind, cell in zip(kinds, header, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="table"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
