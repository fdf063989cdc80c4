"""EfficientNet-Lite, the image encoder of `pico`: inverted residual blocks without attention.

EfficientNet (1905.11946) without squeeze-and-excitation and with ReLU6, as published for small
devices. Batch norms are folded into the convolutions before them, so that the features of an image
depend on no other image, in training and in evaluation. Strided convolutions have even kernels,
which hold TensorFlow's padding of the published odd ones (see `samkit.training.pretrained`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.linear import pointwise
from samkit.nn.fast.switch import fast_on_cpu
from samkit.sizes import EfficientNetLiteConfig

__all__ = ["EfficientNetLite", "InvertedResidual"]

# Kernel size, stride and expansion of the first block of each stage (1905.11946, table 1).
_STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
# Stages with the last features of strides 4, 8, 16 and 32.
_TAPPED = (1, 2, 4, 6)


class EfficientNetLite(nn.Module):
    """Seven stages of blocks; features of four of them, each normalised."""

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__()
        self.stem = convolution(config.in_channels, config.stem_dim, 3, stride=2)
        stages = []
        dim = config.stem_dim
        for (kernel, stride, expansion), out_dim, depth in zip(
            _STAGES, config.dims, config.depths, strict=True
        ):
            blocks = []
            for i in range(depth):
                step = stride if i == 0 else 1
                blocks.append(InvertedResidual(dim, out_dim, kernel, step, expansion))
                dim = out_dim
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        # Features that ImageNet taught have deviations of about 10, prompts of about 1.
        self.norms = nn.ModuleList(nn.GroupNorm(config.groups, dim) for dim in config.stage_dims)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Normalised pixels (B, C, H, W) -> maps (B, C_i, H / s, W / s) of strides 4, 8, 16, 32."""
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.stem(pixels), inplace=True)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        tapped = [maps[i] for i in _TAPPED]
        if not fast_on_cpu(x):
            # Rows first: torch crashes in the gradient of a group norm with channels last whose
            # input needs none, as where stages are frozen.
            tapped = [stage.contiguous() for stage in tapped]
        return [norm(stage) for stage, norm in zip(tapped, self.norms, strict=True)]


class InvertedResidual(nn.Module):
    """1x1 convolution to more channels, depthwise convolution, 1x1 convolution (1801.04381)."""

    def __init__(self, dim: int, out_dim: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = dim * expansion
        self.expand = convolution(dim, hidden) if expansion > 1 else None
        self.depthwise = convolution(hidden, hidden, kernel, stride=stride, groups=hidden)
        self.project = convolution(hidden, out_dim)
        self.has_shortcut = stride == 1 and dim == out_dim

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else pointwise(self.expand, x, F.relu6)
        y = pointwise(self.project, F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.has_shortcut else y


def convolution(
    in_dim: int, out_dim: int, kernel: int = 1, *, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution whose output is `stride` times smaller; one that strides has an even kernel."""
    if stride == 2:
        kernel += 1
    return nn.Conv2d(in_dim, out_dim, kernel, stride, (kernel - 1) // 2, groups=groups)
