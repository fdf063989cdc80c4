"""Interactive segmentation: what a box or a click at the right place gives."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from samkit.evaluation.clicks import farthest_point
from samkit.evaluation.datasets import AnnotatedImage, Dataset
from samkit.evaluation.metrics import bounding_box, mask_iou
from samkit.image_predictor import ImagePredictor
from samkit.prompts import Prompt

__all__ = ["InteractiveReport", "ObjectResult", "evaluate_interactive"]


@dataclass(frozen=True, kw_only=True)
class ObjectResult:
    """IoU of one object's masks.

    Attributes:
        image: name of the image.
        index: number of the object in its image.
        area: fraction of the image that the object covers.
        box: from the box around the object, single mask.
        click: from a click at the point farthest from the boundary, single mask.
        click_scored: of the click's three candidates, the one with the best predicted IoU.
        click_oracle: of the click's three candidates, the best one.
        click_predicted: the predicted IoU of `click_scored`.
    """

    image: str
    index: int
    area: float
    box: float
    click: float
    click_scored: float
    click_oracle: float
    click_predicted: float


_MEASURES = {
    "box": "ground-truth box",
    "click": "1 click, single mask",
    "click_scored": "1 click, best-scored of 3",
    "click_oracle": "1 click, best of 3",
}


@dataclass(frozen=True, kw_only=True)
class InteractiveReport:
    """Results of all objects, with their means."""

    objects: tuple[ObjectResult, ...]

    def means(self) -> dict[str, float]:
        """Mean IoU over objects of each measure; without objects an empty dict."""
        if not self.objects:
            return {}
        return {
            name: float(np.mean([getattr(item, name) for item in self.objects]))
            for name in _MEASURES
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "objects": len(self.objects),
            "mean_iou": self.means(),
            "per_object": [asdict(item) for item in self.objects],
        }

    def rows(self) -> list[tuple[str, str]]:
        """What was measured and its value, as text for a table."""
        return [(_MEASURES[name], f"{value:.3f}") for name, value in self.means().items()]


def evaluate_interactive(
    predictor: ImagePredictor,
    dataset: Dataset,
    *,
    min_area: float = 0.005,
    on_image: Callable[[int, int], None] | None = None,
) -> InteractiveReport:
    """Prompt every object of a dataset with its box and with one click, and compare.

    Args:
        predictor: what is measured.
        dataset: the objects; pixels that it marks as ignored do not count.
        min_area: objects that cover less than this fraction of their image are left out.
        on_image: called after each image with the number of images done and of all images.
    """
    results: list[ObjectResult] = []
    for number in range(len(dataset)):
        results += _evaluate_image(predictor, dataset[number], min_area)
        if on_image is not None:
            on_image(number + 1, len(dataset))
    return InteractiveReport(objects=tuple(results))


def _evaluate_image(
    predictor: ImagePredictor, item: AnnotatedImage, min_area: float
) -> list[ObjectResult]:
    areas = item.masks.mean((1, 2))
    chosen = np.flatnonzero((areas >= min_area) & (areas > 0))
    if len(chosen) == 0:
        return []
    targets = item.masks[chosen]
    boxes = [Prompt.box(*bounding_box(mask)) for mask in targets]
    # Coordinates count from the outer corner of the top left pixel.
    clicks = [Prompt.point(x + 0.5, y + 0.5) for x, y in map(farthest_point, targets)]

    embedding = predictor.embed(item.image)
    ignore = item.ignore
    box = mask_iou(predictor.predict(embedding, boxes).masks, targets, ignore)
    click = mask_iou(predictor.predict(embedding, clicks).masks, targets, ignore)
    three = predictor.predict(embedding, clicks, candidates=3)
    count = len(chosen)
    candidates = mask_iou(
        three.masks.reshape(count, 3, *targets.shape[1:]), targets[:, None], ignore
    )
    scores = three.scores.reshape(count, 3)
    best = scores.argmax(1)
    return [
        ObjectResult(
            image=item.name,
            index=int(index),
            area=float(areas[index]),
            box=float(box[i]),
            click=float(click[i]),
            click_scored=float(candidates[i, best[i]]),
            click_oracle=float(candidates[i].max()),
            click_predicted=float(scores[i, best[i]]),
        )
        for i, index in enumerate(chosen)
    ]
