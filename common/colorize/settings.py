"""How to colour: the model and every dial, as one value that also another process can be given.

A further dial is a field of `Settings`, named in `DIALS` if it needs no other network, its flag in
`add_flags`, and its argument in `colorizer`.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.colorize import dials, refine
from common.exports import choice
from common.networks import flags, model_names

if TYPE_CHECKING:
    from common.colorize.colorizer import Colorizer

# Those of `Settings` that are arguments of `Colorizer.turned`: the model stays loaded.
DIALS = ("vivid", "tint", "refine", "clean", "border")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The arguments of a `Colorizer`, where they are explained; all can be pickled.

    model: a path or a name, None for the default model. embedding_weights: `auto` or a file.
    runtime: as `exports.choice.choose` takes it.
    """

    model: str | Path | None = None
    precision: str = "float32"
    runtime: str | None = None
    embedding_weights: str = "auto"
    vivid: float | None = None
    tint: tuple[float, float] | None = None
    refine: str = refine.DEFAULT
    clean: bool = False
    border: str = dials.BORDERS[0]

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Settings":
        """Those that the flags of `add_flags` and `add_flags_of_prints` give."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in vars(args).items() if name in names})

    @property
    def path(self) -> Path:
        """The model's file; raises `UserError` where there is none of that name."""
        return model_names.named(self.model)

    @property
    def undialled(self) -> "Settings":
        """The same model, with every dial at its default."""
        defaults: dict[str, Any] = {name: getattr(Settings, name) for name in DIALS}
        return dataclasses.replace(self, **defaults)

    def turned(self, colorizer: "Colorizer") -> "Colorizer":
        """A colorizer of the same model, `undialled`, with these dials; may raise `UserError`."""
        return colorizer.turned(**{name: getattr(self, name) for name in DIALS})

    def colorizer(self) -> "Colorizer":
        """What colours so; it loads the model, with Keras if needed, and raises `UserError`."""
        from common.colorize.colorizer import Colorizer

        chosen = choice.choose(self.path, self.runtime, self.precision, self.embedding_weights)
        colorizer = Colorizer(
            chosen.path,
            self.precision,
            self.embedding_weights,
            vivid=self.vivid,
            tint=self.tint,
            refine=self.refine,
            clean=self.clean,
            border=self.border,
        )
        colorizer.note = chosen.note
        return colorizer

    def said(self, colorizer: "Colorizer") -> str:
        """The line that says by which model pictures are coloured, and how that is computed."""
        note = f" ({colorizer.note})" if colorizer.note else ""
        return f"model: {self.path}, by {colorizer.runtime}{note}"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each of `Settings` to an argparse parser, but for those of prints."""
    flags.add_model(parser, ".h5 or .onnx")
    parser.add_argument(
        "--vivid",
        type=dials.parse_vivid,
        help="from 0, faithful, to 1, vivid, if the model classifies ab; by default as exported",
    )
    parser.add_argument(
        "--tint",
        type=dials.parse_tint,
        help="warm, cool, or a shift of a* and b* in Lab units: a,b",
    )
    add_refine(parser, Settings.refine)
    parser.add_argument(
        "--precision",
        choices=flags.PRECISIONS,
        default=Settings.precision,
        help="of the network's arithmetic; auto takes bfloat16 where the hardware is fast at it",
    )
    parser.add_argument(
        "--runtime",
        choices=choice.RUNTIMES,
        default=Settings.runtime,
        help="what computes the network; auto, unless RUNTIME in the environment is another, takes "
        "ONNX Runtime, which starts sooner, where it is installed",
    )
    flags.add_weights(
        parser, "embedding", "auto, or a file with the weights that the model was trained on"
    )


def add_flags_of_prints(parser: argparse.ArgumentParser) -> None:
    """Add those of `Settings` that are for scans of prints, not for films."""
    parser.add_argument(
        "--clean",
        action="store_true",
        help="take an old print's tint off first (sepia, yellowing, fading); a photo in colour is "
        "refused",
    )
    parser.add_argument(
        "--border",
        choices=dials.BORDERS,
        default=Settings.border,
        help="the paper around a scanned print: colour it too, or keep it as it is, unseen by the "
        "network",
    )


def add_refine(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the flag that says what is done to ab after the network."""
    parser.add_argument(
        "--refine",
        choices=refine.WAYS,
        default=default,
        help="how the network's colours are enlarged: bilinearly (none), along edges (guided), so "
        "after smoothing (tv), or so after a random field over the bins (crf)",
    )
