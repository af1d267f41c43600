"""Models x data set -> a table, metrics.json, metrics.csv and a page to look at (`make eval`).

A model sees the true L* of a picture and gives ab; both together become 8-bit RGB. Each metric is
the mean over pictures of its value for one picture; `common.protocol` says the rest and is written
into the outputs. Grey (ab = 0) and the mean colour of the training split stand in every table: a
model that does not beat the mean colour has learned nothing.
"""

import concurrent.futures
import contextlib
import csv
import datetime
import math
import os
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import skimage

from common import (
    cli,
    colorize,
    compare,
    files,
    gallery,
    histograms,
    lab,
    metrics,
    models,
    page,
    page_html,
    photos,
    predictions,
    prepare,
    presets,
    protocol,
    records,
    traces,
)
from common.cli import UserError

SCHEMA = 1
OUT = Path("reports/eval")
SIZE, CUT = 256, "squash"  # where neither models nor catalogue say otherwise
BASELINES = ("grey", "mean colour")


class ModelError(UserError):
    """A model that cannot be evaluated; the others can."""


# --- what is evaluated ------------------------------------------------------------------------


class Constant:
    """A baseline: one colour for every pixel of `dataset`'s pictures."""

    kind, takes_embedding = "baseline", False

    def __init__(self, name, ab, dataset):
        self.name, self.dataset = name, dataset
        self.ab = np.asarray(ab, np.float32)
        self.about = {"ab": self.ab.tolist(), "seen": 0}

    def __call__(self, l, embedding=None):
        """L* (N, S, S, 1) -> ab (N, S, S, 2), Lab units."""
        return np.broadcast_to(self.ab, (*l.shape[:3], 2))


class Model:
    """An exported model over the pictures of a data set, whatever size it works at.

    It takes the stored embeddings if they are those it was trained on (size, cut and weights),
    else it makes its own. `ModelError` says why it cannot be evaluated.
    """

    kind = "model"

    def __init__(self, path, name, dataset, batch_size, precision="float32", weights=None):
        self.path, self.name, self.batch_size = Path(path), name, batch_size
        try:
            self.colorizer = colorize.Colorizer(path, precision, weights)
        except UserError as error:
            raise ModelError(str(error)) from None
        metadata, self.size = self.colorizer.metadata, self.colorizer.size
        embedding = metadata.get("embedding") if self.colorizer.needs_embedding else None
        key = embedding["sha256"] if embedding else ""
        self.takes_embedding = (
            key[:12] in dataset.manifest["embeddings"]
            and (self.size, self.colorizer.cut) == (dataset.image_size, dataset.cut))
        self.dataset = (records.open_dataset(dataset.folder, key) if self.takes_embedding
                        else dataset)
        data = dict(metadata.get("data", {}))
        self.trained_on = data.pop("train_sha256", None)
        sha256 = files.sha256(path)
        self.about = {
            "file": str(path), "sha256": sha256, "title": metadata.get("title"),
            "image_size": self.size, "cut": self.colorizer.cut, "embedding": embedding,
            "embedding_from": ("data set" if self.takes_embedding else "model") if embedding
            else None,
            "metadata": {**metadata, "data": data} if metadata else {},
            "history": traces.history_of(path, sha256),
        }

    def count_seen(self, digests):
        """How many of these files' SHA-256 were trained on; None where the model does not say."""
        if self.trained_on is None:
            return None
        known = {self.trained_on[at:at + 12] for at in range(0, len(self.trained_on), 12)}
        return sum(digest[:12] in known for digest in digests)

    def __call__(self, l, embedding=None):
        """L* (N, S, S, 1) -> ab (N, S, S, 2), Lab units, finite."""
        count, side = len(l), l.shape[1]
        if side != self.size:
            # A data set's pictures are square, and every cut of a square is the same.
            l = np.stack([photos.fit(each, self.size, "squash") for each in l])
        ab = self._predict(_filled(l, self.batch_size), _filled(embedding, self.batch_size))
        if ab.shape[1:] != (*l.shape[1:3], 2):
            raise ModelError(f"{self.path} is no colorizer: for L* of shape {l.shape[1:]} it gives "
                             f"{ab.shape[1:]}. Use an exported model.")
        if not np.isfinite(ab).all():
            raise ModelError(f"{self.path} gives NaN or infinity. Train it anew at a lower rate.")
        ab = ab[:count]
        return ab if side == self.size else np.stack(
            [photos.unfit(each, (side, side), "squash") for each in ab])

    def _predict(self, l, embedding):
        try:
            return np.asarray(self.colorizer.predict_ab(l, embedding), np.float32)
        except UserError as error:
            raise ModelError(str(error)) from None
        except Exception as error:  # whatever the backend raises for a model of other make
            reason = (str(error).strip().splitlines() or [""])[0][:160]
            raise ModelError(f"{self.path} cannot predict ({type(error).__name__}: {reason}). Use "
                             "an exported model, or a smaller BATCH if memory ran out.") from None


def _filled(array, count):
    """A batch filled up with copies of its last item: one size is one compilation."""
    if array is None or len(array) >= count:
        return array
    return np.concatenate([array, np.repeat(array[-1:], count - len(array), 0)])


# --- the evaluation ---------------------------------------------------------------------------


def evaluate(paths, dataset, split="test", out=OUT, *, limit=None, batch_size=16,
             precision="float32", weights=None, shown=gallery.SHOWN, keep_going=None,
             rebalance=False, against=None, others=(), preset=None):
    """Score exported models and the baselines; write metrics.json, metrics.csv and index.html.

    paths: `.h5` files. dataset: a `records.Dataset`. out: a folder, or None to write nothing.
    limit: at most so many pictures, the first in stored order, which is a seeded shuffle.
    precision: a dtype policy. weights: of the embedding network, as in `embeddings.find`.
    shown: pictures on the page that are spread evenly. keep_going: list a model that cannot be
    evaluated under "failed", instead of raising `ModelError`; left out, where there are others.
    rebalance: also the AuC balanced by the training split's colours, see `protocol`.
    against: the row that the others are compared with, picture by picture; else all pairs are.

    others: folders of pictures that other systems made, "folder" or "name=folder".
    preset: the `presets.Preset` that `dataset` is of, to be told in the outputs.

    Returns what metrics.json holds; `page.table` makes a text of it. `UserError` if the split is
    empty, OSError if `out` cannot be written. Memory grows by one number a metric and picture, and
    by the models, which are kept until their pictures are drawn.
    """
    if keep_going is None:
        keep_going = len(paths) + len(others) > 1
    count = min(dataset.count(split), limit or math.inf)
    if not count:
        raise UserError(f"The {split} split of {dataset.folder} is empty. Add pictures, or choose "
                        "another SPLIT.")
    others = [predictions.parse(str(text)) for text in others]
    names = _names([*paths, *(folder for _, folder in others)])
    names[len(paths):] = [given or name for (given, _), name in zip(others, names[len(paths):],
                                                                    strict=True)]
    _check_names([*BASELINES, *names])
    others = [predictions.Predictions(folder, name, dataset, split, count)
              for (_, folder), name in zip(others, names[len(paths):], strict=True)]
    if against is not None and against not in (*BASELINES, *names):
        raise UserError(f"There is no {against} to compare with. There are: "
                        f"{', '.join((*BASELINES, *names))}.")
    if out is not None:
        check_writable(Path(out))
    batch_size = min(batch_size, count)
    digests = dataset.sha256(split)[:count]
    if rebalance and not dataset.count("train"):
        raise UserError(f"{dataset.folder} has no training pictures to take the prior of. Leave "
                        "REBALANCE away.")
    weights_of = protocol.weights_of_colours(dataset) if rebalance else None
    rows, methods, failed = [], [], []
    truth = _truth(dataset, split, count, batch_size, weights_of)
    rarity = truth["values"].get("rarity")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count(), "score") as pool:

        def add(method, at):
            rows.insert(at, _measure(method, split, count, batch_size, pool, weights_of, rarity))
            methods.insert(at, method)

        for path, name in zip(paths, names, strict=False):
            try:
                model = Model(path, name, dataset, batch_size, precision, weights)
                model.about["seen"] = model.count_seen(digests)
                add(model, len(rows))
            except ModelError as error:
                if not keep_going:
                    raise
                failed.append({"file": str(path), "reason": str(error)})
        for method in others:
            try:
                add(method, len(rows))
            except ModelError as error:
                if not keep_going:
                    raise
                failed.append({"file": str(method.folder), "reason": str(error)})
        add(Constant(BASELINES[0], (0, 0), dataset), 0)
        if dataset.count("train"):
            add(Constant(BASELINES[1], dataset.mean_ab, dataset), 1)
    compare.add_best(rows, truth)
    bootstrap = compare.Bootstrap(count)
    compare.add_intervals(rows, truth, bootstrap)
    pictures = dataset.names(split)[:count]
    report = {
        "schema": SCHEMA,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "data": {"name": dataset.name, "split": split, "pictures": count,
                 "of": dataset.count(split), "split_sha256": dataset.split_sha256(),
                 "pictures_sha256": files.sha256("".join(digests).encode()),
                 "image_size": dataset.image_size, "cut": dataset.cut,
                 "mean_ab": dataset.mean_ab.tolist()},
        "protocol": protocol.describe(metrics.chosen(weights_of), precision=precision,
                                      batch_size=batch_size,
                                      preset=presets.describe(preset) if preset else None),
        "versions": {**models.versions(), "scikit-image": skimage.__version__,
                     "opencv": cv2.__version__},
        "commit": models.commit(),
        "rows": rows,
        "pairs": compare.pairs(rows, truth, bootstrap, against),
        "against": against,
        "truth": truth,
        "pictures": [{"name": name, "sha256": digest}
                     for name, digest in zip(pictures, digests, strict=True)],
        "failed": failed,
    }
    if out is not None:
        pictures = gallery.make(report, methods, dataset, split, shown, batch_size)
        _write(Path(out), report, pictures)
    return report


def _names(paths):
    """The models' names: the file's, or the whole path where two files share a name."""
    stems = [Path(path).stem for path in paths]
    return [stem if stems.count(stem) == 1 else str(path)
            for stem, path in zip(stems, paths, strict=True)]


def _check_names(names):
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"Two rows would be called {twice[0]}. Give predictions another name: "
                        "PREDICTIONS=name=folder.")


def _measure(method, split, count, batch_size, pool, weights, rarity):
    """The row of one method over the first `count` pictures."""
    values = {key: [] for key in metrics.chosen(weights)}
    counts = np.zeros((len(histograms.CHANNELS), histograms.BINS), np.int64)
    with (cli.progress(total=count, desc=method.name, unit="picture") as bar,
          _batches(method.dataset, split, count, batch_size, method.takes_embedding) as batches):
        for start, batch in batches:
            true_lab = lab.rgb_to_lab(batch["rgb"])
            ab = made = None
            if method.kind == predictions.KIND:
                made = method.read(start, start + len(true_lab), pool)
                for picture in made:
                    if picture is not None:
                        counts += histograms.count(lab.rgb_to_lab(picture)[..., 1:])
            else:
                ab = method(true_lab[..., :1], batch.get("embedding"))
                counts += histograms.count(ab)
            for score in metrics.score_batch(batch["rgb"], true_lab, ab, made, pool, weights):
                for key, column in values.items():
                    column.append(score[key])
            bar.update(len(true_lab))
    if all(value is None for value in values["mse_ab"]):
        reason = method.about["unreadable"][0]["reason"]
        raise ModelError(f"No picture of {method.folder} can be read: {reason}.")
    return {
        "name": method.name, "kind": method.kind, **method.about,
        "metrics": {key: metrics.summary(column, rarity if metrics.METRICS[key].by_rarity else None)
                    for key, column in values.items()},
        "values": _plain(values),
        "histograms": _histograms(counts),
    }


def _truth(dataset, split, count, batch_size, weights):
    """The true pictures' own figures, as those of a row.

    Among the values is each picture's `rarity`, where there are weights of colours.
    """
    values, rarity = {key: [] for key in metrics.OF_TRUTH}, []
    counts = np.zeros((len(histograms.CHANNELS), histograms.BINS), np.int64)
    with _batches(dataset, split, count, batch_size) as batches:
        for _, batch in batches:
            for key, column in values.items():
                metric = metrics.METRICS[key]
                column += metric.function(batch["rgb"], **metric.given).tolist()
            ab = lab.rgb_to_lab(batch["rgb"])[..., 1:]
            counts += histograms.count(ab)
            if weights is not None:
                rarity += metrics.rarity(ab, weights=weights).tolist()
    truth = {"metrics": {key: metrics.summary(column) for key, column in values.items()},
             "values": _plain(values), "histograms": _histograms(counts)}
    if weights is not None:
        truth["values"]["rarity"] = rarity
    return truth


def _histograms(counts):
    """{channel: its counts}, as JSON has them."""
    return dict(zip(histograms.CHANNELS, counts.tolist(), strict=True))


@contextlib.contextmanager
def _batches(dataset, split, count, batch_size, embedding=False):
    """An iterator of (start, batch) over the first `count` pictures of a split."""
    def cut(batches):
        for start, batch in zip(range(0, count, batch_size), batches, strict=False):
            yield start, {key: array[:count - start] for key, array in batch.items()}

    with contextlib.closing(dataset.batches(split, batch_size, embedding)) as batches:
        yield cut(batches)


def _plain(values):
    """Pictures' values as JSON has them: six digits; "inf", which JSON has no number for; None."""
    def plain(value):
        if value is None:
            return None
        return float(f"{value:.6g}") if math.isfinite(value) else "inf"

    return {key: [plain(value) for value in column] for key, column in values.items()}


# --- what is written --------------------------------------------------------------------------


def check_writable(out):
    """Make the folder `out`, or raise OSError: before an hour's work, not after it."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass


def _write(out, report, pictures):
    files.write_json(out / "metrics.json", report)
    with files.replacing(out / "metrics.csv") as temporary, open(
            temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        csv.writer(file).writerows(page.csv_rows(report))
    with files.replacing(out / "index.html") as temporary:
        temporary.write_text(page_html.html(report, pictures), "utf-8", "backslashreplace")


# --- the command ------------------------------------------------------------------------------


def main(argv=None):
    """The command `python -m common.evaluate`."""
    parser = cli.Parser("python -m common.evaluate", description=__doc__.splitlines()[0])
    prepare.add_arguments(parser)
    parser.add_argument("--models", "--model", nargs="+", metavar="MODEL",
                        help="files, or names in models/; left out, every one in models/")
    parser.add_argument("--predictions", nargs="+", default=[], metavar="FOLDER",
                        help="pictures that other systems made, found by name: folder, or "
                             "name=folder")
    parser.add_argument("--preset", choices=presets.PRESETS,
                        help="a named protocol: which pictures, at which size")
    parser.add_argument("--split", choices=records.SPLITS, default=None, help="else test")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    parser.add_argument("--limit", type=cli.at_least(1), help="at most so many pictures")
    parser.add_argument("--batch", type=cli.at_least(1), default=16, help="pictures at a time")
    parser.add_argument("--against", metavar="NAME",
                        help="the row of the table to compare the others with, else all pairs")
    parser.add_argument("--rebalance", action="store_true",
                        help="also the AuC balanced by the training split's colours: one pass over "
                             "it, kept beside the shards")
    parser.add_argument("--precision", choices=models.PRECISIONS, default="float32")
    parser.add_argument("--size", type=cli.at_least(8), default=None,
                        help="side of the pictures, else that of all the models, else the data's, "
                             f"else {SIZE}")
    parser.add_argument("--cut", choices=photos.CUTS, default=None,
                        help=f"else that of all the models, else {CUT}")
    args = parser.parse_args(argv)
    named = [models.named(name) for name in args.models or []]
    paths = named or models.available()
    preset = presets.PRESETS.get(args.preset)
    if preset:
        _check_preset(preset, args)
    if not paths and not args.predictions:
        print("No model in models/: the baselines alone. Train one: `make train-koala`.",
              flush=True)
    report = evaluate(
        paths, _dataset(args, paths, skip=len(named) != 1), args.split or "test", args.out,
        limit=args.limit,
        batch_size=args.batch, precision=models.precision(args.precision)[0],
        weights=args.embedding_weights, keep_going=len(named) + len(args.predictions) != 1,
        rebalance=args.rebalance, against=args.against, others=args.predictions,
        preset=preset)
    print(page.table(report))
    print(f"{args.out}/index.html, metrics.json and metrics.csv")
    for failure in report["failed"]:
        print(f"left out: {failure['reason']}", file=sys.stderr)
    return 1 if report["failed"] else 0


def _check_preset(preset, args):
    """A preset with something changed is another protocol."""
    changed = [name for name in ("size", "cut", "split", "split_by", "limit")
               if getattr(args, name) is not None]
    if changed:
        raise UserError(f"PRESET={preset.name} says itself what {changed[0].upper()} is. Leave one "
                        "of the two away.")


def _dataset(args, paths, skip):
    """The data set, prepared if it is not there, at the size and cut that all the models have.

    Of models that differ neither counts, but the data's own size if the catalogue has it. skip: let
    models that cannot be read be left out later, with their reasons.
    """
    if args.preset:
        preset = presets.PRESETS[args.preset]
        data = None if preset.data and args.data == "samples" else args.data
        return presets.dataset(preset, data, args.embedding_weights)
    if (Path(args.data) / "manifest.json").is_file():
        return records.open_dataset(args.data)
    found = set()
    for path in paths:
        with contextlib.suppress(UserError) if skip else contextlib.nullcontext():
            metadata = models.metadata(path)
            found.add((metadata.get("image_size", SIZE), metadata.get("cut", CUT)))
    own = prepare.catalogue().get(str(args.data), {}).get("size", SIZE)
    size, cut = found.pop() if len(found) == 1 else (own, CUT)
    return prepare.prepare(args.data, args.size or size, args.cut or cut, None,
                           args.embedding_weights, split_by=args.split_by)


if __name__ == "__main__":
    sys.exit(cli.run(main))
