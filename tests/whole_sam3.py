"""A small SAM 3 of transformers with random weights, whose detector samkit reads too."""

from pathlib import Path

import torch
from nn.parity.conftest import _randomise
from nn.parity.test_sam3 import MEMORY_PART, image_part
from safetensors.torch import save_file
from transformers import Sam3VideoConfig, Sam3VideoModel

DIM, QUERIES = 128, 9
LAYERS = {"hidden_size": DIM, "num_attention_heads": 4, "intermediate_size": 40}


def save_whole_sam3(
    folder: Path, *, presence: float | None = None, config: Sam3VideoConfig | None = None
) -> Sam3VideoModel:
    """Save one in a folder, under the names of the released one.

    A presence that is far above 0 has it say of every object in a video that it is there.
    """
    torch.manual_seed(0)
    config = config or small()
    network = Sam3VideoModel(config).eval()
    _randomise(network)
    if presence is not None:
        network.tracker_model.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(presence)
    config.save_pretrained(folder)
    state = network.state_dict()
    state.pop("tracker_model.prompt_encoder.shared_embedding.positional_embedding")  # a copy
    save_file({name: t.contiguous() for name, t in state.items()}, folder / "model.safetensors")
    return network


def small() -> Sam3VideoConfig:
    part = image_part(DIM)
    return Sam3VideoConfig(
        detector_config={
            "model_type": "sam3",
            "vision_config": part["vision_config"],
            "text_config": {
                "model_type": "clip_text_model",
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "max_position_embeddings": 32,
                "hidden_act": "gelu",
            },
            "geometry_encoder_config": {**LAYERS, "num_layers": 1},
            "detr_encoder_config": {**LAYERS, "num_layers": 2},
            "detr_decoder_config": {**LAYERS, "num_layers": 2, "num_queries": QUERIES},
            "mask_decoder_config": {"hidden_size": DIM, "num_attention_heads": 4},
        },
        tracker_config={"model_type": "sam3_tracker_video", **part, **MEMORY_PART},
    )
