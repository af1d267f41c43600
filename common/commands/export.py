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
    parser.add_argument(
        "--model",
        help="an .h5 file, or a name in models/ or of a shipped model; "
        f"{model_names.DEFAULT} if not given",
    )
    parser.add_argument(
        "--format", choices=[suffix[1:] for suffix in export.FORMATS], default="onnx"
    )
    parser.add_argument(
        "--quantize", choices=export.NUMBERS[1:], help="numbers of fewer bits than float32"
    )
    parser.add_argument(
        "--calibrate", type=Path, help="a folder of photos, by which int8 measures its ranges"
    )
    parser.add_argument(
        "--out", type=Path, help="the file; by default models/NAME, with the numbers and the format"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    add_weights(
        parser, "embedding", "auto, or a file with the weights that the model was trained on"
    )
    args = parser.parse_args(argv)
    if args.calibrate and args.quantize != "int8":
        raise UserError("CALIBRATE= is for QUANTIZE=int8: add that, or leave CALIBRATE= out.")
    path = model_names.named(args.model)
    numbers = args.quantize or "float32"
    name = path.stem if numbers == "float32" else f"{path.stem}-{numbers}"
    suffix = f".{args.format}"
    out = args.out or Path("models") / f"{name}{suffix}"
    if out.suffix != suffix:
        raise UserError(f"OUT={out} does not end in {suffix}, as FORMAT={args.format} does.")
    if out.exists() and not args.overwrite:
        raise UserError(f"{out} is there already and stays; OVERWRITE=1 replaces it.")
    if numbers == "int8":
        export.check_calibration(args.calibrate)
    source = export.Source.of(path, args.embedding_weights)
    for written in export.FORMATS[suffix](source, out, numbers, args.calibrate):
        print(f"{written}, {written.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
