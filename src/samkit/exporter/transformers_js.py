"""The layout of transformers.js, as onnx-community publishes SAM and SAM 2."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.exporter import parts
from samkit.exporter.layout import Layout, RandomPrompts, normalised
from samkit.exporter.parts import Part
from samkit.nn import Network, PromptTensors, TokenLabel

__all__ = ["TRANSFORMERS"]

# How transformers marks a point that is only there to fill up.
_FILLED_UP = -10
_P, _T = 3, 4  # of traced examples


class _Encoder(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: Tensor) -> list[Tensor]:
        features = self.network.without_memory(self.network.encode_image(pixel_values))
        if features.high_resolution:
            return [*features.high_resolution, features.embedding]
        positions = self.network.prompt_encoder.positions(*features.embedding.shape[-2:])
        return [features.embedding, positions]


class _Decoder(nn.Module):
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
            features = parts.features_of(network, [maps[2], *maps[:2]])
            found = network.decode(features, prompts)
        else:
            features = parts.features_of(network, maps[:1])
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


def _maps(network: Network) -> dict[str, Tensor]:
    embedding, *fine = parts.example_maps(network)
    if fine:
        return {f"image_embeddings.{i}": x for i, x in enumerate([*fine, embedding])}
    return {"image_embeddings": embedding, "image_positional_embeddings": embedding.clone()}


def _encoder(network: Network) -> Part:
    return Part(
        name="onnx/vision_encoder",
        module=_Encoder(network),
        inputs={"pixel_values": next(iter(parts.encoder(network).inputs.values()))},
        outputs=tuple(_maps(network)),
        axes={},
    )


def _decoder(network: Network) -> Part:
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
        module=_Decoder(network),
        inputs=inputs | _maps(network),
        outputs=("iou_scores", "pred_masks", *(["object_score_logits"] if is_sam2 else [])),
        axes=axes,
        shared={"input_points": 1} if is_sam2 else {},
    )


def _prompts(network: Network, prompts: RandomPrompts) -> dict[str, Tensor] | None:
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


def _configs(network: Network) -> dict[str, Any]:
    """What transformers.js reads to choose its classes and to prepare an image."""
    config = network.config
    height, width = config.image_size
    is_sam2 = config.mask_decoder.high_resolution
    name = "Sam2" if is_sam2 else "Sam"
    whole = {"height": height, "width": width}
    fit = (
        {"size": {"longest_edge": max(height, width)}, "do_pad": True, "pad_size": whole}
        if config.keep_aspect
        else {"size": whole, "do_pad": False}
    )
    preprocessor = {
        "image_processor_type": f"{name}ImageProcessor",
        "processor_class": f"{name}Processor",
        "do_convert_rgb": True,
        "do_resize": True,
        "resample": 2,  # bilinear
        **fit,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": config.mean,
        "image_std": config.std,
    }
    model = {"model_type": name.lower(), "architectures": [f"{name}Model"]}
    levels = {"vision_config": {"num_feature_levels": 3}} if is_sam2 else {}
    return {"config.json": model | levels, "preprocessor_config.json": preprocessor}


TRANSFORMERS = Layout(
    encoder=_encoder,
    decoder=_decoder,
    pixels=normalised,
    prompts=_prompts,
    logits=lambda _: "pred_masks",
    configs=_configs,
)
