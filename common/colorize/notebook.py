"""What notebooks show: of a `Colorizer` a table, and pictures side by side."""

import dataclasses
import html
from typing import TYPE_CHECKING

import cv2
import numpy as np

from common import photos
from common.cli import one_line

if TYPE_CHECKING:
    from common.colorize.colorizer import Colorizer

_LONGEST = 200  # characters of a value
_GAP = 6  # pixels of white between pictures
_JPEG = (
    *(cv2.IMWRITE_JPEG_QUALITY, 90),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)


def table(colorizer: "Colorizer") -> str:
    """A colorizer as an HTML table; what its model's file says of itself is escaped and cut."""
    rows = "".join(
        f'<tr><th style="text-align: left">{_text(name)}</th>'
        f'<td style="text-align: left">{_text(value)}</td></tr>'
        for name, value in _rows(colorizer).items()
        if value
    )
    caption = f"<caption><b>{_text(colorizer.path.stem)}</b></caption>"
    return f"<table>{caption}<tbody>{rows}</tbody></table>"


def _text(value: object) -> str:
    return html.escape(one_line(value, _LONGEST))


def _rows(colorizer):
    """{name: value} of the lines; without a value there is no line."""
    path, about = colorizer.path, colorizer.metadata
    config, epochs, commit = (about.get(key) for key in ("config_name", "epochs", "commit"))
    options = about.get("options")
    pretrained, metrics, versions = (
        about[key] if isinstance(about.get(key), dict) else {}  # a stranger's may be anything
        for key in ("pretrained", "metrics", "versions")
    )
    figures = (f"{key} {value:.4g}" for key, value in metrics.items() if isinstance(value, float))
    of = "the photo" if colorizer.embeds_photos else "what the network receives"
    size = f"{path.stat().st_size / 1e6:.1f} MB" if path.is_file() else ""
    return {
        "file": _joined(path, size),
        "report": _joined(about.get("report"), config and f"config {config}"),
        "options": _joined(*options) if isinstance(options, list) else options,
        "trained on": _joined(about.get("data", {}).get("name"), epochs and f"epochs: {epochs}"),
        "training": _joined(about.get("runs"), about.get("trained_by")),
        "began from": _joined(*map(_network, pretrained.values())),
        "figures": _joined(*figures, metrics.get("split") and f"{metrics['split']} pictures"),
        "parameters": colorizer.parameters and f"{colorizer.parameters:,}",
        "receives": f"L* of {colorizer.size} x {colorizer.size}, cut: {colorizer.cut}",
        "embedding": colorizer.embedding and f"of {of}: {_network(colorizer.embedding)}",
        "vivid": _vivid(colorizer),
        "tint": colorizer.tint and "a* {:+g}, b* {:+g}".format(*colorizer.tint),
        "after the network": colorizer.refine,
        "prints": _joined(
            "tint taken off" * colorizer.clean, "border kept" * colorizer.keeps_border
        ),
        "computed by": _joined(colorizer.runtime, colorizer.note),
        "exported by": _joined(
            *(f"{name} {version}" for name, version in versions.items()),
            commit and f"commit {commit}",
        ),
    }


def _network(about):
    """A pretrained network, and which weights it has."""
    if not isinstance(about, dict):
        return ""
    return _joined(about.get("network"), about.get("weights") and f"weights: {about['weights']}")


def _vivid(colorizer):
    if colorizer.dial is None:
        return None
    vivid = colorizer.dial.default if colorizer.vivid is None else colorizer.vivid
    return f"{vivid:g}, from 0, faithful, to 1, vivid"


def _joined(*values):
    return ", ".join(str(value) for value in values if value)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Pictures side by side, which a notebook shows. pixels: (H, W, 3) uint8."""

    pixels: np.ndarray

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"<Pictures, {width} x {height}>"

    def _repr_jpeg_(self) -> bytes:
        return cv2.imencode(".jpg", self.pixels[..., ::-1], _JPEG)[1].tobytes()


def beside(*pictures: np.ndarray, height: int = 256) -> Pictures:
    """Pictures as a `Colorizer` takes and returns them, side by side at one height in pixels."""
    if not pictures:
        raise ValueError("beside() needs at least one picture. Received: none.")
    shown = []
    for picture in map(photos.opaque, pictures):
        width = max(1, round(picture.shape[1] * height / picture.shape[0]))
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        rgb = small if small.ndim == 3 else np.repeat(small[..., None], 3, axis=2)
        shown += [rgb, np.full((height, _GAP, 3), 255, np.uint8)]
    return Pictures(np.concatenate(shown[:-1], axis=1))
