"""Masks of objects in the frames of a video, where they come from, and which to look at."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from samkit.errors import InputError
from samkit.files import open_file
from samkit.masks import Masks
from samkit.media import write_atomically

__all__ = ["Look", "SeenObject", "Tracks"]

# Of an object, how many of its lowest scores are worth a look, how far apart, and how far below
# the middle one.
_LOWEST, _APART, _LOW = 5, 10, 0.05
# An area that changes by so much from a frame to the next one is worth a look.
_JUMP = 1.5

Kind = Literal["prompted", "corrected", "tracked"]


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class SeenObject:
    """An object in a frame.

    Attributes:
        rle: its mask, COCO's compressed run lengths; area: in pixels.
        score: predicted IoU; presence: probability that it is there, None of networks that do not
            say.
        kind: where the mask comes from.
        prompts: how many prompts the object had when it was made.
    """

    rle: str
    area: Annotated[int, Field(ge=0)]
    score: float
    presence: float | None
    kind: Kind
    prompts: Annotated[int, Field(ge=0)]

    @property
    def is_there(self) -> bool:
        return self.area > 0 and (self.presence is None or self.presence >= 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A frame in which an object is worth a look, and why.

    Attributes:
        frame, object_id: where.
        reason: in words.
        score: 0 of changes, so that they come first.
    """

    frame: int
    object_id: int
    reason: str
    score: float = 0.0


class Tracks:
    """What objects look like, by frame.

    Attributes:
        frames: number of the frame -> object id -> the object there.
    """

    def __init__(self) -> None:
        self.frames: dict[int, dict[int, SeenObject]] = {}

    @property
    def object_ids(self) -> set[int]:
        """Ids of all objects."""
        return {number for there in self.frames.values() for number in there}

    def add(
        self, frame: int, masks: Masks, prompts: dict[int, int], kinds: dict[int, Kind]
    ) -> None:
        """Put the objects of a frame in place of what they were there.

        Args:
            frame: its number.
            masks: with ids of objects.
            prompts: of each object, how many it had.
            kinds: of those that were not tracked there.
        """
        ids, areas = masks.object_ids.tolist(), masks.areas.tolist()
        presence = [None] * len(ids) if masks.presence is None else masks.presence.tolist()
        there = self.frames.setdefault(frame, {})
        for i, rle in enumerate(masks.to_rle()):
            there[ids[i]] = SeenObject(
                rle=rle["counts"],
                area=areas[i],
                score=float(masks.scores[i]),
                presence=presence[i],
                kind=kinds.get(ids[i], "tracked"),
                prompts=prompts[ids[i]],
            )

    def forget(self, object_id: int, prompts: int = 0) -> None:
        """Forget what an object looks like since it had more than so many prompts."""
        for frame, seen in self.of_object(object_id).items():
            if seen.prompts > prompts:
                del self.frames[frame][object_id]
                if not self.frames[frame]:
                    del self.frames[frame]

    def of_object(self, object_id: int) -> dict[int, SeenObject]:
        """An object by frame."""
        frames = self.frames.items()
        return {frame: there[object_id] for frame, there in frames if object_id in there}

    def put_back(self, object_id: int, seen: dict[int, SeenObject]) -> None:
        """Put what `of_object` gave in place of what an object looks like now."""
        self.forget(object_id)
        for frame, one in seen.items():
            self.frames.setdefault(frame, {})[object_id] = one

    def masks(self, frame: int, image_size: tuple[int, int], ids: Sequence[int]) -> Masks:
        """The masks of a frame, of those of these objects that are known there, in their order."""
        there = self.frames.get(frame, {})
        known = [(one, there[one]) for one in ids if one in there]
        seen = [one for _, one in known]
        presence = [one.presence for one in seen if one.presence is not None]
        return Masks.from_rle(
            [{"counts": one.rle, "size": list(image_size)} for one in seen],
            image_size,
            [one.score for one in seen],
            object_ids=[object_id for object_id, _ in known],
            presence=presence if len(presence) == len(seen) > 0 else None,
        )

    def timeline(self, object_id: int, count: int) -> str:
        """A letter for each frame: p(rompted), c(orrected), t(racked), - not known.

        Large letters say that the object is absent there.
        """
        letters = ["-"] * count
        for frame, seen in self.of_object(object_id).items():
            letters[frame] = seen.kind[0] if seen.is_there else seen.kind[0].upper()
        return "".join(letters)

    def worth_a_look(self, object_id: int) -> list[Look]:
        """Frames in which an object comes, goes or jumps, then those with scores low for it."""
        seen = self.of_object(object_id)
        frames = sorted(seen)
        looks = [
            Look(frame=frame, object_id=object_id, reason=reason)
            for before, frame in pairwise(frames)
            if frame == before + 1
            and seen[frame].kind == "tracked"
            and (reason := _change(seen[before], seen[frame]))
        ]
        scores = {
            frame: one.score
            for frame, one in seen.items()
            if one.kind == "tracked" and one.is_there
        }
        low = median(scores.values()) - _LOW if scores else 0.0
        lowest: list[Look] = []
        for frame, score in sorted(scores.items(), key=lambda item: item[1]):
            near = [one.frame for one in (*looks, *lowest)]
            if len(lowest) == _LOWEST or score > low:
                break
            if all(abs(frame - other) >= _APART for other in near):
                reason = f"score {score:.2f}"
                look = Look(frame=frame, object_id=object_id, reason=reason, score=score)
                lowest.append(look)
        return [*looks, *lowest]

    def write(self, path: Path) -> None:
        """Write to a file, whole or not at all: a line of JSON for each frame.

        Raises:
            InputError: it cannot be written.
        """
        with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for frame, there in sorted(self.frames.items()):
                objects = [{"id": number, **asdict(seen)} for number, seen in there.items()]
                file.write(json.dumps({"frame": frame, "objects": objects}) + "\n")

    @classmethod
    def read(cls, path: Path, count: int, image_size: tuple[int, int]) -> "Tracks":
        """What `write` wrote, of a video with so many frames of this size.

        Raises:
            InputError: it is damaged, or something else.
        """
        tracks = cls()
        try:
            for number, there in _read_lines(path):
                if not 0 <= number < count:
                    raise ValueError(f"there is no frame {number}")
                tracks.frames[number] = there
                tracks.masks(number, image_size, list(there))  # checks the run lengths
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{path} is damaged, or of another version: {error}") from error
        return tracks


def _read_lines(path: Path) -> Iterator[tuple[int, dict[int, SeenObject]]]:
    with open_file(path) as file:
        for line in file:
            values: dict[str, Any] = json.loads(line)
            yield (
                int(values["frame"]),
                {int(one.pop("id")): SeenObject(**one) for one in values["objects"]},
            )


def _change(before: SeenObject, now: SeenObject) -> str:
    """What happened between two frames; "" if nothing did."""
    if before.is_there != now.is_there:
        return "comes" if now.is_there else "goes"
    if not now.is_there:
        return ""
    ratio = np.divide(now.area, before.area)
    if ratio > _JUMP:
        return f"{ratio:.1f} times as large"
    return f"{1 / ratio:.1f} times smaller" if ratio < 1 / _JUMP else ""
