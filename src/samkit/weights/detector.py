"""The detector of SAM 3, from the files that also hold the rest of it."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samkit.errors import CheckpointError
from samkit.files import parse_json
from samkit.nn.detector import Detector
from samkit.nn.numberless import without_numbers
from samkit.sizes import DetectorConfig, PeViTConfig, TextEncoderConfig
from samkit.sizes.checks import check_types
from samkit.weights.checkpoint import Checkpoint
from samkit.weights.hugging_face_detector import detector_from_json
from samkit.weights.keys import name_pattern
from samkit.weights.keys_sam3_detector import BEGINNINGS, TABLES, UNUSED
from samkit.weights.loading import (
    NamedCheckpoint,
    OpenedCheckpoint,
    check_shapes,
    checked,
    locate,
    read_named,
    take_own,
)
from samkit.words import CONTEXT, VOCABULARY

__all__ = ["OpenedDetector", "load_detector", "open_with_detector"]

_CONFIG_KEY = "samkit.detector"
# A row for each of 49,408 tokens, of which a text has some ten.
_VOCABULARY = "text_encoder.token_embedding.weight"
# Far above those of the published one.
_DEEPEST = 512
# Errors that impossible sizes, and values that are none, cause.
_IMPOSSIBLE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
# The largest tensors that are none of the detector's: of the image encoder.
_ELSEWHERE = (
    "detector.backbone.vision_backbone.trunk.blocks.",
    "detector_model.vision_encoder.backbone.layers.",
    "image_encoder.trunk.blocks.",
)


@dataclass(frozen=True, kw_only=True)
class OpenedDetector:
    """A detector's tensors, checked against its sizes.

    Attributes:
        config: sizes.
        state: tensors under samkit's names, in the checkpoint's dtypes, with those of the authors'
            that no detector of ours has (`is_unused`).
    """

    config: DetectorConfig
    state: dict[str, Tensor]

    @property
    def header(self) -> dict[str, str]:
        """What the header of samkit's own files says of it."""
        return {_CONFIG_KEY: json.dumps(asdict(self.config), sort_keys=True)}


def load_detector(
    source: str | Path, dim: int, trunk_dim: int, *, progress: bool | None = None
) -> Detector:
    """Build the detector of a checkpoint of SAM 3 or 3.1, and fill in its weights.

    Args:
        source: as of `load_network`; of a safetensors file most of the rest is not read.
        dim, trunk_dim: channels of the network of the same checkpoint, and of the trunk of its
            image encoder.
        progress: draw a progress bar for downloads; None draws one if stderr is a terminal.

    Returns:
        The detector in evaluation mode, on the CPU, in float32.

    Raises:
        The errors of `load_network`; CheckpointError also where the file has no detector.
    """
    path, _ = locate(source, progress)
    named = read_named(path, skip=lambda name: name.startswith(_ELSEWHERE))
    opened = _opened(named, dim, trunk_dim)
    if opened is None:
        raise CheckpointError(
            f"{named.checkpoint.source} holds no detector of concepts; expected facebook/sam3, or "
            "a file of Meta's (sam3.pt, sam3.1_multiplex.pt), as published or converted whole"
        )
    with without_numbers():
        detector = Detector(opened.config, dim, trunk_dim)
    named.checkpoint.tensors.clear()  # which would hold all of them while they are copied
    for name in [name for name in opened.state if is_unused(name)]:
        del opened.state[name]
    state = take_own(opened.state)
    state[_VOCABULARY] = _in_a_file(state[_VOCABULARY])
    detector.load_state_dict(state, assign=True)
    return detector.eval()


def _in_a_file(table: Tensor) -> Tensor:
    """A table of which few rows are read, in a temporary file without a name.

    What is read of it is in memory, and not the whole; where there is no such file, it is as given.
    """
    if os.name != "posix":  # elsewhere a file that is in use cannot lose its name
        return table
    try:
        with tempfile.NamedTemporaryFile() as file:
            table.numpy().tofile(file)
            file.flush()
            mapped = torch.from_file(file.name, size=table.numel(), dtype=table.dtype)
    except OSError:
        return table
    return mapped.view(table.shape)


def open_with_detector(
    source: str | Path, *, progress: bool | None = None
) -> tuple[OpenedCheckpoint, OpenedDetector | None]:
    """A checkpoint as of `open_checkpoint`, and the detector if there is one in it.

    Raises:
        The errors of `load_network`.
    """
    path, registered = locate(source, progress)
    named = read_named(path)
    opened = checked(named, registered)
    encoder = opened.config.image_encoder
    if not isinstance(encoder, PeViTConfig):
        return opened, None
    return opened, _opened(named, opened.config.dim, encoder.dim)


def is_unused(name: str) -> bool:
    """Whether a tensor (samkit's name) may be in a checkpoint though no detector has it."""
    return any(name_pattern(pattern).fullmatch(name) for pattern in UNUSED)


def _opened(named: NamedCheckpoint, dim: int, trunk_dim: int) -> OpenedDetector | None:
    checkpoint, layout = named.checkpoint, named.layout
    beginning = BEGINNINGS[layout.names]
    own = {name: t for name, t in checkpoint.tensors.items() if name.startswith(beginning)}
    state = TABLES[layout.names].to_samkit(own)
    if not any(name.startswith("decoder.") for name in state):
        return None
    try:
        config = _config(checkpoint, state)
        _check_sizes(config, dim)
        with without_numbers():
            expected = Detector(config, dim, trunk_dim).state_dict()
    except _IMPOSSIBLE as error:
        raise CheckpointError(
            f"the sizes of the detector in {checkpoint.source} are impossible: {error}"
        ) from error
    used = {name: tensor for name, tensor in state.items() if not is_unused(name)}
    check_shapes(checkpoint.source, used, expected)
    for name, tensor in used.items():
        if tensor.is_meta or tensor.layout != torch.strided or not tensor.is_floating_point():
            raise CheckpointError(
                f"{checkpoint.source}: expected {name} of the detector to hold plain float "
                f"numbers, got {tensor.dtype} ({tensor.layout}, on {tensor.device})"
            )
    return OpenedDetector(config=config, state=state)


def _config(checkpoint: Checkpoint, state: Mapping[str, Tensor]) -> DetectorConfig:
    """Sizes from the header, or from config.json; those of Meta's file are the released ones.

    Raises:
        One of `_IMPOSSIBLE`.
    """
    if _CONFIG_KEY in checkpoint.metadata:
        values = parse_json(checkpoint.metadata[_CONFIG_KEY], _CONFIG_KEY)
        config = _from_dict(values)
    else:
        config = detector_from_json(checkpoint.config or {})
    levels = sum(f"neck.convs.{i}.conv_1x1.weight" in state for i in range(4))
    if levels < 3:
        raise ValueError(f"expected three or four maps of the neck, got {levels}")
    config = replace(config, neck_levels=levels)
    check_types("", config)
    layers = (config.exemplar_layers, config.encoder_layers, config.decoder_layers)
    if max(config.text.depth, *layers) > _DEEPEST:
        raise ValueError(f"expected at most {_DEEPEST} layers")
    return config


def _check_sizes(config: DetectorConfig, dim: int) -> None:
    """Raise ValueError for sizes with which no text or image can be read."""
    text = config.text
    if (text.vocabulary, text.context) != (VOCABULARY, CONTEXT):
        raise ValueError(
            f"expected {VOCABULARY} different tokens, and {CONTEXT} in a text, got "
            f"{text.vocabulary} and {text.context}"
        )
    for channels, heads in ((text.dim, text.heads), (dim, config.heads)):
        if not heads or channels % heads:
            raise ValueError(f"expected heads that divide {channels} channels, got {heads}")


def _from_dict(values: dict[str, Any]) -> DetectorConfig:
    return DetectorConfig(**{**values, "text": TextEncoderConfig(**values["text"])})
