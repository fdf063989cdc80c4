"""An exported network as a `Network`: its parts run in an engine, what lies between in torch."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from samkit.errors import CheckpointError, InputError
from samkit.nn import ImageFeatures, MaskPrediction, Network, PromptTensors, Sam, Sam2
from samkit.nn.image_views import ImageViews
from samkit.nn.mask_decoder import Attended, MaskDecoder
from samkit.nn.memory import MemoryTokens
from samkit.nn.numberless import without_numbers
from samkit.runtimes.engine import Engine, Runtime
from samkit.runtimes.folder import ExportedFolder
from samkit.sizes import NetworkConfig, Sam2Config, SamConfig
from samkit.weights.loading import check_shapes
from samkit.weights.safetensors_reader import read_safetensors

__all__ = ["WEIGHTS", "is_exported", "load_exported", "weights_between"]

WEIGHTS = "network.safetensors"
"""Name of the file of the weights that no ONNX file has."""

# Maps of an image beside its embedding, in the order that networks have them in.
_FINE, _FURTHER = ("high_resolution_0", "high_resolution_1"), ("high_quality",)
_IN_ENGINE = ("image_encoder.", "memory_attention.", "memory_encoder.", "spatial_perceiver.")


def load_exported(folder: ExportedFolder, runtime: Runtime) -> Network:
    """The network of an export, on the CPU, in evaluation mode.

    Raises:
        MissingDependencyError: the engine is not installed.
        CheckpointError: the engine cannot load a file, or the weights do not fit.
    """
    network = _built(folder.config)
    path = folder.path / _listed(folder, WEIGHTS)
    state, _ = read_safetensors(path, CheckpointError)
    check_shapes(str(path), state, weights_between(network))
    network.load_state_dict(state, strict=False, assign=True)

    def engine(name: str) -> Engine:
        file = _listed(folder, f"{name}.onnx")
        return Engine(folder.path / file, runtime, folder.checksums[file])

    network.image_encoder = _ImageEncoder(engine("image_encoder"), folder.config)
    network.mask_decoder = _MaskDecoder(network.mask_decoder, engine("mask_decoder"))
    if isinstance(network, Sam2):
        network.has_memory &= "memory_attention.onnx" in folder.checksums
        tokens = len(network.memory_positions(folder.config.grid)) if network.has_memory else 0
        # By their names, as these are other classes in the same places.
        for name, open_part in (
            ("memory_attention", lambda: _MemoryAttention(engine("memory_attention"), tokens)),
            ("memory_encoder", lambda: _MemoryEncoder(engine("memory_encoder"))),
            ("spatial_perceiver", lambda: _Perceiver(engine("memory_perceiver"))),
        ):
            if hasattr(network, name):
                network.add_module(name, open_part() if network.has_memory else nn.Module())
    return network.eval()


def _listed(folder: ExportedFolder, name: str) -> str:
    """The name of a file whose checksum is known, and right."""
    if name not in folder.checksums:
        raise CheckpointError(f"{folder.path}: expected {name} among its files")
    return name


def is_exported(network: Network) -> bool:
    """Whether a network is that of an export."""
    return isinstance(network, _Exported)


def weights_between(network: Network) -> dict[str, Tensor]:
    """The weights that are used outside of the exported parts, and those that tell their sizes."""
    return {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.startswith(_IN_ENGINE)
        and (
            not name.startswith("mask_decoder.") or name.endswith(("token.weight", "tokens.weight"))
        )
    }


def _built(config: NetworkConfig) -> Network:
    """A network without weights, which takes no memory."""
    with without_numbers():
        if isinstance(config, Sam2Config):
            return ExportedSam2(config)
        assert isinstance(config, SamConfig)
        return ExportedSam(config)


class _Exported(Network):
    """Prompts go to the file of the mask decoder as they are."""

    def encode_image(self, pixels: Tensor) -> ImageFeatures:
        maps = self.image_encoder(pixels)
        return ImageFeatures(
            embedding=maps["embedding"],
            high_resolution=tuple(maps[name] for name in _FINE if name in maps),
            further=tuple(maps[name] for name in _FURTHER if name in maps),
            stride=self.config.stride,
        )

    def _attend(self, features: ImageFeatures, prompts: PromptTensors) -> Attended:
        assert isinstance(self.mask_decoder, _MaskDecoder)
        return self.mask_decoder.decode(features, prompts)


class ExportedSam(_Exported, Sam):
    """SAM, HQ-SAM or MobileSAM, exported."""


class ExportedSam2(_Exported, Sam2):
    """SAM 2, 2.1, EdgeTAM or pico, exported."""


class _ImageEncoder(nn.Module):
    """In the place of all image encoders: also makes what all prompts of an image share."""

    def __init__(self, engine: Engine, config: NetworkConfig) -> None:
        super().__init__()
        self.engine = engine
        self.shape = (len(config.mean), *config.image_size)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """The maps of B images by their names in the file."""
        if pixels.shape[1:] != self.shape:
            raise InputError(
                f"this export takes inputs of shape {self.shape}, got {tuple(pixels.shape[1:])}"
            )
        each = [self.engine({"pixels": one}) for one in pixels.split(1)]
        return {name: torch.cat([one[name] for one in each]) for name in self.engine.outputs}


@dataclass(frozen=True, eq=False)
class _Decoded:
    """Masks in the place of the image tokens that they are else made of.

    Attributes:
        logits: as in `MaskPrediction`.
    """

    logits: Tensor

    def select(self, index: Tensor) -> "_Decoded":
        return _Decoded(self.logits[index])


class _MaskDecoder(MaskDecoder):
    """Prompt encoder and mask decoder in one file, which always makes all masks."""

    def __init__(self, replaced: MaskDecoder, engine: Engine) -> None:
        nn.Module.__init__(self)
        self.config = replaced.config
        for name, child in replaced.named_children():
            if isinstance(child, nn.Embedding):
                self.add_module(name, child)
        self.engine = engine

    def rows(self, tokens: int) -> int:
        # Prompts share nothing here, so that few at a time are best.
        return self.iou_token.weight.shape[1]

    def decode(self, features: ImageFeatures, prompts: PromptTensors) -> Attended:
        """All about N prompts, with masks."""
        count, (h, w) = len(prompts), features.embedding.shape[-2:]
        masks, has_mask = prompts.masks, prompts.has_mask
        if has_mask is None:
            has_mask = torch.full((count,), masks is not None)
        if masks is None:
            masks = torch.zeros(count, 1, 4 * h, 4 * w)
        inputs = {
            "points": prompts.points,
            "labels": prompts.labels,
            "embedding": features.embedding,
        }
        inputs |= zip(_FINE, features.high_resolution, strict=False)
        inputs |= zip(_FURTHER, features.further, strict=False)
        found = self.engine({**inputs, "masks": masks, "has_mask": has_mask})
        return Attended(
            tokens=found["tokens"],
            iou=found["iou"],
            object_score=found.get("object_score"),
            views=cast(ImageViews, _Decoded(found["logits"])),
            grid=(h, w),
            high_resolution=(),
        )

    def single_masks(self, attended: Attended) -> MaskPrediction:
        return self.single(self.masks(attended))

    def masks(self, attended: Attended) -> MaskPrediction:
        return MaskPrediction(
            logits=cast(_Decoded, attended.views).logits,
            iou=attended.iou,
            tokens=attended.tokens,
            object_score=attended.object_score,
        )


class _MemoryAttention(nn.Module):
    dtype = torch.float32

    def __init__(self, engine: Engine, tokens: int) -> None:
        super().__init__()
        self.engine = engine
        self.tokens = tokens  # of a memory

    def forward(self, features: Tensor, memory: MemoryTokens) -> Tensor:
        """As `MemoryAttention`, of one frame."""
        # One at a time, as a batch of more would only take more memory.
        each = [self._recall(features, one) for one in memory.one_by_one()]
        return torch.cat(each)

    def _recall(self, features: Tensor, memory: MemoryTokens) -> Tensor:
        first = memory.tokens.shape[1] - memory.pointer_tokens
        frames, positions = (
            tokens[:, :first].unflatten(1, (-1, self.tokens))
            for tokens in (memory.tokens, memory.positions)
        )
        found = self.engine(
            {
                "frame": features,
                "memories": frames,
                "memory_positions": positions,
                "has_memory": torch.ones(frames.shape[:2], dtype=torch.bool),
                "pointers": memory.tokens[:, first:],
                "pointer_positions": memory.positions[:, first:],
                "has_pointer": torch.ones(1, memory.pointer_tokens, dtype=torch.bool),
            }
        )
        return found["recalled"]


class _MemoryEncoder(nn.Module):
    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        """As `MemoryEncoder`, of one frame."""
        return self.engine({"frame": features[:1], "masks": masks})["memory"]


class _Perceiver(nn.Module):
    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine

    def forward(self, maps: Tensor) -> Tensor:
        """As `Perceiver`."""
        return self.engine({"memory": maps})["tokens"]
