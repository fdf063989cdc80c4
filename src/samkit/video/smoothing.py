"""Outlines that do not flicker: masks averaged along the motion of the picture.

In each frame, the probability of an object is averaged with those of the frame before and the frame
after, moved by dense optical flow (DIS, T. Kroeger et al., 1603.03590). A neighbour counts where
the moved picture looks like this one, so that nothing is drawn in from where the flow is wrong or
something was covered.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from samkit.arguments import whole_number
from samkit.errors import InputError
from samkit.masks import Masks

__all__ = ["checked_reach", "smoothed"]

Floats: TypeAlias = npt.NDArray[np.float32]

# Frames before and after that can have a share.
_MOST = 16
# Longest side in pixels of what is averaged; logits have 256 at most.
_SIDE = 854
# A frame counts as much as both neighbours: repeated, that is a binomial filter, by which nothing
# jumps the other way.
_OWN_WEIGHT = 2.0
# Of the neighbours' weight, in grey levels 0..255 and pixels.
_UNLIKE, _AROUND = 25.0, 2.0
_LARGEST_LOGIT = 20.0


@dataclass(frozen=True, kw_only=True)
class _Link:
    """Between a frame and the one before it.

    Attributes:
        from_before, from_after: (h, w, 2) where each pixel of this frame is in the one before, and
            each pixel of the one before in this one, xy.
        before_weight, after_weight: (h, w) 0..1, how much they are alike there.
    """

    from_before: Floats
    before_weight: Floats
    from_after: Floats
    after_weight: Floats


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """A frame, on the way through the passes.

    Attributes:
        link: to the frame before; None where there is none.
        soft: id of an object -> (h, w) probability; without objects that are absent.
    """

    number: int
    masks: Masks
    grey: npt.NDArray[np.uint8]
    link: _Link | None
    soft: dict[int, Floats]


def checked_reach(smooth: int) -> int:
    """How many frames before and after have a share, as `VideoPredictor.track` takes it.

    Raises:
        InputError: none that can be.
    """
    reach = whole_number("smooth", smooth, 0)
    if reach > _MOST:
        raise InputError(f"smooth: expected 0 to {_MOST} frames, got {reach}")
    return reach


def smoothed(
    results: Iterable[tuple[int, Masks]],
    picture: Callable[[int], npt.NDArray[np.uint8]],
    is_given: Callable[[int, int], bool],
    *,
    reach: int,
    non_overlapping: bool = False,
) -> Iterator[tuple[int, Masks]]:
    """Masks with outlines that are smooth in time, `reach` frames later.

    Where an object is absent, it stays absent. Logits stay those of the network.

    Args:
        results: frames with their masks, which have logits; only those whose numbers are one apart
            are neighbours.
        picture: the (H, W, 3) RGB of the frame that `results` gave last.
        is_given: whether the mask of an object (second) in a frame (first) is to stay as it is.
        reach: how many frames before and after have a share, 1 and more.
        non_overlapping: give each pixel to the object with the highest probability.

    Raises:
        What `results` raises, after the frames up to there.
    """
    failure: list[Exception] = []

    def until_failure() -> Iterator[tuple[int, Masks]]:
        try:
            yield from results
        except Exception as error:
            failure.append(error)

    frames = _linked(until_failure(), picture)
    for _ in range(reach):
        frames = _averaged(frames)
    for frame in frames:
        yield frame.number, _sharp(frame, is_given, non_overlapping)
    if failure:
        raise failure[0]


def _linked(
    results: Iterable[tuple[int, Masks]], picture: Callable[[int], npt.NDArray[np.uint8]]
) -> Iterator[_Frame]:
    before: _Frame | None = None
    for number, masks in results:
        image = picture(number)
        scale = min(1.0, _SIDE / max(image.shape[:2]))
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        full = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(full, (width, height), interpolation=cv2.INTER_AREA)
        grey = np.asarray(small, np.uint8)
        is_next = before is not None and abs(number - before.number) == 1
        before = _Frame(
            number=number,
            masks=masks,
            grey=grey,
            link=_link(before.grey, grey) if before is not None and is_next else None,
            soft=_soft(masks, (width, height)),
        )
        yield before


def _soft(masks: Masks, size: tuple[int, int]) -> dict[int, Floats]:
    """Probabilities of the objects that are there, at a size (w, h)."""
    assert masks.logits is not None
    soft = {}
    for object_id, logits in zip(masks.object_ids.tolist(), masks.logits, strict=True):
        if (logits > 0).any():
            limited = logits.clip(-_LARGEST_LOGIT, _LARGEST_LOGIT)
            full = cv2.resize(limited, size, interpolation=cv2.INTER_LINEAR)
            soft[object_id] = np.asarray(1 / (1 + np.exp(-full)), np.float32)
    return soft


def _link(before: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8]) -> _Link:
    ways = []
    for here, there in ((grey, before), (before, grey)):
        # Below this size the algorithm has no pyramid; such a picture is taken to stand still.
        flow = np.zeros((*here.shape, 2), np.float32)
        if min(here.shape) >= 32:
            dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
            flow = np.asarray(dis.calc(here, there, flow), np.float32)
        columns, rows = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in here.shape[::-1]))
        at = flow + np.stack([columns, rows], -1)
        unlike = np.abs(_moved(there.astype(np.float32), at) - here)
        unlike = cv2.GaussianBlur(unlike, (0, 0), _AROUND)
        ways += [at, np.exp(-np.square(unlike / _UNLIKE))]
    return _Link(
        from_before=ways[0], before_weight=ways[1], from_after=ways[2], after_weight=ways[3]
    )


def _moved(values: Floats, at: Floats) -> Floats:
    """Values (h, w) at places (h, w, 2), bilinear; beyond the edge those at the edge."""
    moved = cv2.remap(values, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(moved, np.float32)


def _averaged(frames: Iterable[_Frame]) -> Iterator[_Frame]:
    """Each frame with its two neighbours."""
    before: _Frame | None = None
    current: _Frame | None = None
    for after in chain(frames, (None,)):
        if current is not None:
            yield replace(current, soft=_average(before, current, after))
        before, current = current, after


def _average(before: _Frame | None, current: _Frame, after: _Frame | None) -> dict[int, Floats]:
    neighbours = []
    if before is not None and current.link is not None:
        neighbours.append((before, current.link.from_before, current.link.before_weight))
    if after is not None and after.link is not None:
        neighbours.append((after, after.link.from_after, after.link.after_weight))
    averages = {}
    for object_id, own in current.soft.items():
        total, weights = _OWN_WEIGHT * own, np.full_like(own, _OWN_WEIGHT)
        for neighbour, at, weight in neighbours:
            if object_id in neighbour.soft:
                total += weight * _moved(neighbour.soft[object_id], at)
                weights += weight
        averages[object_id] = total / weights
    return averages


def _sharp(frame: _Frame, is_given: Callable[[int, int], bool], non_overlapping: bool) -> Masks:
    """The masks of a frame after the last pass."""
    masks, (height, width) = frame.masks, frame.masks.image_size

    def full(i: int, object_id: int) -> Floats:
        if object_id not in frame.soft or is_given(frame.number, object_id):
            return np.asarray(masks[i].masks[0], np.float32)
        soft = frame.soft[object_id]
        large = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(large, np.float32)

    ids = list(enumerate(masks.object_ids.tolist()))
    if not non_overlapping:
        return masks.with_pixels(full(*one) > 0.5 for one in ids)
    best = np.full((height, width), 0.5, np.float32)
    owner = np.full((height, width), -1)
    for i, object_id in ids:
        soft = full(i, object_id)
        owner[soft > best] = i
        best = np.maximum(best, soft)
    return masks.with_pixels(owner == i for i, _ in ids)
