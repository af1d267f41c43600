"""docs/formats.md says what the script that makes its tables finds."""

import pytest

from benchmarks import formats


@pytest.mark.slow
def test_the_page_is_what_the_script_finds():
    page = formats.PAGE.read_text(encoding="utf-8")
    for name, made in formats.tables().items():
        _, told, _ = formats.split(page, name)
        told_lines, lines = told.strip().splitlines(), made.strip().splitlines()
        if not formats.has_heif():
            told_lines = [line for line in told_lines if not line.startswith("| HEIF")]
        assert lines == told_lines, "run: python -m benchmarks.formats --write"
        assert "WRONG" not in made
