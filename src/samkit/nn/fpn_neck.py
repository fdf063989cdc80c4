"""Feature pyramid neck of SAM 2 (2408.00714, appendix D; FPN 1612.03144)."""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.linear import pointwise

__all__ = ["FpnNeck"]


class FpnNeck(nn.Module):
    """Project each stage to the same channels, and add coarse levels to finer ones.

    Args:
        in_dims: channels of the stages, finest first.
        out_dim: channels of every output.
        top_down_levels: levels (0 = finest) that also receive the next coarser level.
    """

    def __init__(
        self, in_dims: tuple[int, ...], out_dim: int, top_down_levels: tuple[int, ...]
    ) -> None:
        super().__init__()
        # Coarsest first, and named, as in the released checkpoints.
        self.convs = nn.ModuleList(
            nn.Sequential(OrderedDict(conv=nn.Conv2d(dim, out_dim, 1))) for dim in reversed(in_dims)
        )
        self.top_down_levels = top_down_levels

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        """Maps (B, C_i, H_i, W_i), finest first -> maps (B, out_dim, H_i, W_i), finest first.

        The coarsest level only feeds the others: like SAM 2, it is not returned.
        """
        coarsest = len(stages) - 1
        laterals = [
            pointwise(level.get_submodule("conv"), stage)
            for level, stage in zip(self.convs, reversed(stages), strict=True)
        ]
        previous = laterals[0]
        levels = []
        for level in range(coarsest - 1, -1, -1):
            lateral = laterals[coarsest - level]
            if level in self.top_down_levels:
                up = F.interpolate(previous.float(), scale_factor=2.0, mode="nearest")
                lateral = lateral + up.to(lateral.dtype)
            levels.append(lateral)
            previous = lateral
        return levels[::-1]
