"""A report as small as can be, as a command: `python -m tests.tiny`, for runs that get killed."""

import sys

from common import cli, training
from tests import drawn

CONFIGS = {
    "plain": drawn.Config(augment=("flip", "zoom", "shear"), batch_size=2, epochs=4),
    "decay": drawn.Config(decay="cosine", learning_rate=1e-3),
    "wild": drawn.Config(learning_rate=1e38),
    "views": drawn.Config(embedding="mobilenet_v2", augment=("zoom",), batch_size=2, epochs=1),
    "fused": drawn.Config(embedding="mobilenet_v2", batch_size=2, epochs=1),
}


def main(argv=None):
    """Train the tiny network."""
    return training.main(
        argv,
        report="tiny",
        configs=CONFIGS,
        build_model=drawn.build_model,
        compile_model=drawn.compile_model,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
