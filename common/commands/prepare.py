"""Make shards and embeddings of a folder or a catalogued data set: `make data`."""

import sys

from common import cli, datasets, engines, photos
from common.networks import embeddings


def main(argv: list[str] | None = None) -> None:
    """The command `colorization data`."""
    parser = cli.Parser("colorization data", description=__doc__.splitlines()[0])
    datasets.add_arguments(parser)
    parser.add_argument("--size", type=cli.at_least(8), default=256, help="side of the pictures")
    parser.add_argument("--cut", choices=photos.CUTS, default="squash")
    parser.add_argument(
        "--embedding", choices=[*embeddings.NETWORKS, "none"], default="inception_resnet_v2"
    )
    datasets.add_embed_from(parser)
    parser.add_argument("--seed", type=cli.at_least(0), default=0)
    parser.add_argument("--max-megapixels", type=cli.at_least(0.0, float), default=300)
    parser.add_argument("--overwrite", action="store_true", help="make the shards anew")
    engines.add_flags(parser)
    args = parser.parse_args(argv)
    with engines.started(args.engine, args.ray_address) as engine:
        dataset = datasets.prepare(
            args.data,
            args.size,
            args.cut,
            None if args.embedding == "none" else args.embedding,
            args.embedding_weights,
            embed_from=args.embed_from,
            split_by=args.split_by,
            seed=args.seed,
            overwrite=args.overwrite,
            max_megapixels=args.max_megapixels,
            engine=engine,
        )
    print(
        f"{dataset.folder} is ready: "
        + ", ".join(f"{dataset.count(split)} {split}" for split in datasets.SPLITS)
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
