"""Measure models on a data set's test split: `make eval`."""

import contextlib
import dataclasses
import sys
from pathlib import Path

from common import cli, datasets, engines, metrics, photos
from common.cli import UserError
from common.colorize import settings
from common.datasets import records
from common.evaluation import network_metrics, presets, rows, table
from common.evaluation.evaluate import CUT, OUT, SIZE, Options, evaluate
from common.networks import embeddings, h5, imagenet, model_names, perceptual
from common.networks.flags import PRECISIONS, WEIGHTS_HELP, add_weights, variable_of
from common.networks.precision import choose_policy

WEIGHTS = {  # network: help text of the flag for its weights
    "classifier": f"of the classifier: {WEIGHTS_HELP}",
    "inception_v3": "the same, of Inception-v3 for fid and kid",
    "vgg16": "the same, of VGG16's features for lpips",
    "mobilenet_v2": "the same, of MobileNetV2's features for lpips",
    "lpips": perceptual.WEIGHTS_HELP,
}


@dataclasses.dataclass(frozen=True)
class Request:
    """What the flags ask for.

    models: files or names in models/; empty means every model there and the shipped default. data,
    size, cut, split_by, embedding: as for `datasets.prepare`; None leaves size and cut to the
    models and the data.
    """

    models: tuple[str, ...]
    data: str
    size: int | None
    cut: str | None
    split_by: str | None
    embedding: str | None
    split: str | None
    out: Path
    options: Options
    engine: tuple[str, str | None]  # what `engines.started` takes


def main(argv: list[str] | None = None) -> int:
    """The command `colorization eval`: the exit code is 1 where something was left out."""
    request = parse(argv)
    named = [model_names.named(name) for name in request.models]
    asked = named or model_names.available() or model_names.available(model_names.shipped())
    # Beside models of one's own, the one that colours where none is named.
    beside = [] if named else [path for path in model_names.default() if path not in asked]
    paths = asked + beside
    folders = request.options.predictions
    for path in paths:
        print(f"model: {path}", flush=True)
    if not paths and not folders:
        print(
            "No model in models/: the baselines alone. Train one: `make train-koala`.", flush=True
        )
    # A model named on its own must work; an unnamed broken file in models/ is left out.
    keep_going = len(named) + len(folders) != 1 or len(named) < len(paths)
    with engines.started(*request.engine) as engine:
        evaluation = evaluate(
            paths,
            _dataset(request, asked, len(named) != 1, engine),
            request.split or "test",
            request.out,
            dataclasses.replace(request.options, keep_going=keep_going, engine=engine),
        )
    report(evaluation, request.out)
    return 1 if evaluation.failed else 0


def report(evaluation: rows.Evaluation, out: Path) -> None:
    """Print the table, the paths of the files, and what was left out."""
    print(table.table(evaluation))
    print(f"{out}/index.html, metrics.json and metrics.csv")
    for failure in evaluation.failed:
        print(f"left out: {failure.reason}", file=sys.stderr)


def parse(argv: list[str] | None) -> Request:
    """The `Request` of a command line; exits with 2 for a wrong one."""
    parser = cli.Parser("colorization eval", description=__doc__.splitlines()[0])
    datasets.add_arguments(parser)
    parser.add_argument(
        "--models",
        "--model",
        nargs="+",
        metavar="MODEL",
        help="files, or names in models/ or of shipped models; default: every model in models/ "
        "and the shipped wombat; where there is none, all shipped models",
    )
    parser.add_argument(
        "--predictions",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="pictures that other systems made, found by name: folder, or name=folder",
    )
    parser.add_argument(
        "--preset", choices=presets.PRESETS, help="a named protocol: which pictures, at which size"
    )
    parser.add_argument(
        "--embedding",
        choices=embeddings.NETWORKS,
        help="store this network's embedding with the data, for the nearest "
        "neighbour; without it that is of the embedding added last, if any",
    )
    datasets.add_embed_from(parser)
    parser.add_argument("--split", choices=datasets.SPLITS, default=None, help="else test")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    parser.add_argument("--limit", type=cli.at_least(1), help="at most so many pictures")
    parser.add_argument("--batch", type=cli.at_least(1), default=16, help="pictures at a time")
    parser.add_argument(
        "--against",
        metavar="NAME",
        help="the row of the table to compare the others with, else all pairs",
    )
    parser.add_argument(
        "--rebalance",
        action="store_true",
        help="also the AuC balanced by the training split's colours, which takes one pass over "
        "it and is stored beside the shards",
    )
    parser.add_argument(
        "--metrics",
        help="beside the others: all, or some of "
        f"{','.join([*metrics.BATCH_METRICS, *network_metrics.NAMES])}",
    )
    parser.add_argument(
        "--classifier",
        choices=imagenet.NETWORKS,
        default=network_metrics.CLASSIFIER,
        help="the ImageNet network of top1, frechet and kernel",
    )
    parser.add_argument(
        "--perceptual",
        default=network_metrics.PERCEPTUAL,
        choices=sorted({*perceptual.LPIPS, *perceptual.FEATURES}),
        help="the network of lpips, by its own name where it is not LPIPS",
    )
    for network, help in WEIGHTS.items():
        add_weights(parser, network, help)
    settings.add_refine(parser, Options.refine)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument(
        "--size",
        type=cli.at_least(8),
        default=None,
        help=f"side of the pictures, else that of all the models, else the data's, else {SIZE}",
    )
    parser.add_argument(
        "--cut", choices=photos.CUTS, default=None, help=f"else that of all the models, else {CUT}"
    )
    engines.add_flags(parser)
    args = parser.parse_args(argv)
    preset = presets.PRESETS.get(args.preset)
    if preset:
        fixed = {
            "SIZE": args.size,
            "CUT": args.cut,
            "SPLIT": args.split,
            "SPLIT_BY": args.split_by,
            "LIMIT": args.limit,
        }
        _check_preset(preset, [name for name, value in fixed.items() if value is not None])
    flags = vars(args)
    weights = {variable_of(network): flags[f"{network}_weights"] for network in WEIGHTS}
    asked = tuple(args.metrics.split(",")) if args.metrics else ()
    if asked == ("all",):
        asked = (*metrics.BATCH_METRICS, *network_metrics.NAMES)
    options = Options(
        limit=args.limit,
        batch_size=args.batch,
        precision=choose_policy(args.precision)[0],
        weights=args.embedding_weights,
        embed_from=args.embed_from,
        refine=args.refine,
        rebalance=args.rebalance,
        against=args.against,
        predictions=tuple(args.predictions),
        preset=preset,
        networks=_networks(asked, args.classifier, args.perceptual, weights),
        of_batches=tuple(metrics.of_batches(asked)),
    )
    return Request(
        models=tuple(args.models or ()),
        data=args.data,
        size=args.size,
        cut=args.cut,
        split_by=args.split_by,
        embedding=args.embedding,
        split=args.split,
        out=args.out,
        options=options,
        engine=(args.engine, args.ray_address),
    )


def _networks(asked, classifier, network, weights):
    """The request of metrics of networks; None where none is asked for."""
    names = tuple(name for name in asked if name not in metrics.BATCH_METRICS)
    return network_metrics.Request(names, classifier, network, weights) if names else None


def _check_preset(preset, changed):
    """A preset with something changed is another protocol."""
    if changed:
        raise UserError(f"PRESET={preset.name} fixes {changed[0]}. Leave one of the two away.")


def _dataset(request, paths, skip, engine):
    """The data set, prepared if missing, at the size and cut that all the models share.

    If models differ, the data's own size is used if the catalogue has one. skip: ignore models
    that cannot be read; the evaluation lists them with the reasons.
    """
    data, weights = request.data, request.options.weights
    if preset := request.options.preset:
        data = None if preset.data and data == "samples" else data
        return presets.dataset(
            preset, data, request.embedding, weights, request.options.embed_from, engine
        )
    if (Path(data) / "manifest.json").is_file():
        return _shards(data, request.embedding)
    geometries = set()
    for path in paths:
        with contextlib.suppress(UserError) if skip else contextlib.nullcontext():
            metadata = h5.metadata(path)
            geometries.add((metadata.get("image_size", SIZE), metadata.get("cut", CUT)))
    own = datasets.source_of(data).size or SIZE
    size, cut = geometries.pop() if len(geometries) == 1 else (own, CUT)
    return datasets.prepare(
        data,
        request.size or size,
        request.cut or cut,
        request.embedding,
        weights,
        embed_from=request.options.embed_from,
        split_by=request.split_by,
        engine=engine,
    )


def _shards(folder, network):
    """The data set of finished shards, with the embedding of `network` that was added last."""
    stored = records.read_manifest(folder)["embeddings"]
    known = [key for key, entry in stored.items() if network in (None, entry["network"])]
    if network and not known:
        raise UserError(
            f"{folder} holds no embedding of {network}. Name the folder of pictures, "
            "from which it is made, as DATA."
        )
    return datasets.Dataset(folder, known[-1] if known else None)


if __name__ == "__main__":
    sys.exit(cli.run(main))
