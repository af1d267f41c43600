"""An .onnx that ONNX Runtime computes, in the form in which a `Colorizer` takes any network.

Neither Keras nor TensorFlow is imported.
"""

import copy
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from common.cli import UserError, first_line
from common.color import bins, lab
from common.color.dial import Dial
from common.exports import extras, onnx_checks, resampling
from common.networks.metadata import ATTRIBUTE, parsed

CLASSES = 1000  # logits of an embedding
BATCH = 16  # as `networks.embeddings` has it: a picture's embedding has the same bits everywhere


class OnnxNetwork:
    """An .onnx of `make export`, or a stranger's from `l` to `ab`. Raises `UserError`.

    Attributes as of `networks.keras_network.KerasNetwork`; `small` names the output before it is
    enlarged.
    """

    parameters: int | None = None  # among the constants of the graph, which tell nothing apart

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._session, self.metadata, self.runtime = _opened(path)
        self.inputs = {given.name: _shape(given) for given in self._session.get_inputs()}
        returned = {given.name: _shape(given) for given in self._session.get_outputs()}
        if "ab" not in returned and len(returned) == 1:
            self._ab, (shape,) = next(iter(returned)), returned.values()
        else:
            self._ab, shape = "ab", returned.get("ab", ())
        others = {name: each for name, each in self.inputs.items() if name != "l"}
        l = self.inputs.get("l", ())
        if (
            (len(l), len(shape)) != (4, 4)
            or (l[1], l[3], shape[3]) != (l[2], 1, 2)
            or any(name != "embedding" or each[1:] != (CLASSES,) for name, each in others.items())
            or any(given.type != "tensor(float)" for given in self._session.get_inputs())
        ):
            raise UserError(
                f"{path} is no colorizer: it needs an input `l` (L*), (N, S, S, 1), perhaps one "
                f"named `embedding`, (N, {CLASSES}), and an output `ab`, (N, S, S, 2)."
            )
        dial = self.metadata.get("dial")
        self.has_logits = bool(dial) and returned.get("logits", ())[3:] == (len(bins.CENTRES),)
        self.small = "small" if "small" in returned else self._ab
        self._decoding = Dial.of_json(dial).at() if self.has_logits else None
        self._decoded = False  # outside the network, otherwise than it does itself

    def decoded(self, dial: Dial, vivid: float) -> "OnnxNetwork":
        """The same network, whose logits become ab at `vivid` in [0, 1] of the dial."""
        other = copy.copy(self)
        other._decoding, other._decoded = dial.at(vivid), vivid != dial.default
        return other

    def predict(self, inputs: Mapping[str, np.ndarray], small: bool = False) -> np.ndarray:
        """Arrays by input's name -> ab (N, H, W, 2) float32, Lab units; small: not enlarged."""
        if not self._decoded:
            return self._run(inputs, self.small if small else self._ab)
        ab = self.shares(inputs) @ bins.CENTRES
        size = inputs["l"].shape[1:3]
        if small or ab.shape[1:3] == size:
            return ab
        return np.stack(
            [cv2.resize(each, size[::-1], interpolation=cv2.INTER_LINEAR) for each in ab]
        )

    def shares(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Arrays by input's name -> the shares of the bins whose mean is ab, (N, h, w, 313).

        Only where `has_logits`.
        """
        assert self._decoding is not None
        return bins.shares_of(self._run(inputs, "logits"), *self._decoding)

    def embedder(self, about: Mapping[str, str], weights: str | Path | None) -> "OnnxEmbedder":
        """The embedding network of the metadata `about`, an .onnx beside this one."""
        path = embedding_beside(self._path, about)
        if not path.is_file():
            raise UserError(
                f"{self._path} needs its embedding network, {path}, which is not there. "
                "`make export` writes both: keep them together."
            )
        return OnnxEmbedder(path, about["sha256"])

    def _run(self, inputs, output):
        wanted = {name: np.asarray(inputs[name], np.float32) for name in self.inputs}
        if self.inputs["l"][0] is None:
            return self._session.run([output], wanted)[0]
        one_by_one = [  # exported for a single picture
            self._session.run([output], {name: each[i : i + 1] for name, each in wanted.items()})[0]
            for i in range(len(wanted["l"]))
        ]
        return np.concatenate(one_by_one)


class OnnxEmbedder:
    """An embedding network as a function of L*, like `networks.embeddings.Embedder`.

    `UserError` where the file's network is not the one of `sha256`, a hash over its weights.
    """

    def __init__(self, path: str | Path, sha256: str) -> None:
        self._session, metadata, _ = _opened(path)
        self.metadata = metadata.get("embedding") or {}
        self.sha256 = self.metadata.get("sha256")
        (given,) = self._session.get_inputs()
        if self.sha256 != sha256 or given.name != "grey":
            raise UserError(f"{path} is not the embedding network of the model; export both anew.")
        self.size = int(_shape(given)[1])

    def __call__(self, l: np.ndarray, pad: bool = False) -> np.ndarray:
        """(N, H, W, 1) float32 L* in [0, 100], any size -> (N, 1000) float32 logits."""
        chunks = []
        for start in range(0, len(l), BATCH):
            grey = 255 * resampling.resized(lab.l_to_grey(l[start : start + BATCH]), self.size)
            count = len(grey)
            if pad and count < BATCH:
                grey = np.concatenate([grey, np.repeat(grey[-1:], BATCH - count, 0)])
            chunks.append(self._session.run(["embedding"], {"grey": grey})[0][:count])
        return np.concatenate(chunks) if chunks else np.empty((0, CLASSES), np.float32)


def embedding_beside(path: Path, about: Mapping[str, str]) -> Path:
    """Where the embedding network of a model lies: in a folder `embeddings` beside the model."""
    return path.parent / "embeddings" / f"{about['network']}-{about['sha256'][:12]}{path.suffix}"


def _opened(path):
    """(session, metadata, the runtime and its version) of a file that has passed the checks."""
    model = onnx_checks.read(path)
    stored = {prop.key: prop.value for prop in model.metadata_props}
    metadata = parsed(stored.get(ATTRIBUTE, "{}"), path)
    onnxruntime = extras.module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it says of a damaged file is in the exception
    # Threads that wait do not spin: beside them other photos are read, coloured and written.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for given in (*session.get_inputs(), *session.get_outputs()):
            _ = given.name, given.shape  # which may be no UTF-8
    except Exception as error:  # its exceptions have no common class
        raise UserError(f"{path} cannot be loaded ({first_line(error)}). Export it anew.") from None
    return session, metadata, f"ONNX Runtime {onnxruntime.__version__}"


def _shape(given):
    """(N, ...) with None for any number."""
    return tuple(size if isinstance(size, int) else None for size in given.shape)
