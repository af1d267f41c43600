"""Colour a photo or a folder of photos: `make colorize IN=photo.jpg`."""

import sys
from pathlib import Path

from common import cli, engines
from common.cli import UserError
from common.colorize import engine, places, settings
from common.colorize.folder import colour_apart, colour_folder
from common.colorize.places import Options
from common.colorize.settings import Settings
from common.colorize.single import colour_photo, write_variants


def main(argv: list[str] | None = None) -> int:
    """The command `colorization colorize`."""
    parser = cli.Parser("colorization colorize", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--in",
        dest="source",
        type=Path,
        required=True,
        metavar="IN",
        help="a photo or a folder of photos",
    )
    parser.add_argument("--out", type=Path, default=Options.out, help="folder of the results")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results that are there already"
    )
    parser.add_argument(
        "--variants",
        action="store_true",
        help="instead of the result, a sheet of one photo in nine settings of --vivid and --tint",
    )
    engine.add_flags(parser)
    settings.add_flags(parser)
    settings.add_flags_of_prints(parser)
    engines.add_flags(parser)
    args = parser.parse_args(argv)
    options = Options.of(args)
    with (
        engines.started(args.engine, args.ray_address) as shared,
        places.made(options),
    ):
        if not shared.apart:
            return run(options, Settings.of(args), variants=args.variants)
        if args.variants or not options.source.is_dir():
            raise UserError("ENGINE=ray colours folders. Leave it out for one photo.")
        return colour_apart(options, Settings.of(args), shared)


def run(options: Options, how: Settings, variants: bool = False) -> int:
    """Colour a photo or a folder, or write a sheet of variants; the exit code. `UserError`."""
    if variants and (how.vivid is not None or how.tint is not None):
        raise UserError("VARIANTS=1 shows several VIVID= and TINT=: leave those two out.")
    folder = options.source.is_dir()
    at_a_time = engine.threads() if folder else 1
    with engine.started(how, options.isolate, at_a_time) as started:
        if variants:
            write_variants(options, started, how)
        elif folder:
            return colour_folder(options, started)
        else:
            colour_photo(options, started)
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
