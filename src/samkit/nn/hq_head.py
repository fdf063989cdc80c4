"""The high-quality output of HQ-SAM (2306.01567, section 3.2) and of HQ-SAM 2."""

import torch
from torch import Tensor, nn

from samkit.nn.layers import MLP, LayerNorm2d

__all__ = ["HQHead"]


class HQHead(nn.Module):
    """A token, and the map that it is a filter of: its logits are added to those of every mask.

    Args:
        dim: channels of the image embedding and of tokens.
        early_dim: channels of the image encoder's early map; 0: none, as in HQ-SAM 2: its upscaled
            image has finer maps in it already.
    """

    def __init__(self, dim: int, early_dim: int) -> None:
        super().__init__()
        finest = dim // 8
        self.token = nn.Embedding(1, dim)
        self.mlp = MLP(dim, dim, finest, 3)
        if early_dim:
            self.compress_vit_feat = upscaling(early_dim, dim, finest)
            self.embedding_encoder = upscaling(dim, dim // 4, finest)
        self.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(finest, dim // 4, 3, padding=1),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.Conv2d(dim // 4, finest, 3, padding=1),
        )

    def features(self, embedding: Tensor, early: Tensor) -> Tensor:
        """What prompts of an image share: (B, D, h, w), (B, C, h, w) -> (B, D / 8, 4 h, 4 w)."""
        return self.embedding_encoder(embedding) + self.compress_vit_feat(early)

    def forward(self, filters: Tensor, upscaled: Tensor, shared: Tensor | None) -> Tensor:
        """Logits of n prompts: (n, 1, 4 h, 4 w).

        Args:
            filters: (n, D / 8), of the token by `mlp`.
            upscaled: (n, D / 8, 4 h, 4 w), image tokens after the mask decoder's upscaling.
            shared: (1 or n, D / 8, 4 h, 4 w) of `features`; None where there is no early map.
        """
        maps = self.embedding_maskfeature(upscaled)
        if shared is not None:
            maps = maps + shared
        return torch.einsum("nc,nchw->nhw", filters, maps)[:, None]


def upscaling(in_dim: int, hidden_dim: int, out_dim: int) -> nn.Sequential:
    """Two transposed convolutions, to four times the height and width."""
    return nn.Sequential(
        nn.ConvTranspose2d(in_dim, hidden_dim, 2, stride=2),
        LayerNorm2d(hidden_dim),
        nn.GELU(),
        nn.ConvTranspose2d(hidden_dim, out_dim, 2, stride=2),
    )
