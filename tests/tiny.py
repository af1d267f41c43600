"""A report as small as can be, as a command: `python -m tests.tiny`, for runs that get killed."""

import sys

from common import cli, training
from common.commands import train
from tests import drawn

CONFIGS = {
    "plain": drawn.Config(augment=("flip", "zoom", "shear"), batch_size=2, epochs=4),
    "decay": drawn.Config(decay="cosine", learning_rate=1e-3),
    "wild": drawn.Config(learning_rate=1e38),
    "views": drawn.Config(embedding="mobilenet_v2", augment=("zoom",), batch_size=2, epochs=1),
    "fused": drawn.Config(embedding="mobilenet_v2", batch_size=2, epochs=1),
}
REPORT = training.Report("tiny", CONFIGS, drawn.build_model, drawn.optimizer, drawn.loss)


def main(argv=None):
    """Train the tiny network."""
    return train.main(argv, report=REPORT)


if __name__ == "__main__":
    sys.exit(cli.run(main))
