"""One training step, not waited for: the values and weights of `train_on_batch`."""

import dataclasses
import types

import keras
import numpy as np
import pytest

from common import training
from common.cli import UserError
from common.training.step import Step
from tests import drawn
from tests.training import home as runs


def compiled(classes=None):
    """A tiny network, compiled with a metric; with a classification head where asked for."""
    keras.utils.set_random_seed(3)
    config = dataclasses.replace(drawn.Config(), classes=classes)
    network = drawn.build_model(config)
    if classes:
        ab = keras.layers.Identity(name="ab")(network.output)
        label = keras.layers.Dense(classes, name="label")(
            keras.layers.GlobalAveragePooling2D()(network.output)
        )
        network = keras.Model(network.input, {"ab": ab, "label": label})
    report = dataclasses.replace(
        training.Report("tiny", {}, drawn.build_model, drawn.optimizer, drawn.loss),
        metrics=lambda config: [training.accuracy()],
    )
    training.compile_model(report, network, config, 10)
    return network


@pytest.mark.parametrize("classes", [None, 3])
def test_steps_are_those_of_train_on_batch(classes):
    """The same bits, whenever they are read; the metrics are each batch's own."""
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(3):
        x = {"l": rng.random((4, 32, 32, 1), np.float32)}
        y = rng.uniform(-0.5, 0.5, (4, 32, 32, 2)).astype(np.float32)
        batches.append((x, {"ab": y, "label": np.arange(4) % 3} if classes else y))
    reference, network = compiled(classes), compiled(classes)
    expected = [reference.train_on_batch(*batch, return_dict=True) for batch in batches]
    step = Step(network, lambda batch: batch)
    values = step.read([step(step.put(batch)) for batch in batches])
    step.settle()
    assert values == [{name: float(value) for name, value in each.items()} for each in expected]
    assert len({each["loss"] for each in values}) == 3
    for ours, theirs in zip(network.get_weights(), reference.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


def test_a_loss_that_is_no_number_is_named_although_read_later(tmp_path, monkeypatch):
    """The checkpoint before it stays; steps after it, which had begun, do not count."""
    monkeypatch.chdir(runs.make(tmp_path))
    runs.train(steps=8, epochs=1)
    before = runs.state(tmp_path)
    run = Step.__call__
    seen = []

    def poisoned(self, batch):
        values = run(self, batch)
        seen.append(batch)
        return values | ({"loss": values["loss"] * np.inf} if len(seen) == 6 else {})

    monkeypatch.setattr(Step, "__call__", poisoned)
    clock = types.SimpleNamespace(monotonic=lambda: 0.0)  # by which steps take no time
    monkeypatch.setattr("common.training.trainer.time", clock)
    with pytest.raises(UserError, match="loss is inf in epoch 2, step 6"):
        runs.train(steps=8, epochs=2)
    assert len(seen) == 8 and runs.state(tmp_path) == before
