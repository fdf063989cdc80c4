"""The layout of samexporter and of what reads its files, such as X-AnyLabeling."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from samkit.exporter import parts
from samkit.exporter.layout import Layout, RandomPrompts, normalised, padded
from samkit.exporter.parts import Part
from samkit.nn import Network, PromptTensors, TokenLabel
from samkit.transforms import ImageTransform, resize_rgb

__all__ = ["SAMEXPORTER"]

# What samexporter clamps masks to.
_MOST_LOGIT = 32.0
_P, _T = 3, 4  # of traced examples


class _Encoder(nn.Module):
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


class _Sam2Decoder(nn.Module):
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
        maps = [image_embed, high_res_feats_0, high_res_feats_1]
        features = parts.features_of(network, maps)
        points = F.pad(points, (0, 0, 0, 1))
        labels = F.pad(labels, (0, 1), value=TokenLabel.NOT_A_POINT)
        prompts = _with_one_switch(points, labels, masks, has_mask)
        found = network.mask_decoder.multiple(network.decode(features, prompts))
        return [found.logits.clamp(-_MOST_LOGIT, _MOST_LOGIT), found.iou]


class _SamDecoder(nn.Module):
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
        features = parts.features_of(network, [image_embeddings])
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


def _pixels(network: Network, image: NDArray[np.uint8]) -> Tensor:
    if network.config.mask_decoder.high_resolution:
        return normalised(network, image)
    transform = ImageTransform.for_network(network.config, image.shape[:2])
    return torch.from_numpy(resize_rgb(image, transform.content_size)).float()


def _encoder(network: Network) -> Part:
    if network.config.mask_decoder.high_resolution:
        return Part(
            name="encoder",
            module=_Encoder(network),
            inputs={"image": next(iter(parts.encoder(network).inputs.values()))},
            outputs=("high_res_feats_0", "high_res_feats_1", "image_embed"),
            axes={},
        )
    height, width = network.config.image_size
    return Part(
        name="encoder",
        module=_Encoder(network),
        inputs={"input_image": torch.rand(height - 20, width - 30, 3) * 255},
        outputs=("image_embeddings",),
        axes={"input_image": {0: "image_height", 1: "image_width"}},
    )


def _decoder(network: Network) -> Part:
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
        module=(_Sam2Decoder if is_sam2 else _SamDecoder)(network),
        inputs=inputs,
        outputs=("masks", "iou_predictions", *([] if is_sam2 else ["low_res_masks"])),
        axes={"point_coords": tokens, "point_labels": tokens, "mask_input": {0: "num_labels"}},
    )


def _prompts(network: Network, prompts: RandomPrompts) -> dict[str, Tensor]:
    tokens = {"points": prompts.points, "labels": prompts.labels}
    inputs = {}
    if not network.config.mask_decoder.high_resolution:
        tokens = padded(network, prompts)
        inputs["orig_im_size"] = torch.tensor([75.0, 100.0])
    return {
        "point_coords": tokens["points"],
        "point_labels": tokens["labels"].float(),
        "mask_input": prompts.masks,
        "has_mask_input": torch.tensor([float(prompts.has_mask)]),
        **inputs,
    }


SAMEXPORTER = Layout(
    encoder=_encoder,
    decoder=_decoder,
    pixels=_pixels,
    prompts=_prompts,
    logits=lambda network: (
        "masks" if network.config.mask_decoder.high_resolution else "low_res_masks"
    ),
)
