"""EfficientViT (2205.14756), the image encoder of EfficientViT-SAM (2402.05008)."""

from collections import OrderedDict
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.convolution import convolution
from samkit.nn.fast.linear import gelu_by_tanh, pointwise
from samkit.nn.fast.switch import fast_on_cpu
from samkit.nn.layers import LayerNorm2d
from samkit.sizes import EfficientViTConfig

__all__ = ["EfficientViT"]

_NORM_EPS = 1e-6
# Added to sums of weights, which are 0 where no key is like a query.
_ATTENTION_EPS = 1e-15
# By how much blocks widen; the first one of a stage, which halves the size, does four times more.
_EXPANSION, _LAST_EXPANSION, _DOWNSAMPLING = 4, 6, 4


class EfficientViT(nn.Module):
    """Stages of half the size each, and a neck that adds up the last three."""

    def __init__(self, config: EfficientViTConfig, out_dim: int) -> None:
        super().__init__()
        self.backbone = Backbone(config)
        self.neck = Neck(config, out_dim)
        self.norm = LayerNorm2d(out_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, C, H, W) -> features (B, D, H / stride, W / stride)."""
        if fast_on_cpu(pixels):  # then layers need not turn their maps
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        return self.norm(self.neck(self.backbone(pixels)))


class Backbone(nn.Module):
    """Convolutions first, linear attention in the last stages."""

    def __init__(self, config: EfficientViTConfig) -> None:
        super().__init__()
        dims, first = config.dims, config.dims[0]
        stem: list[nn.Module] = [ConvLayer(config.in_channels, first, stride=2)]
        stem += [Residual(res_block(first)) for _ in range(config.depths[0])]
        stages = [nn.Sequential(*stem)]
        for i in range(1, len(dims)):
            expansion = _LAST_EXPANSION if i == len(dims) - 1 else _EXPANSION
            convolution = mb_conv if i in config.separable_stages else fused_mb_conv
            widened = convolution(dims[i - 1], dims[i], expansion * _DOWNSAMPLING, stride=2)
            blocks: list[nn.Module] = [nn.Sequential(OrderedDict(main=widened))]
            for _ in range(config.depths[i]):
                if i in config.attention_stages:
                    blocks.append(AttentionBlock(config, dims[i], expansion))
                else:
                    blocks.append(Residual(convolution(dims[i], dims[i], expansion)))
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """The maps (B, C_i, H / 2^i, W / 2^i) of all stages, i from 1."""
        x, maps = pixels, []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Neck(nn.Module):
    """The last three maps at the size of the finest of them, then blocks on their sum."""

    def __init__(self, config: EfficientViTConfig, dim: int) -> None:
        super().__init__()
        # Coarsest first, as in the released checkpoints.
        self.input_ops = nn.ModuleList(
            nn.Sequential(ConvLayer(in_dim, dim, 1, activation=False))
            for in_dim in config.dims[:-4:-1]
        )
        middle = (fused_mb_conv(dim, dim, config.neck_expansion) for _ in range(config.neck_depth))
        self.middle = nn.Sequential(*map(Residual, middle))
        self.output_ops = nn.ModuleList(
            [nn.Sequential(ConvLayer(dim, dim, 1, norm=False, activation=False))]
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        size = maps[-3].shape[-2:]
        projected = [op(x) for op, x in zip(self.input_ops, maps[:-4:-1], strict=True)]
        coarse = [F.interpolate(x.float(), size, mode="bicubic").to(x.dtype) for x in projected[:2]]
        return self.output_ops[0](self.middle(coarse[0] + coarse[1] + projected[2]))


class Residual(nn.Module):
    """Adds what a block makes of its input to it."""

    def __init__(self, main: nn.Module) -> None:
        super().__init__()
        self.main = main

    def forward(self, x: Tensor) -> Tensor:
        return x + self.main(x)


class AttentionBlock(nn.Module):
    """Linear attention, then a convolutional MLP; both are added to their input."""

    def __init__(self, config: EfficientViTConfig, dim: int, expansion: int) -> None:
        super().__init__()
        self.context_module = Residual(LinearAttention(config, dim))
        self.local_module = Residual(mb_conv(dim, dim, expansion))

    def forward(self, x: Tensor) -> Tensor:
        return self.local_module(self.context_module(x))


class LinearAttention(nn.Module):
    """Attention whose weights are products of ReLUs, at two scales (2205.14756, section 3.1).

    As nothing comes between the two products, keys and values are multiplied first.
    """

    def __init__(self, config: EfficientViTConfig, dim: int) -> None:
        super().__init__()
        self.head_dim, kernel = config.head_dim, config.attention_kernel
        width = 3 * dim
        self.qkv = nn.Sequential(OrderedDict(conv=nn.Conv2d(dim, width, 1, bias=False)))
        # Queries, keys and values of the second scale: each mixes its own places and channels.
        self.aggreg = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False),
                    nn.Conv2d(width, width, 1, groups=width // self.head_dim, bias=False),
                )
            ]
        )
        self.proj = ConvLayer(2 * dim, dim, 1, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) -> the same shape."""
        fine = pointwise(self.qkv[0], x)
        both = torch.cat([fine, *(scale(fine) for scale in self.aggreg)], 1)
        # In float32: sums over all places are beyond float16.
        heads = both.float().flatten(2).unflatten(1, (-1, 3, self.head_dim))
        q, k, v = heads.unbind(2)  # (B, heads, c, H * W)
        q, k = q.relu(), k.relu()
        weighted = (v @ k.transpose(-2, -1)) @ q
        weights = k.sum(-1, keepdim=True).transpose(-2, -1) @ q  # (B, heads, 1, H * W)
        attended = weighted / (weights + _ATTENTION_EPS)
        return self.proj(attended.flatten(1, 2).unflatten(2, x.shape[-2:]).to(x.dtype))


class ConvLayer(nn.Module):
    """Convolution with batch norm or else a bias, then GELU in its tanh form."""

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        norm: bool = True,
        activation: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_dim, out_dim, kernel, stride, kernel // 2, groups=groups, bias=not norm
        )
        self.norm = nn.BatchNorm2d(out_dim, eps=_NORM_EPS) if norm else None
        self.activation = gelu_by_tanh if activation else None

    def forward(self, x: Tensor) -> Tensor:
        return convolution(self.conv, self.norm, x, self.activation)


def res_block(dim: int) -> nn.Sequential:
    """Two 3x3 convolutions."""
    return nn.Sequential(
        OrderedDict(conv1=ConvLayer(dim, dim), conv2=ConvLayer(dim, dim, activation=False))
    )


def fused_mb_conv(in_dim: int, out_dim: int, expansion: int, *, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution to more channels, and a pointwise one (2104.00298)."""
    hidden = in_dim * expansion
    return nn.Sequential(
        OrderedDict(
            spatial_conv=ConvLayer(in_dim, hidden, stride=stride),
            point_conv=ConvLayer(hidden, out_dim, 1, activation=False),
        )
    )


def mb_conv(in_dim: int, out_dim: int, expansion: int, *, stride: int = 1) -> nn.Sequential:
    """Pointwise, depthwise 3x3 and pointwise convolution (1801.04381); a norm at the end alone."""
    hidden = in_dim * expansion
    hidden_layer = partial(ConvLayer, norm=False)
    return nn.Sequential(
        OrderedDict(
            inverted_conv=hidden_layer(in_dim, hidden, 1),
            depth_conv=hidden_layer(hidden, hidden, stride=stride, groups=hidden),
            point_conv=ConvLayer(hidden, out_dim, 1, activation=False),
        )
    )
