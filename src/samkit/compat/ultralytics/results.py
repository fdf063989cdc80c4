"""Results of all predictors: masks, boxes, and how they are shown and written."""

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from samkit.arguments import switch, whole_number
from samkit.compat.ultralytics.arrays import cpu_tensor
from samkit.files import checked_path
from samkit.masks import Masks, contours, drawing
from samkit.masks.checks import positions
from samkit.media import write_atomically, write_image

__all__ = ["ResultBoxes", "ResultMasks", "Results"]


class ResultMasks:
    """The masks of a result."""

    def __init__(self, core: Masks) -> None:
        self._core = core
        self.orig_shape = core.image_size

    def __len__(self) -> int:
        return len(self._core)

    def __getitem__(self, index: Any) -> "ResultMasks":
        return ResultMasks(self._core[index])

    @cached_property
    def data(self) -> Tensor:
        """(N, H, W) bool."""
        return cpu_tensor(self._core.masks)

    @cached_property
    def xy(self) -> list[NDArray[np.float32]]:
        """The outline (K, 2) of each mask in pixels; (0, 2) of an empty one.

        Separate parts are joined by lines; holes are filled.
        """
        return [contours.joined(rings) for rings in self._core.polygons()]

    @property
    def xyn(self) -> list[NDArray[np.float32]]:
        """As `xy`, from 0 to 1 of the image."""
        size = np.array(self.orig_shape[::-1], np.float32)
        return [np.divide(ring, size, dtype=np.float32) for ring in self.xy]


class ResultBoxes:
    """The tight boxes of a result's masks, zeros for an empty mask.

    Attributes:
        data: (N, 6): xyxy in pixels, score, class; float32, or float64 where a class needs it.
        id: (N,) int64 object ids in video and with memory, else None.
    """

    def __init__(self, data: Tensor, orig_shape: tuple[int, int], ids: Tensor | None) -> None:
        self.data, self.orig_shape, self.id = data, orig_shape, ids

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> "ResultBoxes":
        at = torch.from_numpy(positions(index, len(self)))
        ids = None if self.id is None else self.id[at]
        return ResultBoxes(self.data[at], self.orig_shape, ids)

    @property
    def xyxy(self) -> Tensor:
        """(N, 4) in pixels, far edges exclusive."""
        return self.data[:, :4]

    @property
    def xywh(self) -> Tensor:
        """(N, 4): centre, width and height in pixels."""
        low, high = self.data[:, :2], self.data[:, 2:4]
        return torch.cat([(low + high) / 2, high - low], 1)

    @property
    def xyxyn(self) -> Tensor:
        """As `xyxy`, from 0 to 1 of the image."""
        return self.xyxy / self.data.new_tensor(self.orig_shape[::-1] * 2)

    @property
    def xywhn(self) -> Tensor:
        """As `xywh`, from 0 to 1 of the image."""
        return self.xywh / self.data.new_tensor(self.orig_shape[::-1] * 2)

    @property
    def conf(self) -> Tensor:
        """(N,) scores."""
        return self.data[:, 4]

    @property
    def cls(self) -> Tensor:
        """(N,) classes."""
        return self.data[:, 5]


class Results:
    """The masks of one image, in the order of the prompts.

    Nothing is left out: an empty mask, or one with a low score, keeps its index.

    Args:
        scores: (N,), which become `boxes.conf`.
        conf: the score from which a mask is `confident`.
        has_ids: whether object ids are of objects, which last.
        classes: (N,) integers; by default object ids.

    Attributes:
        orig_img: (H, W, 3) uint8 BGR.
        orig_shape: (H, W).
        path: of the image's file.
        frame: number of the frame in a video, else None.
        names: class -> name.
        core: the same as `samkit.Masks`, whose `scores` are predicted IoUs, with `presence`.
        confident: (N,) bool, whether a score is at least the predictor's `conf`.
        speed: milliseconds for "preprocess", "inference" and "postprocess".
    """

    def __init__(
        self,
        orig_img: NDArray[np.uint8],
        path: str,
        core: Masks,
        scores: NDArray[np.float32],
        *,
        conf: float = 0.0,
        has_ids: bool = False,
        classes: NDArray[np.int64] | None = None,
        frame: int | None = None,
        speed: dict[str, float] | None = None,
    ) -> None:
        self.orig_img, self.path, self.core, self.frame = orig_img, path, core, frame
        self.orig_shape = core.image_size
        self.speed = {} if speed is None else speed
        self._scores, self._conf, self._has_ids = scores, conf, has_ids
        self._classes = core.object_ids if classes is None else classes
        self.names = {int(i): str(i) for i in self._classes}
        self.confident = torch.from_numpy(scores >= conf)

    def __len__(self) -> int:
        return len(self.core)

    def __getitem__(self, index: Any) -> "Results":
        at = positions(index, len(self))
        some = Results(
            self.orig_img,
            self.path,
            self.core[at],
            self._scores[at],
            conf=self._conf,
            has_ids=self._has_ids,
            classes=self._classes[at],
            frame=self.frame,
            speed=self.speed,
        )
        some.names = self.names
        return some

    def __repr__(self) -> str:
        height, width = self.orig_shape
        noun = "mask" if len(self) == 1 else "masks"
        return f"<Results: {len(self)} {noun} in {self.path}, {height} x {width}>"

    @cached_property
    def masks(self) -> ResultMasks:
        """The masks."""
        return ResultMasks(self.core)

    @cached_property
    def boxes(self) -> ResultBoxes:
        """Their boxes, scores and classes."""
        ids = cpu_tensor(self.core.object_ids)
        # Classes may be ids of up to 64 bits, of which float32 holds 24.
        dtype = torch.float64 if (np.abs(self._classes) > 2**24).any() else torch.float32
        columns = np.column_stack([self.core.boxes, self._scores, self._classes])
        data = torch.from_numpy(columns).to(dtype)
        return ResultBoxes(data, self.orig_shape, ids if self._has_ids else None)

    def plot(self, *, boxes: bool = True, labels: bool = True) -> NDArray[np.uint8]:
        """The image with its masks, boxes, and names with scores: (H, W, 3) uint8 BGR, new."""
        labels = switch("labels", labels)
        picture = self.core.overlay(self.orig_img[..., ::-1], boxes=boxes)
        ids, classes = self.core.object_ids.tolist(), self._classes.tolist()
        for box, score, object_id, number in zip(
            self.core.boxes, self._scores, ids, classes, strict=True
        ):
            if labels and (box[2:] > box[:2]).all():
                text = f"{self.names[number]} {score:.2f}"
                drawing.draw_label(picture, box, text, drawing.colour_of(object_id))
        return np.ascontiguousarray(picture[..., ::-1])

    def save(self, filename: str | os.PathLike[str] | None = None) -> str:
        """Write the picture of `plot`, and return its path.

        By default it is called ``results_<name>``, in the current folder.
        """
        name = self.picture_name("results_") if filename is None else filename
        path = os.fspath(checked_path(name, "the picture"))
        write_image(path, np.ascontiguousarray(self.plot()[..., ::-1]))
        return path

    def picture_name(self, prefix: str = "") -> str:
        """A name for a picture of this result: its file's name, in a video with the frame."""
        file = Path(self.path)
        if self.frame is None:
            return f"{prefix}{file.name}"
        return f"{prefix}{file.stem}_{self.frame:06d}.jpg"

    def show(self) -> None:
        """Open the picture of `plot` in the system's viewer."""
        Image.fromarray(np.ascontiguousarray(self.plot()[..., ::-1])).show()

    def save_txt(self, txt_file: str | os.PathLike[str], save_conf: bool = False) -> str:
        """Write a label file in YOLO's segmentation format, and return its path.

        The line of a mask is ``class x y x y ...``, from 0 to 1 of the image, and with `save_conf`
        the score. Empty masks have no line. An existing file is replaced.
        """
        repeats = int(switch("save_conf", save_conf))
        lines = []
        for ring, number, score in zip(
            self.masks.xyn, self._classes.tolist(), self._scores.tolist(), strict=True
        ):
            if len(ring):
                values = [f"{value:.6f}" for value in ring.ravel()]
                lines.append(" ".join([str(number), *values, *([f"{score:.6f}"] * repeats)]))
        with write_atomically(txt_file) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines))
        return os.fspath(txt_file)

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[dict[str, Any]]:
        """One dict for each mask: name, class, confidence, box and segments.

        Args:
            normalize: coordinates from 0 to 1 of the image instead of pixels.
            decimals: places to which numbers are rounded.
        """
        decimals = whole_number("decimals", decimals)
        normalize = switch("normalize", normalize)
        boxes = self.boxes.xyxyn if normalize else self.boxes.xyxy
        rings = self.masks.xyn if normalize else self.masks.xy
        found = []
        for i, number in enumerate(self._classes.tolist()):
            corners = [round(value, decimals) for value in boxes[i].tolist()]
            xs, ys = ([round(value, decimals) for value in axis] for axis in rings[i].T.tolist())
            one = {
                "name": self.names[number],
                "class": number,
                "confidence": round(float(self._scores[i]), decimals),
                "box": dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True)),
                "segments": {"x": xs, "y": ys},
            }
            if self._has_ids:
                one["track_id"] = int(self.core.object_ids[i])
            found.append(one)
        return found

    def to_json(self, normalize: bool = False, decimals: int = 5) -> str:
        """`summary` as JSON."""
        return json.dumps(self.summary(normalize, decimals), indent=2)
