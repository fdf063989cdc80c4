"""The parts of a network as modules of tensors in, tensors out, with names: the layout samkit."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from samkit.nn import ImageFeatures, MaskPrediction, Network, PromptTensors, Sam2
from samkit.nn.memory import MemoryTokens
from samkit.nn.memory_encoder import MASK_STRIDE

__all__ = ["Part", "decoder", "encoder", "example_maps", "features_of", "memory_parts"]

# Sizes of traced examples: different ones above 1, which no axis is fixed to.
_PROMPTS, _TOKENS, _OBJECTS, _FRAMES, _POINTERS = 3, 4, 3, 2, 5


Axes = dict[int, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """A file of an export.

    Attributes:
        name: of the file, without its suffix.
        module: takes the inputs and returns a list of tensors.
        inputs: name -> example, in order.
        outputs: names.
        axes: name of an input -> axis -> name of what may be any number there.
        shared: name of an input -> the axis that is 1 where a batch shares it, or as long as that.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    axes: dict[str, Axes]
    shared: dict[str, int] = field(default_factory=dict)


class Encode(nn.Module):
    """Pixels (1, C, H, W), normalised -> the maps of an image."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> list[Tensor]:
        return list(self.network.encode_image(pixels).tensors)


class Decode(nn.Module):
    """N prompts and the maps of an image -> all masks of the prompts.

    The embedding is that of `Network.without_memory` or, for N frames, of `condition`.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, points: Tensor, labels: Tensor, masks: Tensor, has_mask: Tensor, *maps: Tensor
    ) -> list[Tensor]:
        prompts = PromptTensors(points=points, labels=labels, masks=masks, has_mask=has_mask)
        return as_list(self.network.decode(features_of(self.network, maps), prompts))


class Recall(nn.Module):
    """Memory attention of a frame to the memories and pointers of N objects."""

    def __init__(self, network: Sam2) -> None:
        super().__init__()
        self.attention = network.memory_attention

    def forward(
        self,
        frame: Tensor,
        memories: Tensor,
        memory_positions: Tensor,
        has_memory: Tensor,
        pointers: Tensor,
        pointer_positions: Tensor,
        has_pointer: Tensor,
    ) -> list[Tensor]:
        cells = has_memory[..., None].expand(-1, -1, memories.shape[2])
        memory = MemoryTokens(
            tokens=torch.cat([memories.flatten(1, 2), pointers], 1),
            positions=torch.cat([memory_positions.flatten(1, 2), pointer_positions], 1),
            pointer_tokens=pointers.shape[1],
            attended=torch.cat([cells.flatten(1), has_pointer], 1),
        )
        return [self.attention(frame, memory)]


class Remember(nn.Module):
    """Memory encoder: a frame and the scaled masks of N objects -> their memories."""

    def __init__(self, network: Sam2) -> None:
        super().__init__()
        self.encoder = network.memory_encoder

    def forward(self, frame: Tensor, masks: Tensor) -> list[Tensor]:
        return [self.encoder(frame.expand(masks.shape[0], -1, -1, -1), masks)]


class Summarise(nn.Module):
    """The perceiver of EdgeTAM: memories of N objects -> few tokens of each."""

    def __init__(self, network: Sam2) -> None:
        super().__init__()
        self.perceiver = network.spatial_perceiver

    def forward(self, memory: Tensor) -> list[Tensor]:
        return [self.perceiver(memory)]


def features_of(network: Network, maps: Sequence[Tensor]) -> ImageFeatures:
    """Maps of an image in the order of `map_names`."""
    embedding, *others = maps
    fine = 2 if network.config.mask_decoder.high_resolution else 0
    return ImageFeatures(
        embedding=embedding,
        high_resolution=tuple(others[:fine]),
        further=tuple(others[fine:]),
        stride=network.config.stride,
    )


def as_list(prediction: MaskPrediction) -> list[Tensor]:
    """What the file of a mask decoder gives."""
    score = [] if prediction.object_score is None else [prediction.object_score]
    return [prediction.logits, prediction.iou, prediction.tokens, *score]


def map_names(network: Network) -> tuple[str, ...]:
    """Names of the maps of an image."""
    config = network.config.mask_decoder
    fine = ("high_resolution_0", "high_resolution_1") if config.high_resolution else ()
    return ("embedding", *fine, *(["high_quality"] if config.high_quality else []))


def example_maps(network: Network) -> list[Tensor]:
    """Maps of one image."""
    (height, width), dim = network.config.grid, network.config.dim
    shapes = {
        "embedding": (dim, 1),
        "high_resolution_0": (dim // 8, 4),
        "high_resolution_1": (dim // 4, 2),
        "high_quality": (dim // 8, 4),
    }
    return [
        torch.randn(1, channels, height * k, width * k)
        for channels, k in (shapes[name] for name in map_names(network))
    ]


def encoder(network: Network) -> Part:
    """The image encoder, with the projections for the mask decoder."""
    pixels = torch.zeros(1, len(network.config.mean), *network.config.image_size)
    return Part(
        name="image_encoder",
        module=Encode(network),
        inputs={"pixels": pixels},
        outputs=map_names(network),
        axes={},
    )


def decoder(network: Network) -> Part:
    """The prompt encoder and the mask decoder."""
    height, width = network.config.grid
    prompts = {
        "points": torch.rand(_PROMPTS, _TOKENS, 2) * network.config.stride * min(height, width),
        "labels": torch.tensor([[1, 0, -1, -2], [2, 3, 1, -1], [1, -1, -2, -2]]),
        "masks": torch.randn(_PROMPTS, 1, height * 4, width * 4),
        "has_mask": torch.tensor([True, False, True]),
    }
    maps = zip(map_names(network), example_maps(network), strict=True)
    score = ("object_score",) if network.config.mask_decoder.object_score else ()
    return Part(
        name="mask_decoder",
        module=Decode(network),
        inputs=prompts | dict(maps),
        outputs=("logits", "iou", "tokens", *score),
        axes={
            "points": {0: "prompts", 1: "tokens"},
            "labels": {0: "prompts", 1: "tokens"},
            "masks": {0: "prompts"},
            "has_mask": {0: "prompts"},
        },
        shared={"embedding": 0},
    )


def memory_parts(network: Sam2) -> list[Part]:
    """The memory attention, the memory encoder and, where there is one, the perceiver."""
    (height, width), dim = network.config.grid, network.config.memory.dim
    cells = network.memory_positions((height, width)).shape[0]
    frame = torch.randn(1, network.config.dim, height, width)
    tokens = torch.randn(2, _OBJECTS, _FRAMES, cells, dim)
    pointer_tokens = torch.randn(2, _OBJECTS, _POINTERS, dim)
    masks = torch.rand(_OBJECTS, 1, height * MASK_STRIDE, width * MASK_STRIDE)
    frames, pointers = {0: "objects", 1: "frames"}, {0: "objects", 1: "pointers"}
    parts = [
        Part(
            name="memory_attention",
            module=Recall(network),
            inputs={
                "frame": frame,
                "memories": tokens[0],
                "memory_positions": tokens[1],
                "has_memory": torch.ones(_OBJECTS, _FRAMES, dtype=torch.bool),
                "pointers": pointer_tokens[0],
                "pointer_positions": pointer_tokens[1],
                "has_pointer": torch.ones(_OBJECTS, _POINTERS, dtype=torch.bool),
            },
            outputs=("recalled",),
            axes={
                **dict.fromkeys(("memories", "memory_positions", "has_memory"), frames),
                **dict.fromkeys(("pointers", "pointer_positions", "has_pointer"), pointers),
            },
        ),
        Part(
            name="memory_encoder",
            module=Remember(network),
            inputs={"frame": frame, "masks": masks},
            outputs=("memory",),
            axes={"masks": {0: "objects"}},
        ),
    ]
    if network.config.memory.latents:
        parts.append(
            Part(
                name="memory_perceiver",
                module=Summarise(network),
                inputs={"memory": torch.randn(_OBJECTS, dim, height, width)},
                outputs=("tokens",),
                axes={"memory": {0: "objects"}},
            )
        )
    return parts
