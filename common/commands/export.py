"""Write a model for another runtime: `make export MODEL=wombat FORMAT=onnx`."""

import sys
from pathlib import Path

from common import cli
from common.cli import UserError
from common.exports import export
from common.networks import model_names
from common.networks.flags import add_weights


def main(argv: list[str] | None = None) -> int:
    """The command `colorization export`."""
    parser = cli.Parser("colorization export", description=__doc__.splitlines()[0])
    export.add_model(parser)
    parser.add_argument(
        "--format",
        choices=[suffix[1:] for suffix in export.FORMATS],
        default="onnx",
        help="onnx, which `make colorize` takes too, or tflite, for apps",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="the file; if not given models/NAME.onnx or .tflite, of int8 models/NAME-int8.onnx",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    add_weights(
        parser, "embedding", "auto, or a file with the weights that the model was trained on"
    )
    args = parser.parse_args(argv)
    path, numbers = model_names.named(args.model), export.numbers_of(args)
    name = path.stem if numbers == "float32" else f"{path.stem}-{numbers}"
    suffix = f".{args.format}"
    out = args.out or Path("models") / f"{name}{suffix}"
    if out.suffix != suffix:
        raise UserError(f"OUT={out} does not end in {suffix}, as FORMAT={args.format} does.")
    if out.exists() and not args.overwrite:
        raise UserError(f"{out} is there already and stays; OVERWRITE=1 replaces it.")
    source = export.Source.of(path, args.embedding_weights)
    for written in export.FORMATS[suffix](source, out, numbers, args.calibrate):
        print(f"{written}, {written.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
