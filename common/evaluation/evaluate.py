"""Models x data set -> a table, metrics.json, metrics.csv and a page to look at (`make eval`).

A model sees the true L* of a picture and gives ab; both together become 8-bit RGB. Each metric is
the mean over pictures of its value for one picture; `protocol.py` says the rest and is written
into the outputs. Grey (ab = 0), the mean colour of the training split and, where embeddings are
stored, the colours of the most similar training picture stand in every table: a model that does not
beat the mean colour has learned nothing.
"""

import concurrent.futures
import contextlib
import csv
import datetime
import functools
import math
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
import skimage

from common import cli, colorize, datasets, files, metrics, photos
from common.cli import UserError, first_line
from common.color import lab
from common.evaluation import (
    baselines,
    histograms,
    network_metrics,
    predictions,
    presets,
    protocol,
    statistics,
    table,
)
from common.evaluation.page import gallery, render
from common.networks import provenance
from common.training import logs

SCHEMA = 1
OUT = Path("reports/eval")
SIZE, CUT = 256, "squash"  # where neither models nor catalogue say otherwise
TRUTH = "truth"


class ModelError(UserError):
    """A model that cannot be evaluated; the others can."""


# --- what is evaluated ------------------------------------------------------------------------


class TruePictures:
    """The true pictures, for what is measured of them alone."""

    kind, takes_embedding, makes, about = TRUTH, False, "rgb", {}

    def __init__(self, dataset):
        self.name, self.dataset = "true pictures", dataset

    def __call__(self, batch, pool=None):
        """A `baselines.Batch` -> its RGB."""
        return batch.rgb


class Model:
    """An exported model over the pictures of a data set, whatever size it works at.

    It takes the stored embeddings if they are those it was trained on (size, cut and weights),
    else it makes its own. `ModelError` says why it cannot be evaluated.
    """

    kind, makes = "model", "ab"

    def __init__(self, path, name, dataset, batch_size, precision="float32", weights=None):
        self.path, self.name, self.batch_size = Path(path), name, batch_size
        try:
            self.colorizer = colorize.Colorizer(path, precision, weights)
        except UserError as error:
            raise ModelError(str(error)) from None
        metadata, self.size = self.colorizer.metadata, self.colorizer.size
        embedding = metadata.get("embedding") if self.colorizer.needs_embedding else None
        key = embedding["sha256"] if embedding else ""
        self.takes_embedding = key[:12] in dataset.manifest["embeddings"] and (
            self.size,
            self.colorizer.cut,
        ) == (dataset.image_size, dataset.cut)
        self.dataset = datasets.Dataset(dataset.folder, key) if self.takes_embedding else dataset
        data = dict(metadata.get("data", {}))
        sha256 = files.sha256(path)
        self.trained_on = data.pop("train_sha256", None)
        self.about = {
            "file": str(path),
            "sha256": sha256,
            "title": metadata.get("title"),
            "history": logs.history_of(path, sha256),
            "image_size": self.size,
            "cut": self.colorizer.cut,
            "embedding": embedding,
            "embedding_from": ("data set" if self.takes_embedding else "model")
            if embedding
            else None,
            "metadata": {**metadata, "data": data} if metadata else {},
        }

    def count_seen(self, digests):
        """How many of these files' SHA-256 were trained on; None where the model does not say."""
        if self.trained_on is None:
            return None
        known = {self.trained_on[at : at + 12] for at in range(0, len(self.trained_on), 12)}
        return sum(digest[:12] in known for digest in digests)

    def __call__(self, batch, pool=None):
        """A `baselines.Batch` -> ab (N, S, S, 2), Lab units, finite."""
        l, embedding = batch.lab[..., :1], batch.embedding
        count, side = len(l), l.shape[1]
        if side != self.size:
            # A data set's pictures are square, and every cut of a square is the same.
            l = np.stack([photos.fit(each, self.size, "squash") for each in l])
        ab = self._predict(_filled(l, self.batch_size), _filled(embedding, self.batch_size))
        if ab.shape[1:] != (*l.shape[1:3], 2):
            raise ModelError(
                f"{self.path} is no colorizer: for L* of shape {l.shape[1:]} it gives "
                f"{ab.shape[1:]}. Use an exported model."
            )
        if not np.isfinite(ab).all():
            raise ModelError(f"{self.path} gives NaN or infinity. Train it anew at a lower rate.")
        ab = ab[:count]
        return (
            ab
            if side == self.size
            else np.stack([photos.unfit(each, (side, side), "squash") for each in ab])
        )

    def _predict(self, l, embedding):
        try:
            return np.asarray(self.colorizer.predict_ab(l, embedding), np.float32)
        except UserError as error:
            raise ModelError(str(error)) from None
        except Exception as error:  # whatever the backend raises for a model of other make
            raise ModelError(
                f"{self.path} cannot predict ({type(error).__name__}: {first_line(error)}). Use "
                "an exported model, or a smaller BATCH if memory ran out."
            ) from None


def _filled(array, count):
    """A batch filled up with copies of its last item: one size is one compilation."""
    if array is None or len(array) >= count:
        return array
    return np.concatenate([array, np.repeat(array[-1:], count - len(array), 0)])


# --- the evaluation ---------------------------------------------------------------------------


def evaluate(
    paths,
    dataset,
    split="test",
    out=OUT,
    *,
    limit=None,
    batch_size=16,
    precision="float32",
    weights=None,
    shown=gallery.SHOWN,
    keep_going=None,
    rebalance=False,
    against=None,
    others=(),
    preset=None,
    networks=None,
):
    """Score exported models and the baselines; write metrics.json, metrics.csv and index.html.

    paths: `.h5` files. dataset: a `datasets.Dataset`. out: a folder, or None to write nothing.
    limit: at most so many pictures, the first in stored order, which is a seeded shuffle.
    precision: a dtype policy. weights: of the embedding network, as in `embeddings.find`.
    shown: pictures on the page that are spread evenly. keep_going: list a model that cannot be
    evaluated under "failed", instead of raising `ModelError`; left out, where there are others.
    rebalance: also the AuC balanced by the training split's colours, see `protocol`.
    against: the row that the others are compared with, picture by picture; else all pairs are.

    others: folders of pictures that other systems made, "folder" or "name=folder".
    preset: the `presets.Preset` that `dataset` is of, to be told in the outputs.
    networks: what `network_metrics.of_arguments` gives, for the metrics that networks make.

    Returns what metrics.json holds; `page.table` makes a text of it. `UserError` if the split is
    empty, OSError if `out` cannot be written. Memory grows by one number a metric and picture, and
    by the models, which are kept until their pictures are drawn.
    """
    if keep_going is None:
        keep_going = len(paths) + len(others) > 1
    count = min(dataset.count(split), limit or math.inf)
    if not count:
        raise UserError(
            f"The {split} split of {dataset.folder} is empty. Add pictures, or choose "
            "another SPLIT."
        )
    others = [predictions.parse(str(text)) for text in others]
    names = _names([*paths, *(folder for _, folder in others)])
    names[len(paths) :] = [
        given or name for (given, _), name in zip(others, names[len(paths) :], strict=True)
    ]
    _check_names([*baselines.NAMES, *names])
    others = [
        predictions.Predictions(folder, name, dataset, split, count)
        for (_, folder), name in zip(others, names[len(paths) :], strict=True)
    ]
    baseline, notes = baselines.of(dataset, split, count)
    known = [*(each.name for each in baseline), *names]
    if against is not None and against not in known:
        raise UserError(f"There is no {against} to compare with. There are: {', '.join(known)}.")
    if out is not None:
        check_writable(Path(out))
    batch_size = min(batch_size, count)
    digests = dataset.sha256(split)[:count]
    if rebalance and not dataset.count("train"):
        raise UserError(
            f"{dataset.folder} has no training pictures to take the prior of. Leave REBALANCE away."
        )
    pictures = dataset.names(split)[:count]
    networks = networks and networks(pictures, dataset.image_size)
    weights_of = protocol.weights_of_colours(dataset) if rebalance else None
    measured, failed = [], []

    def leave_out(source, error):
        if not keep_going:
            raise error
        failed.append({"file": str(source), "reason": str(error)})

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count(), "score") as pool:
        measure = functools.partial(
            _measure,
            split=split,
            count=count,
            batch_size=batch_size,
            pool=pool,
            weights=weights_of,
            networks=networks,
        )
        for path, name in zip(paths, names, strict=False):
            try:
                model = Model(path, name, dataset, batch_size, precision, weights)
                model.about["seen"] = model.count_seen(digests)
                measured += measure([model])
            except ModelError as error:
                leave_out(path, error)
        # All that needs no network in one pass, which reads each true picture once.
        (truth, _, true_watch), *light = measure([TruePictures(dataset), *baseline, *others])
    measured[:0] = light[: len(baseline)]
    for row, *seen in light[len(baseline) :]:
        if row["counts"]["used"]:
            measured.append((row, *seen))
        else:
            leave_out(
                row["folder"],
                ModelError(
                    f"No picture of {row['folder']} can be read: {row['unreadable'][0]['reason']}."
                ),
            )
    rows, methods, watches = zip(*measured, strict=True)
    rarity = truth["values"].get("rarity")
    for row, watch in zip((*rows, truth), (*watches, true_watch), strict=True):
        row["metrics"] = {
            key: metrics.summary(values, rarity if metric.by_rarity else None)
            for key, values in row["values"].items()
            if (metric := metrics.METRICS.get(key))
        }
        if networks:
            networks.finish(row, watch, true_watch)
        row["values"] = _plain(row["values"])
    if networks:
        notes += networks.closing(truth)
        for watch in (*watches, true_watch):
            watch.close()
    rows, truth = list(rows), {key: truth[key] for key in ("metrics", "values", "histograms")}
    statistics.add_best(rows, truth)
    bootstrap = statistics.Bootstrap(count)
    statistics.add_intervals(rows, truth, bootstrap)
    report = {
        "schema": SCHEMA,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "data": {
            "name": dataset.name,
            "split": split,
            "pictures": count,
            "of": dataset.count(split),
            "split_sha256": dataset.split_sha256(),
            "pictures_sha256": files.sha256("".join(digests).encode()),
            "image_size": dataset.image_size,
            "cut": dataset.cut,
            "mean_ab": dataset.mean_ab.tolist(),
        },
        "protocol": protocol.describe(
            {**metrics.chosen(weights_of), **(networks.columns if networks else {})},
            rows=[row["name"] for row in rows],
            precision=precision,
            batch_size=batch_size,
            preset=presets.describe(preset) if preset else None,
        ),
        "versions": {
            **provenance.versions(),
            "scikit-image": skimage.__version__,
            "opencv": cv2.__version__,
        },
        "commit": provenance.commit(),
        "rows": rows,
        "pairs": statistics.pairs(rows, truth, bootstrap, against),
        "against": against,
        "truth": truth,
        "pictures": [
            {"name": name, "sha256": digest} for name, digest in zip(pictures, digests, strict=True)
        ],
        "failed": failed,
        "notes": notes,
    }
    if out is not None:
        shown = gallery.make(report, methods, dataset, split, shown, batch_size)
        _write(Path(out), report, shown)
    return report


def _names(paths):
    """The models' names: the file's, or the whole path where two files share a name."""
    stems = [Path(path).stem for path in paths]
    return [
        stem if stems.count(stem) == 1 else str(path)
        for stem, path in zip(stems, paths, strict=True)
    ]


def _check_names(names):
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(
            f"Two rows would be called {twice[0]}. Give predictions another name: "
            "PREDICTIONS=name=folder."
        )


def _measure(methods, split, count, batch_size, pool, weights, networks):
    """[(row without "metrics", method, watch)] of methods, by one pass over the pictures.

    A method that takes embeddings has its own data set and goes alone. A watch is what `networks`
    saw, None without them.
    """
    measured = [
        ({}, histograms.none(), networks and network_metrics.Watch(networks)) for _ in methods
    ]
    title = ", ".join(method.name for method in methods)
    with (
        cli.progress(total=count, desc=title, unit="picture") as bar,
        _batches(methods[0], split, count, batch_size, pool) as batches,
    ):
        for batch in batches:
            predicted = zip(*[method(batch, pool) for method in methods], strict=True)
            # What is worked out of a true picture serves all methods and is kept for no longer.
            scored = list(
                pool.map(
                    functools.partial(_score, methods, weights), batch.rgb, batch.lab, predicted
                )
            )
            for method, (*_, watch), of_it in zip(
                methods, measured, zip(*scored, strict=True), strict=True
            ):
                if watch:
                    watch.see(
                        batch.places[0],
                        [picture for _, _, picture in of_it],
                        None if method.kind == TRUTH else batch.rgb,
                    )
            for scores in scored:
                for (values, counts, _), (found, counted, _) in zip(measured, scores, strict=True):
                    for key, value in found.items():
                        values.setdefault(key, []).append(value)
                    counts += counted
            bar.update(len(batch.rgb))
    return [
        (
            {
                "name": method.name,
                "kind": method.kind,
                **method.about,
                "values": values,
                "histograms": dict(zip(histograms.CHANNELS, counts.tolist(), strict=True)),
            },
            method,
            watch,
        )
        for method, (values, counts, watch) in zip(methods, measured, strict=True)
    ]


def _score(methods, weights, rgb, true_lab, predicted):
    """[(metrics, histograms of ab, 8-bit picture)] of one picture by each method.

    Without a picture all metrics are None, nothing is counted and the picture is None.
    """
    truth, found = metrics.Truth(rgb, true_lab), []
    for method, picture in zip(methods, predicted, strict=True):
        if picture is None:
            found.append((dict.fromkeys(metrics.chosen(weights)), 0, None))
        elif method.kind == TRUTH:
            found.append((truth.values(weights), histograms.count(true_lab[..., 1:]), picture))
        elif method.makes == "rgb":
            found.append(
                (
                    metrics.score(truth, None, picture, weights),
                    histograms.count(lab.rgb_to_lab(picture)[..., 1:]),
                    picture,
                )
            )
        else:
            made = metrics.recolour(true_lab[..., :1], picture)
            found.append(
                (metrics.score(truth, picture, made, weights), histograms.count(picture), made)
            )
    return found


@contextlib.contextmanager
def _batches(method, split, count, batch_size, pool):
    """An iterator of `baselines.Batch`es over the first `count` pictures of a split."""

    def cut(batches):
        for start, batch in zip(range(0, count, batch_size), batches, strict=False):
            rgb = batch["rgb"][: count - start]
            embedding = batch["embedding"][: len(rgb)] if method.takes_embedding else None
            colours = np.stack(list(pool.map(lab.rgb_to_lab, rgb)))
            yield baselines.Batch(np.arange(start, start + len(rgb)), rgb, colours, embedding)

    with contextlib.closing(
        method.dataset.batches(split, batch_size, method.takes_embedding)
    ) as batches:
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
    with (
        files.replacing(out / "metrics.csv") as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        csv.writer(file).writerows(table.csv_rows(report))
    with files.replacing(out / "index.html") as temporary:
        temporary.write_text(render.html(report, pictures), "utf-8", "backslashreplace")
