"""Memory encoder of SAM 2 (2408.00714, section 4 and appendix D)."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.linear import Linear, pointwise
from samkit.nn.layers import LayerNorm2d
from samkit.sizes import MemoryConfig

__all__ = ["MASK_STRIDE", "MemoryEncoder"]

MASK_STRIDE = 16
"""Pixels of the mask for one cell of the features, whatever the image encoder's stride is."""


class MemoryEncoder(nn.Module):
    """Fuse a frame's features and a predicted mask into a small map, the memory."""

    def __init__(self, config: MemoryConfig, dim: int) -> None:
        super().__init__()
        self.mask_downsampler = MaskDownsampler(dim)
        self.pix_feat_proj = nn.Conv2d(dim, dim, 1)
        blocks = nn.Sequential(*(ConvNeXtBlock(dim) for _ in range(config.fuser_layers)))
        self.fuser = nn.Sequential(OrderedDict(layers=blocks))
        self.out_proj = nn.Conv2d(dim, config.dim, 1)

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        """Features (N, D, h, w) and scaled mask probabilities (N, 1, 16h, 16w) -> (N, d, h, w)."""
        # With channels last, norms and 1x1 convolutions read memory in order.
        frame = features.contiguous(memory_format=torch.channels_last)
        x = pointwise(self.pix_feat_proj, frame) + self.mask_downsampler(masks)
        return pointwise(self.out_proj, self.fuser(x))


class MaskDownsampler(nn.Module):
    """Four strided convolutions, each with four times the channels: (N, 1, H, W) -> stride 16."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (1, 4, 16, 64):
            layers += [
                nn.Conv2d(channels, channels * 4, 3, stride=2, padding=1),
                LayerNorm2d(channels * 4),
                nn.GELU(),
            ]
        self.encoder = nn.Sequential(*layers, nn.Conv2d(256, dim, 1))

    def forward(self, masks: Tensor) -> Tensor:
        *layers, last = self.encoder
        x = masks
        for conv, norm, act in zip(*(layers[i::3] for i in range(3)), strict=True):
            assert isinstance(norm, LayerNorm2d)
            x = act(norm.channels_last(conv(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return pointwise(last, x)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7 convolution, norm and a pointwise MLP with layer scale (2201.03545)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = Linear(dim, dim * 4)
        self.pwconv2 = Linear(dim * 4, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm.channels_last(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(self.pwconv1(y, F.gelu))
        return x + y.permute(0, 3, 1, 2)
