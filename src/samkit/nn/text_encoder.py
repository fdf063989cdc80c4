"""The text encoder of SAM 3 (2511.16719): a causal transformer, as CLIP's (2103.00020)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.attention import Attention
from samkit.nn.fast.linear import Linear
from samkit.nn.layers import MLP
from samkit.sizes import TextEncoderConfig

__all__ = ["TextEncoder"]


class TextEncoder(nn.Module):
    """Tokens of texts -> features of each token, in the channels of images."""

    def __init__(self, config: TextEncoderConfig, out_dim: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.dim)
        self.positional_embedding = nn.Parameter(torch.empty(config.context, config.dim))
        nn.init.normal_(self.positional_embedding, std=0.01)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim)
        self.resizer = Linear(config.dim, out_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) int64, at most `context` of each text -> (B, T, D).

        A token sees those before it alone, so that what pads a text at its end changes nothing.
        """
        count = tokens.shape[1]
        x = self.token_embedding(tokens) + self.positional_embedding[:count]
        seen = torch.ones(count, count, dtype=torch.bool, device=x.device).tril()
        for block in self.blocks:
            x = block(x, seen)
        return self.resizer(self.norm(x))


class Block(nn.Module):
    """Attention to the tokens before, then an MLP; norms come first."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim)
        self.attn = Attention(config.dim, config.heads)
        self.norm2 = nn.LayerNorm(config.dim)
        self.mlp = MLP(config.dim, config.mlp_dim, config.dim, activation=F.gelu)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """(B, T, C), and which of T tokens each of them sees (T, T) bool -> (B, T, C)."""
        y = self.norm1(x)
        x = x + self.attn(y, y, y, seen)
        return x + self.mlp(self.norm2(x))
