"""Whose names and axes the files of an image have: thin modules round the network.

========================  ==========================================================================
samkit                    what `samkit.load` reads; tokens as in `PromptTensors`
transformers              transformers.js, as onnx-community publishes SAM and SAM 2
samexporter               samexporter and what reads its files, such as X-AnyLabeling
========================  ==========================================================================
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from samkit.exporter import parts
from samkit.exporter.parts import Part
from samkit.nn import ImageFeatures, Network, PromptTensors, TokenLabel
from samkit.transforms import ImageTransform, resize_rgb

__all__ = ["LAYOUTS", "Layout", "LayoutName", "RandomPrompts"]

LayoutName = Literal["samkit", "transformers", "samexporter"]

# How transformers marks a point that is only there to fill up.
_FILLED_UP = -10
# What samexporter clamps masks to.
_MOST_LOGIT = 32.0
_P, _T = 3, 4  # of traced examples


@dataclass(frozen=True, kw_only=True)
class RandomPrompts:
    """N prompts of T points and corners of boxes each, without padding, for a comparison.

    Attributes:
        points: (N, T, 2) in the prompt frame.
        labels: (N, T) of clicks, or of the two corners of a box.
        masks: (N, 1, h, w) logits.
        has_mask: whether all of them have their mask, or none.
    """

    points: Tensor
    labels: Tensor
    masks: Tensor
    has_mask: bool


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the two files of an image look.

    Attributes:
        encoder, decoder: parts of a network.
        pixels: the input of the encoder for an image (H, W, 3).
        prompts: the inputs of the decoder beside the maps of the image, by name; None where the
            layout has no such prompts.
        logits: name of the decoder's output with mask logits (..., h, w) of the prompt frame.
    """

    encoder: Callable[[Network], Part]
    decoder: Callable[[Network], Part]
    pixels: Callable[[Network, NDArray[np.uint8]], Tensor]
    prompts: Callable[[Network, RandomPrompts], dict[str, Tensor] | None]
    logits: Callable[[Network], str]


def _normalised(network: Network, image: NDArray[np.uint8]) -> Tensor:
    config = network.config
    transform = ImageTransform.for_network(config, image.shape[:2])
    return transform.pixels(image, config.mean, config.std)


def _padded(network: Network, prompts: RandomPrompts) -> dict[str, Tensor]:
    tensors = PromptTensors.padded(
        prompts.points, prompts.labels, pad_boxes=network.config.prompt_encoder.pad_boxes
    )
    return {
        "points": tensors.points,
        "labels": tensors.labels,
        "masks": prompts.masks,
        "has_mask": torch.full((len(prompts.points),), prompts.has_mask),
    }


# transformers


class _TransformersEncoder(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: Tensor) -> list[Tensor]:
        features = self.network.without_memory(self.network.encode_image(pixel_values))
        if features.high_resolution:
            return [*features.high_resolution, features.embedding]
        positions = self.network.prompt_encoder.positions(*features.embedding.shape[-2:])
        return [features.embedding, positions]


class _TransformersDecoder(nn.Module):
    """Prompts (1, P, T, 2); of SAM 2 also boxes, which are none or P."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_points: Tensor, input_labels: Tensor, *others: Tensor) -> list[Tensor]:
        network, labels = self.network, input_labels[0]
        is_sam2 = network.config.mask_decoder.high_resolution
        # Where only boxes are given, points have no batch: P is that of the labels.
        points = input_points[0] + torch.zeros(*labels.shape, 1)
        labels = torch.where(labels == _FILLED_UP, TokenLabel.ABSENT, labels)
        boxes, maps = (others[0], others[1:]) if is_sam2 else (None, others)
        if boxes is not None:
            points, labels = _with_boxes(points, labels, boxes[0])
        points = F.pad(points, (0, 0, 0, 1))
        labels = F.pad(labels, (0, 1), value=TokenLabel.NOT_A_POINT)
        prompts = PromptTensors(points=points, labels=labels)
        if is_sam2:
            found = network.decode(_features(network, maps[2], maps[:2]), prompts)
        else:
            features = _features(network, maps[0], ())
            embedding = network.prompt_encoder(prompts, features.prompt_size)
            decoder = network.mask_decoder
            found = decoder.masks(decoder.attend(features, maps[1], embedding))
        found = network.mask_decoder.multiple(found)
        score = [] if found.object_score is None else [found.object_score[None]]
        return [found.iou[None], found.logits[None], *score]


def _with_boxes(points: Tensor, labels: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Corners of boxes (P or 0, 4) after P prompts of points."""
    count, given = points.shape[0], boxes.shape[0]
    corners = torch.cat([boxes, boxes.new_zeros(count, 4)])[:count].reshape(-1, 2, 2)
    is_box = torch.arange(count)[:, None] < given
    kinds = torch.tensor([[TokenLabel.BOX_TOP_LEFT, TokenLabel.BOX_BOTTOM_RIGHT]])
    kinds = torch.where(is_box, kinds, TokenLabel.ABSENT)
    return torch.cat([points, corners], 1), torch.cat([labels, kinds], 1)


def _transformers_maps(network: Network) -> dict[str, Tensor]:
    embedding, *fine = parts.example_maps(network)
    if fine:
        return {f"image_embeddings.{i}": x for i, x in enumerate([*fine, embedding])}
    return {"image_embeddings": embedding, "image_positional_embeddings": embedding.clone()}


def _transformers_encoder(network: Network) -> Part:
    return Part(
        name="onnx/vision_encoder",
        module=_TransformersEncoder(network),
        inputs={"pixel_values": next(iter(parts.encoder(network).inputs.values()))},
        outputs=tuple(_transformers_maps(network)),
        axes={},
    )


def _transformers_decoder(network: Network) -> Part:
    is_sam2 = network.config.mask_decoder.high_resolution
    axes = {"input_points": {2: "points"}, "input_labels": {1: "prompts", 2: "points"}}
    inputs = {
        "input_points": torch.rand(1, 1 if is_sam2 else _P, _T, 2) * 100,
        "input_labels": torch.ones(1, _P, _T, dtype=torch.int64),
    }
    if is_sam2:
        inputs["input_boxes"] = torch.rand(1, _P - 1, 4) * 100
        axes["input_boxes"] = {1: "boxes"}
    else:
        axes["input_points"][1] = "prompts"
    return Part(
        name="onnx/prompt_encoder_mask_decoder",
        module=_TransformersDecoder(network),
        inputs=inputs | _transformers_maps(network),
        outputs=("iou_scores", "pred_masks", *(["object_score_logits"] if is_sam2 else [])),
        axes=axes,
        shared={"input_points": 1} if is_sam2 else {},
    )


def _transformers_prompts(network: Network, prompts: RandomPrompts) -> dict[str, Tensor] | None:
    corners = prompts.labels >= TokenLabel.BOX_TOP_LEFT
    is_sam2, is_box = network.config.mask_decoder.high_resolution, bool(corners.all())
    if prompts.has_mask or (bool(corners.any()) and not (is_box and is_sam2)):
        return None
    count = len(prompts.points)
    inputs = {"input_points": prompts.points[None], "input_labels": prompts.labels[None]}
    if is_box:
        inputs = {
            "input_points": torch.zeros(1, 1, 0, 2),
            "input_labels": torch.zeros(1, count, 0, dtype=torch.int64),
            "input_boxes": prompts.points.reshape(1, count, 4),
        }
    elif is_sam2:
        inputs["input_boxes"] = torch.zeros(1, 0, 4)
    return inputs


# samexporter


class _SamexporterEncoder(nn.Module):
    """SAM 2: normalised pixels. SAM: pixels (H, W, 3) from 0 to 255, not larger than the input."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> list[Tensor]:
        config = self.network.config
        if not config.mask_decoder.high_resolution:
            x = (image / 255 - torch.tensor(config.mean)) / torch.tensor(config.std)
            height, width = config.image_size
            x = F.pad(x, (0, 0, 0, width - x.shape[1], 0, height - x.shape[0]))
            return [self.network.encode_image(x.permute(2, 0, 1)[None]).embedding]
        features = self.network.without_memory(self.network.encode_image(image))
        return [*features.high_resolution, features.embedding]


class _SamexporterSam2Decoder(nn.Module):
    """The three candidates of prompts that end with no padding point."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        image_embed: Tensor,
        high_res_feats_0: Tensor,
        high_res_feats_1: Tensor,
        points: Tensor,
        labels: Tensor,
        masks: Tensor,
        has_mask: Tensor,
    ) -> list[Tensor]:
        network = self.network
        features = _features(network, image_embed, (high_res_feats_0, high_res_feats_1))
        points = F.pad(points, (0, 0, 0, 1))
        labels = F.pad(labels, (0, 1), value=TokenLabel.NOT_A_POINT)
        prompts = _with_one_switch(points, labels, masks, has_mask)
        found = network.mask_decoder.multiple(network.decode(features, prompts))
        return [found.logits.clamp(-_MOST_LOGIT, _MOST_LOGIT), found.iou]


class _SamexporterSamDecoder(nn.Module):
    """The three candidates, at the size of the image, of a prompt that the caller has padded."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        image_embeddings: Tensor,
        points: Tensor,
        labels: Tensor,
        masks: Tensor,
        has_mask: Tensor,
        orig_im_size: Tensor,
    ) -> list[Tensor]:
        network = self.network
        features = _features(network, image_embeddings, ())
        prompts = _with_one_switch(points, labels, masks, has_mask)
        found = network.mask_decoder.multiple(network.decode(features, prompts))
        sizes = orig_im_size, torch.tensor(network.config.image_size)
        return [_resampled(found.logits, *sizes), found.iou, found.logits]


def _with_one_switch(
    points: Tensor, labels: Tensor, masks: Tensor, has_mask: Tensor
) -> PromptTensors:
    return PromptTensors(
        points=points,
        labels=labels.long(),
        masks=masks,
        has_mask=(has_mask > 0).expand(points.shape[0]),
    )


def _resampled(logits: Tensor, image_size: Tensor, input_size: Tensor) -> Tensor:
    """Logits of the padded input -> of an image whose size is only known when it runs."""
    # Numbers that a graph knows only when it runs; what makes ints of them would fix them.
    height, width = image_size[0].long().item(), image_size[1].long().item()
    for side in (height, width):
        torch._check(side > 1)
    scale = (input_size / image_size).min()
    content = (image_size * scale + 0.5).floor()

    def weights(length: int | float, content: Tensor, whole: Tensor, cells: int) -> Tensor:
        """(length, cells): bilinear, from the cells that lie in the content."""
        where = (torch.arange(length) + 0.5) / length * content / whole * cells - 0.5
        where = where.clamp(0, cells - 1)[:, None]
        return (1 - (where - torch.arange(cells)).abs()).clamp(min=0)

    down = weights(height, content[0], input_size[0], logits.shape[2])
    across = weights(width, content[1], input_size[1], logits.shape[3])
    return down @ logits @ across.T


def _samexporter_pixels(network: Network, image: NDArray[np.uint8]) -> Tensor:
    if network.config.mask_decoder.high_resolution:
        return _normalised(network, image)
    transform = ImageTransform.for_network(network.config, image.shape[:2])
    return torch.from_numpy(resize_rgb(image, transform.content_size)).float()


def _samexporter_encoder(network: Network) -> Part:
    if network.config.mask_decoder.high_resolution:
        return Part(
            name="encoder",
            module=_SamexporterEncoder(network),
            inputs={"image": next(iter(parts.encoder(network).inputs.values()))},
            outputs=("high_res_feats_0", "high_res_feats_1", "image_embed"),
            axes={},
        )
    height, width = network.config.image_size
    return Part(
        name="encoder",
        module=_SamexporterEncoder(network),
        inputs={"input_image": torch.rand(height - 20, width - 30, 3) * 255},
        outputs=("image_embeddings",),
        axes={"input_image": {0: "image_height", 1: "image_width"}},
    )


def _samexporter_decoder(network: Network) -> Part:
    height, width = network.config.grid
    is_sam2 = network.config.mask_decoder.high_resolution
    names = ("image_embed", "high_res_feats_0", "high_res_feats_1")
    maps = parts.example_maps(network)
    inputs = dict(zip(names if is_sam2 else ("image_embeddings",), maps, strict=True))
    inputs |= {
        "point_coords": torch.rand(_P, _T, 2) * 100,
        "point_labels": torch.ones(_P, _T),
        "mask_input": torch.zeros(_P, 1, height * 4, width * 4),
        "has_mask_input": torch.zeros(1),
    }
    if not is_sam2:
        inputs["orig_im_size"] = torch.tensor([60.0, 80.0])
    tokens = {0: "num_labels", 1: "num_points"}
    return Part(
        name="decoder",
        module=(_SamexporterSam2Decoder if is_sam2 else _SamexporterSamDecoder)(network),
        inputs=inputs,
        outputs=("masks", "iou_predictions", *([] if is_sam2 else ["low_res_masks"])),
        axes={"point_coords": tokens, "point_labels": tokens, "mask_input": {0: "num_labels"}},
    )


def _samexporter_prompts(network: Network, prompts: RandomPrompts) -> dict[str, Tensor]:
    tokens = {"points": prompts.points, "labels": prompts.labels}
    inputs = {}
    if not network.config.mask_decoder.high_resolution:
        tokens = _padded(network, prompts)
        inputs["orig_im_size"] = torch.tensor([75.0, 100.0])
    return {
        "point_coords": tokens["points"],
        "point_labels": tokens["labels"].float(),
        "mask_input": prompts.masks,
        "has_mask_input": torch.tensor([float(prompts.has_mask)]),
        **inputs,
    }


def _features(network: Network, embedding: Tensor, fine: tuple[Tensor, ...]) -> ImageFeatures:
    return ImageFeatures(embedding=embedding, high_resolution=fine, stride=network.config.stride)


LAYOUTS: dict[LayoutName, Layout] = {
    "samkit": Layout(
        encoder=parts.encoder,
        decoder=parts.decoder,
        pixels=_normalised,
        prompts=_padded,
        logits=lambda _: "logits",
    ),
    "transformers": Layout(
        encoder=_transformers_encoder,
        decoder=_transformers_decoder,
        pixels=_normalised,
        prompts=_transformers_prompts,
        logits=lambda _: "pred_masks",
    ),
    "samexporter": Layout(
        encoder=_samexporter_encoder,
        decoder=_samexporter_decoder,
        pixels=_samexporter_pixels,
        prompts=_samexporter_prompts,
        logits=lambda network: (
            "masks" if network.config.mask_decoder.high_resolution else "low_res_masks"
        ),
    ),
}
