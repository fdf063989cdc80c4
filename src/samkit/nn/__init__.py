"""Networks: tensors in, tensors out. One file for each box in the papers' figures."""

from samkit.nn.mask_decoder import ImageFeatures, MaskPrediction
from samkit.nn.prompt_encoder import PRIOR_LIMIT, PromptTensors, TokenLabel
from samkit.nn.sam import Sam
from samkit.nn.sam2 import Sam2
from samkit.sizes import Sam2Config, SamConfig

__all__ = [
    "PRIOR_LIMIT",
    "ImageFeatures",
    "MaskPrediction",
    "PromptTensors",
    "Sam",
    "Sam2",
    "Sam2Config",
    "SamConfig",
    "TokenLabel",
    "build",
]


def build(config: SamConfig | Sam2Config) -> Sam | Sam2:
    """A network of the given sizes with random weights."""
    return Sam(config) if isinstance(config, SamConfig) else Sam2(config)
