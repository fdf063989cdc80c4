"""Feature pyramid neck of SAM 2 (2408.00714, appendix D; FPN 1612.03144)."""

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.linear import both_pointwise, pointwise
from samkit.nn.fast.switch import fast_on_cpu

__all__ = ["FpnNeck", "through"]


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

    def forward(self, stages: list[Tensor], heads: Sequence[nn.Module] = ()) -> list[Tensor]:
        """Maps (B, C_i, H_i, W_i), finest first -> maps (B, out_dim, H_i, W_i), finest first.

        The coarsest level only feeds the others: like SAM 2, it is not returned.

        Args:
            stages: of the trunk.
            heads: 1x1 convolutions that the finest levels go through before they are returned.
        """
        coarsest = len(stages) - 1
        previous = pointwise(self._lateral(coarsest), stages[coarsest])
        levels = []
        for level in range(coarsest - 1, -1, -1):
            head = heads[level] if level < len(heads) else None
            # Neither it nor the next finer one is a sum of levels.
            alone = not {level, level - 1} & set(self.top_down_levels)
            if head is not None and alone and fast_on_cpu(stages[level]):
                levels.append(both_pointwise(self._lateral(level), head, stages[level]))
                continue
            previous = self._level(level, stages[level], previous)
            levels.append(through(head, previous))
        return levels[::-1]

    def _lateral(self, level: int) -> nn.Module:
        return self.convs[len(self.convs) - 1 - level].get_submodule("conv")

    def _level(self, level: int, stage: Tensor, coarser: Tensor) -> Tensor:
        lateral = pointwise(self._lateral(level), stage)
        if level not in self.top_down_levels:
            return lateral
        up = F.interpolate(coarser.float(), scale_factor=2.0, mode="nearest")
        return lateral + up.to(lateral.dtype)


def through(head: nn.Module | None, x: Tensor) -> Tensor:
    """A map after a 1x1 convolution, if there is one, in its dtype."""
    if head is None:
        return x
    assert isinstance(head, nn.Conv2d)
    return pointwise(head, x.to(head.weight.dtype))
