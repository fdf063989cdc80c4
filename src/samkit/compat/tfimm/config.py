"""The config of a network under tfimm's names, and its translation to samkit's."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from math import isfinite
from operator import index
from typing import Any, cast, get_args

from samkit.errors import InputError
from samkit.sizes import (
    Activation,
    MaskDecoderConfig,
    NetworkConfig,
    PromptEncoderConfig,
    SamConfig,
    ViTConfig,
)

__all__ = ["SegmentAnythingModelConfig", "core_config", "described_by"]


def _integers(value: Any) -> tuple[int, ...]:
    return tuple(index(item) for item in value)


def _number(value: Any) -> float:
    number = float(value)
    if not isfinite(number):
        raise ValueError("NaN or infinity")
    return number


# What is expected of a value and how it is read, by the type of its field.
_READERS: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    int: ("an integer", index),
    float: ("a finite number", _number),
    tuple[int, int]: ("two integers", _integers),
    tuple[int, ...]: ("integers", _integers),
    tuple[float, ...]: ("finite numbers", lambda value: tuple(_number(item) for item in value)),
}

_LAYER_NORM = "layer_norm"
# Epsilon of plain "layer_norm", and how another one is named.
_LAYER_NORM_EPS, _EPS_PREFIX = 1e-5, "layer_norm_eps_"


@dataclass(frozen=True)
class SegmentAnythingModelConfig:
    """Sizes and options of a `SegmentAnythingModel`; the defaults are those of `sam_vit_b`.

    Attributes:
        name: of the model; it has no effect.
        url: of its weights, as `create_model` loads them: the address of one of samkit's models
            (downloaded once and verified), a checkpoint file, a folder, or a Hugging Face id.
        in_channels: of the images. Pretrained weights are adapted, see `first_conv`.
        input_size: (H, W) of the network's input, multiples of the patch size.
        fixed_input_size: False lets the model take images of any size; its position encodings are
            interpolated.
        embed_dim: channels of the image embedding and of the prompts' tokens.
        nb_multimask_outputs: masks for each prompt with `multimask_output`.
        mask_threshold: logits above it belong to the mask.
        encoder_patch_size, encoder_embed_dim, encoder_nb_blocks, encoder_nb_heads,
            encoder_mlp_ratio, encoder_qkv_bias: sizes of the ViT.
        encoder_drop_rate, encoder_attn_drop_rate, encoder_drop_path_rate: from 0 to 1, in training:
            dropout of tokens and projections, of attention weights, and of whole residual branches
            (rising linearly to this rate at the last block).
        encoder_norm_layer: of the ViT's blocks: "layer_norm" (epsilon 1e-5) or
            "layer_norm_eps_<number>".
        encoder_act_layer: of the ViT's MLPs: "gelu", "mish", "relu", "silu" or "swish" (the same).
        encoder_global_attn_indices: blocks with global attention; the others have windows of
            `encoder_window_size`. Numbers beyond the last block are ignored.
        prompt_mask_hidden_dim: channels inside the embedding of mask prompts.
        decoder_nb_blocks, decoder_nb_heads, decoder_mlp_channels: sizes of the mask decoder.
        decoder_iou_head_depth, decoder_iou_hidden_dim: sizes of the head that predicts scores.
        mean, std: of the images' channels, for values from 0 to 1. Three values serve any
            `in_channels`: one channel has their average, others repeat them in order.
        first_conv: name of the convolution on the image, which is adapted where pretrained weights
            have another number of channels: one channel gets the sum over all, others repeat them
            in order, scaled so that responses keep their size.

    Raises:
        InputError: a value that is not valid, or the name of an unknown layer.
    """

    name: str = ""
    url: str = ""
    in_channels: int = 3
    input_size: tuple[int, int] = (1024, 1024)
    fixed_input_size: bool = True
    embed_dim: int = 256
    nb_multimask_outputs: int = 3
    mask_threshold: float = 0.0
    encoder_patch_size: int = 16
    encoder_embed_dim: int = 768
    encoder_nb_blocks: int = 12
    encoder_nb_heads: int = 12
    encoder_mlp_ratio: float = 4.0
    encoder_drop_rate: float = 0.0
    encoder_attn_drop_rate: float = 0.0
    encoder_drop_path_rate: float = 0.0
    encoder_norm_layer: str = "layer_norm_eps_1e-6"
    encoder_act_layer: str = "gelu"
    encoder_qkv_bias: bool = True
    encoder_global_attn_indices: tuple[int, ...] = (2, 5, 8, 11)
    encoder_window_size: int = 14
    prompt_mask_hidden_dim: int = 16
    decoder_nb_blocks: int = 2
    decoder_nb_heads: int = 8
    decoder_mlp_channels: int = 2048
    decoder_iou_head_depth: int = 3
    decoder_iou_hidden_dim: int = 256
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    first_conv: str = "image_encoder/patch_embed/proj"

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type not in _READERS:
                continue
            expected, read = _READERS[field.type]
            value = getattr(self, field.name)
            try:
                object.__setattr__(self, field.name, read(value))
            except (TypeError, ValueError):
                raise InputError(f"{field.name}: expected {expected}, got {value!r}") from None
        for rate in ("encoder_drop_rate", "encoder_attn_drop_rate", "encoder_drop_path_rate"):
            if not 0 <= getattr(self, rate) < 1:
                raise InputError(f"{rate}: expected 0 <= rate < 1, got {getattr(self, rate)}")
        try:
            core_config(self).validate()
        except (ValueError, TypeError) as error:
            raise InputError(f"no network has these sizes: {error}") from error


# Fields that only have another name in samkit's configs.
_ENCODER_NAMES = {
    "in_channels": "in_channels",
    "encoder_patch_size": "patch_size",
    "encoder_embed_dim": "dim",
    "encoder_nb_blocks": "depth",
    "encoder_nb_heads": "heads",
    "encoder_mlp_ratio": "mlp_ratio",
    "encoder_drop_rate": "dropout",
    "encoder_attn_drop_rate": "attention_dropout",
    "encoder_drop_path_rate": "drop_path",
    "encoder_qkv_bias": "qkv_bias",
    "encoder_global_attn_indices": "global_blocks",
    "encoder_window_size": "window_size",
}
_PROMPT_NAMES = {"prompt_mask_hidden_dim": "mask_channels"}
_DECODER_NAMES = {
    "nb_multimask_outputs": "candidates",
    "decoder_nb_blocks": "depth",
    "decoder_nb_heads": "heads",
    "decoder_mlp_channels": "mlp_dim",
    "decoder_iou_head_depth": "iou_head_depth",
    "decoder_iou_hidden_dim": "iou_head_dim",
}
_NETWORK_NAMES = {"input_size": "image_size", "embed_dim": "dim"}


def core_config(cfg: SegmentAnythingModelConfig) -> SamConfig:
    """The same network as samkit's config."""

    def renamed(names: dict[str, str]) -> dict[str, Any]:
        return {core: getattr(cfg, own) for own, core in names.items()}

    return SamConfig(
        image_encoder=ViTConfig(
            **renamed(_ENCODER_NAMES),
            activation=_activation(cfg.encoder_act_layer),
            norm_eps=_norm_eps(cfg.encoder_norm_layer),
        ),
        prompt_encoder=PromptEncoderConfig(**renamed(_PROMPT_NAMES)),
        mask_decoder=MaskDecoderConfig(**renamed(_DECODER_NAMES)),
        **renamed(_NETWORK_NAMES),
        mean=_per_channel(cfg.mean, cfg.in_channels),
        std=_per_channel(cfg.std, cfg.in_channels),
    )


def described_by(config: NetworkConfig) -> SegmentAnythingModelConfig:
    """The inverse of `core_config`.

    Raises:
        InputError: the network has parts or options that tfimm's config has no fields for.
    """
    encoder = config.image_encoder
    if not isinstance(config, SamConfig) or not isinstance(encoder, ViTConfig):
        got = " with ".join(type(c).__name__.removesuffix("Config") for c in (config, encoder))
        raise InputError(f"expected SAM with a ViT, got {got}; samkit.ImagePredictor runs it")
    parts: tuple[tuple[object, dict[str, str]], ...] = (
        (encoder, _ENCODER_NAMES),
        (config.prompt_encoder, _PROMPT_NAMES),
        (config.mask_decoder, _DECODER_NAMES),
        (config, _NETWORK_NAMES),
    )
    renamed = {own: getattr(part, core) for part, names in parts for own, core in names.items()}
    cfg = SegmentAnythingModelConfig(
        **renamed,
        # Python writes 1e-06.
        encoder_norm_layer=f"{_EPS_PREFIX}{encoder.norm_eps!r}".replace("e-0", "e-"),
        encoder_act_layer=encoder.activation,
        mean=config.mean,
        std=config.std,
    )
    if core_config(cfg) != config:
        raise InputError(
            "this network has options that SegmentAnythingModelConfig has no names for; "
            "samkit.ImagePredictor runs it"
        )
    return cfg


def _activation(name: str) -> Activation:
    found = "silu" if name == "swish" else name
    if found not in get_args(Activation):
        expected = ", ".join(get_args(Activation))
        raise InputError(f"encoder_act_layer: expected {expected} or swish, got {name!r}")
    return cast(Activation, found)


def _norm_eps(name: str) -> float:
    if name == _LAYER_NORM:
        return _LAYER_NORM_EPS
    try:
        eps = float(name.removeprefix(_EPS_PREFIX)) if name.startswith(_EPS_PREFIX) else 0.0
    except (ValueError, AttributeError):
        eps = 0.0
    if not 0 < eps < 1:
        raise InputError(
            f"encoder_norm_layer: expected {_LAYER_NORM} or {_EPS_PREFIX}<number>, such as "
            f"{_EPS_PREFIX}1e-6, got {name!r}"
        )
    return eps


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Three means or deviations for any number of channels; another number is not changed."""
    if len(values) != 3 or channels < 1:
        return values
    if channels == 1:
        return (sum(values) / 3,)
    return tuple(values[i % 3] for i in range(channels))
