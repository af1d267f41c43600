"""Train a report's network: precision, fit, checkpoint, resume, pictures to look at, export.

A run can be stopped at any step and goes on by the same command to the same weights, bit by bit:
which picture comes when, and which view of it, is a function of the seed and its number alone,
and one file holds everything else (`Run.state`).
"""

import argparse
import csv
import dataclasses
import functools
import io
import json
import shutil
import signal
import time
import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np

from common import (
    augment,
    cli,
    embeddings,
    evaluate,
    files,
    lab,
    metrics,
    models,
    page,
    prepare,
    records,
)
from common.cli import UserError

CHECKPOINT_SECONDS = 300
GRID = 8  # pictures in grid.png


def main(argv, *, report, configs, build_model, compile_model):
    """The command of a report's train.py: everything from pictures to an exported model.

    configs: {name: frozen dataclass}, the default first. build_model(config) -> keras.Model.
    compile_model(model, config, steps): give it optimiser and loss; steps is the whole run's.
    """
    args = _parser(report, configs).parse_args(argv)
    config = _configured(configs[args.config], args)
    policy, why = models.precision(args.precision)
    print(f"precision: {policy} ({why})", flush=True)

    dataset = prepare.prepare(args.data, config.image_size, config.cut, config.embedding,
                              args.embedding_weights, split_by=args.split_by)
    title = report if args.config == next(iter(configs)) else f"{report}-{args.config}"
    steps = args.steps or -(-dataset.count("train") // config.batch_size)
    identity = {
        "report": report, "config_name": args.config, "config": _plain(config),
        "data": dataset.name, "split_sha256": dataset.split_sha256(),
        "embedding": _short(dataset.embedding if config.embedding else None),
        "precision": policy, "steps": steps, "seed": args.seed}
    del identity["config"]["epochs"]  # a larger one extends the run

    folder = Path("runs", args.run or f"{title}-{dataset.name}-{config.image_size}")
    _claim(folder, identity)
    keras.utils.set_random_seed(args.seed)
    network = models.in_precision(build_model(config), policy)
    compile_model(network, config, steps * config.epochs)
    models.choose_jit(network)
    run = Run(network, config, dataset, folder, steps, args.seed, args.checkpoint_seconds)

    if run.resume():
        if run.epoch >= config.epochs and (folder / f"{title}.h5").exists() and not args.overwrite:
            print(f"{folder} is finished, {run.epoch} epochs. A larger EPOCHS extends it, "
                  "RUN=name begins another.")
            return 0
        print(f"{folder} goes on after {run.epoch} epochs and {run.step} steps", flush=True)
    if not run.fit():
        return 128 + run.stopped_by
    path = _export(run, title, identity, overwrite=args.overwrite)
    if dataset.count("test"):
        print(page.table(evaluate.evaluate([path], dataset, "test", folder / "evaluation")))
        print(f"pictures to look at: {folder}/evaluation/index.html, {folder}/grid.png")


# --- the command line -------------------------------------------------------------------------


def _parser(report, configs):
    parser = cli.Parser(f"python -m {report}.train", description=f"Train {report}.")
    prepare.add_arguments(parser)
    parser.add_argument("--config", choices=list(configs), default=next(iter(configs)))
    parser.add_argument("--embedding", choices=list(embeddings.NETWORKS),
                        default=argparse.SUPPRESS, help="instead of the config's")
    parser.add_argument("--epochs", type=cli.at_least(1), default=argparse.SUPPRESS,
                        help="instead of the config's; a larger one extends a finished run")
    parser.add_argument("--steps", type=cli.at_least(1),
                        help="steps per epoch, instead of once through the data")
    parser.add_argument("--batch", type=cli.at_least(1), default=argparse.SUPPRESS,
                        help="pictures per step, instead of the config's")
    parser.add_argument("--precision", choices=models.PRECISIONS, default="auto")
    parser.add_argument("--run", help="name of the run's folder in runs/")
    parser.add_argument("--seed", type=cli.at_least(0), default=0)
    parser.add_argument("--checkpoint-seconds", type=cli.at_least(0.0, float),
                        default=CHECKPOINT_SECONDS, help="time between checkpoints")
    parser.add_argument("--overwrite", action="store_true",
                        help="let the export replace a model of other data in models/")
    return parser


def _configured(config, args):
    """The config with what the command line says instead."""
    names = {"epochs": "epochs", "batch": "batch_size", "embedding": "embedding"}
    changed = {field: getattr(args, flag) for flag, field in names.items() if hasattr(args, flag)}
    if "embedding" in changed and config.embedding is None:
        raise UserError(f"--embedding: the config {args.config} fuses none. Leave it out.")
    return dataclasses.replace(config, **changed)


def _plain(config):
    """A config as JSON gives it back."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _short(embedding):
    return {key: embedding[key] for key in ("network", "weights", "sha256", "precision")
            } if embedding else None


def _claim(folder, identity):
    """Write what the run is into its folder, or check that it is the same run."""
    path = folder / "config.json"
    if not path.exists():
        files.write_json(path, identity)
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path} is corrupt. Delete {folder}, or name another run: RUN=name."
                        ) from None
    if known != identity:
        was, now = _flat(known), _flat(identity)
        different = ", ".join(f"{key} was {was.get(key)}, is {now.get(key)}"
                              for key in sorted(was.keys() | now.keys())
                              if was.get(key) != now.get(key))
        raise UserError(f"{folder} is another run ({different}). Name a new one: RUN=name.")


def _flat(content, prefix=""):
    out = {}
    for key, value in content.items():
        if isinstance(value, dict):
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = value
    return out


# --- the run ----------------------------------------------------------------------------------


def learning_rate(config, steps):
    """The config's rate: constant, or with decay="cosine" falling to zero over the run."""
    if config.decay is None:
        return config.learning_rate
    if config.decay != "cosine":
        raise ValueError(f"decay is None or \"cosine\". Received: {config.decay!r}.")
    return keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)


class Run:
    """A compiled network on its way through a data set, in a folder of its own."""

    def __init__(self, model, config, dataset, folder, steps, seed, checkpoint_seconds):
        self.model, self.config, self.dataset, self.folder = model, config, dataset, folder
        self.steps, self.seed, self.checkpoint_seconds = steps, seed, checkpoint_seconds
        self.epoch = self.step = 0  # finished epochs, and steps of the one under way
        self.loss = self.seconds = 0.0  # summed over the steps of the epoch under way
        self.history = []  # a dict an epoch
        self.stopped_by = None  # the signal that asked to stop
        self.checkpoint = folder / "checkpoint.npz"
        self._order = functools.lru_cache(2)(
            lambda turn: np.random.default_rng([seed, turn]).permutation(dataset.count("train")))
        if not dataset.count("validation"):
            raise UserError(f"{dataset.folder} has no validation pictures. Use more pictures, or "
                            "another SPLIT_BY.")

    # All that keeps state: what is missing here is lost with a stopped process. The order of the
    # pictures and their views need none, see `numbered`.
    def state(self):
        """(variables, progress): every variable in a fixed order, and everything else."""
        self.model.optimizer.build(self.model.trainable_variables)
        variables = [
            *self.model.variables,  # weights, and the states of random layers
            *self.model.optimizer.variables,
        ]
        progress = {"epoch": self.epoch, "step": self.step, "loss": self.loss,
                    "seconds": self.seconds, "history": self.history}
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
        variables, _ = self.state()
        try:
            with np.load(self.checkpoint) as stored:
                progress = json.loads(str(stored["progress"]))
                values = [stored[f"{i:05d}"] for i in range(len(variables))]
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            raise UserError(f"{self.checkpoint} is corrupt. Delete it to begin this run anew."
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
                self.baseline = self.validate(lambda batch: (np.broadcast_to(
                    self.dataset.mean_ab, (*batch["rgb"].shape[:3], 2)), None))
                if not self.stopped_by:
                    print(f"mean colour on {self.dataset.count('validation')} validation pictures: "
                          f"PSNR {_decibels(self.baseline)}", flush=True)
            with cli.progress(total=epochs * self.steps, unit="step",
                              initial=self.epoch * self.steps + self.step) as bar:
                while self.epoch < epochs and not self.stopped_by:
                    bar.set_description(f"epoch {self.epoch + 1}/{epochs}", refresh=False)
                    self._train_epoch(bar)
                    if not self.stopped_by:
                        self._finish_epoch(bar)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        if self.stopped_by:
            print(f"stopped in epoch {self.epoch + 1} after step {self.step} of {self.steps}; the "
                  "same command goes on from there", flush=True)
        return not self.stopped_by

    def _stop(self, number, _frame):
        self.stopped_by = number

    def _train_epoch(self, bar):
        """The rest of the epoch under way; a checkpoint every few minutes and at its end."""
        if self.step == 0:
            self.loss = self.seconds = 0.0
        first = self.epoch * self.steps
        started = saved = time.monotonic()
        for x, y in records.ahead(self.batch, range(first + self.step, first + self.steps)):
            self.model.reset_metrics()  # whether a step does so itself depends on Keras's version
            loss = float(self.model.train_on_batch(x, y, return_dict=True)["loss"])
            if not np.isfinite(loss):
                raise UserError(
                    f"The loss is {loss} in epoch {self.epoch + 1}, step {self.step + 1}. The last "
                    f"checkpoint is kept. Try a lower learning rate, or PRECISION=float32.")
            self.step += 1
            self.loss += loss
            bar.set_postfix_str(f"loss {self.loss / self.step:.5f}", refresh=False)
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
        iterations = self.steps * (self.epoch + 1)
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        self.history.append({
            "epoch": self.epoch + 1, "loss": self.loss / self.steps, "val_loss": scores["loss"],
            "val_psnr_rgb": scores["psnr_rgb"], "val_mse_ab": scores["mse_ab"],
            "mean_colour_psnr_rgb": self.baseline["psnr_rgb"],
            "mean_colour_mse_ab": self.baseline["mse_ab"],
            "learning_rate": float(rate), "steps": iterations,
            "seconds": round(self.seconds, 1)})
        bar.write(f"epoch {self.epoch + 1}: loss {self.loss / self.steps:.5f}, validation loss "
                  f"{scores['loss']:.5f}, PSNR {_decibels(scores)} "
                  f"(mean colour {_decibels(self.baseline)})")
        self.epoch, self.step = self.epoch + 1, 0
        self.save()
        _write_history(self.folder, self.history)
        _write_tensorboard(self.folder, self.history[-1])
        draw_curves(self.folder / "curves.png", self.history)
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
        batch = self.dataset.read("train", [self.numbered(n) for n in numbers],
                                  embedding=self.config.embedding is not None)
        kinds = getattr(self.config, "augment", ())
        if kinds:
            batch["rgb"] = np.stack([augment.augment(rgb, kinds, self.seed, n)
                                     for rgb, n in zip(batch["rgb"], numbers, strict=True)])
        return self.scaled(batch)

    def scaled(self, batch):
        """A batch of the data set -> ({"l", "embedding"}, ab) as the network wants them."""
        config = self.config
        colours = lab.rgb_to_lab(batch["rgb"])
        inputs = {"l": lab.scale(colours[..., :1], config.l_scale, config.l_offset)}
        if "embedding" in batch:
            inputs["embedding"] = batch["embedding"]
        return inputs, lab.scale(colours[..., 1:], config.ab_scale, config.ab_offset)

    def predict(self, batch):
        """The network's ab for a batch of the data set, in Lab units, and the loss."""
        x, y = self.scaled(batch)
        predicted = self.model.predict_on_batch(x)
        loss = self.model.compute_loss(x, keras.ops.convert_to_tensor(y),
                                       keras.ops.convert_to_tensor(predicted), training=False)
        ab = lab.unscale(keras.ops.convert_to_numpy(predicted), self.config.ab_scale,
                         self.config.ab_offset)
        return ab, float(loss)

    def validate(self, predict):
        """Mean MSE (ab), PSNR (RGB) and loss over the validation split.

        predict: a batch -> (ab (N, S, S, 2), loss); a loss of None is left out. Returns None if a
        signal came meanwhile.
        """
        values = {"mse_ab": [], "psnr_rgb": [], "loss": []}
        for batch in self.dataset.batches("validation", self.config.batch_size,
                                          embedding=self.config.embedding is not None):
            if self.stopped_by:
                return None
            ab, loss = predict(batch)
            colours = lab.rgb_to_lab(batch["rgb"])
            values["mse_ab"].extend(metrics.mse_ab(colours[..., 1:], ab))
            values["psnr_rgb"].extend(
                metrics.psnr_rgb(batch["rgb"], metrics.recolour(colours[..., :1], ab)))
            values["loss"].extend([loss] * len(ab) if loss is not None else [])
        return {key: metrics.summary(column)["mean"] for key, column in values.items() if column}

    def _draw_grid(self):
        count = self.dataset.count("validation")
        places = np.unique(np.linspace(0, count - 1, min(GRID, count)).astype(int))
        batch = self.dataset.read("validation", places,
                                  embedding=self.config.embedding is not None)
        draw_grid(self.folder / "grid.png", batch["rgb"], self.predict(batch)[0])


def _decibels(scores):
    """The PSNR as text; of grey pictures alone there is none."""
    psnr = scores["psnr_rgb"]
    return "undefined" if psnr is None else f"{psnr:.2f} dB"


# --- what a run leaves behind -----------------------------------------------------------------


def _write_history(folder, history):
    text = io.StringIO()
    writer = csv.DictWriter(text, history[0])
    writer.writeheader()
    writer.writerows(history)
    files.write_text(folder / "history.csv", text.getvalue())


def _write_tensorboard(folder, row):
    from tensorboard.summary import Writer

    writer = Writer(str(folder / "tensorboard"))
    for name, value in row.items():
        if name not in ("epoch", "steps") and value is not None:
            writer.add_scalar(name, value, row["epoch"])
    writer.close()


def draw_curves(path, history):
    """Loss and PSNR by epoch as a PNG."""
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, psnr = figure.subplots(1, 2)
    loss.plot(epochs, [row["loss"] for row in history], ".-", label="training")
    loss.plot(epochs, [row["val_loss"] for row in history], ".-", label="validation")
    loss.set(xlabel="epoch", ylabel="loss")
    psnr.plot(epochs, [row["val_psnr_rgb"] for row in history], ".-", label="validation")
    psnr.plot(epochs, [row["mean_colour_psnr_rgb"] for row in history], "--", label="mean colour")
    psnr.set(xlabel="epoch", ylabel="PSNR on RGB, dB")
    for axes in (loss, psnr):
        axes.legend()
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def draw_grid(path, rgb, ab):
    """A row a picture, grey | ours | true, as a PNG."""
    import cv2

    l = lab.rgb_to_l(rgb)[..., None]
    grey = metrics.recolour(l, np.zeros_like(ab))
    rows = np.concatenate([grey, metrics.recolour(l, ab), rgb], axis=2)
    _, png = cv2.imencode(".png", np.concatenate(rows)[..., ::-1])
    with files.replacing(path) as temporary:
        temporary.write_bytes(png.tobytes())


def _export(run, title, identity, overwrite):
    """Export into the run's folder and, unless it would replace other data's model, models/."""
    dataset, target = run.dataset, Path("models", f"{title}.h5")
    exported = models.wrap(run.model, run.config)
    scores = run.validate(lambda batch: (models.predict(exported, _in_lab(batch)), None))
    path = run.folder / f"{title}.h5"
    models.export(exported, path, {
        **identity, "title": title, "epochs": run.epoch,
        "data": {"name": dataset.name, "split_sha256": identity["split_sha256"],
                 "train_sha256": "".join(d[:12] for d in sorted(set(dataset.sha256("train"))))},
        "image_size": dataset.image_size, "cut": dataset.cut,
        "metrics": {"split": "validation", "pictures": dataset.count("validation"), **scores}})
    known = _trained_on(target)
    if known != dataset.name and target.exists() and not overwrite:
        print(f"exported {path}; {target} stays, since it was trained on {known} (OVERWRITE=1 "
              "replaces it)")
        return path
    with files.replacing(target) as temporary:
        shutil.copyfile(path, temporary)
    print(f"exported {target}")
    return target


def _trained_on(path):
    """The name of the data that a model was trained on, as far as it tells."""
    try:
        return models.metadata(path)["data"]["name"]
    except (UserError, KeyError):
        return "data that it does not name"


def _in_lab(batch):
    """A batch of the data set -> the inputs of an exported model."""
    inputs = {"l": lab.rgb_to_l(batch["rgb"])[..., None]}
    return inputs | ({"embedding": batch["embedding"]} if "embedding" in batch else {})
