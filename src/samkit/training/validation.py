"""Validation of the averaged weights (EMA) of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from samkit.errors import InputError
from samkit.evaluation.datasets import Dataset, Subset
from samkit.evaluation.interactive import (
    InteractiveReport,
    ObjectResult,
    ProtocolMeans,
    evaluate_interactive,
)
from samkit.image_predictor import ImagePredictor
from samkit.nn import Network

__all__ = ["Validation", "validate"]

# Numbers of clicks to evaluate, besides boxes. More take longer than the training in between.
_CLICKS = (1,)


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The metrics of `samkit eval` after a step.

    Attributes:
        step: of the run.
        objects: number of objects.
        means: protocol -> means over all objects.
    """

    step: int
    objects: int
    means: dict[str, ProtocolMeans]

    def iou(self) -> dict[str, float]:
        """Protocol -> mean IoU."""
        return {name: means.iou for name, means in self.means.items()}


def validate(
    network: Network, datasets: Sequence[Dataset], *, step: int, images: int, device: torch.device
) -> Validation:
    """Evaluate a network on at most `images` images, evenly spaced, of each data set.

    Objects of every size count.
    """
    predictor = ImagePredictor(network, device=device, dtype="float32")
    objects: list[ObjectResult] = []
    for dataset in (one for one in datasets if len(one)):
        every = -(-len(dataset) // images)
        some = Subset(dataset, range(0, len(dataset), every))
        objects += evaluate_interactive(predictor, some, clicks=_CLICKS, min_area=0.0).objects
    if not objects:
        raise InputError("nothing to validate on: there are no objects in the images held out")
    report = InteractiveReport(objects=tuple(objects))
    return Validation(step=step, objects=len(objects), means=report.means())
