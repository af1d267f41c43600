"""Measure models on a data set's test split: `make eval`."""

import contextlib
import sys
from pathlib import Path

from common import cli, datasets, photos
from common.cli import UserError
from common.datasets import records
from common.evaluation import network_metrics, presets, table
from common.evaluation.evaluate import CUT, OUT, SIZE, evaluate
from common.networks import embeddings, h5
from common.networks.precision import PRECISIONS, choose_policy

# --- the command ------------------------------------------------------------------------------


def main(argv=None):
    """The command `python -m common.commands.evaluate`."""
    parser = cli.Parser("python -m common.commands.evaluate", description=__doc__.splitlines()[0])
    datasets.add_arguments(parser)
    parser.add_argument(
        "--models",
        "--model",
        nargs="+",
        metavar="MODEL",
        help="files, or names in models/; left out, every one in models/",
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
        help="also the AuC balanced by the training split's colours: one pass over "
        "it, kept beside the shards",
    )
    network_metrics.add_arguments(parser)
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
    args = parser.parse_args(argv)
    named = [h5.named(name) for name in args.models or []]
    paths = named or h5.available()
    preset = presets.PRESETS.get(args.preset)
    if preset:
        _check_preset(preset, args)
    if not paths and not args.predictions:
        print(
            "No model in models/: the baselines alone. Train one: `make train-koala`.", flush=True
        )
    report = evaluate(
        paths,
        _dataset(args, paths, skip=len(named) != 1),
        args.split or "test",
        args.out,
        limit=args.limit,
        batch_size=args.batch,
        precision=choose_policy(args.precision)[0],
        weights=args.embedding_weights,
        keep_going=len(named) + len(args.predictions) != 1,
        rebalance=args.rebalance,
        against=args.against,
        others=args.predictions,
        preset=preset,
        networks=network_metrics.of_arguments(args),
    )
    print(table.table(report))
    print(f"{args.out}/index.html, metrics.json and metrics.csv")
    for failure in report["failed"]:
        print(f"left out: {failure['reason']}", file=sys.stderr)
    return 1 if report["failed"] else 0


def _check_preset(preset, args):
    """A preset with something changed is another protocol."""
    changed = [
        name
        for name in ("size", "cut", "split", "split_by", "limit")
        if getattr(args, name) is not None
    ]
    if changed:
        raise UserError(
            f"PRESET={preset.name} says itself what {changed[0].upper()} is. Leave one "
            "of the two away."
        )


def _dataset(args, paths, skip):
    """The data set, prepared if it is not there, at the size and cut that all the models have.

    Of models that differ neither counts, but the data's own size if the catalogue has it. skip: let
    models that cannot be read be left out later, with their reasons.
    """
    if args.preset:
        preset = presets.PRESETS[args.preset]
        data = None if preset.data and args.data == "samples" else args.data
        return presets.dataset(preset, data, args.embedding, args.embedding_weights)
    if (Path(args.data) / "manifest.json").is_file():
        return _shards(args.data, args.embedding)
    found = set()
    for path in paths:
        with contextlib.suppress(UserError) if skip else contextlib.nullcontext():
            metadata = h5.metadata(path)
            found.add((metadata.get("image_size", SIZE), metadata.get("cut", CUT)))
    own = datasets.source_of(args.data).size or SIZE
    size, cut = found.pop() if len(found) == 1 else (own, CUT)
    return datasets.prepare(
        args.data,
        args.size or size,
        args.cut or cut,
        args.embedding,
        args.embedding_weights,
        split_by=args.split_by,
    )


def _shards(folder, network):
    """The data set of finished shards, with the embedding of `network` that was added last."""
    stored = records.read_manifest(folder)["embeddings"].values()
    known = [entry["sha256"] for entry in stored if network in (None, entry["network"])]
    if network and not known:
        raise UserError(
            f"{folder} holds no embedding of {network}. Name the folder of pictures, "
            "from which it is made, as DATA."
        )
    return datasets.Dataset(folder, known[-1] if known else None)


if __name__ == "__main__":
    sys.exit(cli.run(main))
