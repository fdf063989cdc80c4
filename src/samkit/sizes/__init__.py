"""Sizes of every network, as values; without torch.

A network is built from a `NetworkConfig` and nothing else: `SamConfig` (SAM, MobileSAM),
`Sam2Config` (SAM 2, 2.1, pico), `Sam3Config` or `Sam31Config`, each with the sizes of one of the
image encoders.
What depends on the model, such as whether images keep their aspect, is a property here, so that no
other code distinguishes models. samkit's own weight files hold sizes as JSON (`to_dict`,
`from_dict`).

From the bottom to the top, each file imports only those before it:

- `image_encoders`: a class for each kind;
- `parts`: prompt encoder, mask decoder and memory;
- `checks`: types and ranges of all values;
- `networks`: the families, of these parts;
- `models`: those of the released networks, and of `pico`;
- `as_json`: to plain values and back.
"""

from samkit.sizes.as_json import differences, from_dict, to_dict
from samkit.sizes.image_encoders import (
    Activation,
    EfficientNetLiteConfig,
    EfficientViTConfig,
    HieraConfig,
    ImageEncoderConfig,
    Norm,
    PeViTConfig,
    PlainViTConfig,
    RepViTConfig,
    RepViTSamConfig,
    Resampling,
    TinyViTConfig,
    ViTConfig,
)
from samkit.sizes.models import (
    edge_tam,
    efficient_tam,
    efficient_vit_sam,
    hq_sam,
    hq_sam2,
    med_sam2,
    mobile_sam,
    pico,
    rep_vit_sam,
    sam2,
    sam3,
    sam_vit,
    slim_sam,
)
from samkit.sizes.networks import (
    NetworkConfig,
    Sam2Config,
    Sam3Config,
    Sam31Config,
    SamConfig,
)
from samkit.sizes.parts import (
    DetectorConfig,
    MaskDecoderConfig,
    MemoryConfig,
    Pooling,
    PromptEncoderConfig,
    TextEncoderConfig,
)

__all__ = [
    "Activation",
    "DetectorConfig",
    "EfficientNetLiteConfig",
    "EfficientViTConfig",
    "HieraConfig",
    "ImageEncoderConfig",
    "MaskDecoderConfig",
    "MemoryConfig",
    "NetworkConfig",
    "Norm",
    "PeViTConfig",
    "PlainViTConfig",
    "Pooling",
    "PromptEncoderConfig",
    "RepViTConfig",
    "RepViTSamConfig",
    "Resampling",
    "Sam2Config",
    "Sam3Config",
    "Sam31Config",
    "SamConfig",
    "TextEncoderConfig",
    "TinyViTConfig",
    "ViTConfig",
    "differences",
    "edge_tam",
    "efficient_tam",
    "efficient_vit_sam",
    "from_dict",
    "hq_sam",
    "hq_sam2",
    "med_sam2",
    "mobile_sam",
    "pico",
    "rep_vit_sam",
    "sam2",
    "sam3",
    "sam_vit",
    "slim_sam",
    "to_dict",
]
