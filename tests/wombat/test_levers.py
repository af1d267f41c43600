"""The experiment that changes one part of wombat's recipe at a time."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import wombat
from common import cli
from common.color import bins
from wombat.experiments import levers, resident
from wombat.experiments.levers import LEVERS

RESULT = {"mean": 22.0, "faithful": 1.74, "share": 0.56, "vivid": 0.47}


def test_every_lever_changes_something():
    base = wombat.CONFIGS["wombat"]
    made = [(dataclasses.replace(base, **lever.changes), lever) for lever in LEVERS.values()]
    assert len(
        {repr((config, dataclasses.replace(lever, changes={}))) for config, lever in made}
    ) == (len(LEVERS))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("baseline", (None, 16, 16, 313)),
        ("ab at 32", (None, 8, 8, 313)),
        ("squared error", (None, 16, 16, 2)),
    ],
)
def test_a_levers_network(name, shape):
    config = dataclasses.replace(wombat.CONFIGS["wombat"], image_size=64)
    network = levers.build(LEVERS[name], config, "random")
    assert network.output.shape == shape


def test_the_first_stages_stay_frozen():
    config = dataclasses.replace(wombat.CONFIGS["wombat"], image_size=64)
    encoder = levers.build(LEVERS["stages 5 to 7"], config, "random").get_layer("efficientnet_lite")
    training = {v.path.split("/")[-2].split("_")[0] for v in encoder.trainable_variables}
    assert {"stage5", "stage6", "stage7"} <= training
    assert not training & {"stem", *(f"stage{i}" for i in range(1, 5))}


def test_smoothed_targets():
    pytest.importorskip("jax")
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 2, 2, 313)).astype(np.float32)
    ab = np.broadcast_to(rng.integers(-20, 20, (1, 2, 1, 2, 1, 2)), (1, 2, 4, 2, 4, 2))
    ab = ab.reshape(1, 8, 8, 2).astype(np.float32)
    chosen, shares = (np.asarray(part) for part in bins.encode(ab[:, ::4, ::4]))
    target = np.full(logits.shape, 0.1 / 313)
    np.put_along_axis(target, chosen, np.take_along_axis(target, chosen, -1) + 0.9 * shares, -1)
    log_shares = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -(target * log_shares).sum(-1).mean()
    got = resident.cross_entropy(logits, ab, smoothing=0.1)
    assert float(got) == pytest.approx(expected, rel=1e-4)  # float32's sums of 313 terms


def test_the_table_is_in_the_order_of_the_levers_and_leaves_out_what_has_no_value():
    pale = {**RESULT, "vivid": None}
    results = [
        {"lever": "no ageing", "seconds": 1.0, "validation": RESULT, "test": pale},
        {"lever": "baseline", "seconds": 2.0, "validation": RESULT, "test": RESULT},
    ]
    assert levers.table(results).splitlines()[2:] == [
        "| baseline | +1.74 | .56 | +0.47 | +1.74 | .56 | +0.47 | 2 |",
        "| no ageing | +1.74 | .56 | +0.47 | +1.74 | .56 |  | 1 |",
    ]


def test_results_that_are_there_are_not_made_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    result = {"lever": "baseline", "seconds": 2.0, "validation": RESULT, "test": RESULT}
    (tmp_path / "baseline.json").write_text(json.dumps(result))
    assert levers.main(["nowhere", "--only", "baseline", f"--out={tmp_path}"]) == 0
    assert "| baseline | +1.74 |" in capsys.readouterr().out


def test_another_backend_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(cli.UserError, match="KERAS_BACKEND=jax"):
        levers.main(["nowhere", f"--out={tmp_path}"])
