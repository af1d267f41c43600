"""What several commands let a person choose: weights by the name of their network, a precision.

Without Keras, so that a command's --help need not import it.
"""

import argparse
import os

from common.networks import model_names

PRECISIONS = ("auto", "float32", "mixed_bfloat16")  # what `precision.choose_policy` takes
WEIGHTS_HELP = "auto, imagenet, random, or a Keras weights file"


def add_model(parser: argparse.ArgumentParser, files: str) -> None:
    """Add the flag of an exported model to an argparse parser; files: the kinds that it takes."""
    parser.add_argument(
        "--model",
        help=f"an {files} file, or a name in models/ or of a shipped model; "
        f"{model_names.DEFAULT} if not given",
    )


def variable_of(network: str) -> str:
    """The environment and make variable of a network's weights: `vgg16` -> `VGG16_WEIGHTS`."""
    return f"{network.upper()}_WEIGHTS"


def add_weights(parser: argparse.ArgumentParser, network: str, help: str = WEIGHTS_HELP) -> None:
    """Add the flag of a network's weights to an argparse parser.

    `vgg16` -> `--vgg16-weights`. Its default is the environment variable VGG16_WEIGHTS, or `auto`.
    """
    parser.add_argument(
        f"--{network.replace('_', '-')}-weights",
        type=os.path.expanduser,
        default=os.environ.get(variable_of(network), "auto"),
        help=help,
    )
