"""Clicks and tracking in CVAT, by an agent that runs where samkit is.

CVAT calls functions of its `cvat_sdk.auto_annotation` interface. `create` gives one of them:

    cvat-cli --server-host ... function create-native "samkit tracking" \\
        --function-module samkit.integrations.cvat -p model=str:sam2.1-tiny -p job=str:tracking
    cvat-cli --server-host ... function run-agent ID \\
        --function-module samkit.integrations.cvat -p model=str:sam2.1-tiny -p job=str:tracking
"""

from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

import samkit
from samkit.errors import InputError, MissingDependencyError, shown
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.masks import Masks, contours
from samkit.prompts import Prompt
from samkit.video import VideoPredictor

try:
    import cvat_sdk.auto_annotation as cvataa
    from cvat_sdk.masks import decode_mask, encode_mask
except ImportError as error:
    raise MissingDependencyError(
        "samkit.integrations.cvat needs the package cvat-sdk: pip install 'samkit[cvat]'"
    ) from error

__all__ = ["Clicks", "Tracking", "create"]

Job = Literal["clicks", "tracking"]

_OBJECT = 1
# How far, in pixels, a polygon may leave the outline of a mask.
_SIMPLIFIED = 1.0


def create(model: str = "pico", job: Job = "tracking", device: str = "auto") -> Any:
    """What `cvat-cli` calls to get a function.

    Args:
        model: as `samkit.load` takes it.
        job: clicks (`Clicks`) or tracking (`Tracking`).
        device: as `samkit.load` takes it.

    Raises:
        InputError: an unknown job, or a model that cannot track.
    """
    jobs = {"clicks": Clicks, "tracking": Tracking}
    if job not in jobs:
        raise InputError(f"job: expected one of {', '.join(jobs)}, got {shown(job)}")
    return jobs[job](samkit.load(model, device=device))


class Clicks:
    """Masks of clicks and boxes (an interaction function).

    Args:
        predictor: computes them.
    """

    def __init__(self, predictor: ImagePredictor) -> None:
        self._predictor = predictor

    @property
    def spec(self) -> Any:
        return cvataa.InteractionFunctionSpec(
            min_pos_points=0, min_neg_points=0, min_bounding_boxes=0
        )

    def preprocess_image(self, context: object, image: Image.Image) -> ImageEmbedding:
        """The embedding of a frame, which CVAT keeps for further clicks."""
        return self._predictor.embed(image)

    def detect(self, context: object, pp_image: ImageEmbedding, prompts: Any) -> list[Any]:
        """The mask of what was clicked; nothing where there is no click and no box."""
        points = [*prompts.pos_points, *prompts.neg_points]
        prompt = None
        if points:
            labels = [1] * len(prompts.pos_points) + [0] * len(prompts.neg_points)
            prompt = Prompt.points(points, labels)
        if prompts.bounding_box is not None:
            box = Prompt.box(*prompts.bounding_box[0], *prompts.bounding_box[1])
            prompt = box if prompt is None else prompt + box
        if prompt is None:
            return []
        masks = self._predictor.predict(pp_image, prompt)
        if not masks.areas[0]:
            return []
        return [cvataa.InteractionResultShape(type="mask", points=encode_mask(masks.masks[0]))]


class Tracking:
    """Masks and polygons followed from frame to frame (a tracking function).

    Args:
        predictor: of a network with memory.

    Raises:
        InputError: the network has none.
    """

    def __init__(self, predictor: ImagePredictor) -> None:
        self._predictor = predictor
        VideoPredictor(predictor).close()  # raises

    @property
    def spec(self) -> Any:
        return cvataa.TrackingFunctionSpec(supported_shape_types={"mask", "polygon"})

    def preprocess_image(self, context: object, image: Image.Image) -> ImageEmbedding:
        """The embedding of a frame, shared by all shapes that are tracked in it."""
        return self._predictor.embed(image)

    def init_tracking_state(
        self, context: object, pp_image: ImageEmbedding, shape: Any
    ) -> VideoPredictor:
        """A tracker that has seen one shape.

        Raises:
            InputError: the shape covers no pixel.
        """
        mask = _pixels(shape, pp_image.image_size)
        if not mask.any():
            raise InputError(f"expected a {shape.type} that covers a pixel, got an empty one")
        tracker = VideoPredictor(self._predictor)
        tracker.step(pp_image, {_OBJECT: Prompt.mask(mask)})
        return tracker

    def track(self, context: Any, pp_image: ImageEmbedding, state: VideoPredictor) -> Any:
        """The shape in the next frame; None where it is not there."""
        masks = state.step(pp_image)
        if not masks.areas[0]:
            return None
        kind = context.original_shape_type
        return cvataa.TrackableShape(type=kind, points=_points(masks, kind))


def _pixels(shape: Any, image_size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The mask (H, W) of a shape of CVAT."""
    height, width = image_size
    if shape.type == "mask":
        mask = decode_mask(shape.points, image_width=width, image_height=height)
        return np.asarray(mask, np.bool_)
    corners = np.array(shape.points, np.float64).reshape(-1, 2)
    canvas = np.zeros(image_size, np.uint8)
    # Corners are on the edges of pixels, to OpenCV they are on their middles.
    shift = 4
    way = np.round((corners - 0.5) * 2**shift).astype(np.int32)
    cv2.fillPoly(canvas, [way], 1, cv2.LINE_8, shift)
    return canvas.astype(np.bool_)


def _points(masks: Masks, kind: str) -> list[float]:
    """The one mask as CVAT's numbers. A polygon is the outline of the largest part."""
    if kind == "mask":
        encoded: list[float] = encode_mask(masks.masks[0])
        return encoded
    largest = masks.cleaned(largest=True).masks[0]
    (ring,) = contours.outer_contours(largest, _SIMPLIFIED)[:1]
    values: list[float] = ring.ravel().tolist()
    return values
