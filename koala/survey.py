"""People's verdicts on its pictures: `make survey-koala`."""

import sys

from common import cli, survey

PUBLISHED = survey.Published(
    0.4587, "Baldassarre et al. 2017: 41 people, 9 recoloured and 3 original pictures"
)


def main(argv=None):
    """Write the page and its key."""
    return survey.main(argv, report="koala", published=PUBLISHED)


if __name__ == "__main__":
    sys.exit(cli.run(main))
