"""Models x data set -> a table, metrics.json, metrics.csv and a page to look at (`make eval`).

A model receives the true L* of a picture and returns ab; both together become 8-bit RGB. Each
metric is the mean over pictures of its value for one picture; `protocol.py` has the details, which
are written into the outputs. Every table includes grey (ab = 0), the mean colour of the training
split and, if embeddings are stored, the colours of the most similar training picture: a model that
does not beat the mean colour has learned nothing.
"""

import contextlib
import csv
import dataclasses
import datetime
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import skimage

from common import datasets, drives, engines, files, metrics
from common.cli import UserError
from common.evaluation import (
    baselines,
    measure,
    network_metrics,
    predictions,
    presets,
    protocol,
    rows,
    statistics,
    table,
)
from common.evaluation.models import Model, ModelError
from common.evaluation.page import gallery, render
from common.networks import provenance

OUT = Path("reports/eval")
SIZE, CUT = 256, "squash"  # unless the models or the catalogue have another


@dataclasses.dataclass(frozen=True)
class Options:
    """How an evaluation is done.

    limit: at most so many pictures, the first in stored order, which is a seeded shuffle.
    precision: a dtype policy. weights: of the embedding network, as in `embeddings.find`.
    embed_from: "photo", or "shard" to make embeddings that are not stored from the stored pictures.
    refine: what is done to each model's ab, see `colorize.refine`; "none" is as it is exported.
    shown: pictures on the page that are spread evenly. keep_going: list a model that cannot be
    evaluated under `failed`, instead of raising `ModelError`; None does so where there are others.
    rebalance: also the AuC balanced by the training split's colours, see `protocol`.
    against: the row that the others are compared with, picture by picture; None compares all pairs.
    predictions: folders of pictures that other systems made, "folder" or "name=folder".
    preset: the one that the data set belongs to. networks: for the metrics that need networks.
    of_batches: the metrics of batches, of `metrics.BATCH_METRICS`. engine: what shares the pictures
    out.
    """

    limit: int | None = None
    batch_size: int = 16
    precision: str = "float32"
    weights: str | None = None
    embed_from: str = "photo"
    refine: str = "none"
    shown: int = gallery.SHOWN
    keep_going: bool | None = None
    rebalance: bool = False
    against: str | None = None
    predictions: tuple[str, ...] = ()
    preset: presets.Preset | None = None
    networks: network_metrics.Request | None = None
    of_batches: tuple[str, ...] = ()
    engine: engines.Engine = engines.LOCAL


def evaluate(
    paths: Sequence[str | Path],
    dataset: datasets.Dataset,
    split: str = "test",
    out: str | Path | None = OUT,
    options: Options | None = None,
) -> rows.Evaluation:
    """Score exported models and the baselines; write metrics.json, metrics.csv and index.html.

    paths: `.h5` files. out: a folder, or None to write nothing. `table.table` makes a text of the
    result. `UserError` if the split is empty or an option does not fit, OSError if `out` cannot be
    written, both before the work. Memory grows by one number a metric and picture, and by the
    models, which are kept until their pictures are drawn.
    """
    options = options or Options()
    plan = _plan(paths, dataset, split, options)
    places = [dataset.folder]
    if out is not None:
        check_writable(Path(out))
        places.append(Path(out))
    with contextlib.ExitStack() as stack:
        for place in places:
            stack.enter_context(drives.watched(drives.Place(place)))
        return _evaluated(plan, options, out)


def _evaluated(plan, options, out):
    dataset, split = plan.dataset, plan.split
    networks = options.networks and options.networks.load(plan.pictures, dataset.image_size)
    with networks or contextlib.nullcontext():
        truth, measured, failed = _measure(plan, options, networks)
        evaluation = _result(plan, options, networks, truth, measured, failed)
    if out is not None:
        methods = [each.method for each in measured]
        shown = gallery.make(evaluation, methods, dataset, split, options.shown, plan.batch_size)
        _write(Path(out), evaluation, shown)
    return evaluation


# --- the plan -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What an evaluation works on, checked before the work begins."""

    dataset: datasets.Dataset
    split: str
    batch_size: int
    pictures: list[str]
    digests: list[str]
    models: dict[str, str | Path]  # by name
    baselines: list
    folders: list[predictions.Predictions]
    notes: list[str]


def _plan(paths, dataset, split, options):
    count = min(dataset.count(split), options.limit or math.inf)
    if not count:
        raise UserError(
            f"The {split} split of {dataset.folder} is empty. Add pictures, or choose "
            "another SPLIT."
        )
    given = [predictions.parse(str(text)) for text in options.predictions]
    names = _names([*paths, *(folder for _, folder in given)])
    models = names[: len(paths)]
    titles = [own or name for (own, _), name in zip(given, names[len(paths) :], strict=True)]
    _check_names([*rows.BASELINES, *models, *titles])
    folders = [
        predictions.Predictions(folder, title, dataset, split, count)
        for (_, folder), title in zip(given, titles, strict=True)
    ]
    constant, notes = baselines.of(dataset, split, count)
    known = [each.name for each in constant] + models + [folder.name for folder in folders]
    if options.against not in (None, *known):
        raise UserError(
            f"There is no {options.against} to compare with. There are: {', '.join(known)}."
        )
    if options.rebalance and not dataset.count("train"):
        raise UserError(
            f"{dataset.folder} has no training pictures to take the prior of. Leave REBALANCE out."
        )
    return _Plan(
        dataset=dataset,
        split=split,
        batch_size=min(options.batch_size, count),
        pictures=dataset.names(split, range(count)),
        digests=dataset.sha256(split, range(count)),
        models=dict(zip(models, paths, strict=True)),
        baselines=constant,
        folders=folders,
        notes=notes,
    )


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


# --- the work -----------------------------------------------------------------------------------


def _measure(plan, options, networks):
    """(the true pictures, baselines, models and folders in the order of the rows, failures)."""
    keep_going = options.keep_going
    if keep_going is None:
        keep_going = len(plan.models) + len(plan.folders) > 1
    colours = protocol.weights_of_colours(plan.dataset) if options.rebalance else None
    models, folders, failed = [], [], []

    def leave_out(source, error):
        if not keep_going:
            raise error
        failed.append(rows.Failure(str(source), str(error)))

    settings = measure.Settings(
        plan.split,
        len(plan.pictures),
        plan.batch_size,
        options.engine,
        colours,
        networks,
        tuple(metrics.of_batches(options.of_batches)),
    )
    for name, path in plan.models.items():
        try:
            model = Model(
                path,
                name,
                plan.dataset,
                plan.batch_size,
                options.precision,
                options.weights,
                options.embed_from,
                options.refine,
            )
            models += measure.measure([model], settings)
        except ModelError as error:
            leave_out(path, error)
    # Everything that needs no network in one pass, which reads each true picture once.
    truth, *others = measure.measure(
        [measure.TruePictures(plan.dataset), *plan.baselines, *plan.folders], settings
    )
    for each in others[len(plan.baselines) :]:
        if reason := each.method.unreadable(each.outcomes):
            leave_out(each.method.folder, ModelError(reason))
        else:
            folders.append(each)
    return truth, [*others[: len(plan.baselines)], *models, *folders], failed


def _result(plan, options, networks, true, measured, failed):
    """The `rows.Evaluation` of what was measured."""
    bootstrap = statistics.Bootstrap(len(plan.pictures))
    values, figures = _figures(true, true, networks)
    truth = statistics.truth_with_intervals(rows.Truth(figures, values, true.histograms), bootstrap)
    measured_rows = []
    for each in measured:
        values, figures = _figures(each, true, networks)
        source = each.method.source(plan.digests, each.outcomes)
        name, kind = each.method.name, each.method.kind
        row = rows.Row(name, kind, source, values, each.histograms, figures)
        measured_rows.append(statistics.with_intervals(row, truth, bootstrap))
    table_rows = statistics.with_best(tuple(measured_rows))
    dataset = plan.dataset
    columns = {
        **metrics.chosen(options.rebalance),
        **metrics.of_batches(options.of_batches),
        **(networks.columns if networks else {}),
    }
    return rows.Evaluation(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        data=rows.Data(
            name=dataset.name,
            split=plan.split,
            pictures=len(plan.pictures),
            of=dataset.count(plan.split),
            split_sha256=dataset.split_sha256(),
            pictures_sha256=files.sha256("".join(plan.digests).encode()),
            image_size=dataset.image_size,
            cut=dataset.cut,
            mean_ab=dataset.mean_ab.tolist(),
        ),
        protocol=protocol.describe(
            columns,
            names=[row.name for row in table_rows],
            precision=options.precision,
            batch_size=plan.batch_size,
            preset=presets.describe(options.preset) if options.preset else None,
        ),
        versions={
            **provenance.versions(),
            "scikit-image": skimage.__version__,  # type: ignore[attr-defined]  # it is lazy
            "opencv": cv2.__version__,
        },
        commit=provenance.commit(),
        rows=table_rows,
        pairs=statistics.pairs(table_rows, truth, bootstrap, options.against),
        against=options.against,
        truth=truth,
        pictures=tuple(map(rows.Picture, plan.pictures, plan.digests)),
        failed=tuple(failed),
        notes=(*plan.notes, *(networks.closing_notes(truth) if networks else ())),
    )


def _figures(measured, true, networks):
    """(values by picture, {key: Summary}) of one row or of the true pictures."""
    figures = measure.figures(measured.values, true.values.get("rarity"))
    values = measured.values
    if networks:
        more_values, more_figures = networks.results(measured.outputs, true.outputs)
        values, figures = values | more_values, figures | more_figures
    return measure.to_json(values), figures | measured.of_batches


# --- what is written ----------------------------------------------------------------------------


def check_writable(out: Path) -> None:
    """Make the folder `out`, or raise OSError before the long work rather than after it."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass


def _write(out, evaluation, pictures):
    files.write_json(out / "metrics.json", evaluation.to_json())
    with (
        files.replacing(out / "metrics.csv") as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        csv.writer(file).writerows(table.csv_rows(evaluation))
    with files.replacing(out / "index.html") as temporary:
        temporary.write_text(render.html(evaluation, pictures), "utf-8", "backslashreplace")
