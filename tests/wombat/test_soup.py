"""The mean of several runs: weights by their shares, logits of frequencies, both ends written."""

import dataclasses

import keras
import numpy as np
import pytest

import wombat
from common import cli
from common.cli import UserError
from common.color import bins
from common.color.dial import Dial
from common.networks import h5, packing
from tests.wombat.test_wombat import narrow
from wombat.experiments import soup
from wombat.experiments.resident import export

PRIOR = np.random.default_rng(0).dirichlet(np.ones(len(bins.CENTRES)))


def run(folder, seed, rebalanced, widths=(32, 24, 16, 16)):
    """The export of a run that is not trained; its network."""
    keras.utils.set_random_seed(seed)
    config = narrow("rebalanced" if rebalanced else "wombat")
    config = dataclasses.replace(config, widths=widths)
    network = wombat.build_model(config)
    data = {"name": "drawn", "split_sha256": "", "train_sha256": f"{seed:012d}" + "f" * 12}
    about = {"data": data, "image_size": 64, "cut": "squash"}
    (path, _) = export(network, config, Dial.of(config, PRIOR, rebalanced), folder, about)
    return path, network


def test_the_mean_of_two_runs(tmp_path):
    plain, one = run(tmp_path / "plain", 1, False)
    weighted, other = run(tmp_path / "weighted", 2, True)
    words = [f"{plain}=0.75", f"{weighted}=0.25", f"--out={tmp_path}", "--bits=23"]
    assert soup.main(words) == 0
    mixed = h5.load(tmp_path / "wombat.h5").get_layer("wombat")
    log_rarity = np.log(Dial.of(narrow(), PRIOR, False).rarity)
    pairs = zip(mixed.weights, one.get_weights(), other.get_weights(), strict=True)
    for variable, a, b in pairs:
        if variable.path.endswith("ab_bins/bias"):
            b = b - log_rarity  # the loss was weighted by it
        np.testing.assert_allclose(variable, 0.75 * a + 0.25 * b, rtol=1e-5, atol=1e-6)
    faithful, vivid = (h5.metadata(tmp_path / f"{n}.h5") for n in ("wombat", "wombat-vivid"))
    assert faithful["dial"]["trained"] == vivid["dial"]["trained"] == 0
    assert (faithful["dial"]["default"], vivid["dial"]["default"]) == (0, 1)
    assert faithful["data"]["train_sha256"] == "000000000001000000000002" + "f" * 12


def test_weights_are_rounded(tmp_path):
    path, _ = run(tmp_path / "run", 1, False)
    soup.mix([path], [1.0], tmp_path, 8)
    for weight in h5.load(tmp_path / "wombat.h5").get_layer("wombat").get_weights():
        np.testing.assert_array_equal(weight, packing.rounded(weight, 8))


def test_what_is_no_mean_is_one_line(tmp_path, capsys):
    path, _ = run(tmp_path / "run", 1, False)
    wider, _ = run(tmp_path / "wider", 1, False, widths=(32, 24, 16, 24))
    assert cli.run(soup.main, [f"{path}=0.5"]) == 2
    assert "add up to 1, not 0.5" in capsys.readouterr().err
    assert cli.run(soup.main, [str(path)]) == 2
    assert "with its share" in capsys.readouterr().err
    with pytest.raises(UserError, match="another config"):
        soup.mix([path, wider], [0.5, 0.5], tmp_path, 23)
