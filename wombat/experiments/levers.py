"""What each part of wombat's recipe gives: short trainings that change one thing each, on JAX.

    KERAS_BACKEND=jax python -m wombat.experiments.levers DATA [--epochs=8] [--out=runs/levers]

All train as `resident` does, equally long, on the same pictures; the baseline with three seeds,
whose spread a difference has to exceed. Each is measured on the validation split and on the test
split, for which whole sources should be held out (`--split-by=folder`, say). A result is a JSON
file in --out. One that is there is not made again; the table shows all.
"""

import dataclasses
import functools
import json
import operator
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

import wombat
from common import cli, datasets, files
from common.color import bins, lab
from common.config import FRACTIONS
from common.datasets import statistics
from common.networks.precision import choose_policy
from wombat.config import Config
from wombat.experiments import resident
from wombat.train import AVERAGE, load_encoder

SPLITS = ("validation", "test")
BATCH = 32  # pictures measured at a time
VIVID = 0.85  # share of the true colourfulness at which vivid colours are compared
# Decodings of the bins: temperature, and power of their rarity; of an error of ab: its factor.
DIAL = ((1.0, 0.0), (0.7, 0.0), (0.5, 0.0), (0.5, 0.4), (0.5, 0.7), (0.5, 1.0), (0.5, 1.3))
FACTORS = (1.0, 1.3, 1.6, 2.0, 2.5, 3.0)


@dataclasses.dataclass(frozen=True)
class Lever:
    """One change of the recipe.

    changes: of the config. power: None trains the bins; 2 and 1 the squared and the absolute error
    of ab. balance: the share λ of the uniform distribution in the weights of the bins, as of
    `bins.rarity`; None: no weights. smoothing: of the bins, see `resident.cross_entropy`. average,
    mixup: see `resident.train`. layer: the one after which ab follows, at its size. first: the
    first stage of the encoder that trains.
    """

    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    power: int | None = None
    balance: float | None = None
    smoothing: float = 0.0
    average: float = AVERAGE
    mixup: float = 0.0
    layer: str = "s4_sum"
    first: int = 0
    seed: int = 0


LEVERS = {
    "baseline": Lever(),
    "baseline, seed 1": Lever(seed=1),
    "baseline, seed 2": Lever(seed=2),
    "ab at 32": Lever(layer="s8_sum"),
    "squared error": Lever(power=2),
    "absolute error": Lever(power=1),
    "rebalanced 0.25": Lever(balance=0.25),
    "rebalanced 0.5": Lever(balance=0.5),
    "rebalanced 0.75": Lever(balance=0.75),
    "smoothing 0.1": Lever(smoothing=0.1),
    "no average": Lever(average=0.0),
    "half decoder": Lever({"widths": (128, 80, 48, 32)}),
    "double decoder": Lever({"widths": (512, 320, 192, 128)}),
    "dropout 0": Lever({"dropout": 0.0}),
    "dropout 0.4": Lever({"dropout": 0.4}),
    "mixup 0.2": Lever(mixup=0.2),
    "Lite0": Lever({"encoder": "efficientnet_lite0"}),
    "encoder frozen": Lever({"unfreeze_after": None}),
    "encoder rate 0.05": Lever({"encoder_rate": 0.05}),
    "encoder rate 1": Lever({"encoder_rate": 1.0}),
    "encoder from the start": Lever({"unfreeze_after": 0}),
    "stages 5 to 7": Lever(first=5),
    "no ageing": Lever({"augment": ("flip", "crop")}),
    "no crops": Lever({"augment": ("flip", "age")}),
    "no flips": Lever({"augment": ("crop", "age")}),
    "no views": Lever({"augment": ()}),
    "rate 0.0005": Lever({"learning_rate": 5e-4}),
    "rate 0.002": Lever({"learning_rate": 2e-3}),
    "batch 32": Lever({"batch_size": 32}),
    "no weight decay": Lever({"weight_decay": 0.0}),
}


def main(argv: list[str] | None = None) -> int:
    """Train and measure the levers that have no result yet; print the table of all."""
    parser = cli.Parser("python -m wombat.experiments.levers", description=__doc__.split("\n")[0])
    parser.add_argument("data", help="a folder of pictures, or a name in data/sources.toml")
    parser.add_argument("--only", nargs="+", choices=LEVERS, metavar="LEVER", default=list(LEVERS))
    parser.add_argument("--epochs", type=cli.at_least(1, int), default=8)
    parser.add_argument("--size", type=cli.at_least(32, int), default=Config.image_size)
    parser.add_argument("--weights", default="auto", help="of the encoder: auto, random or a file")
    parser.add_argument("--split-by", default=None, help="as of `make data`")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--out", type=Path, default=Path("runs/levers"))
    options = parser.parse_args(argv)
    if keras.backend.backend() != "jax":
        raise cli.UserError("This trains on JAX: set KERAS_BACKEND=jax.")
    paths = {name: options.out / f"{name.replace(' ', '_')}.json" for name in options.only}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing:
        policy, why = choose_policy(options.precision)
        print(f"precision: {policy} ({why})", flush=True)
        base = dataclasses.replace(
            wombat.CONFIGS["wombat"], epochs=options.epochs, image_size=options.size
        )
        dataset = datasets.prepare(
            options.data, base.image_size, base.cut, split_by=options.split_by, fractions=FRACTIONS
        )
        prior = statistics.prior(dataset)
        pictures = {split: _pictures(dataset, split) for split in ("train", *SPLITS)}
        about = {"epochs": base.epochs, "size": base.image_size, "data": dataset.name}
        for name in missing:
            print(name, flush=True)
            result = run(LEVERS[name], base, pictures, prior, policy, options.weights)
            files.write_json(paths[name], {"lever": name, **about, **result})
    results = [json.loads(path.read_text("utf-8")) for path in options.out.glob("*.json")]
    print(table(results))
    return 0


def run(
    lever: Lever,
    base: Config,
    pictures: Mapping[str, np.ndarray],
    prior: np.ndarray,
    policy: str,
    weights: str,
) -> dict[str, Any]:
    """Train one lever and measure it: `seconds`, and for each split what `measure` returns.

    pictures: {"train", "validation", "test"}: (N, S, S, 3) uint8. base: the config that the lever
    changes. weights: of the encoder.
    """
    config = dataclasses.replace(base, **lever.changes)
    rarity = None if lever.balance is None else bins.rarity(prior, lever.balance)
    keras.utils.set_random_seed(lever.seed)
    network = build(lever, config, weights)
    loss: Callable[[Any, Any], Any]
    if lever.power is None:
        resident.begin_with(network, prior, rarity)
        loss = functools.partial(resident.cross_entropy, rarity=rarity, smoothing=lever.smoothing)
    else:
        loss = functools.partial(_error, power=lever.power)
    began = time.monotonic()
    options = {"average": lever.average, "mixup": lever.mixup}
    resident.train(network, config, pictures["train"], loss, policy, lever.seed, **options)
    seconds = round(time.monotonic() - began, 1)
    mean = lab.rgb_to_lab(pictures["train"][:, ::8, ::8])[..., 1:].mean((0, 1, 2))
    decodings = _decodings(lever, prior, rarity)
    return {"seconds": seconds} | {
        split: measure(network, config, decodings, mean, pictures[split]) for split in SPLITS
    }


def build(lever: Lever, config: Config, weights: str) -> keras.Model:
    """The lever's network: logits of the bins, or ab / 128, at the size of `lever.layer`."""
    network = wombat.build_model(config)
    load_encoder(network, config, weights)
    encoder = network.get_layer("efficientnet_lite")
    encoder.trainable = config.unfreeze_after is not None
    for layer in encoder.layers:
        if layer.name.startswith(("stem", *(f"stage{i}_" for i in range(1, lever.first)))):
            layer.trainable = encoder.trainable and not lever.first
    x = layers.ReLU(name="ab_relu")(network.get_layer(lever.layer).output)
    channels = len(bins.CENTRES) if lever.power is None else 2
    output = layers.Conv2D(channels, 1, name="ab_bins")(x)
    return keras.Model(network.input, output, name=network.name)


def _error(output: Any, ab: Any, power: int) -> Any:
    """The mean of a power of the error of ab, in units of 128."""
    true = resident.averaged(ab, output.shape[1]) / 128
    return ops.mean(ops.abs(output - true) ** power)


# --- measuring --------------------------------------------------------------------------------


def measure(
    network: keras.Model,
    config: Config,
    decodings: Sequence[Callable[[Any], Any]],
    mean: np.ndarray,
    pictures: np.ndarray,
) -> dict[str, float | None]:
    """How near a network's colours are to those of pictures (N, S, S, 3) uint8, for JSON.

    decodings: from the network's output to ab. mean: (2,), the mean colour, from which `faithful`,
    the best decoding's PSNR on RGB, and `vivid`, that of the decodings between which the
    colourfulness is `VIVID` of the true one, are given in dB; None where all are paler.
    `share` is the colourfulness of the faithful one, as a share.
    """
    import jax
    from jax import numpy as jnp

    @jax.jit
    def of_batch(values, rgb):
        l = lab.rgb_to_lab(rgb, ops)[..., :1]
        x = {"l": lab.scale_l(l, config)}
        output, _ = network.stateless_call(*values, x, training=False)
        found = [jnp.broadcast_to(mean, (1, 1, 1, 2)), *(decode(output) for decode in decodings)]
        true = rgb.astype(jnp.float32)
        rows = [jnp.stack([jnp.full(len(rgb), jnp.inf), _colourfulness(true)])]
        for ab in found:
            ab = jax.image.resize(ab, (len(rgb), *rgb.shape[1:3], 2), "linear")
            colours = jnp.round(255 * lab.lab_to_rgb(jnp.concatenate([l, ab], -1), ops))
            squares = jnp.square(colours - true).mean((1, 2, 3))
            rows.append(jnp.stack([10 * jnp.log10(255**2 / squares), _colourfulness(colours)]))
        return jnp.stack(rows)

    values = [
        [variable.value for variable in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables)
    ]
    parts = []
    for start in range(0, len(pictures), BATCH):
        part = pictures[start : start + BATCH]
        padded = np.concatenate([part, np.repeat(part[-1:], BATCH - len(part), 0)])
        parts.append(np.asarray(of_batch(values, padded))[..., : len(part)])
    (_, true), (mean_psnr, _), *rows = np.concatenate(parts, -1).mean(-1)
    psnr, share = (np.array(column) for column in zip(*rows, strict=True))
    psnr, share = psnr - mean_psnr, share / true
    best, order = psnr.argmax(), share.argsort()
    vivid = np.interp(VIVID, share[order], psnr[order]) if share.max() >= VIVID else None
    return {
        "mean": round(float(mean_psnr), 3),
        "faithful": round(float(psnr[best]), 3),
        "share": round(float(share[best]), 3),
        "vivid": None if vivid is None else round(float(vivid), 3),
    }


def _decodings(
    lever: Lever, prior: np.ndarray, rarity: np.ndarray | None
) -> list[Callable[[Any], Any]]:
    """Functions from the output of a lever's network to ab, (N, h, w, 2) in Lab units."""
    if lever.power is not None:
        return [functools.partial(operator.mul, 128 * factor) for factor in FACTORS]
    trained = 0.0 if rarity is None else np.log(rarity)
    strength = np.log(bins.rarity(prior))

    def decode(logits, temperature, power):
        shares = ops.softmax((logits + (power * strength - trained)) / temperature)
        return ops.stack([ops.sum(shares * bins.CENTRES[:, i], -1) for i in range(2)], -1)

    return [functools.partial(decode, temperature=t, power=p) for t, p in DIAL]


def _colourfulness(rgb: Any) -> Any:
    """`metrics.colourfulness` of pictures (N, H, W, 3) of values up to 255, (N,)."""
    red, green, blue = (rgb[..., i] for i in range(3))
    opponents = ops.stack([red - green, (red + green) / 2 - blue], -1)
    deviations, means = (f(opponents, axis=(1, 2)) for f in (ops.std, ops.mean))
    return ops.norm(deviations, axis=-1) + 0.3 * ops.norm(means, axis=-1)


# --- results ----------------------------------------------------------------------------------


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """Markdown: PSNR from the mean colour in dB, faithful and vivid, in the order of `LEVERS`."""
    order = list(LEVERS)
    lines = [
        "| lever | validation, faithful | share | vivid | test, faithful | share | vivid | s |"
    ]
    lines.append("|---|" + "--:|" * 7)
    for result in sorted(results, key=lambda result: order.index(result["lever"])):
        cells = [result["lever"]]
        for split in SPLITS:
            part = result[split]
            vivid = "" if part["vivid"] is None else f"{part['vivid']:+.2f}"
            cells += [f"{part['faithful']:+.2f}", f"{part['share']:.2f}".lstrip("0"), vivid]
        lines.append(f"| {' | '.join([*cells, format(result['seconds'], '.0f')])} |")
    return "\n".join(lines)


def _pictures(dataset: datasets.Dataset, split: str) -> np.ndarray:
    return np.concatenate([batch["rgb"] for batch in dataset.batches(split, BATCH)])


if __name__ == "__main__":
    sys.exit(cli.run(main))
