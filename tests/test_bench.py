"""What `make bench` says of its figures (benchmarks/bench), on figures that are known."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from benchmarks.bench import networks, peers, results
from benchmarks.bench.turns import Effort, Row, alternate
from common.cli import UserError

ROW = Row("a row", {"ours": [4.0, 6.0, 5.0], "theirs": [2.0, 2.0, 5.0]}, "pictures/s", "1.15")


def test_sides_take_turns_in_alternating_order():
    calls = []

    def work(name):
        return lambda: calls.append(name) or 1

    rates = alternate(Effort(turns=2, seconds=0), {"a": work("a"), "b": work("b")})
    assert calls == ["a", "b", "a", "b", "b", "a"]  # first each once, not counted
    assert {what: len(numbers) for what, numbers in rates.items()} == {"a": 2, "b": 2}


def test_a_ratio_is_taken_turn_by_turn():
    assert ROW.ratios == [2.0, 3.0, 1.0]
    line = results.table([ROW]).splitlines()[-1]
    assert (
        line == "| a row | ours 5 pictures/s | theirs 2 pictures/s | 2.00 (1.00 to 3.00) | 1.15 |"
    )


def test_an_earlier_run_is_compared_by_name(tmp_path):
    results.write(tmp_path, {"machine": {}}, [ROW])
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    base = results.read(tmp_path / "bench.json")
    faster = Row("a row", {"ours": [10.0], "theirs": [4.0]}, "pictures/s")
    (line,) = results.against([faster, Row("new", {"x": [1.0]}, "s")], base).splitlines()[2:]
    assert line == "| a row | 2.00 | 2.00 | 2.50 |"


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"rows": [1]})])
def test_what_is_no_result_is_one_line(tmp_path, content):
    path = tmp_path / "bench.json"
    with pytest.raises(UserError, match="No such file"):
        results.read(path)
    path.write_text(content)
    with pytest.raises(UserError, match="no result of this benchmark"):
        results.read(path)


def test_operations_are_counted_where_a_layer_is_applied():
    x = keras.Input((8, 8, 3))
    shared = keras.Model(x, layers.Conv2D(4, 3, 2, "same")(x))  # 4 x 4 positions
    frozen = layers.Conv2D(5, 1, trainable=False)
    inputs = {"l": keras.Input((8, 8, 3), name="l"), "m": keras.Input((8, 8, 3), name="m")}
    both = layers.Add()([shared(inputs["l"]), shared(inputs["m"])])
    up = layers.Conv2DTranspose(2, 3, 2, "same")(frozen(both))  # once for each position it reads
    model = keras.Model(inputs, up)
    trained = 2 * (2 * 16 * 27 * 4 + 16 * 9 * 5 * 2)
    assert networks.operations(model, trained=True) == trained
    assert networks.operations(model) == trained + 2 * 16 * 4 * 5


def test_another_network_is_not_measured_as_a_peer():
    ours = np.linspace(-1, 1, 100)
    peers.same(ours, ours + 1e-5)
    with pytest.raises(RuntimeError, match="not the same network"):
        peers.same(ours, ours + 0.01)
