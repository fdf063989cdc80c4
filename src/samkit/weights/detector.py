"""The detector of SAM 3, from the files that also hold the rest of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from samkit.errors import CheckpointError
from samkit.nn.detector import Detector
from samkit.sizes import DetectorConfig, TextEncoderConfig
from samkit.weights.checkpoint import read_state_dict
from samkit.weights.keys_sam3_detector import HUGGING_FACE, META
from samkit.weights.loading import check_shapes, locate, take_copies

__all__ = ["load_detector"]


def load_detector(
    source: str | Path, dim: int, trunk_dim: int, *, progress: bool | None = None
) -> Detector:
    """Build the detector of a checkpoint of SAM 3, and fill in its weights.

    Args:
        source: as of `load_network`; of a safetensors file the detector alone is read.
        dim, trunk_dim: channels of the network of the same checkpoint, and of the trunk of its
            image encoder.
        progress: draw a progress bar for downloads; None draws one if stderr is a terminal.

    Returns:
        The detector in evaluation mode, on the CPU, in float32.

    Raises:
        The errors of `load_network`; CheckpointError also where the file has no detector.
    """
    path, _ = locate(source, progress)
    checkpoint = read_state_dict(path, skip=_is_left_out)
    is_meta = any(name.startswith("detector.") for name in checkpoint.tensors)
    state = (META if is_meta else HUGGING_FACE).to_samkit(checkpoint.tensors)
    if not any(name.startswith("decoder.") for name in state):
        raise CheckpointError(
            f"{checkpoint.source} holds no detector of concepts; expected facebook/sam3 or Meta's "
            "sam3.pt as they were published"
        )
    sizes = _sizes((checkpoint.config or {}).get("detector_config") or {})
    try:
        with torch.device("meta"):
            detector = Detector(sizes, dim, trunk_dim)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the sizes of the detector in {checkpoint.source} are impossible: {error}"
        ) from error
    check_shapes(checkpoint.source, state, detector.state_dict())
    checkpoint.tensors.clear()  # which would hold all of them while they are copied
    detector.load_state_dict(take_copies(state), assign=True)
    return detector.eval()


def _is_left_out(name: str) -> bool:
    return META.leaves_out(name) or HUGGING_FACE.leaves_out(name)


def _sizes(values: Mapping[str, Any]) -> DetectorConfig:
    """Sizes in the detector's part of a ``config.json`` of transformers.

    Those that are not there are of the released network, and so are those of Meta's file.
    """
    text = values.get("text_config") or {}
    examples = values.get("geometry_encoder_config") or {}
    encoder = values.get("detr_encoder_config") or {}
    decoder = values.get("detr_decoder_config") or {}
    usual = DetectorConfig()
    return DetectorConfig(
        text=TextEncoderConfig(
            vocabulary=text.get("vocab_size", usual.text.vocabulary),
            context=text.get("max_position_embeddings", usual.text.context),
            dim=text.get("hidden_size", usual.text.dim),
            depth=text.get("num_hidden_layers", usual.text.depth),
            heads=text.get("num_attention_heads", usual.text.heads),
            mlp_dim=text.get("intermediate_size", usual.text.mlp_dim),
        ),
        heads=encoder.get("num_attention_heads", usual.heads),
        mlp_dim=encoder.get("intermediate_size", usual.mlp_dim),
        exemplar_layers=examples.get("num_layers", usual.exemplar_layers),
        encoder_layers=encoder.get("num_layers", usual.encoder_layers),
        decoder_layers=decoder.get("num_layers", usual.decoder_layers),
        queries=decoder.get("num_queries", usual.queries),
        pool_size=examples.get("roi_size", usual.pool_size),
    )
