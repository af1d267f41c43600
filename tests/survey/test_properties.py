"""Properties of the counting of answers: any people, any pictures, files in any order."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common.survey import answers, schema

SURVEY = "0123456789abcdef"


@st.composite
def surveys(draw):
    """(kinds of the pictures, verdicts: a row a person of whether each was taken for real)."""
    kinds = ["recoloured", "original"] + draw(st.lists(st.sampled_from(schema.KINDS), max_size=4))
    people = draw(st.integers(1, 5))
    return (
        kinds,
        draw(arrays.arrays(bool, (people, len(kinds)))),
        draw(st.permutations(range(people))),
    )


@settings(max_examples=20)
@given(surveys(), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_every_verdict_is_counted_once(tmp_path_factory, drawn, name):
    kinds, real, order = drawn
    digests = [f"{number:064x}" for number in range(len(kinds))]
    folder = tmp_path_factory.mktemp("survey")
    key = {
        "kind": schema.KEY,
        "schema": schema.SCHEMA,
        "survey": SURVEY,
        "model": {"name": name, "sha256": "0" * 64},
        "data": {"name": name},
        "published": None,
        "pictures": [
            {"sha256": digest, "kind": kind, "name": name}
            for digest, kind in zip(digests, kinds, strict=True)
        ],
    }
    (folder / "key.json").write_text(json.dumps(key))
    for file, person in enumerate(order):
        content = {
            "kind": schema.VERDICTS,
            "schema": schema.SCHEMA,
            "survey": SURVEY,
            "person": f"{person:032x}",
            "verdicts": [
                {"picture": digest, "verdict": "real" if taken else "recoloured"}
                for digest, taken in zip(digests, real[person], strict=True)
            ],
        }
        (folder / f"{file}.json").write_text(json.dumps(content))
    results = answers.read(folder, folder)
    assert not results.skipped
    of_kind = [kind == "recoloured" for kind in kinds]
    recoloured = answers.total(answers.mistaken(results, "recoloured").values())
    assert recoloured == answers.Share(int(real[:, of_kind].sum()), int(real[:, of_kind].size))
    originals = answers.total(answers.mistaken(results, "original").values())
    wrong = ~real[:, [not each for each in of_kind]]
    assert originals == answers.Share(int(wrong.sum()), int(wrong.size))
    lines = answers.table(results).split("\n")
    assert not any(unicodedata.category(character) == "Cc" for character in "".join(lines))


@given(st.integers(1, 500), st.data())
def test_an_interval_holds_its_share_and_narrows_with_more(total, data):
    count = data.draw(st.integers(0, total))
    low, high = answers.Share(count, total).interval
    assert 0 <= low <= count / total <= high <= 1 or low == pytest.approx(count / total)
    wider_low, wider_high = low, high
    low, high = answers.Share(4 * count, 4 * total).interval
    assert high - low < wider_high - wider_low
