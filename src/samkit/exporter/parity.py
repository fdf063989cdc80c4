"""Whether exported files do what the network does, on photographs and on a clip."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from samkit.errors import ExportError
from samkit.exporter.layout import Layout, RandomPrompts
from samkit.exporter.parts import Part, memory_parts
from samkit.exporter.samples import CLIP, PHOTOGRAPH
from samkit.image_predictor import ImagePredictor
from samkit.media import read_image
from samkit.nn import Network, Sam2
from samkit.prompts import Prompt
from samkit.runtimes import Engine
from samkit.transforms import ImageTransform
from samkit.video import VideoPredictor

__all__ = ["Differences", "compare_clip", "compare_images", "compare_memory"]

# Largest difference of a tensor, of its scale; lowest IoU of a mask; and pixels that may differ in
# masks that are so small that a pixel counts for more.
_MOST_DIFFERENCE, _LEAST_IOU, _FEW_PIXELS = 1e-4, 0.999, 8

_FRAMES = 10
# The cup and the spoon of the clip.
_PROMPTS = {1: Prompt.box(114, 0, 303, 188), 2: Prompt.point(220, 190)}


@dataclass(frozen=True)
class Sizes:
    """Of a batch for the memory attention."""

    objects: int
    frames: int
    pointers: int


_MEMORIES = (Sizes(1, 1, 0), Sizes(2, 3, 8))


@dataclass
class Differences:
    """What a comparison has found so far.

    Attributes:
        largest: part -> largest difference of its outputs, of their scale.
        lowest_iou: of all masks at the size of their image.
        masks: how many were compared.
    """

    largest: dict[str, float]
    lowest_iou: float = 1.0
    masks: int = 0

    def add_tensors(
        self, part: Part, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]
    ) -> None:
        """Compare the outputs of a part.

        Raises:
            ExportError: they differ by more than rounding.
        """
        for name, want in expected.items():
            got = found[name]
            if got.shape != want.shape:
                raise ExportError(
                    f"{part.name}: expected {name} of shape {tuple(want.shape)} as the network "
                    f"gives it, got {tuple(got.shape)}"
                )
            scale = max(want.abs().max().item(), 1e-6) if want.numel() else 1.0
            difference = (got - want).abs().max().item() / scale if want.numel() else 0.0
            if not difference <= _MOST_DIFFERENCE:  # also if it is no number
                raise ExportError(
                    f"{part.name}: {name} differs from what the network gives by {difference:.2g} "
                    f"of its scale, expected at most {_MOST_DIFFERENCE}"
                )
            self.largest[part.name] = max(self.largest.get(part.name, 0.0), difference)

    def add_masks(self, what: str, found: NDArray[np.bool_], expected: NDArray[np.bool_]) -> None:
        """Compare masks (N, H, W).

        Raises:
            ExportError: they are not the same.
        """
        for one, other in zip(found, expected, strict=True):
            iou, pixels = mask_iou(one, other), int((one != other).sum())
            if iou < _LEAST_IOU and pixels > _FEW_PIXELS:
                raise ExportError(
                    f"{what}: a mask has an IoU of {iou:.4f} with that of the network, expected "
                    f"at least {_LEAST_IOU}"
                )
            self.lowest_iou = min(self.lowest_iou, iou)
            self.masks += 1


def mask_iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Of two masks; 1 if both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


def compare_images(
    network: Network, layout: Layout, engines: Mapping[str, Engine], before: Network | None = None
) -> tuple[Differences, list[float]]:
    """Two photographs with prompts of all kinds.

    Args:
        network: whose weights the files have.
        layout: of the files.
        engines: name of a part -> its file.
        before: the network before its weights were rounded, if they were.

    Returns:
        The differences, and the IoU of each mask with that of `before`.

    Raises:
        ExportError: the files do something else.
    """
    encoder, decoder = layout.encoder(network), layout.decoder(network)
    differences, ious = Differences({}), list[float]()
    for image in _photographs():
        transform = ImageTransform.for_network(network.config, image.shape[:2])
        (pixels,) = encoder.inputs
        inputs = {pixels: layout.pixels(network, image)}
        maps, found = _run(encoder, inputs), engines[encoder.name](inputs)
        differences.add_tensors(encoder, found, maps)
        maps, found = (layout.decoded(network, each) for each in (maps, found))
        if before is not None:
            old_decoder = layout.decoder(before)
            old_maps = layout.decoded(before, _run(layout.encoder(before), inputs))
        for prompts in _random_prompts(transform):
            given = layout.prompts(network, prompts)
            if given is None:
                continue
            name, expected = layout.logits(network), _run(decoder, given | maps)
            differences.add_tensors(decoder, engines[decoder.name](given | maps), expected)
            masks = _masks(engines[decoder.name](given | found)[name], transform)
            differences.add_masks(decoder.name, masks, _masks(expected[name], transform))
            if before is not None:
                old_masks = _masks(_run(old_decoder, given | old_maps)[name], transform)
                ious += map(mask_iou, masks, old_masks)
    return differences, ious


def compare_memory(network: Sam2, engines: Mapping[str, Engine]) -> Differences:
    """The parts of the memory with numbers of any kind.

    Raises:
        ExportError: the files do something else.
    """
    differences, generator = Differences({}), torch.Generator().manual_seed(0)
    for sizes in _MEMORIES:
        for part in memory_parts(network):
            inputs = {}
            for name, example in part.inputs.items():
                axes = part.axes.get(name, {})
                shape = list(example.shape)
                for axis, what in axes.items():
                    shape[axis] = getattr(sizes, what)
                inputs[name] = torch.randn(shape, generator=generator)
                if example.dtype == torch.bool:
                    inputs[name] = torch.ones(shape, dtype=torch.bool)
                    inputs[name][:1, 1:] = False
            differences.add_tensors(part, engines[part.name](inputs), _run(part, inputs))
    return differences


def compare_clip(exported: ImagePredictor, network: Network) -> Differences:
    """Two objects through ten frames of a clip.

    Raises:
        ExportError: the files do something else.
    """
    expected = ImagePredictor(network, device="cpu", dtype="float32")
    differences = Differences({})
    for found, want in zip(_track(exported), _track(expected), strict=True):
        differences.add_masks("video", found, want)
    return differences


def _track(predictor: ImagePredictor) -> Iterator[NDArray[np.bool_]]:
    tracker = VideoPredictor(predictor, CLIP)
    for object_id, prompt in _PROMPTS.items():
        tracker.prompt(0, object_id, prompt)
    for _, masks in tracker.track(stop=_FRAMES):
        yield masks.masks


def _photographs() -> list[NDArray[np.uint8]]:
    """One that is wide, and one that is high."""
    image = np.asarray(read_image(PHOTOGRAPH))
    return [image, np.ascontiguousarray(np.rot90(image)[: image.shape[0]])]


def _random_prompts(transform: ImageTransform) -> Iterator[RandomPrompts]:
    """Clicks, boxes, both, with and without masks."""
    generator = torch.Generator().manual_seed(0)
    height, width = transform.prompt_content_size
    size = torch.tensor([width, height])
    kinds = (([1], False), ([1, 0, 1], True), ([2, 3], False), ([0, 2, 3], True))
    for labels, has_mask in kinds:
        points = torch.rand(3, len(labels), 2, generator=generator)
        if 2 in labels:  # the first corner is the top left one
            points[:, -2:] = points[:, -2:].sort(1).values
        coarse = torch.randn(3, 1, 8, 8, generator=generator) * 10
        yield RandomPrompts(
            points=points * size,
            labels=torch.tensor(labels).expand(3, -1).contiguous(),
            masks=F.interpolate(coarse, transform.mask_size, mode="bilinear"),
            has_mask=has_mask,
        )


def _run(part: Part, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The outputs of the network itself by name."""
    with torch.inference_mode():
        found = part.module(*(inputs[name] for name in part.inputs))
    return dict(zip(part.outputs, found, strict=True))


def _masks(logits: Tensor, transform: ImageTransform) -> NDArray[np.bool_]:
    """Masks (N, H, W) at the size of the image, of logits (..., h, w)."""
    flat = logits.reshape(-1, *logits.shape[-2:])
    return (transform.masks_to_image(flat) > 0).numpy()
