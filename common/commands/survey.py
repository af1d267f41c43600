"""A page that asks people which pictures are recoloured: `make survey-koala`."""

import sys
from pathlib import Path

from common import cli, datasets, engines
from common.commands import reports
from common.evaluation import evaluate, models, table
from common.networks import h5, model_names
from common.networks.flags import PRECISIONS
from common.networks.precision import choose_policy
from common.survey import ask
from common.survey.schema import OUT


def main(argv: list[str] | None = None) -> None:
    """The command `colorization survey`."""
    parser = cli.Parser("colorization survey", description=__doc__.splitlines()[0])
    parser.add_argument("report", choices=reports.names())
    datasets.add_arguments(parser)
    datasets.add_embed_from(parser)
    parser.add_argument("--model", help="a file, or a name in models/; the report's if not given")
    parser.add_argument("--split", choices=datasets.SPLITS, default="test")
    parser.add_argument("--recoloured", type=cli.at_least(1), default=9, help="so many pictures")
    parser.add_argument("--originals", type=cli.at_least(1), default=3, help="so many pictures")
    parser.add_argument("--seed", type=cli.at_least(0), default=0, help="draws the pictures")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument(
        "--out", type=Path, help=f"folder of page and key; {OUT}/REPORT if not given"
    )
    engines.add_flags(parser)
    args = parser.parse_args(argv)
    out = args.out or OUT / args.report
    path = model_names.named(args.model or args.report)
    ask.check_free(out)
    print(f"model: {path}", flush=True)
    with engines.started(args.engine, args.ray_address) as engine:
        about = h5.metadata(path)
        dataset = _dataset(args.data, args.split_by, args.embedding_weights, about, engine)
    model = models.Model(
        path,
        path.stem,
        dataset,
        ask.BATCH,
        choose_policy(args.precision)[0],
        args.embedding_weights,
        args.embed_from,
    )
    # A report whose authors made a survey states its result in its claims.
    published = vars(reports.module(args.report, "claims")).get("PUBLISHED")
    survey = ask.make(
        model, dataset, args.split, args.recoloured, args.originals, args.seed, published
    )
    survey.write(out)
    print(
        f"{out}/index.html: hand this page on. Keep {out}/key.json, which holds the answers.\n"
        "Put the files that come back into a folder: `make survey-results IN=folder`."
    )
    seen = survey.key["seen"]
    if seen is None:
        print("Beware: the model does not record what it was trained on.")
    elif seen:
        print(f"Beware: the model was trained on {seen} of these pictures.")
    if dataset.name == "samples":
        print(table.RUNS_ONLY)


def _dataset(data, split_by, weights, metadata, engine):
    """The data set at the model's size; not squashed, since people would notice that."""
    if (Path(data) / "manifest.json").is_file():
        return datasets.Dataset(data)
    return datasets.prepare(
        data,
        metadata.get("image_size", evaluate.SIZE),
        "centre",
        None,
        weights,
        split_by=split_by,
        for_training=False,
        engine=engine,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
