"""Colour a photo or a folder of photos: `make colorize IN=photo.jpg`."""

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from common import cli
from common.cli import UserError
from common.colorize import places, settings
from common.colorize.folder import colour_folder
from common.colorize.places import Options
from common.colorize.settings import Settings
from common.colorize.single import colour_photo, write_variants

if TYPE_CHECKING:
    from common.colorize.colorizer import Colorizer


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
        "--max-megapixels",
        type=cli.at_least(0, float),
        default=Options.max_megapixels,
        help="larger pictures are refused",
    )
    parser.add_argument(
        "--variants",
        action="store_true",
        help="instead, a sheet of the photo in several settings of --vivid and --tint",
    )
    settings.add_flags(parser)
    args = parser.parse_args(argv)
    options = Options(args.source, args.out, args.overwrite, args.max_megapixels)
    how = Settings.of(args)
    places.check(options)
    path = how.path  # a missing model is said before the work, not after it

    @functools.cache  # with the first photo that needs it, so that a finished folder takes no time
    def load() -> "Colorizer":
        colorizer = how.colorizer()
        note = f" ({colorizer.note})" if colorizer.note else ""
        cli.say(f"model: {path}, by {colorizer.runtime}{note}")
        return colorizer

    if args.variants:
        if args.vivid is not None or args.tint is not None:
            raise UserError("VARIANTS=1 shows several VIVID= and TINT=: leave those two out.")
        write_variants(options, load)
        return 0

    def colour(pixels):
        return load()(pixels, in_place=True)

    if options.source.is_dir():
        return colour_folder(options, colour)
    colour_photo(options, colour)
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
