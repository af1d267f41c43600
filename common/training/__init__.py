"""Train a report's network: precision, fit, checkpoint, resume, pictures to look at, export.

A run can be stopped at any step and goes on by the same command to the same weights, bit by bit:
which picture comes when, and which view of it, is a function of the seed and its number alone,
and one file holds everything else (`Run.state`).
"""

import argparse
import collections
import dataclasses
import functools
import json
import shutil
import signal
import time
import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np

from common import cli, datasets, files, metrics
from common.cli import UserError, first_line
from common.color import bins, lab
from common.evaluation import evaluate, table
from common.networks import embeddings, h5, perceptual
from common.networks.interface import ab_of, classifies, predict, views
from common.networks.precision import PRECISIONS, choose_jit, choose_policy, in_precision
from common.networks.pretrained import WEIGHTS_HELP, add_weights
from common.training import augment, logs, losses

CHECKPOINT_SECONDS = 300
GRID = 8  # pictures in grid.png


def main(argv, *, report, configs, build_model, compile_model, pretrained=None):
    """The command of a report's train.py: everything from pictures to an exported model.

    configs: {name: frozen dataclass}, the default first. build_model(config) -> keras.Model.
    compile_model(model, config, steps, loss=None): give it optimiser, loss and metrics; steps is
    the whole run's, loss what an option puts in place of the report's loss of ab.
    pretrained: {name: load}; load(model, config, weights) puts weights (`auto`, `imagenet`,
    `random` or a file) into the layer of that name and returns what they are.
    """
    pretrained = pretrained or {}
    args = _parser(report, configs, pretrained).parse_args(argv)
    config = _configured(configs[args.config], args)
    if hasattr(args, "size"):
        check_size(build_model, config)
    policy, why = choose_policy(args.precision)
    print(f"precision: {policy} ({why})", flush=True)

    dataset = datasets.prepare(
        args.data,
        config.image_size,
        config.cut,
        config.embedding,
        args.embedding_weights,
        split_by=args.split_by,
        fractions=getattr(config, "fractions", datasets.FRACTIONS),
    )
    config = _with_classes(config, dataset)
    options = [name for name in ("bins", "rebalance", "embed_views") if getattr(args, name)]
    variant = [args.config] if args.config != next(iter(configs)) else []
    title = "-".join([report, *variant, *options]).replace("embed_views", "embed-views")
    steps = args.steps or -(-dataset.count("train") // config.batch_size)

    keras.utils.set_random_seed(args.seed)
    network = build_model(config)
    if args.bins and classifies(network):
        raise UserError(f"--bins: the config {args.config} classifies ab already. Leave it out.")
    weights = {
        name: load(network, config, getattr(args, f"{name}_weights"))
        for name, load in pretrained.items()
        if any(layer.name == name for layer in network.layers)
    }
    identity = {
        "report": report,
        "config_name": args.config,
        "config": plain(config),
        "options": options,
        "data": dataset.name,
        "split_sha256": dataset.split_sha256(),
        "embedding": _short(dataset.embedding if config.embedding else None),
        "pretrained": weights,
        "precision": policy,
        "steps": steps,
        "seed": args.seed,
    }
    distance = _distance(config, args)
    if distance:
        identity["distance"] = distance.metadata
        print(f"loss: {distance.title}", flush=True)
    del identity["config"]["epochs"]  # a larger one extends the run

    folder = Path("runs", args.run or f"{title}-{dataset.name}-{config.image_size}")
    claim(folder, identity)
    # An option adds its name to the model's; a config that is made so has a name of its own.
    rebalance = args.rebalance or getattr(config, "rebalance", False)
    prior = _prior(folder, dataset) if rebalance else None
    if args.bins:
        network = bins.with_head(network)
    network = in_precision(network, policy)
    loss = _loss_of_ab(config, classifies(network), prior)
    if distance:
        loss = losses.PerceptualLoss(distance.in_precision(policy), config)
    run = Run(
        network,
        config,
        dataset,
        folder,
        steps,
        args.seed,
        args.checkpoint_seconds,
        compile_model=functools.partial(compile_model, loss=loss),
        thawed=list(weights),
        embedder=embeddings.find(dataset.embedding, args.embedding_weights)
        if args.embed_views
        else None,
    )

    if run.resume():
        if run.epoch >= config.epochs and (folder / f"{title}.h5").exists() and not args.overwrite:
            print(
                f"{folder} is finished, {run.epoch} epochs. A larger EPOCHS extends it, "
                "RUN=name begins another."
            )
            return 0
        print(f"{folder} goes on after {run.epoch} epochs and {run.step} steps", flush=True)
    if not run.fit():
        return 128 + run.stopped_by
    if prior is not None:
        identity["prior"] = [float(f"{share:.6g}") for share in prior]
    path = _export(run, title, identity, args.overwrite, published=not args.unpublished)
    if dataset.count("test"):
        print(table.table(evaluate.evaluate([path], dataset, "test", folder / "evaluation")))
        print(f"pictures to look at: {folder}/evaluation/index.html, {folder}/grid.png")


# --- the command line -------------------------------------------------------------------------


def _parser(report, configs, pretrained):
    parser = cli.Parser(f"python -m {report}.train", description=f"Train {report}.")
    datasets.add_arguments(parser)
    parser.add_argument("--config", choices=list(configs), default=next(iter(configs)))
    parser.add_argument(
        "--embedding",
        choices=list(embeddings.NETWORKS),
        default=argparse.SUPPRESS,
        help="instead of the config's",
    )
    parser.add_argument(
        "--epochs",
        type=cli.at_least(1),
        default=argparse.SUPPRESS,
        help="instead of the config's; a larger one extends a finished run",
    )
    parser.add_argument(
        "--steps", type=cli.at_least(1), help="steps per epoch, instead of once through the data"
    )
    parser.add_argument(
        "--batch",
        type=cli.at_least(1),
        default=argparse.SUPPRESS,
        help="pictures per step, instead of the config's",
    )
    parser.add_argument(
        "--size",
        type=cli.at_least(8),
        default=argparse.SUPPRESS,
        help="side of the pictures, instead of the config's",
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--run", help="name of the run's folder in runs/")
    parser.add_argument("--seed", type=cli.at_least(0), default=0)
    parser.add_argument(
        "--checkpoint-seconds",
        type=cli.at_least(0.0, float),
        default=CHECKPOINT_SECONDS,
        help="time between checkpoints",
    )
    parser.add_argument(
        "--bins", action="store_true", help="classify ab into 313 bins, in place of the last layer"
    )
    parser.add_argument(
        "--rebalance",
        action="store_true",
        help="weight the loss by the rarity of the colours in the data",
    )
    parser.add_argument(
        "--embed-views",
        action="store_true",
        help="embed each view of a picture anew, not the whole picture once",
    )
    for name in pretrained:
        add_weights(parser, name)
    distances = {getattr(config, "distance", None) for config in configs.values()} - {None}
    if distances & perceptual.LPIPS.keys():
        add_weights(parser, "lpips", perceptual.WEIGHTS_HELP)
    for name in sorted(distances):
        add_weights(parser, name, f"of the features of a perceptual loss: {WEIGHTS_HELP}")
    parser.add_argument(
        "--unpublished",
        action="store_true",
        help="leave the export in the run's folder, and models/ as it is",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="let the export replace a model of other data in models/",
    )
    return parser


def _configured(config, args):
    """The config with what the command line or else the data's recipe says instead."""
    recipe = datasets.recipe(args.data)
    args.steps = args.steps or recipe.get("steps", 0 if recipe else getattr(config, "steps", None))
    names = {
        "epochs": "epochs",
        "batch": "batch_size",
        "embedding": "embedding",
        "size": "image_size",
    }
    changed = {names[key]: value for key, value in recipe.items() if key in names}
    changed |= {field: getattr(args, flag) for flag, field in names.items() if hasattr(args, flag)}
    if "embedding" in changed and config.embedding is None:
        raise UserError(f"--embedding: the config {args.config} fuses none. Leave it out.")
    if args.embed_views and not (config.embedding and getattr(config, "augment", ())):
        raise UserError(
            f"--embed-views: the config {args.config} does not both fuse an embedding "
            "and change the pictures. Leave it out."
        )
    if recipe:
        print(
            f"{args.data}: "
            + ", ".join(f"{key} {value}" for key, value in recipe.items())
            + " (its recipe in data/sources.toml; EPOCHS=, STEPS=, BATCH= say otherwise)",
            flush=True,
        )
    return dataclasses.replace(config, **changed)


def check_size(build_model, config):
    """`UserError` unless the network gives ab of the pictures' size, or logits of a quarter."""
    try:
        network = build_model(config)
    except ValueError as error:  # of a layer that gets maps which do not fit
        reason = first_line(error)
    else:
        whole = 4 if classifies(network) else 1
        sides = {side and side * whole for side in ab_of(network.output).shape[1:3]}
        if sides <= {None, config.image_size}:
            return
        reason = f"its colours would be {' x '.join(map(str, sides))}"
    raise UserError(
        f"--size: the network cannot see {config.image_size} x {config.image_size} "
        f"({reason}). Take a multiple of 32."
    )


def _with_classes(config, dataset):
    """The config with the number of the data's classes, where it has a head that names them."""
    if not hasattr(config, "classes"):
        return config
    count = len(dataset.labels)
    print(
        f"classification head: {count} classes"
        if count
        else f"no classification head: {dataset.name} has no class folders",
        flush=True,
    )
    return dataclasses.replace(config, classes=count)


def _prior(folder, dataset):
    """The prior of the data's colours over the 313 bins, measured once and kept with the run."""
    path = folder / "prior.json"
    if not path.exists():
        files.write_json(path, bins.prior(dataset).tolist())
    return np.array(json.loads(path.read_text(encoding="utf-8")))


def _distance(config, args):
    """The `perceptual.Distance` that the config has for a loss, or None."""
    network = getattr(config, "distance", None)
    if network is None:
        return None
    if args.bins or args.rebalance:
        raise UserError(
            f"--{'bins' if args.bins else 'rebalance'}: the config {args.config} has a "
            "loss of whole pictures. Leave it out."
        )
    return perceptual.load(
        network, getattr(args, f"{network}_weights"), getattr(args, "lpips_weights", "none")
    )


def plain(config):
    """A config as JSON gives it back."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _short(embedding):
    return (
        {key: embedding[key] for key in ("network", "weights", "sha256", "precision")}
        if embedding
        else None
    )


def claim(folder, identity):
    """Write what the run is into its folder, or check that it is the same run."""
    path = folder / "config.json"
    if not path.exists():
        files.write_json(path, identity)
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(
            f"{path} is corrupt. Delete {folder}, or name another run: RUN=name."
        ) from None
    if known != identity:
        was, now = _flat(known), _flat(identity)
        different = ", ".join(
            f"{key} was {was.get(key)}, is {now.get(key)}"
            for key in sorted(was.keys() | now.keys())
            if was.get(key) != now.get(key)
        )
        raise UserError(f"{folder} is another run ({different}). Name a new one: RUN=name.")


def _flat(content, prefix=""):
    out = {}
    for key, value in content.items():
        if isinstance(value, dict):
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = value
    return out


def _loss_of_ab(config, classifies, prior):
    """What the options put in place of the report's loss of ab; None leaves that."""
    rarity = None if prior is None else bins.rarity(prior)
    if classifies:
        return losses.BinCrossEntropy(config.ab_scale, config.ab_offset, rarity)
    if rarity is not None:
        return losses.RebalancedMeanSquaredError(rarity, config.ab_scale, config.ab_offset)
    return None


# --- the run ----------------------------------------------------------------------------------


def learning_rate(config, steps):
    """The config's rate: constant, or with decay="cosine" falling to zero over the run."""
    if config.decay is None:
        return config.learning_rate
    if config.decay != "cosine":
        raise ValueError(f'decay is None or "cosine". Received: {config.decay!r}.')
    return keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)


def accuracy(model):
    """What Keras calls "accuracy" of ab, [] for a network that classifies ab.

    The share of pixels where the larger of a*, b* is the same one: see `metrics.argmax_ab`.
    """
    if classifies(model):
        return []
    return [keras.metrics.CategoricalAccuracy(name="accuracy")]


class Run:
    """A network on its way through a data set, in a folder of its own.

    compile_model(model, config, steps) gives the network its optimiser and loss. thawed: the
    layers that train from the epoch `config.unfreeze_after` on, at `config.unfrozen_rate`.
    embedder: for embeddings of each view, in place of the stored ones.
    """

    def __init__(
        self,
        model,
        config,
        dataset,
        folder,
        steps,
        seed,
        checkpoint_seconds,
        *,
        compile_model=None,
        thawed=(),
        embedder=None,
    ):
        self.model, self.config, self.dataset, self.folder = model, config, dataset, folder
        self.steps, self.seed, self.checkpoint_seconds = steps, seed, checkpoint_seconds
        self.compile_model, self.thawed, self.embedder = compile_model, thawed, embedder
        self.epoch = self.step = 0  # finished epochs, and steps of the one under way
        self.sums = {}  # of what a step reports, over the steps of the epoch under way
        self.seconds = 0.0
        self.unfrozen = False
        self.history = []  # a dict an epoch
        self.unfreeze_after = getattr(config, "unfreeze_after", None)
        self._compile(config.learning_rate, self.unfreeze_after or config.epochs)
        self.stopped_by = None  # the signal that asked to stop
        self.checkpoint = folder / "checkpoint.npz"
        self._order = functools.lru_cache(2)(
            lambda turn: np.random.default_rng([seed, turn]).permutation(dataset.count("train"))
        )
        if not dataset.count("validation"):
            raise UserError(
                f"{dataset.folder} has no validation pictures. Use more pictures, or "
                "another SPLIT_BY."
            )

    def _compile(self, learning_rate, epochs):
        """Give the network its optimiser and loss for a phase of so many epochs."""
        if self.compile_model:
            config = dataclasses.replace(self.config, learning_rate=learning_rate)
            self.compile_model(self.model, config, self.steps * epochs)
            choose_jit(self.model)

    def _unfreeze(self):
        """Begin the last phase: the pretrained layers train too."""
        self.unfrozen = True
        for name in self.thawed:
            self.model.get_layer(name).trainable = True
        epochs = max(1, self.config.epochs - self.unfreeze_after)
        self._compile(self.config.unfrozen_rate, epochs)

    # All that keeps state: what is missing here is lost with a stopped process. The order of the
    # pictures and their views need none, see `numbered`.
    def state(self):
        """(variables, progress): every variable in a fixed order, and everything else."""
        self.model.optimizer.build(self.model.trainable_variables)
        variables = [
            *self.model.variables,  # weights, and the states of random layers
            *self.model.optimizer.variables,
        ]
        progress = {
            "epoch": self.epoch,
            "step": self.step,
            "sums": self.sums,
            "seconds": self.seconds,
            "unfrozen": self.unfrozen,
            "history": self.history,
        }
        return variables, progress

    def save(self):
        """Write the checkpoint."""
        variables, progress = self.state()
        arrays = {f"{i:05d}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)}
        with files.replacing(self.checkpoint) as temporary:
            np.savez(temporary, progress=np.array(json.dumps(progress)), **arrays)

    def resume(self):
        """Take up the checkpoint; False if there is none, `UserError` if it is damaged."""
        if not self.checkpoint.exists():
            return False
        try:
            with np.load(self.checkpoint) as stored:
                progress = json.loads(str(stored["progress"]))
                if progress["unfrozen"]:
                    self._unfreeze()
                variables, _ = self.state()
                values = [stored[f"{i:05d}"] for i in range(len(variables))]
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            raise UserError(
                f"{self.checkpoint} is corrupt. Delete it to begin this run anew."
            ) from None
        for name, value in progress.items():
            setattr(self, name, value)
        return True

    def fit(self):
        """Train to the config's last epoch; False if a signal stopped it, checkpoint written."""
        epochs = self.config.epochs
        previous = {s: signal.signal(s, self._stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            if self.epoch < epochs:
                self.baseline = self.validate(
                    lambda batch: (
                        np.broadcast_to(self.dataset.mean_ab, (*batch["rgb"].shape[:3], 2)),
                        {},
                    )
                )
                if not self.stopped_by:
                    print(
                        f"mean colour on {self.dataset.count('validation')} validation pictures: "
                        f"PSNR {_decibels(self.baseline)}",
                        flush=True,
                    )
            with cli.progress(
                total=epochs * self.steps, unit="step", initial=self.epoch * self.steps + self.step
            ) as bar:
                while self.epoch < epochs and not self.stopped_by:
                    bar.set_description(f"epoch {self.epoch + 1}/{epochs}", refresh=False)
                    self._train_epoch(bar)
                    if not self.stopped_by:
                        self._finish_epoch(bar)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        if self.stopped_by:
            print(
                f"stopped in epoch {self.epoch + 1} after step {self.step} of {self.steps}; the "
                "same command goes on from there",
                flush=True,
            )
        return not self.stopped_by

    def _stop(self, number, _frame):
        self.stopped_by = number

    def _train_epoch(self, bar):
        """The rest of the epoch under way; a checkpoint every few minutes and at its end."""
        if self.step == 0:
            self.sums, self.seconds = {}, 0.0
        due = self.unfreeze_after is not None and self.epoch >= self.unfreeze_after
        if due and not self.unfrozen:
            bar.write(f"epoch {self.epoch + 1}: {', '.join(self.thawed)} train from here on")
            self._unfreeze()
        first = self.epoch * self.steps
        started = saved = time.monotonic()
        for x, y in datasets.ahead(self.batch, range(first + self.step, first + self.steps)):
            self.model.reset_metrics()  # whether a step does so itself depends on Keras's version
            told = {
                _key(name): float(value)
                for name, value in self.model.train_on_batch(x, y, return_dict=True).items()
            }
            if not np.isfinite(told["loss"]):
                raise UserError(
                    f"The loss is {told['loss']} in epoch {self.epoch + 1}, step {self.step + 1}. "
                    "The last checkpoint is kept. Try a lower learning rate, or "
                    "PRECISION=float32."
                )
            self.step += 1
            self.sums = {key: self.sums.get(key, 0.0) + value for key, value in told.items()}
            bar.set_postfix_str(f"loss {self.sums['loss'] / self.step:.5f}", refresh=False)
            bar.update()
            now = time.monotonic()
            if now - saved >= self.checkpoint_seconds or self.stopped_by:
                self.seconds, started = self.seconds + now - started, now
                self.save()
                saved = time.monotonic()
            if self.stopped_by:
                return
        self.seconds += time.monotonic() - started
        self.save()

    def _finish_epoch(self, bar):
        """Validate, note the epoch, draw what there is to see."""
        scores = self.validate(self.predict)
        if scores is None:
            return  # stopped: the checkpoint stands at the epoch's last step
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        means = {key: total / self.steps for key, total in self.sums.items()}
        self.history.append(
            {
                "epoch": self.epoch + 1,
                **means,
                **{f"val_{key}": value for key, value in scores.items()},
                "mean_colour_psnr_rgb": self.baseline["psnr_rgb"],
                "mean_colour_mse_ab": self.baseline["mse_ab"],
                "learning_rate": float(rate),
                "steps": self.steps * (self.epoch + 1),
                "seconds": round(self.seconds, 1),
            }
        )
        bar.write(
            f"epoch {self.epoch + 1}: loss {means['loss']:.5f}, validation loss "
            f"{scores['loss']:.5f}, PSNR {_decibels(scores)} "
            f"(mean colour {_decibels(self.baseline)})"
        )
        self.epoch, self.step = self.epoch + 1, 0
        self.save()
        logs.write_history(self.folder, self.history)
        logs.write_tensorboard(self.folder, self.history[-1])
        logs.draw_curves(self.folder / "curves.png", self.history)
        self._draw_grid()

    # --- pictures in, colours out ---

    def numbered(self, number):
        """The place in the training split of the run's picture `number`, counted from 0.

        Each pass through the split has an order of its own, drawn from (seed, pass).
        """
        turn, position = divmod(number, self.dataset.count("train"))
        return self._order(turn)[position]

    def batch(self, step):
        """(inputs, targets) of a step of the run, in the network's scaling."""
        size = self.config.batch_size
        numbers = range(step * size, (step + 1) * size)
        batch = self.dataset.read(
            "train",
            [self.numbered(n) for n in numbers],
            embedding=self.config.embedding is not None,
        )
        kinds = getattr(self.config, "augment", ())
        if kinds:
            batch["rgb"] = np.stack(
                [
                    augment.augment(rgb, kinds, self.seed, n)
                    for rgb, n in zip(batch["rgb"], numbers, strict=True)
                ]
            )
            if self.embedder:
                batch["embedding"] = self.embedder(_in_lab(batch)["l"], pad=True)
        return self.scaled(batch)

    def scaled(self, batch):
        """A batch of the data set -> (inputs, targets) as the network wants them.

        Inputs are {"l"}, what else the network sees of it (`models.views`), and {"embedding"};
        targets are ab, for a perceptual loss L* and ab, or beside a classification head
        {"ab", "label"}.
        """
        config = self.config
        colours = lab.rgb_to_lab(batch["rgb"])
        inputs = {"l": lab.scale(colours[..., :1], config.l_scale, config.l_offset)}
        for name, size in views(self.model).items():
            inputs[name] = (
                inputs["l"]
                if size == colours.shape[1:3]
                else (
                    keras.ops.convert_to_numpy(
                        keras.ops.image.resize(inputs["l"], size, antialias=True)
                    )
                )
            )
        if "embedding" in batch:
            inputs["embedding"] = batch["embedding"]
        ab = lab.scale(colours[..., 1:], config.ab_scale, config.ab_offset)
        if getattr(config, "distance", None):
            return inputs, np.concatenate([inputs["l"], ab], -1)
        return inputs, {"ab": ab, "label": batch["label"]} if getattr(config, "classes", 0) else ab

    def predict(self, batch):
        """(the network's ab for a batch of the data set, in Lab units; {"loss": a float, ...})."""
        x, y = self.scaled(batch)
        predicted = keras.tree.map_structure(
            keras.ops.convert_to_tensor, self.model.predict_on_batch(x)
        )
        told = {
            "loss": float(
                self.model.compute_loss(
                    x,
                    keras.tree.map_structure(keras.ops.convert_to_tensor, y),
                    predicted,
                    training=False,
                )
            )
        }
        ab = predicted
        if isinstance(y, dict):
            ab, known = predicted["ab"], y["label"] >= 0
            named = keras.ops.convert_to_numpy(predicted["label"]).argmax(-1) == y["label"]
            told["label_accuracy"] = float(named[known].mean()) if known.any() else 0.0
        if classifies(self.model):
            return keras.ops.convert_to_numpy(self._decode(ab)), told
        return lab.unscale(
            keras.ops.convert_to_numpy(ab), self.config.ab_scale, self.config.ab_offset
        ), told

    @functools.cached_property
    def _decode(self):
        """Logits of a network that classifies ab -> ab in Lab units."""
        logits = keras.Input(ab_of(self.model.output).shape[1:])
        return choose_jit(keras.Model(logits, bins.annealed_mean(logits)))

    def validate(self, predict, split="validation"):
        """Means over the pictures of a split: MSE (ab), PSNR (RGB), "accuracy", and more.

        That is what the config's `watched` names of `metrics.METRICS`, and what `predict` tells.

        predict: a batch -> (ab (N, S, S, 2), {key: mean over the batch}). Returns None if a signal
        came meanwhile.
        """
        values = collections.defaultdict(list)
        for batch in self.dataset.batches(
            split, self.config.batch_size, embedding=self.config.embedding is not None
        ):
            if self.stopped_by:
                return None
            ab, told = predict(batch)
            colours = lab.rgb_to_lab(batch["rgb"])
            for key, value in told.items():
                values[key].extend([value] * len(ab))
            values["accuracy"].extend(metrics.argmax_ab(colours[..., 1:], ab))
            values["mse_ab"].extend(metrics.mse_ab(colours[..., 1:], ab))
            pictures = {
                "rgb": batch["rgb"],
                "ab": colours[..., 1:],
                "ab_predicted": ab,
                "rgb_predicted": metrics.recolour(colours[..., :1], ab),
            }
            for key in ("psnr_rgb", *getattr(self.config, "watched", ())):
                metric = metrics.METRICS[key]
                fits = self.dataset.image_size >= metric.smallest
                values[key].extend(
                    metric.function(*map(pictures.get, metric.pictures))
                    if fits
                    else [None] * len(ab)
                )
        return {key: metrics.summary(column).mean for key, column in values.items()}

    def _draw_grid(self):
        count = self.dataset.count("validation")
        places = np.unique(np.linspace(0, count - 1, min(GRID, count)).astype(int))
        batch = self.dataset.read("validation", places, embedding=self.config.embedding is not None)
        logs.draw_grid(self.folder / "grid.png", batch["rgb"], self.predict(batch)[0])


def _key(name):
    """Keras's name of a figure of the ab output, among others or alone -> ours."""
    short = name.removeprefix("ab_")
    return name if short == "loss" else short


def _decibels(scores):
    """The PSNR as text; of grey pictures alone there is none."""
    psnr = scores["psnr_rgb"]
    return "undefined" if psnr is None else f"{psnr:.2f} dB"


# --- export ------------------------------------------------------------------------------------


def _export(run, title, identity, overwrite, published):
    """Export into the run's folder and, if `published`, models/, unless that is other data's."""
    dataset, target = run.dataset, Path("models", f"{title}.h5")
    exported = h5.wrap(run.model, run.config)
    scores = run.validate(lambda batch: (predict(exported, _in_lab(batch)), {}))
    # The loss is the network's own, in its scaling and with its weights of colours.
    loss = run.validate(run.predict, "test")["loss"] if dataset.count("test") else None
    path = run.folder / f"{title}.h5"
    h5.export(
        exported,
        path,
        {
            **identity,
            "title": title,
            "epochs": run.epoch,
            "data": {
                "name": dataset.name,
                "split_sha256": identity["split_sha256"],
                "train_sha256": "".join(d[:12] for d in sorted(set(dataset.sha256("train")))),
            },
            "image_size": dataset.image_size,
            "cut": dataset.cut,
            "metrics": {"split": "validation", "pictures": dataset.count("validation"), **scores},
            "test_loss": loss,
        },
    )
    if not published:
        print(f"exported {path}")
        return path
    known = _trained_on(target)
    if known != dataset.name and target.exists() and not overwrite:
        print(
            f"exported {path}; {target} stays, since it was trained on {known} (OVERWRITE=1 "
            "replaces it)"
        )
        return path
    with files.replacing(target) as temporary:
        shutil.copyfile(path, temporary)
    print(f"exported {target}")
    return target


def _trained_on(path):
    """The name of the data that a model was trained on, as far as it tells."""
    try:
        return h5.metadata(path)["data"]["name"]
    except (UserError, KeyError):
        return "data that it does not name"


def _in_lab(batch):
    """A batch of the data set -> the inputs of an exported model."""
    inputs = {"l": lab.rgb_to_l(batch["rgb"])[..., None]}
    return inputs | ({"embedding": batch["embedding"]} if "embedding" in batch else {})
