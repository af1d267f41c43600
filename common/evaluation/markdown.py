"""A comparison's results as a Markdown file."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from common import files


class Document:
    """A title and, beneath it, paragraphs, lists, tables and pictures in the order of the calls."""

    def __init__(self, title: str):
        self._blocks = [f"# {title}"]

    def heading(self, text: str) -> None:
        """A heading of the second level."""
        self._blocks.append(f"## {text}")

    def text(self, text: str) -> None:
        """A paragraph."""
        self._blocks.append(text)

    def list(self, items: Iterable[str]) -> None:
        """A list with a line for each item."""
        self._blocks.append("\n".join(f"- {item}" for item in items))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows below a header of the same length; columns of figures are aligned to the right.

        A column holds figures where each cell that is not empty begins with a digit or a sign.
        """
        marks = ["---:" if _is_figures(column) else "---" for column in zip(*rows, strict=True)]
        lines = [_line(header), f"|{'|'.join(marks)}|", *(_line(row) for row in rows)]
        self._blocks.append("\n".join(lines))

    def picture(self, name: str, description: str) -> None:
        """A picture in the folder that the document is written to."""
        self._blocks.append(f"![{description}]({name})")

    def __str__(self) -> str:
        return "\n\n".join(self._blocks) + "\n"

    def write(self, path: str | Path) -> str:
        """Write the file; return its text followed by its path, for the terminal."""
        files.write_text(path, str(self))
        return f"{self}\n{path}"


def _is_figures(cells):
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(cell[0] in "+-−0123456789" for cell in filled)


def _line(cells):
    return f"| {' | '.join(cells)} |"
