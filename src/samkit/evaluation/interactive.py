"""Interactive segmentation as the SAM papers measure it (2304.02643, 7.1; 2408.00714, 6.2).

Every object is prompted with the box around it, with that box jittered, and with one click after
another: the first at the point farthest from the object's boundary, each next one at the centre of
the largest error. With each click after the first the network also gets its previous mask.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from samkit.errors import InputError
from samkit.evaluation.boundary import boundary_f
from samkit.evaluation.clicks import farthest_point, next_click
from samkit.evaluation.datasets import AnnotatedImage, Dataset
from samkit.evaluation.metrics import BoolArray, bounding_box, mask_iou
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.masks import Masks
from samkit.prompts import Prompt

__all__ = [
    "InteractiveReport",
    "Measurement",
    "ObjectResult",
    "ProtocolMeans",
    "evaluate_interactive",
    "protocol_names",
]

# Largest jitter of a side of a box, as a fraction of the box's width or height.
_JITTER = 0.1
# Largest number of objects of one image that are prompted together.
_TOGETHER = 64

BOX, JITTERED = "box", "jittered box"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One mask of one object, compared with the truth.

    Attributes:
        protocol: how the object was prompted and which mask was taken.
        iou, boundary_f: 0..1.
        predicted_iou: the network's own score.
        mask: compressed.
    """

    protocol: str
    iou: float
    boundary_f: float
    predicted_iou: float
    mask: Masks


@dataclass(frozen=True, kw_only=True)
class ObjectResult:
    """All measurements of one object.

    Attributes:
        image, number: name of the image, and its number in the data set.
        index: number of the object in its image.
        area: fraction of the image that the object covers.
        measurements: one for each protocol, in the same order for all objects.
    """

    image: str
    number: int
    index: int
    area: float
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, kw_only=True)
class ProtocolMeans:
    """Means over objects.

    Attributes:
        protocol: how the objects were prompted and which mask was taken.
        iou, boundary_f, predicted_iou: means.
        calibration_error: mean absolute difference between predicted and real IoU.
    """

    protocol: str
    iou: float
    boundary_f: float
    predicted_iou: float
    calibration_error: float


@dataclass(frozen=True, kw_only=True)
class InteractiveReport:
    """Results of all objects, with their means."""

    objects: tuple[ObjectResult, ...]

    def means(self) -> dict[str, ProtocolMeans]:
        """Protocol -> means over all objects; empty without objects."""
        columns = zip(*(item.measurements for item in self.objects), strict=True)
        means = [_means(column) for column in columns]
        return {row.protocol: row for row in means}

    def worst(self, protocol: str, count: int) -> list[tuple[ObjectResult, Measurement]]:
        """The objects with the lowest IoU under a protocol, lowest first.

        Raises:
            InputError: there is no such protocol.
        """
        rows = [
            (item, measurement)
            for item in self.objects
            for measurement in item.measurements
            if measurement.protocol == protocol
        ]
        if not rows and self.objects:
            raise InputError(f"expected a protocol out of {', '.join(self.means())}: {protocol!r}")
        return sorted(rows, key=lambda pair: pair[1].iou)[:count]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the masks as plain JSON values."""
        return {
            "objects": len(self.objects),
            "means": {name: _numbers(means) for name, means in self.means().items()},
            "per_object": [
                {
                    "image": item.image,
                    "index": item.index,
                    "area": item.area,
                    "measurements": {m.protocol: _numbers(m) for m in item.measurements},
                }
                for item in self.objects
            ],
        }


def protocol_names(clicks: Sequence[int]) -> list[str]:
    """The protocols that `evaluate_interactive` measures with these numbers of clicks, in order."""
    counts = sorted(set(clicks))
    single = [_after(count) for count in counts]
    return [BOX, JITTERED, *single, *(name for count in counts for name in _of_three(count))]


def _after(count: int) -> str:
    return "1 click" if count == 1 else f"{count} clicks"


def _of_three(count: int) -> tuple[str, str]:
    """The protocols of three candidates: the best-scored one, and the one of the highest IoU."""
    return f"{_after(count)}, best-scored of 3", f"{_after(count)}, best of 3"


def evaluate_interactive(
    predictor: ImagePredictor,
    dataset: Dataset,
    *,
    clicks: Sequence[int] = (1, 3, 5, 8),
    min_area: float = 0.005,
    seed: int = 0,
    on_image: Callable[[int, int], None] | None = None,
) -> InteractiveReport:
    """Prompt every object of a data set by every protocol, and compare the masks with the truth.

    Args:
        predictor: the model to measure.
        dataset: the objects; its ignored pixels do not count.
        clicks: after how many clicks to measure; () leaves clicks out. Objects are clicked twice:
            once correcting the network's single mask, once correcting the best-scored of its three
            candidates, for which the one of the highest IoU is reported too.
        min_area: objects that cover less than this fraction of their image are left out.
        seed: of the jittered boxes.
        on_image: called after each image with the number of images done and of all images.

    Raises:
        InputError: a number of clicks is below 1; or what the data set raises.
    """
    if any(count < 1 for count in clicks):
        raise InputError(f"clicks: expected numbers from 1 on, got {tuple(clicks)}")
    results: list[ObjectResult] = []
    for number in range(len(dataset)):
        rng = np.random.default_rng([seed, number])
        results += _evaluate_image(predictor, dataset[number], number, clicks, min_area, rng)
        if on_image is not None:
            on_image(number + 1, len(dataset))
    return InteractiveReport(objects=tuple(results))


def _evaluate_image(
    predictor: ImagePredictor,
    item: AnnotatedImage,
    number: int,
    clicks: Sequence[int],
    min_area: float,
    rng: Generator,
) -> Iterator[ObjectResult]:
    areas, chosen = item.areas(), item.objects_from(min_area)
    if len(chosen) == 0:
        return
    embedding = predictor.embed(item.image)
    # Of very many objects at once the predictor would not keep the logits for the next click.
    for start in range(0, len(chosen), _TOGETHER):
        some = chosen[start : start + _TOGETHER]
        objects = _Objects(predictor, embedding, item.masks[some], item.ignore)
        boxes = np.array([bounding_box(mask) for mask in objects.targets], np.float32)
        columns = [objects.by_box(BOX, boxes), objects.by_box(JITTERED, _jittered(boxes, rng))]
        if clicks:
            columns += objects.by_clicks(clicks, candidates=1)
            columns += objects.by_clicks(clicks, candidates=3)
        for index, measurements in zip(some, zip(*columns, strict=True), strict=True):
            yield ObjectResult(
                image=item.name,
                number=number,
                index=int(index),
                area=float(areas[index]),
                measurements=measurements,
            )


@dataclass(frozen=True)
class _Objects:
    """N objects of an image that are prompted together.

    Attributes:
        predictor, embedding: the model, and the image's embedding.
        targets: (N, H, W) bool, the true masks.
        ignore: (H, W) bool, pixels that do not count.
    """

    predictor: ImagePredictor
    embedding: ImageEmbedding
    targets: BoolArray
    ignore: BoolArray

    def by_box(self, protocol: str, boxes: npt.NDArray[np.float32]) -> list[Measurement]:
        """Prompt with boxes (N, 4)."""
        masks = self.predictor.predict(self.embedding, [Prompt.box(*box) for box in boxes])
        return self._measure(protocol, masks)

    def by_clicks(self, counts: Sequence[int], *, candidates: int) -> list[list[Measurement]]:
        """Click until all counts are reached -> N measurements for each protocol."""
        columns = []
        prompts = [_at(*farthest_point(mask), 1) for mask in self.targets]
        masks: Masks | None = None
        for count in range(1, max(counts) + 1):
            proposals = self.predictor.predict(
                self.embedding, prompts, candidates=candidates, prior=masks
            )
            masks = proposals.best()
            if count in counts and candidates == 1:
                columns.append(self._measure(_after(count), masks))
            elif count in counts:
                best_scored, best = _of_three(count)
                columns.append(self._measure(best_scored, masks))
                columns.append(self._measure(best, self._best(proposals)))
            for i, target in enumerate(self.targets):
                correction = next_click(masks[i].masks[0], target, self.ignore)
                if correction is not None:
                    prompts[i] = prompts[i] + _at(*correction)
        return columns

    def _best(self, proposals: Masks) -> Masks:
        """Of the proposals for each object the one with the highest actual IoU."""
        per_object = len(proposals) // len(self.targets)
        best = []
        for i, target in enumerate(self.targets):
            start = i * per_object
            iou = mask_iou(proposals[start : start + per_object].masks, target, self.ignore)
            best.append(start + int(iou.argmax()))
        return proposals[best]

    def _measure(self, protocol: str, masks: Masks) -> list[Measurement]:
        measurements = []
        for mask, target in zip(masks, self.targets, strict=True):
            pixels = mask.masks[0]
            measurements.append(
                Measurement(
                    protocol=protocol,
                    iou=float(mask_iou(pixels, target, self.ignore)),
                    boundary_f=boundary_f(pixels, target, self.ignore),
                    predicted_iou=float(mask.scores[0]),
                    mask=Masks(pixels[None], mask.scores).compressed(),
                )
            )
        return measurements


def _at(x: int, y: int, label: int) -> Prompt:
    # Pixels are counted from 0; coordinates count from the outer corner of the top left pixel.
    return Prompt.point(x + 0.5, y + 0.5, label=label)


def _jittered(boxes: npt.NDArray[np.float32], rng: Generator) -> npt.NDArray[np.float32]:
    """Boxes (N, 4) with each side moved at random."""
    sizes = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return (boxes + rng.uniform(-_JITTER, _JITTER, boxes.shape) * sizes).astype(np.float32)


def _means(measurements: Sequence[Measurement]) -> ProtocolMeans:
    """The means of one protocol over all objects."""
    iou = np.array([m.iou for m in measurements])
    predicted = np.array([m.predicted_iou for m in measurements])
    return ProtocolMeans(
        protocol=measurements[0].protocol,
        iou=float(iou.mean()),
        boundary_f=float(np.mean([m.boundary_f for m in measurements])),
        predicted_iou=float(predicted.mean()),
        calibration_error=float(np.abs(predicted - iou).mean()),
    )


def _numbers(row: Measurement | ProtocolMeans) -> dict[str, float]:
    return {name: value for name, value in vars(row).items() if isinstance(value, float)}
