"""Train wombat on JAX with all pictures in the accelerator's memory: minutes instead of hours.

    KERAS_BACKEND=jax python -m wombat.experiments.resident DATA [--epochs=10] [--out=models]

The network, loss, optimizer and views of `make train-wombat` on the same shards, but nothing is
read or converted between two steps: the training split lies on the device as 8-bit RGB, and one
compiled step cuts, mirrors and ages a batch, converts it to Lab and updates the weights. A picture
of 256 x 256 takes 0.2 MB. Runs are not resumed.
"""

import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

import wombat
from common import cli, datasets
from common.color import bins, lab
from common.color.dial import Dial
from common.config import FRACTIONS
from common.datasets import statistics
from common.networks import h5
from common.networks.precision import choose_policy, in_precision
from common.training import augment
from common.training.export import described
from wombat.config import Config
from wombat.train import AVERAGE, CLIP, load_encoder

WARM = 200  # steps in which the rate rises, at most an eighth of the run
THAW = 0.05  # share of the run in which the encoder's rate rises
_REACH = 110  # ab as whole numbers from -110 to 110


def main(argv: list[str] | None = None) -> int:
    """From pictures to wombat.h5 and wombat-vivid.h5."""
    parser = cli.Parser("python -m wombat.experiments.resident", description=__doc__.split("\n")[0])
    parser.add_argument("data", help="a folder of pictures, or a name in data/sources.toml")
    parser.add_argument("--config", choices=wombat.CONFIGS, default="wombat")
    parser.add_argument("--epochs", type=cli.at_least(1, int))
    parser.add_argument("--batch", type=cli.at_least(1, int))
    parser.add_argument("--weights", default="auto", help="of the encoder: auto, random or a file")
    parser.add_argument("--split-by", default=None, help="as of `make data`")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("models"))
    options = parser.parse_args(argv)
    if keras.backend.backend() != "jax":
        raise cli.UserError("This trains on JAX: set KERAS_BACKEND=jax.")
    config = wombat.CONFIGS[options.config]
    config = dataclasses.replace(
        config,
        epochs=options.epochs or config.epochs,
        batch_size=options.batch or config.batch_size,
    )
    dataset = datasets.prepare(
        options.data, config.image_size, config.cut, split_by=options.split_by, fractions=FRACTIONS
    )
    keras.utils.set_random_seed(options.seed)
    network = wombat.build_model(config)
    pretrained = {"efficientnet_lite": load_encoder(network, config, options.weights)}
    policy, why = choose_policy(options.precision)
    print(f"precision: {policy} ({why})", flush=True)
    prior = statistics.prior(dataset)
    pictures = np.concatenate(
        [batch["rgb"] for batch in dataset.batches("train", config.batch_size)]
    )
    network.get_layer("efficientnet_lite").trainable = config.unfreeze_after is not None
    rarity = bins.rarity(prior) if config.rebalance else None
    begin_with(network, prior, rarity)
    loss = functools.partial(cross_entropy, rarity=rarity)
    train(network, config, pictures, loss, policy, options.seed)
    about = {**described(dataset), "pretrained": pretrained}
    export(network, config, Dial.of(config, prior, config.rebalance), options.out, about)
    return 0


def export(
    network: keras.Model,
    config: Config,
    dial: Dial,
    folder: Path,
    metadata: dict[str, Any],
) -> list[Path]:
    """Write wombat.h5 and wombat-vivid.h5; returns their paths."""
    paths = []
    for title, default in (("wombat", 0.0), ("wombat-vivid", 1.0)):
        dial = dataclasses.replace(dial, default=default)
        about = {**metadata, "report": "wombat", "title": title, "dial": dataclasses.asdict(dial)}
        paths.append(folder / f"{title}.h5")
        h5.export(h5.wrap(network, config, dial.decode), paths[-1], about)
        print(f"exported {paths[-1]}", flush=True)
    return paths


# --- the run --------------------------------------------------------------------------------


def train(
    network: keras.Model,
    config: Config,
    pictures: np.ndarray,
    loss: Callable[[Any, Any], Any],
    policy: str,
    seed: int,
    *,
    average: float = AVERAGE,
    mixup: float = 0.0,
) -> None:
    """Train what is trainable on pictures (N, S, S, 3) uint8, and set the averaged weights.

    loss: of the network's output in float32 and the true ab (N, S, S, 2) in Lab units, a scalar.
    average: the momentum of the moving average; 0 keeps the last weights. mixup: both parameters
    of the Beta distribution by which a picture's L* and loss are mixed with another's (Zhang et
    al. 2018); 0 mixes none.

    The rate rises, then falls as a cosine; the encoder's follows from `unfreeze_after` on.
    """
    import jax
    from jax import numpy as jnp

    computing = in_precision(network, policy)
    owned = {id(v) for v in computing.get_layer("efficientnet_lite").trainable_variables}
    slow = [id(variable) in owned for variable in computing.trainable_variables]
    step = compiled_step(computing, config, slow, loss, average, mixup)
    weights = [variable.value for variable in computing.trainable_variables]
    others = [variable.value for variable in computing.non_trainable_variables]
    zeros = [jnp.zeros_like(weight) for weight in weights]
    state = (weights, others, zeros, list(map(jnp.array, zeros)), list(map(jnp.array, weights)))
    store, take = jnp.asarray(pictures), jax.jit(lambda store, rows: store[rows])
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    count, size = len(pictures), config.batch_size
    steps = max(1, config.epochs * count // size)
    warm, frozen = max(1, min(WARM, steps // 8)), (config.unfreeze_after or 0) / config.epochs
    order, losses, began = np.empty(0, int), [], time.monotonic()
    with cli.progress(total=steps, unit="step") as bar:
        for number in range(steps):
            while len(order) < size:
                order = np.concatenate([order, rng.permutation(count)])
            rows, order = order[:size], order[size:]
            done = number / steps
            rate = config.learning_rate * min((number + 1) / warm, (1 + np.cos(np.pi * done)) / 2)
            thawed = np.clip((done - frozen) / THAW, 0, 1) * config.encoder_rate
            state, value = step(
                state,
                take(store, rows.astype(np.int32)),
                jax.random.fold_in(key, number),
                np.array([number + 1, rate, rate * thawed], np.float32),
            )
            losses.append(value)
            if number % 20 == 19:  # not to queue steps without end
                mean = float(jnp.stack(losses[-20:]).mean())
                bar.set_postfix_str(f"loss {mean:.4f}", refresh=False)
                bar.update(20)
    for variable, value in zip(network.trainable_variables, state[4], strict=True):
        variable.assign(value)
    seconds = time.monotonic() - began
    print(f"{steps * size / seconds:.0f} pictures/s, {seconds:.0f} s with compiling", flush=True)


def begin_with(network: keras.Model, prior: np.ndarray, rarity: np.ndarray | None) -> None:
    """Set the logits' bias to the data's prior: the network begins with the mean colours.

    rarity: (313,), by which the loss is weighted, or None.
    """
    logits = network.get_layer("ab_bins")
    kernel, _ = logits.get_weights()
    weights = 0.0 if rarity is None else np.log(rarity)
    logits.set_weights([kernel * 0.3, np.log(prior + 1e-6) + weights])


def compiled_step(
    network: keras.Model,
    config: Config,
    slow: Sequence[bool],
    loss: Callable[[Any, Any], Any],
    average: float,
    mixup: float,
) -> Callable[..., Any]:
    """step(state, pictures, key, (number, rate, the encoder's rate)) -> (state, loss).

    AdamW with the norm of all gradients clipped; only the decoder's kernels decay. slow: whether
    each variable is the encoder's. state: weights, other variables, both moments, and the moving
    average of the weights. The rest is as of `train`.
    """
    import jax
    from jax import numpy as jnp

    kinds = set(config.augment)

    def loss_of(weights, others, l, ab, share):
        if mixup:
            l = share * l + (1 - share) * l[::-1]
        x = {"l": lab.scale_l(l, config)}
        output, others = network.stateless_call(weights, others, x, training=True)
        output = output.astype(jnp.float32)
        if mixup:
            return share * loss(output, ab) + (1 - share) * loss(output, ab[::-1]), others
        return loss(output, ab), others

    @functools.partial(jax.jit, donate_argnums=(0,))
    def step(state, pictures, key, numbers):
        weights, others, means, squares, averages = state
        number, *rates = numbers
        l, ab = views(key, pictures, kinds)
        share = jax.random.beta(jax.random.fold_in(key, 1), mixup, mixup) if mixup else 1.0
        of_loss = jax.value_and_grad(loss_of, has_aux=True)
        (value, others), gradients = of_loss(weights, others, l, ab, share)
        norm = jnp.sqrt(sum(jnp.square(g).sum() for g in gradients))
        gradients = [g * jnp.minimum(1, CLIP / (norm + 1e-6)) for g in gradients]
        means = [0.9 * m + 0.1 * g for m, g in zip(means, gradients, strict=True)]
        squares = [0.999 * s + 0.001 * g * g for s, g in zip(squares, gradients, strict=True)]
        unbiased = jnp.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        new = []
        for w, m, s, slower in zip(weights, means, squares, slow, strict=True):
            decay = 0.0 if slower or w.ndim == 1 else config.weight_decay
            new.append(w - rates[slower] * (unbiased * m / (jnp.sqrt(s) + 1e-7) + decay * w))
        kept = jnp.minimum(average, number / (9 + number))
        averages = [kept * a + (1 - kept) * w for a, w in zip(averages, new, strict=True)]
        return (new, others, means, squares, averages), value

    return step


# --- on the device --------------------------------------------------------------------------


def views(key: Any, rgb: Any, kinds: set[str]) -> tuple[Any, Any]:
    """uint8 (N, S, S, 3) -> (L* as the network sees it, ab), float32; as `training.augment`."""
    import jax
    from jax import numpy as jnp

    count, size = rgb.shape[:2]
    keys = iter(jax.random.split(key, 16))

    def drawn(low=0.0, high=1.0, shape=(count,)):
        return jax.random.uniform(next(keys), shape, minval=low, maxval=high)

    x = rgb.astype(jnp.float32) / 255
    flipped, area, aspect, down, across, whole = (
        drawn(),
        drawn(*augment.CROP),
        drawn(-augment.ASPECT, augment.ASPECT),
        drawn(),
        drawn(),
        drawn() < augment.WHOLE,
    )
    if "flip" in kinds:
        x = jnp.where((flipped < 0.5)[:, None, None, None], x[:, :, ::-1], x)
    if "crop" in kinds:
        height, width = (
            jnp.where(whole, 1, jnp.minimum(1, jnp.sqrt(area * jnp.exp(sign * aspect))))
            for sign in (-1, 1)
        )
        x = jax.vmap(_cropped)(x, height, width, down * (1 - height), across * (1 - width))
    colours = lab.rgb_to_lab(jnp.clip(x, 0, 1), ops)
    l, ab = colours[..., :1], colours[..., 1:]
    return (_aged(l[..., 0], drawn, next(keys))[..., None] if "age" in kinds else l), ab


def _cropped(picture: Any, height: Any, width: Any, top: Any, left: Any) -> Any:
    """The part of a picture, in shares of its sides, at the picture's size."""
    import jax
    from jax import numpy as jnp

    size = len(picture)
    moved = jnp.stack([-top * size / height, -left * size / width])
    scale = jnp.stack([1 / height, 1 / width])
    return jax.image.scale_and_translate(picture, picture.shape, (0, 1), scale, moved, "linear")


def _aged(l: Any, drawn: Callable[..., Any], key: Any) -> Any:
    """The faults of `augment.age`, of L* (N, S, S)."""
    import jax
    from jax import numpy as jnp

    count, size = l.shape[:2]

    def some(low, high, without):
        values = jnp.where(drawn() < augment.AGED, drawn(low, high), without)
        return values[:, None, None]

    taps = jnp.arange(-4, 5)
    blur = jnp.exp(-0.5 * (taps / some(0.3, 1.6, 1e-3)[..., 0]) ** 2)
    blur /= blur.sum(1, keepdims=True)
    for axis in (1, 2):
        padded = jnp.pad(l, [(4, 4) if a == axis else (0, 0) for a in range(3)], mode="edge")
        parts = (jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(9))
        l = sum(blur[:, i, None, None] * part for i, part in enumerate(parts))
    l = 50 + (l - 50) * some(0.4, 1.15, 1.0) + some(-12, 12, 0.0)
    grain, scratches = jax.random.split(key)
    l = l + some(1, 5, 0.0) * jax.random.normal(grain, l.shape)
    lines = jax.random.uniform(scratches, (2, 4, count, 1, 1))
    rows, columns = jnp.arange(size)[:, None], jnp.arange(size)
    for there, top, slope, bright in lines:
        line = jnp.abs(columns - top * size - (slope - 0.5) * 0.3 * rows) < 0.9
        line &= there < augment.AGED**2
        l = jnp.where(line, jnp.where(bright < 0.3, 5.0, 97.0), l)
    return jnp.clip(l, 0, 100)


def cross_entropy(
    logits: Any, ab: Any, rarity: np.ndarray | None = None, smoothing: float = 0.0
) -> Any:
    """The mean of `losses.BinCrossEntropy`, for ab rounded to whole numbers, which a table holds.

    logits (N, h, w, 313) float32, ab (N, H, W, 2) in Lab units, rarity (313,) or None. smoothing:
    the share of the target that is spread evenly over all bins.
    """
    import jax
    from jax import numpy as jnp

    ab = averaged(ab, logits.shape[1])
    cell = jnp.clip(jnp.round(ab), -_REACH, _REACH).astype(jnp.int32) + _REACH
    chosen, shares = (jnp.asarray(part)[cell[..., 0], cell[..., 1]] for part in _encoded())
    picked = (shares * jnp.take_along_axis(logits, chosen, -1)).sum(-1)
    if smoothing:
        picked = (1 - smoothing) * picked + smoothing * logits.mean(-1)
    loss = jax.nn.logsumexp(logits, -1) - picked
    return (loss if rarity is None else loss * jnp.asarray(rarity)[chosen[..., 0]]).mean()


def averaged(ab: Any, side: int) -> Any:
    """ab (N, S, S, 2) -> its means over squares, (N, side, side, 2); S is a multiple of side."""
    count, factor = len(ab), ab.shape[1] // side
    return ab.reshape(count, side, factor, side, factor, 2).mean((2, 4))


@functools.cache
def _encoded():
    """The soft encoding of every whole-numbered ab, (221, 221, 5): bins and shares. NumPy."""
    import jax
    from jax import numpy as jnp

    values = np.arange(-_REACH, _REACH + 1, dtype=np.float32)
    grid = np.stack(np.meshgrid(values, values, indexing="ij"), -1)
    with jax.default_device(jax.devices("cpu")[0]), jax.ensure_compile_time_eval():
        return tuple(np.asarray(part) for part in bins.encode(jnp.asarray(grid)))


if __name__ == "__main__":
    sys.exit(cli.run(main))
