"""Which pictures people took for real: `make survey-results IN=folder`."""

import sys
from pathlib import Path

from common import cli
from common.survey import answers, schema


def main(argv: list[str] | None = None) -> int:
    """The command `colorization survey-results`; 1 where a file was skipped."""
    parser = cli.Parser("colorization survey-results", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--in",
        dest="source",
        type=Path,
        required=True,
        metavar="IN",
        help="the folder of the files that people saved",
    )
    parser.add_argument(
        "--key",
        type=Path,
        default=schema.OUT,
        help="the folder of the surveys' key.json, if they are not in IN",
    )
    args = parser.parse_args(argv)
    results = answers.read(args.source, args.key)
    print(answers.table(results))
    for path, reason in results.skipped:
        print(f"left out: {path}: {reason}", file=sys.stderr)
    return 1 if results.skipped else 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
