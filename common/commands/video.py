"""Colour a film, or an animation: `make video IN=film.mp4 OUT=film-colour.mp4`."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from common import cli, files, film
from common.cli import UserError
from common.colorize import settings
from common.colorize.settings import Settings

if TYPE_CHECKING:
    from common.colorize.colorizer import Colorizer


def main(argv: list[str] | None = None) -> int:
    """The command `colorization video`."""
    parser = cli.Parser("colorization video", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--in", dest="source", type=Path, required=True, metavar="IN", help="a film or an animation"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="the result: .mp4, .m4v, .mov, .mkv or .webm; of an animation .gif, .webp, .png or "
        ".apng; IN's name with -colour if not given",
    )
    parser.add_argument(
        "--steady",
        type=cli.yes_or_no,
        default=True,
        help="carry colours along the motion; 0 colours each frame by itself",
    )
    parser.add_argument(
        "--colour",
        choices=film.COLOUR,
        default="keep",
        help="keep scenes that are in colour already, or colour all of them anew",
    )
    parser.add_argument(
        "--lossless", action="store_true", help="FFV1, in .mkv: large, and exactly as coloured"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the result, or begin its work anew"
    )
    settings.add_flags(parser)
    args = parser.parse_args(argv)
    source = args.source
    if not source.is_file():
        kind = "is a folder" if source.is_dir() else "is not there"
        raise UserError(f"{source} {kind}. IN= is a film.")
    out = args.out or film.named(source)
    if out.resolve() == source.resolve():
        raise UserError(f"OUT={out} is IN= itself. Choose another name, so that the film stays.")
    how = Settings.of(args)
    path = how.path

    def load() -> "Colorizer":
        colorizer = how.colorizer()
        cli.say(how.said(colorizer))
        return colorizer

    options = film.Options(
        source,
        out,
        args.steady,
        args.colour,
        args.lossless,
        args.overwrite,
        dataclasses.asdict(how) | {"model": files.sha256(path)},
    )
    try:
        result = film.colour(options, load)
    except KeyboardInterrupt:
        cli.say("\nwhat is done is kept: the same command goes on from there")
        raise
    print("; ".join([str(out), *result.notes]))
    kept = f", {result.kept} of them in colour already" if result.kept else ""
    print(f"{result.frames} frames{kept}; coding changed L* by {result.difference:.2f} on average")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
