"""A film's frames judged and their colours found, as they come: the part that needs the network."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from common.film import scenes, steady, yuv
from common.film.reading import Frame
from common.film.steady import Look, Past
from common.film.yuv import Coding

if TYPE_CHECKING:  # Keras, which no frame in colour needs
    from common.colorize.colorizer import Colorizer, Small

_AHEAD = 48  # frames held at most, of which the later half serves the earlier one
_FEWEST = 8
_MEMORY = 256 << 20  # bytes of frames held


@dataclasses.dataclass
class Held:
    """A frame that waits for those behind it. grey: its L* at the size of chroma, for the network,
    which is asked when a frame is to be coloured; tiny: for `scenes`."""

    frame: Frame
    grey: np.ndarray
    tiny: np.ndarray
    in_colour: bool
    small: "Small | None" = None
    look: Look | None = None


@dataclasses.dataclass(frozen=True)
class State:
    """Behind a frame: its `tiny`, whether it was taken for one in colour, and the colours' past."""

    tiny: np.ndarray
    in_colour: bool
    past: Past | None

    def arrays(self) -> dict[str, np.ndarray]:
        arrays = {"tiny": self.tiny, "in_colour": np.array(self.in_colour)}
        if self.past is not None:
            arrays |= {"past_l": self.past.l, "past_sums": self.past.sums}
        return arrays

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> "State":
        past = Past(arrays["past_l"], arrays["past_sums"]) if "past_l" in arrays else None
        return cls(arrays["tiny"], bool(arrays["in_colour"]), past)


class Colouring:
    """From a film's frames to those of its result.

    source, target: the codings of the two. shape: (H, W). load: returns the `Colorizer`. is_steady,
    keeps: as `is_steady` and colour="keep" of `Options`.
    """

    def __init__(
        self,
        source: Coding,
        target: Coding,
        shape: tuple[int, int],
        load: Callable[[], "Colorizer"],
        is_steady: bool = True,
        keeps: bool = True,
    ) -> None:
        self._source, self._target, self._load = source, target, load
        self._is_steady, self._keeps = is_steady, keeps
        bytes_held = shape[0] * shape[1] * 3 * np.dtype(source.dtype).itemsize
        self._ahead = max(_FEWEST, min(_AHEAD, _MEMORY // bytes_held))
        self._kept = 0

    def groups(
        self, frames: Iterator[Frame], state: State | None = None
    ) -> Iterator[tuple[list[tuple[Held, np.ndarray | None]], State]]:
        """Groups of (frame, its ab, or None to pass it as it is), each with the state behind it."""
        scene: list[Held] = []
        tiny = state.tiny if state else None
        for frame in frames:
            held = self._looked_at(frame)
            if tiny is not None and scenes.unlikeness(tiny, held.tiny) > scenes.UNLIKE:
                if scene:
                    yield self._emitted(scene, len(scene), state)
                scene, state = [], None
            tiny = held.tiny
            scene.append(held)
            if len(scene) >= self._ahead:
                group = self._emitted(scene, self._ahead // 2, state)
                state, scene = group[1], scene[self._ahead // 2 :]
                yield group
        if scene:
            yield self._emitted(scene, len(scene), state)

    def _looked_at(self, frame):
        l = yuv.lightness(frame.planes, self._source)
        return Held(
            frame,
            yuv.small_lightness(l, self._target),
            scenes.tiny(l),
            self._keeps and len(frame.planes) > 1 and scenes.in_colour(frame.planes, self._source),
        )

    def _emitted(self, scene, count, state):
        """The first `count` frames of what is held of a scene, and the state behind them."""
        decisions = []
        before = state.in_colour if state else None
        for i in range(len(scene)):
            before = scenes.decided([held.in_colour for held in scene[i:]], before)
            decisions.append(before)
        past = state.past if state else None
        result: list[tuple[Held, np.ndarray | None]] = []
        while len(result) < count:
            start = len(result)
            end = start
            while end < len(scene) and decisions[end] == decisions[start]:
                end += 1
            if decisions[start]:
                result += [(held, None) for held in scene[start : min(end, count)]]
                past = None
            else:
                run = scene[start:end]
                wanted = min(end, count) - start
                ab, past = self._ab(run, past, wanted)
                result += list(zip(run[:wanted], ab, strict=True))
        return result, State(scene[count - 1].tiny, decisions[count - 1], past)

    def _ab(self, run, past, count):
        """The ab of the first frames of a run, and the past behind them."""
        if not self._is_steady:
            run = run[:count]
        before = past.l if past else None
        for held in run:
            if held.small is None:
                held.small = self._load().small(held.grey)
            if self._is_steady and (
                held.look is None or (held.look.back is None) != (before is None)
            ):
                held.look = steady.linked(held.small.l, held.small.ab, before)
            before = held.small.l
        if not self._is_steady:
            return [held.small.ab for held in run], None
        return steady.steadied([held.look for held in run], past, count)

    def written(self, held: Held, ab: np.ndarray | None) -> list[np.ndarray]:
        """The planes of a frame for the encoder."""
        if ab is None or held.small is None:
            self._kept += 1
            return yuv.recoded(held.frame.planes, self._source, self._target)
        colours = self._load().joined(held.grey, dataclasses.replace(held.small, ab=ab))
        l = yuv.lightness(held.frame.planes, self._source)
        return yuv.coloured(l, colours, self._target)

    def take_kept(self) -> int:
        """How many frames were passed in colour since this was last asked."""
        kept, self._kept = self._kept, 0
        return kept
