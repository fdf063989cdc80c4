"""RepViT (2307.09283), the image encoder of EdgeTAM and RepViT-SAM: convolutions alone."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.bands import in_bands
from samkit.nn.fast.convolution import can_be_folded, folded
from samkit.nn.fast.linear import linear
from samkit.nn.fast.switch import fast_on_cpu
from samkit.nn.image_encoder import neck
from samkit.nn.tiny_vit import ConvNorm
from samkit.sizes import RepViTConfig, RepViTSamConfig

__all__ = ["RepViT", "RepViTSamEncoder"]

_MLP_RATIO = 2
# Channels between the two layers of squeeze-and-excitation: a quarter, in steps of 8.
_SQUEEZE, _SQUEEZE_STEP = 4, 8


class RepViT(nn.Module):
    """A stem, then four stages of blocks (EdgeTAM, 2501.07256)."""

    def __init__(self, config: RepViTConfig) -> None:
        super().__init__()
        first = config.dims[0]
        self.stem = nn.Sequential(
            OrderedDict(
                conv1=ConvNorm(config.in_channels, first // 2, 3, stride=2, activation=F.gelu),
                conv2=ConvNorm(first // 2, first, 3, stride=2),
            )
        )
        before = (first, *config.dims)
        # Named, not numbered, as in the released checkpoints.
        self.stages_0, self.stages_1, self.stages_2, self.stages_3 = (
            stage(before[i], dim, depth, downsample=i > 0)
            for i, (dim, depth) in enumerate(zip(config.dims, config.depths, strict=True))
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Normalised pixels (B, C, H, W) -> maps (B, C_i, H / s, W / s) of strides 4, 8, 16, 32."""
        x = self.stem(_channels_last(pixels))
        maps = []
        for each in (self.stages_0, self.stages_1, self.stages_2, self.stages_3):
            x = each(x)
            maps.append(x)
        return maps


class RepViTSamEncoder(nn.Module):
    """The same stages as one list, and SAM's neck (RepViT-SAM, 2312.05760)."""

    def __init__(self, config: RepViTSamConfig, out_dim: int) -> None:
        super().__init__()
        first, last = config.dims[0], len(config.dims) - 1
        # A list, as in the released checkpoint.
        self.features = nn.ModuleList(
            [
                nn.Sequential(
                    ConvNorm(config.in_channels, first // 2, 3, stride=2, activation=F.gelu),
                    nn.Identity(),  # where the checkpoint counts the activation
                    ConvNorm(first // 2, first, 3, stride=2),
                )
            ]
        )
        for i, (dim, depth) in enumerate(zip(config.dims, config.depths, strict=True)):
            # Each stage but the last ends with a block more, before its channels change.
            for block in range(depth if i == last else depth + 1):
                squeeze = block < depth and block % 2 == 0
                self.features.append(Block(dim, squeeze=squeeze, shared_norm=True))
            if i < last:
                stride = 1 if i + 1 == last else 2
                self.features.append(Transition(dim, config.dims[i + 1], stride=stride))
        self.neck = neck(config.dims[-1], out_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, C, H, W) -> features (B, D, H / 16, W / 16)."""
        x = _channels_last(pixels)
        for each in self.features:
            x = each(x)
        return self.neck(x)


def stage(in_dim: int, dim: int, depth: int, *, downsample: bool) -> nn.Sequential:
    """Blocks of the same size; every other one with squeeze-and-excitation, the first included."""
    blocks = nn.Sequential(*(Block(dim, squeeze=i % 2 == 0) for i in range(depth)))
    if not downsample:
        return nn.Sequential(OrderedDict(blocks=blocks))
    return nn.Sequential(OrderedDict(downsample=Downsample(in_dim, dim), blocks=blocks))


class Block(nn.Module):
    """Mixes places (depthwise), then channels (pointwise): (B, C, H, W) -> the same shape."""

    def __init__(self, dim: int, *, squeeze: bool, shared_norm: bool = False) -> None:
        super().__init__()
        self.token_mixer = TokenMixer(dim) if not shared_norm else SharedNormTokenMixer(dim)
        self.se = SqueezeExcitation(dim) if squeeze else nn.Identity()
        self.channel_mixer = ChannelMixer(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.channel_mixer(self.se(self.token_mixer(x)))


class Downsample(nn.Module):
    """A block, half the size, more channels, and a channel mixer."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.pre_block = Block(in_dim, squeeze=False)
        self.spatial_downsample = ConvNorm(in_dim, in_dim, 3, stride=2, groups=in_dim)
        self.channel_downsample = ConvNorm(in_dim, dim)
        self.ffn = ChannelMixer(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.channel_downsample(self.spatial_downsample(self.pre_block(x)))
        return self.ffn(x)


class Transition(nn.Module):
    """More channels, maybe half the size, and a channel mixer."""

    def __init__(self, in_dim: int, dim: int, *, stride: int) -> None:
        super().__init__()
        self.token_mixer = ConvNorm(in_dim, in_dim, 3, stride=stride, groups=in_dim)
        self.to_channels = ConvNorm(in_dim, dim)
        self.channel_mixer = ChannelMixer(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.channel_mixer(self.to_channels(self.token_mixer(x)))


class TokenMixer(nn.Module):
    """The sum of a depthwise 3x3 convolution, a depthwise 1x1 one, and the input (2101.03697)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = ConvNorm(dim, dim, 3, groups=dim)
        self.conv1 = ConvNorm(dim, dim, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        norms = self.conv.bn, self.conv1.bn
        if not all(can_be_folded(norm, x) for norm in norms):
            return self.conv(x) + self.conv1(x) + x
        weight, bias = folded(self.conv.c.weight, None, norms[0])
        point, point_bias = folded(self.conv1.c.weight, None, norms[1])
        return _depthwise(x, _added(weight, point), bias + point_bias)


class SharedNormTokenMixer(nn.Module):
    """The same sum with a norm of its own, and none of the 1x1 convolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = ConvNorm(dim, dim, 3, groups=dim)
        self.conv1 = nn.Conv2d(dim, dim, 1, groups=dim)
        self.bn = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        if not all(can_be_folded(norm, x) for norm in (self.conv.bn, self.bn)):
            return self.bn(self.conv(x) + self.conv1(x) + x)
        weight, bias = folded(self.conv.c.weight, None, self.conv.bn)
        assert self.conv1.bias is not None
        weight, bias = _added(weight, self.conv1.weight), bias + self.conv1.bias
        return _depthwise(x, *folded(weight, bias, self.bn))


def _added(weight: Tensor, point: Tensor) -> Tensor:
    """Weights (C, 1, 3, 3) that do what they do, 1x1 ones (C, 1, 1, 1) and the identity add up."""
    return weight + F.pad(point + 1, [1, 1, 1, 1])


def _depthwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(x, weight, bias, padding=1, groups=len(weight))


class SqueezeExcitation(nn.Module):
    """Scales each channel by what all channels have on average (1709.01507)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = max(_SQUEEZE_STEP, round_to_step(dim / _SQUEEZE))
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * scale.sigmoid()


def round_to_step(channels: float) -> int:
    """The nearest multiple of the step, upwards where two are equally near."""
    return int(channels + _SQUEEZE_STEP / 2) // _SQUEEZE_STEP * _SQUEEZE_STEP


class ChannelMixer(nn.Module):
    """A pointwise MLP with norms, added to its input."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = dim * _MLP_RATIO
        self.conv1 = ConvNorm(dim, hidden, activation=F.gelu)
        self.conv2 = ConvNorm(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        layers = self.conv1, self.conv2
        if not all(can_be_folded(layer.bn, x) for layer in layers):
            return x + self.conv2(self.conv1(x))
        (widen, bias), (narrow, last_bias) = (
            folded(layer.c.weight, None, layer.bn) for layer in layers
        )

        def mixed(band: Tensor) -> Tensor:
            hidden = linear(band, widen.flatten(1), bias, F.gelu)
            return band + linear(hidden, narrow.flatten(1), last_bias)

        return in_bands(mixed, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _channels_last(pixels: Tensor) -> Tensor:
    """Pixels from which all maps get channels last, where that is fast."""
    if not fast_on_cpu(pixels):
        return pixels
    return pixels.contiguous(memory_format=torch.channels_last)
