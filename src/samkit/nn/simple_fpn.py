"""Simple feature pyramid (2203.16527, section 3) of SAM 3: maps of several sizes from one."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import zip_longest

from torch import Tensor, nn

from samkit.nn.fast.rows import bands, convolved, joined
from samkit.nn.fast.switch import fast_on_cpu
from samkit.nn.fpn_neck import through

__all__ = ["SimpleFpn"]


class SimpleFpn(nn.Module):
    """One map at four, two and one times its resolution, each in the same channels.

    The weights of half the resolution are held where there are four levels (SAM 3), so that
    released files keep all of them; nothing uses such a map, so it is not computed.
    """

    def __init__(self, in_dim: int, out_dim: int, levels: int) -> None:
        super().__init__()
        half, quarter = in_dim // 2, in_dim // 4
        # Finest first, and named, as in the released checkpoints.
        self.convs = nn.ModuleList(
            [
                nn.Sequential(
                    OrderedDict(
                        dconv_2x2_0=nn.ConvTranspose2d(in_dim, half, 2, stride=2),
                        gelu=nn.GELU(),
                        dconv_2x2_1=nn.ConvTranspose2d(half, quarter, 2, stride=2),
                        **projections(quarter, out_dim),
                    )
                ),
                nn.Sequential(
                    OrderedDict(
                        dconv_2x2=nn.ConvTranspose2d(in_dim, half, 2, stride=2),
                        **projections(half, out_dim),
                    )
                ),
                nn.Sequential(OrderedDict(projections(in_dim, out_dim))),
                nn.Sequential(OrderedDict(projections(in_dim, out_dim))),
            ][:levels]
        )

    def forward(self, x: Tensor, heads: Sequence[nn.Module] = ()) -> list[Tensor]:
        """(B, C, h, w) -> (B, D, 4 h, 4 w), (B, D, 2 h, 2 w), (B, D, h, w).

        The finest ones go through a head each, as in `FpnNeck`.
        """
        maps = zip_longest(heads, self.convs[:3])
        return [_level(level, head, x) for head, level in maps]


def _level(level: nn.Module, head: nn.Module | None, x: Tensor) -> Tensor:
    if not fast_on_cpu(x):
        return through(head, level(x))
    assert isinstance(level, nn.Sequential)
    *before, last = level
    finer = 2 ** sum(isinstance(step, nn.ConvTranspose2d) for step in before)
    parts = map(nn.Sequential(*before), bands(x, finer))
    return joined(convolved(parts, last, head), finer * x.shape[2])


def projections(in_dim: int, out_dim: int) -> dict[str, nn.Module]:
    """The two convolutions at the end of each level."""
    return {
        "conv_1x1": nn.Conv2d(in_dim, out_dim, 1),
        "conv_3x3": nn.Conv2d(out_dim, out_dim, 3, padding=1),
    }
