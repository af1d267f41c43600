"""What people took for real: `make survey-results IN=folder`."""

import sys
from pathlib import Path

from common import cli, survey
from common.survey.answers import read, table


def main(argv=None):
    """The command `python -m common.commands.survey_results`."""
    parser = cli.Parser(
        "python -m common.commands.survey_results", description=__doc__.splitlines()[0]
    )
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
        default=survey.OUT,
        help="the folder of the surveys' key.json, if they are not in IN",
    )
    args = parser.parse_args(argv)
    keys, answers, left_out = read(args.source, args.key)
    print(table(keys, answers))
    for path, reason in left_out:
        print(f"left out: {path}: {reason}", file=sys.stderr)
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
