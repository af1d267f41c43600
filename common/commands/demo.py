"""Serve a page that colours photos dropped on it: `make demo`."""

import dataclasses
import sys

from common import cli
from common.colorize import engine, settings
from common.colorize.settings import Settings
from common.demo import server
from common.demo.server import Options


def main(argv: list[str] | None = None) -> None:
    """The command `colorization demo`."""
    parser = cli.Parser("colorization demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--host",
        default=Options.host,
        help="the address to serve on; 0.0.0.0 lets in whoever reaches this machine, unasked",
    )
    parser.add_argument(
        "--port",
        type=cli.at_least(1),
        help=f"the port; if not given, the first free one from {server.PORT} on",
    )
    parser.add_argument(
        "--max-megabytes",
        type=cli.at_least(0, float),
        default=Options.max_megabytes,
        help="larger uploads, all their files together, are refused",
    )
    engine.add_flags(parser)
    settings.add_flags(parser)
    settings.add_flags_of_prints(parser)
    args = parser.parse_args(argv)
    given = vars(args)
    options = Options(**{field.name: given[field.name] for field in dataclasses.fields(Options)})
    server.serve(options, Settings.of(args))


if __name__ == "__main__":
    sys.exit(cli.run(main))
