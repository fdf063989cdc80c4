"""Interactive segmentation as the SAM papers measure it (2304.02643, 7.1; 2408.00714, 6.2).

Every object is prompted with the box around it, with that box moved a little, and with one click
after another: the first at the point farthest from the object's boundary, each next one at the
centre of the largest error. With each click after the first the network also gets its last mask.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.evaluation.boundary import boundary_f
from samkit.evaluation.clicks import farthest_point, next_click
from samkit.evaluation.datasets import AnnotatedImage, Dataset
from samkit.evaluation.metrics import bounding_box, mask_iou
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

# A jittered box has each side moved by up to this part of the box's width or height.
_JITTER = 0.1
# Objects of one image that are prompted together.
_TOGETHER = 64

BOX, JITTERED = "box", "jittered box"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One mask of one object, compared with the truth.

    Attributes:
        protocol: how the object was prompted and which mask was taken.
        iou, boundary_f: 0..1.
        predicted_iou: what the network said of its mask.
        mask: the mask itself, compressed.
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
        image: name of the image.
        number: number of the image in the data set.
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
        rows: dict[str, list[Measurement]] = {}
        for item in self.objects:
            for measurement in item.measurements:
                rows.setdefault(measurement.protocol, []).append(measurement)
        return {name: _means(name, measurements) for name, measurements in rows.items()}

    def worst(self, protocol: str, count: int) -> list[tuple[ObjectResult, Measurement]]:
        """The objects with the lowest IoU under a protocol, lowest first.

        Raises:
            InputError: there is no such protocol.
        """
        found = [
            (item, measurement)
            for item in self.objects
            for measurement in item.measurements
            if measurement.protocol == protocol
        ]
        if not found and self.objects:
            raise InputError(f"expected a protocol out of {', '.join(self.means())}: {protocol!r}")
        return sorted(found, key=lambda pair: pair[1].iou)[:count]

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
    """What is measured of three candidates: the best-scored one, and the best by the truth."""
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
    """Prompt every object of a data set in every way, and compare the masks with the truth.

    Args:
        predictor: what is measured.
        dataset: the objects; pixels that it marks as ignored do not count.
        clicks: after how many clicks to measure; () leaves clicks out. Clicks are made twice: once
            following the network's single mask, once following the best-scored of its three
            candidates, for which the best of the three (by the truth) is reported too.
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
    rng: np.random.Generator,
) -> list[ObjectResult]:
    areas = item.masks.mean((1, 2))
    chosen = np.flatnonzero((areas >= min_area) & (areas > 0))
    if len(chosen) == 0:
        return []
    embedding = predictor.embed(item.image)
    results: list[ObjectResult] = []
    # Of very many objects at once the predictor would not keep the logits that are refined.
    for start in range(0, len(chosen), _TOGETHER):
        some = chosen[start : start + _TOGETHER]
        columns = _measured(predictor, embedding, item, some, clicks, rng)
        results += [
            ObjectResult(
                image=item.name,
                number=number,
                index=int(index),
                area=float(areas[index]),
                measurements=measurements,
            )
            for index, measurements in zip(some, zip(*columns, strict=True), strict=True)
        ]
    return results


def _measured(
    predictor: ImagePredictor,
    embedding: ImageEmbedding,
    item: AnnotatedImage,
    chosen: npt.NDArray[np.int64],
    clicks: Sequence[int],
    rng: np.random.Generator,
) -> list[list[Measurement]]:
    """For each protocol the measurements of some objects of an image."""
    targets = item.masks[chosen]
    boxes = np.array([bounding_box(mask) for mask in targets], np.float32)
    columns = []
    for protocol, corners in ((BOX, boxes), (JITTERED, _jittered(boxes, rng))):
        masks = predictor.predict(embedding, [Prompt.box(*box) for box in corners])
        columns.append(_measure(protocol, masks, targets, item.ignore))
    if clicks:
        columns += _click(predictor, embedding, targets, item.ignore, clicks, candidates=1)
        columns += _click(predictor, embedding, targets, item.ignore, clicks, candidates=3)
    return columns


def _click(
    predictor: ImagePredictor,
    embedding: ImageEmbedding,
    targets: npt.NDArray[np.bool_],
    ignore: npt.NDArray[np.bool_],
    counts: Sequence[int],
    *,
    candidates: int,
) -> list[list[Measurement]]:
    """Click until all counts are reached -> a column of measurements for each."""
    columns = []
    prompts = [_at(*farthest_point(mask), 1) for mask in targets]
    masks: Masks | None = None
    for count in range(1, max(counts) + 1):
        proposals = predictor.predict(embedding, prompts, candidates=candidates, prior=masks)
        masks = proposals.best()
        if count in counts:
            if candidates == 1:
                columns.append(_measure(_after(count), masks, targets, ignore))
            else:
                best = proposals[_best_by_truth(proposals, targets, ignore)]
                for name, found in zip(_of_three(count), (masks, best), strict=True):
                    columns.append(_measure(name, found, targets, ignore))
        for i, target in enumerate(targets):
            correction = next_click(masks[i].masks[0], target, ignore)
            if correction is not None:
                prompts[i] = prompts[i] + _at(*correction)
    return columns


def _best_by_truth(
    proposals: Masks, targets: npt.NDArray[np.bool_], ignore: npt.NDArray[np.bool_]
) -> list[int]:
    """Of each prompt's proposals the index of the one that agrees best with the truth."""
    per_prompt = len(proposals) // len(targets)
    best = []
    for i, target in enumerate(targets):
        start = i * per_prompt
        iou = mask_iou(proposals[start : start + per_prompt].masks, target, ignore)
        best.append(start + int(iou.argmax()))
    return best


def _measure(
    protocol: str,
    masks: Masks,
    targets: npt.NDArray[np.bool_],
    ignore: npt.NDArray[np.bool_],
) -> list[Measurement]:
    measurements = []
    for mask, target in zip(masks, targets, strict=True):
        pixels = mask.masks[0]
        measurements.append(
            Measurement(
                protocol=protocol,
                iou=float(mask_iou(pixels, target, ignore)),
                boundary_f=boundary_f(pixels, target, ignore),
                predicted_iou=float(mask.scores[0]),
                mask=Masks(pixels[None], mask.scores).compressed(),
            )
        )
    return measurements


def _at(x: int, y: int, label: int) -> Prompt:
    # Pixels are counted from 0; coordinates count from the outer corner of the top left pixel.
    return Prompt.point(x + 0.5, y + 0.5, label=label)


def _jittered(boxes: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Boxes (N, 4) with each side moved at random by up to a tenth of the box."""
    sizes = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return (boxes + rng.uniform(-_JITTER, _JITTER, boxes.shape) * sizes).astype(np.float32)


def _means(protocol: str, measurements: list[Measurement]) -> ProtocolMeans:
    iou = np.array([m.iou for m in measurements])
    predicted = np.array([m.predicted_iou for m in measurements])
    return ProtocolMeans(
        protocol=protocol,
        iou=float(iou.mean()),
        boundary_f=float(np.mean([m.boundary_f for m in measurements])),
        predicted_iou=float(predicted.mean()),
        calibration_error=float(np.abs(predicted - iou).mean()),
    )


def _numbers(row: Measurement | ProtocolMeans) -> dict[str, float]:
    return {name: value for name, value in vars(row).items() if isinstance(value, float)}
