"""Typed results: lookups by name, and JSON that is read back as it was."""

import dataclasses
import json
import math

import numpy as np
import pytest

from common.evaluation import rows

SOURCES = {
    rows.GREY: rows.Colour((0.0, 0.0)),
    rows.NEIGHBOUR: rows.Neighbours(
        {"network": "tiny"},
        3,
        0,
        [{"name": "a.png", "cosine": 0.5}, {"name": "b.png", "cosine": 1}],
    ),
    "ours": rows.ModelFile(
        "models/ours.h5",
        "0" * 64,
        "ours",
        {"epoch": [1], "loss": [0.5]},
        32,
        "squash",
        {"network": "tiny"},
        "model",
        {"pretrained": {}},
        None,
    ),
    "theirs": rows.PictureFolder(
        "theirs", None, {"used": 1, "missing": 1, "unreadable": 0}, [], ["b.png"], ["c.png"]
    ),
}
FIGURES = {
    "psnr_rgb": rows.Summary(20.0, 1, 1, (19.0, 21.0)),
    "colourfulness": rows.Summary(8.0, 2, 0, (7.0, 9.0)),
    "kid": rows.Summary(0.25, 2, deviation=0.125, subset=1),
    "fid": rows.Summary(None, 0, lacks="no weights"),
}
VALUES = {"psnr_rgb": [20.0, rows.INFINITE], "colourfulness": [8.0, None]}
KINDS = (rows.BASELINE, rows.BASELINE, rows.MODEL, rows.PREDICTIONS)


def evaluation():
    """One row of every kind, with every kind of figure."""
    measured = tuple(
        rows.Row(
            name,
            kind,
            source,
            VALUES,
            {"a": [1, 2], "b": [3, 0]},
            FIGURES,
            {"colourfulness": rows.Delta(-2.0, (-3.0, -1.0))},
            best=("psnr_rgb",) if name == "ours" else (),
            best_deltas=("colourfulness",) if name == "ours" else (),
        )
        for kind, (name, source) in zip(KINDS, SOURCES.items(), strict=True)
    )
    comparison = rows.Comparison(0.5, (0.25, 0.75), 2, wins=2, ties=0, losses=0, verdict="better")
    return rows.Evaluation(
        created="2020-01-01T00:00:00+00:00",
        data=rows.Data("drawn", "test", 2, 3, "1" * 64, "2" * 64, 32, "squash", [1.0, 2.0]),
        protocol=rows.Protocol(
            {"interval": "by the bootstrap"},
            "float32",
            2,
            {"name": "folder"},
            {"psnr_rgb": rows.Described("PSNR RGB", "of 8 bit", "higher", "dB", {"range": 255})},
        ),
        versions={"keras": "3"},
        commit=None,
        rows=measured,
        pairs=(rows.Pair("ours", rows.GREY, {"psnr_rgb": comparison}),),
        against=rows.GREY,
        truth=rows.Truth(FIGURES, VALUES, {"a": [1, 2], "b": [3, 0]}),
        pictures=(rows.Picture("a.png", "3" * 64), rows.Picture("b.png", "4" * 64)),
        failed=(rows.Failure("broken.h5", "is no HDF5 file"),),
        notes=("A note.",),
    )


def test_json_is_read_back_as_it_was(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(evaluation().to_json()), encoding="utf-8")
    assert rows.read(path) == evaluation()


def test_json_has_the_keys_of_schema_1():
    content = evaluation().to_json()
    grey, neighbour, ours, theirs = content["rows"]
    assert content["schema"] == 1
    assert grey["ab"] == [0, 0] and grey["seen"] == 0 and neighbour["among"] == 3
    assert ours["best"] == ["psnr_rgb", "colourfulness_delta"] and theirs["counts"]["used"] == 1
    assert ours["colourfulness_delta"] == -2 and ours["colourfulness_delta_interval"] == [-3, -1]
    assert ours["metrics"]["psnr_rgb"] == {"mean": 20, "n": 1, "infinite": 1, "interval": [19, 21]}
    assert ours["metrics"]["kid"].keys() - ours["metrics"]["psnr_rgb"] == {"deviation", "subset"}
    assert ours["metrics"]["fid"]["lacks"] == "no weights"
    assert content["protocol"]["interval"] == "by the bootstrap"
    assert content["truth"].keys() == {"metrics", "values", "histograms"}


def test_another_schema_is_refused():
    with pytest.raises(ValueError, match="schema 2"):
        rows.Evaluation.from_json({**evaluation().to_json(), "schema": 2})


def test_rows_and_pairs_are_found_by_name():
    result = evaluation()
    assert result.row("theirs").kind == rows.PREDICTIONS and result.grey.name == rows.GREY
    assert [row.name for row in result.baselines] == [rows.GREY, rows.NEIGHBOUR]
    assert result.model.name == result.row_of("models/ours.h5").name == "ours"
    assert result.pair("ours", rows.GREY).metrics["psnr_rgb"].verdict == "better"
    for lookup in (
        lambda: result.row("nobody"),
        lambda: result.mean_colour,
        lambda: result.row_of("models/nobody.h5"),
        lambda: result.pair(rows.GREY, "ours"),
    ):
        with pytest.raises(KeyError):
            lookup()
    assert dataclasses.replace(result, rows=result.rows + result.models).model == result.models[0]
    with pytest.raises(ValueError, match="No model"):
        assert dataclasses.replace(result, rows=result.baselines).model


def test_a_row_offers_what_only_some_kinds_have():
    grey, neighbour, ours, theirs = evaluation().rows
    assert grey.embedding is None and neighbour.embedding == ours.embedding == {"network": "tiny"}
    assert ours.metadata == {"pretrained": {}} and grey.metadata == theirs.metadata == {}
    assert theirs.is_partial and not ours.is_partial and ours.counts == {}
    assert (grey.seen, ours.seen) == (0, None)


def test_values_are_numbers_where_figures_are_computed():
    row = evaluation().row("ours")
    assert row.numbers("psnr_rgb").tolist() == [20, math.inf]
    np.testing.assert_array_equal(row.numbers("colourfulness"), [8, np.nan])


def test_results_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        evaluation().grey.best = ()
