"""The config of a network under tfimm's names, and its translation to samkit's."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from math import isfinite
from operator import index
from typing import Any, cast, get_args

from numpy.typing import NDArray

from samkit.compat.tfimm.positions import resized_offsets, resized_positions
from samkit.errors import InputError, shown
from samkit.sizes import (
    Activation,
    MaskDecoderConfig,
    NetworkConfig,
    Norm,
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


def _flag(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError("neither true nor false")
    return bool(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


# What is expected of a value and how it is read, by the type of its field.
_READERS: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    bool: ("True or False", _flag),
    str: ("a text", _text),
    int: ("an integer", index),
    float: ("a finite number", _number),
    tuple[int, int]: ("two integers", _integers),
    tuple[int, ...]: ("integers", _integers),
    tuple[float, ...]: ("finite numbers", lambda value: tuple(_number(item) for item in value)),
}

# Norms by name, with their epsilon; "affine" and "" have none.
_NORMS: dict[str, tuple[Norm, float]] = {
    "": ("none", ViTConfig.norm_eps),
    "affine": ("affine", ViTConfig.norm_eps),
    "batch_norm": ("batch_norm", 1e-5),
    "batch_norm_tf": ("batch_norm", 1e-3),
    "group_norm": ("group_norm", 1e-5),
    "group_norm_1grp": ("group_norm_1grp", 1e-5),
    "layer_norm": ("layer_norm", 1e-5),
}
# A layer norm with another epsilon.
_EPS_PREFIX = "layer_norm_eps_"


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
            interpolated (bilinear).
        embed_dim: channels of the image embedding and of the prompts' tokens.
        nb_multimask_outputs: masks for each prompt with `multimask_output`.
        mask_threshold: logits above it belong to the mask.
        encoder_patch_size, encoder_embed_dim, encoder_nb_blocks, encoder_nb_heads,
            encoder_mlp_ratio, encoder_qkv_bias: sizes of the ViT.
        encoder_drop_rate, encoder_attn_drop_rate, encoder_drop_path_rate: from 0 to 1, in training:
            dropout of tokens and projections, of attention weights, and of whole residual branches
            (rising linearly to this rate at the last block).
        encoder_norm_layer: of the ViT's blocks: "layer_norm" (epsilon 1e-5),
            "layer_norm_eps_<number>", "group_norm" (32 groups), "group_norm_1grp", "batch_norm"
            (epsilon 1e-5), "batch_norm_tf" (1e-3), "affine" or "" for none.
        encoder_act_layer: of the ViT's MLPs: "gelu", "linear", "mish", "relu", "relu6", "sigmoid",
            "silu" or "swish" (the same).
        encoder_global_attn_indices: blocks with global attention; the others have windows of
            `encoder_window_size`. Numbers beyond the last block are ignored.
        prompt_mask_hidden_dim: channels inside the embedding of mask prompts.
        decoder_nb_blocks, decoder_nb_heads, decoder_mlp_channels: sizes of the mask decoder.
        decoder_iou_head_depth, decoder_iou_hidden_dim: sizes of the head that predicts scores.
        mean, std: of the images' channels, for values from 0 to 1. They serve any `in_channels`:
            fewer channels have the first of them, more repeat them in order.
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
            except (TypeError, ValueError, OverflowError):
                raise InputError(f"{field.name}: expected {expected}, got {shown(value)}") from None
        if self.in_channels < 1:
            raise InputError(f"in_channels: expected at least 1, got {self.in_channels}")
        for rate in ("encoder_drop_rate", "encoder_attn_drop_rate", "encoder_drop_path_rate"):
            if not 0 <= getattr(self, rate) < 1:
                raise InputError(f"{rate}: expected 0 <= rate < 1, got {getattr(self, rate)}")
        try:
            core_config(self).validate()
        except (ValueError, TypeError) as error:
            raise InputError(f"no network has these sizes: {error}") from error

    @property
    def transform_weights(self) -> dict[str, Callable[..., NDArray[Any]]]:
        """What brings position encodings to another `input_size`, by the name of the weight.

        A function takes (model, weight, target config) and gives the weight for the target's
        `input_size`, interpolated linearly: `image_encoder/pos_embed` is (1, H'', W'', D) and
        offsets such as `image_encoder/blocks/2/attn/rel_pos_h` are (2 * H'' - 1, d).
        """

        def positions(model: object, weight: Any, cfg: SegmentAnythingModelConfig) -> NDArray[Any]:
            return resized_positions(weight, _grid(cfg))

        def offsets(
            model: object, weight: Any, cfg: SegmentAnythingModelConfig, *, axis: int
        ) -> NDArray[Any]:
            return resized_offsets(weight, _grid(cfg)[axis])

        transforms: dict[str, Callable[..., NDArray[Any]]] = {"image_encoder/pos_embed": positions}
        for block in self.encoder_global_attn_indices:
            for axis, name in enumerate("hw"):
                weight = f"image_encoder/blocks/{block}/attn/rel_pos_{name}"
                transforms[weight] = partial(offsets, axis=axis)
        return transforms


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

    norm, norm_eps = _norm(cfg.encoder_norm_layer)
    return SamConfig(
        image_encoder=ViTConfig(
            **renamed(_ENCODER_NAMES),
            activation=_activation(cfg.encoder_act_layer),
            norm=norm,
            norm_eps=norm_eps,
            position_resampling="bicubic" if cfg.fixed_input_size else "bilinear",
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
        fixed_input_size=encoder.position_resampling == "bicubic",
        encoder_norm_layer=_norm_name(encoder),
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


def _norm(name: str) -> tuple[Norm, float]:
    if name in _NORMS:
        return _NORMS[name]
    try:
        eps = float(name.removeprefix(_EPS_PREFIX)) if name.startswith(_EPS_PREFIX) else 0.0
    except ValueError:
        eps = 0.0
    if not 0 < eps < 1:
        expected = ", ".join(filter(None, _NORMS))
        raise InputError(
            f"encoder_norm_layer: expected {expected}, {_EPS_PREFIX}<number>, such as "
            f"{_EPS_PREFIX}1e-6, or an empty text, got {name!r}"
        )
    return "layer_norm", eps


def _norm_name(encoder: ViTConfig) -> str:
    if encoder.norm == "layer_norm":
        return f"{_EPS_PREFIX}{encoder.norm_eps!r}".replace("e-0", "e-")  # Python writes 1e-06
    of_kind = {eps: name for name, (norm, eps) in _NORMS.items() if norm == encoder.norm}
    # With an epsilon that has no name, the config that comes of it is not that of the network.
    return of_kind.get(encoder.norm_eps, next(iter(of_kind.values())))


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Means or deviations for any number of channels."""
    return tuple(values[i % len(values)] for i in range(channels)) if values else values


def _grid(cfg: SegmentAnythingModelConfig) -> tuple[int, int]:
    """Rows and columns of the image embedding."""
    if not isinstance(cfg, SegmentAnythingModelConfig):
        raise InputError(f"expected a SegmentAnythingModelConfig, got {type(cfg).__name__}")
    return core_config(cfg).grid
