"""The mean of the weights of several runs that began alike, which is better than each of them.

    python -m wombat.experiments.soup a/wombat.h5=0.6 b/wombat.h5=0.4 [--bits=8] [--out=models]

Wortsman et al. 2022, "Model soups". Runs of `resident` from the same seed begin alike. Logits that
were trained weighted by rarity are brought to the photos' frequencies first. The result is written
as wombat.h5 and wombat-vivid.h5, its weights rounded to so many bits of mantissa.
"""

import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

import wombat
from common import cli
from common.cli import UserError
from common.color.dial import Dial
from common.networks import h5, packing
from wombat.experiments.resident import export


def main(argv: list[str] | None = None) -> int:
    """From exported models to their mean."""
    parser = cli.Parser("python -m wombat.experiments.soup", description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL=SHARE", help="shares of sum 1")
    parser.add_argument("--bits", type=cli.at_least(1), default=packing.BITS)
    parser.add_argument("--out", type=Path, default=Path("models"))
    options = parser.parse_args(argv)
    shares: dict[str, float] = {}
    for word in options.models:
        path, _, share = word.rpartition("=")
        try:
            shares[path] = float(share)
        except ValueError:
            raise UserError(f"A model is given with its share, as wombat.h5=0.5: {word}.") from None
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise UserError(f"The shares have to add up to 1, not {sum(shares.values()):g}.")
    mix([Path(path) for path in shares], list(shares.values()), options.out, options.bits)
    return 0


def mix(paths: Sequence[Path], shares: Sequence[float], folder: Path, bits: int) -> list[Path]:
    """Write the mean of exported wombats, weighted by `shares` of sum 1; returns the paths.

    `UserError` for a model of another network.
    """
    networks, abouts = zip(*map(_opened, paths), strict=True)
    network, about = networks[0], abouts[0]
    total = [np.zeros(weight.shape) for weight in network.get_weights()]
    for share, other, its, path in zip(shares, networks, abouts, paths, strict=True):
        weights = other.get_weights()
        if [weight.shape for weight in weights] != [weight.shape for weight in total]:
            raise UserError(f"{path} is a network of another config than {paths[0]}.")
        dial, bias = Dial.of_json(its["dial"]), _index(other, "ab_bins/bias")
        weights[bias] = weights[bias] - dial.trained * np.log(dial.rarity)
        total = [mean + share * weight for mean, weight in zip(total, weights, strict=True)]
    network.set_weights(total)
    dial = dataclasses.replace(Dial.of_json(about["dial"]), trained=0.0)
    seen = sorted({d for its in abouts for d in _digests(its["data"]["train_sha256"])})
    data = {**about["data"], "train_sha256": "".join(seen)}
    parts = [f"{share:g} {path}" for share, path in zip(shares, paths, strict=True)]
    with tempfile.TemporaryDirectory() as whole:
        config = wombat.CONFIGS["wombat"]
        exported = export(
            network, config, dial, Path(whole), {**about, "data": data, "mean_of": parts}
        )
        results = [folder / path.name for path in exported]
        for path, result in zip(exported, results, strict=True):
            packing.pack(path, result, bits)
            print(f"written {result}")
    return results


def _opened(path: Path) -> tuple[keras.Model, dict]:
    model, about = h5.load(path), h5.metadata(path)
    names = [layer.name for layer in model.layers]
    if "wombat" not in names or "dial" not in about:
        raise UserError(f"{path} is no export of wombat.")
    return model.get_layer("wombat"), about


def _index(network, name):
    """Where a variable stands in `get_weights`."""
    return ["/".join(weight.path.split("/")[-2:]) for weight in network.weights].index(name)


def _digests(text):
    return [text[i : i + 12] for i in range(0, len(text), 12)]


if __name__ == "__main__":
    sys.exit(cli.run(main))
