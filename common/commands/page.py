"""Write a page that colours photos in the browser: `make page MODEL=wombat`."""

import sys
from pathlib import Path

from common import cli
from common.exports import browser, export
from common.networks import model_names

OUT = Path("reports") / "page"


def main(argv: list[str] | None = None) -> int:
    """The command `colorization page`."""
    parser = cli.Parser("colorization page", description=__doc__.splitlines()[0])
    export.add_model(parser)
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the page")
    parser.add_argument("--archive", type=Path, help=f"{browser.ARCHIVE}, where npm has no network")
    args = parser.parse_args(argv)
    path, numbers = model_names.named(args.model), export.numbers_of(args)
    browser.write(export.Source.of(path), args.out, numbers, args.calibrate, args.archive)
    print(f"{args.out}/index.html: python3 -m http.server --bind 127.0.0.1 --directory {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
