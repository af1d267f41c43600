"""People's verdicts on its pictures: `make survey-feup`."""

import sys

from common import cli, survey


def main(argv=None):
    """Write the page and its key."""
    return survey.main(argv, report="feup")


if __name__ == "__main__":
    sys.exit(cli.run(main))
