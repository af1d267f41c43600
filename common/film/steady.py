"""Colours that hold from frame to frame: ab averaged along the motion, within a scene.

A frame's ab is the mean of the network's ab of this frame and of those before and behind it, each
brought here along the flow and weighted by how well every step of the way fits. So what is covered,
wrongly followed, or new takes only what it saw itself. Frames before come in as one running sum,
which a stopped film keeps; frames behind as many as are held in memory.
"""

import dataclasses

import numpy as np

from common.film import flow
from common.film.flow import Pull

REACH = 0.98  # weight of a step that fits wholly: some fifty frames each way


@dataclasses.dataclass(frozen=True)
class Look:
    """What the network has of a frame: L* (S, S) and ab (s, s, 2), float32; how the frame before is
    fetched into it, and it into the frame before, at the size of ab; None in a scene's first."""

    l: np.ndarray
    ab: np.ndarray
    back: Pull | None = None
    forth: Pull | None = None


@dataclasses.dataclass(frozen=True)
class Past:
    """All frames before: L* of the last one, (S, S), and its sums, (s, s, 3): weighted a*, weighted
    b*, and weights."""

    l: np.ndarray
    sums: np.ndarray


def linked(l: np.ndarray, ab: np.ndarray, before: np.ndarray | None) -> Look:
    """A frame's `Look`; before: L* of the frame before in its scene, or None."""
    if before is None:
        return Look(l, ab)
    back, forth = flow.between(before, l)
    return Look(l, ab, back.scaled(len(ab)), forth.scaled(len(ab)))


def steadied(
    looks: list[Look], past: Past | None, count: int
) -> tuple[list[np.ndarray], Past | None]:
    """(the ab of the first `count` of a scene's successive frames, the past of the one behind).

    past: of the frame before the first; None at a scene's beginning.
    """
    own = [np.dstack([look.ab, np.ones(look.ab.shape[:2], np.float32)]) for look in looks]
    behind: list[np.ndarray] = [np.zeros_like(own[-1])]
    for i in range(len(looks) - 1, 0, -1):
        behind.append(_stepped(looks[i].forth, behind[-1] + own[i]))
    behind.reverse()
    result: list[np.ndarray] = []
    before = past.sums if past else None
    for i in range(count):
        sums = own[i]
        if before is not None and looks[i].back is not None:
            sums = sums + _stepped(looks[i].back, before)
        total = sums + behind[i]
        result.append(total[..., :2] / total[..., 2:])
        before = sums
    return result, (Past(looks[count - 1].l, before) if before is not None else None)


def _stepped(pull, sums):
    """Sums brought from a neighbouring frame, with the weight of the step."""
    brought = pull(sums)
    brought[..., 2] = np.maximum(brought[..., 2], 0)  # cubic interpolation overshoots
    return brought * (REACH * pull.fit)[..., None]
