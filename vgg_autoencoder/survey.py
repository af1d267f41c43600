"""People's verdicts on its pictures: `make survey-vgg_autoencoder`."""

import sys

from common import cli, survey


def main(argv=None):
    """Write the page and its key."""
    return survey.main(argv, report="vgg_autoencoder")


if __name__ == "__main__":
    sys.exit(cli.run(main))
