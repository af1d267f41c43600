"""Sheets: the same parts as Markdown and as a page that asks for nothing."""

import re

import pytest

from common.evaluation import sheets


@pytest.fixture
def sheet(tmp_path):
    (tmp_path / "curves.png").write_bytes(b"\x89PNG and more")
    sheet = sheets.Sheet("A <title>")
    sheet.heading("Part")
    sheet.text("1 < 2 & so on")
    sheet.list(["one", "two"])
    sheet.table(["", "why", "gain", "none"], [["a", "x < y", "+0.5", ""], ["b", "", "-1 ± 2", ""]])
    sheet.picture("curves.png", 'what "it" shows')
    return sheet


def test_markdown(sheet, tmp_path):
    said = sheet.write(tmp_path, "told")
    text = (tmp_path / "told.md").read_text()
    assert text in said and said.endswith(f"{tmp_path}/told.md, {tmp_path}/index.html")
    assert text.splitlines() == [
        "# A <title>",
        "",
        "## Part",
        "",
        "1 < 2 & so on",
        "",
        "- one",
        "- two",
        "",
        "|  | why | gain | none |",
        "|---|---|---:|---|",
        "| a | x < y | +0.5 |  |",
        "| b |  | -1 ± 2 |  |",
        "",
        '![what "it" shows](curves.png)',
    ]


def test_the_page_holds_all_and_asks_for_nothing(sheet, tmp_path):
    sheet.write(tmp_path, "told")
    page = (tmp_path / "index.html").read_text()
    assert "<h1>A &lt;title&gt;</h1>" in page and "<p>1 &lt; 2 &amp; so on</p>" in page
    assert "<li>two</li>" in page and '<td class="word">x &lt; y</td>' in page
    assert "<td>+0.5</td>" in page and 'alt="what &quot;it&quot; shows"' in page
    assert "<script" not in page and "default-src 'none'" in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
