"""Results as Markdown."""

from common.evaluation import markdown


def test_parts_stand_in_the_order_of_the_calls(tmp_path):
    document = markdown.Document("A title")
    document.heading("Part")
    document.text("1 < 2 & so on")
    document.list(["one", "two"])
    document.table(
        ["", "why", "gain", "none"], [["a", "x < y", "+0.5", ""], ["b", "", "-1 ± 2", ""]]
    )
    document.picture("curves.png", "what it shows")
    path = tmp_path / "results" / "study.md"
    printed = document.write(path)
    text = path.read_text(encoding="utf-8")
    assert printed == f"{text}\n{path}"
    assert text.splitlines() == [
        "# A title",
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
        "![what it shows](curves.png)",
    ]
