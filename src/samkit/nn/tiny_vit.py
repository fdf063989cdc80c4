"""TinyViT (2207.10666), the image encoder of MobileSAM (2306.14289)."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.convolution import convolution
from samkit.nn.fast.linear import Activation, Linear
from samkit.nn.fast.switch import fast_on_cpu
from samkit.nn.image_encoder import neck
from samkit.nn.layers import DropPath, window_partition, window_unpartition
from samkit.sizes import TinyViTConfig

__all__ = ["TinyViT"]


class TinyViT(nn.Module):
    """One convolutional stage, then three stages of windowed attention, and SAM's neck."""

    def __init__(self, config: TinyViTConfig, out_dim: int) -> None:
        super().__init__()
        dims = config.dims
        # (B, C, H, W) -> (B, dims[0], H / 4, W / 4)
        self.patch_embed = nn.Sequential(
            OrderedDict(
                seq=nn.Sequential(
                    ConvNorm(config.in_channels, dims[0] // 2, 3, stride=2, activation=F.gelu),
                    nn.Identity(),  # where the checkpoint counts the activation
                    ConvNorm(dims[0] // 2, dims[0], 3, stride=2),
                )
            )
        )
        rates = iter(torch.linspace(0, config.drop_path, sum(config.depths), device="cpu").tolist())
        self.layers = nn.ModuleList()
        for stage, depth in enumerate(config.depths):
            blocks: list[nn.Module] = [
                MBConv(dims[0], int(dims[0] * config.expand_ratio), drop_path=next(rates))
                if stage == 0
                else TinyViTBlock(config, stage, drop_path=next(rates))
                for _ in range(depth)
            ]
            layer = OrderedDict[str, nn.Module](blocks=nn.Sequential(*blocks))
            if stage < len(dims) - 1:
                dim, wider, stride = dims[stage], dims[stage + 1], config.merge_strides[stage]
                layer["downsample"] = Bottleneck(dim, wider, wider, stride=stride)
            self.layers.append(nn.Sequential(layer))
        self.neck = neck(dims[-1], out_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, C, H, W) -> features (B, D, H / 16, W / 16)."""
        return self.with_early_map(pixels)[0]

    def with_early_map(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Features, and the map (B, C, H / 16, W / 16) after the second stage."""
        if fast_on_cpu(pixels):  # then blocks need not turn their maps
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        early = self.layers[1](self.layers[0](self.patch_embed(pixels)))
        x = early
        for layer in self.layers[2:]:
            x = layer(x)
        return self.neck(x), early


class ConvNorm(nn.Module):
    """Convolution without bias, then batch norm, then an activation."""

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        activation: Activation | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.c = nn.Conv2d(
            in_dim, out_dim, kernel, stride, padding=kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return convolution(self.c, self.bn, x, self.activation)


class Bottleneck(nn.Module):
    """Pointwise, depthwise 3x3 and pointwise convolution on (B, C, H, W); merges patches."""

    def __init__(self, dim: int, hidden_dim: int, out_dim: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dim, hidden_dim, activation=F.gelu)
        self.conv2 = ConvNorm(
            hidden_dim, hidden_dim, 3, stride=stride, groups=hidden_dim, activation=F.gelu
        )
        self.conv3 = ConvNorm(hidden_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.conv2(self.conv1(x)))


class MBConv(Bottleneck):
    """Inverted residual bottleneck (1801.04381)."""

    def __init__(self, dim: int, hidden_dim: int, *, drop_path: float) -> None:
        super().__init__(dim, hidden_dim, dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x + self.drop_path(super().forward(x)))


class TinyViTBlock(nn.Module):
    """Windowed attention, a depthwise convolution and an MLP on (B, C, H, W)."""

    def __init__(self, config: TinyViTConfig, stage: int, *, drop_path: float) -> None:
        super().__init__()
        dim = config.dims[stage]
        self.window_size = config.window_sizes[stage]
        self.attn = BiasedAttention(dim, config.heads[stage], self.window_size)
        self.local_conv = ConvNorm(dim, dim, config.local_conv_size, groups=dim)
        hidden_dim = int(dim * config.mlp_ratio)
        self.mlp = nn.Sequential(
            OrderedDict(
                norm=nn.LayerNorm(dim),
                fc1=Linear(dim, hidden_dim),
                gelu=nn.GELU(),
                dropout1=nn.Dropout(config.dropout),
                fc2=Linear(hidden_dim, dim),
                dropout2=nn.Dropout(config.dropout),
            )
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        tokens = x.permute(0, 2, 3, 1)
        windows = self.attn(window_partition(tokens, self.window_size))
        tokens = tokens + self.drop_path(window_unpartition(windows, height, width))
        tokens = self.local_conv(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        tokens = tokens + self.drop_path(self.mlp(tokens))
        return tokens.permute(0, 3, 1, 2)


class BiasedAttention(nn.Module):
    """Self-attention in a window with a learned bias for each absolute offset (2104.01136)."""

    offsets: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = Linear(dim, dim * 3)
        self.proj = Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        # On the CPU even while a network is built on the meta device: no checkpoint has it.
        steps = torch.arange(window, device="cpu")
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        y, x = y.flatten(), x.flatten()
        offsets = (y[:, None] - y).abs() * window + (x[:, None] - x).abs()
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, window, window, C) -> the same shape."""
        B, H, W, C = x.shape
        # Each head's queries, keys and values lie side by side in the released weights.
        qkv = self.qkv(self.norm(x)).view(B, H * W, self.heads, 3, C // self.heads)
        q, k, v = qkv.permute(3, 0, 2, 1, 4).unbind(0)
        bias = self.attention_biases[:, self.offsets]
        x = F.scaled_dot_product_attention(q, k, v, bias)
        return self.proj(x.transpose(1, 2).reshape(B, H, W, C))
