"""What a network remembers of objects, and predicts of them in a frame of a video."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Memory", "MemoryTokens", "ObjectPrediction", "ReachableMemory", "joined_tokens"]


@dataclass(frozen=True, kw_only=True)
class ObjectPrediction:
    """N objects in one frame.

    Attributes:
        logits: (N, h, w) mask logits at a quarter of the input size.
        iou: (N,) predicted IoU.
        pointer: (N, D) object pointers.
        object_score: (N, 1) logit that the object is in the frame.
    """

    logits: Tensor
    iou: Tensor
    pointer: Tensor
    object_score: Tensor

    def each(self) -> "list[ObjectPrediction]":
        """Each object, as a batch of one."""
        return [
            ObjectPrediction(
                logits=self.logits[i : i + 1],
                iou=self.iou[i : i + 1],
                pointer=self.pointer[i : i + 1],
                object_score=self.object_score[i : i + 1],
            )
            for i in range(len(self.iou))
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Memory:
    """What is remembered of one object in one frame.

    Attributes:
        tokens: (M, d), or None where only the pointer can still be reached.
        positions: (M, d) position encodings of the tokens, shared by all memories of a network.
        pointer: (D,) object pointer.
    """

    tokens: Tensor | None
    positions: Tensor
    pointer: Tensor


@dataclass(frozen=True, kw_only=True)
class ReachableMemory:
    """The memories of one object in reach from one frame (2408.00714, section 4).

    Attributes:
        memories: (frames ago, memory with tokens) of each; 0 marks a prompted frame, however long
            ago it is.
        pointers: (frames ago, (D,) pointer) of each object pointer; negative: a frame to come.
        span: how many pointers can be in reach, by which their times are scaled.
    """

    memories: tuple[tuple[int, Memory], ...]
    pointers: tuple[tuple[int, Tensor], ...]
    span: int


@dataclass(frozen=True, kw_only=True)
class MemoryTokens:
    """Reachable memories of N objects as tokens for the memory attention.

    Attributes:
        tokens, positions: (N, M, d): maps, one after the other, then the tokens of pointers.
        pointer_tokens: how many tokens at the end belong to pointers.
        attended: (N, M) bool, or None for all: objects with fewer memories are padded.
    """

    tokens: Tensor
    positions: Tensor
    pointer_tokens: int
    attended: Tensor | None = None

    @cached_property
    def keys(self) -> Tensor:
        """Tokens with their positions (N, M, d)."""
        return self.tokens + self.positions

    def to(self, dtype: torch.dtype) -> "MemoryTokens":
        return replace(self, tokens=self.tokens.to(dtype), positions=self.positions.to(dtype))

    def one_by_one(self) -> "list[MemoryTokens]":
        """The tokens of each object, without padding."""
        first_pointer = self.tokens.shape[1] - self.pointer_tokens
        objects = []
        for i in range(len(self.tokens)):
            own = slice(None) if self.attended is None else self.attended[i]
            pointers = self.pointer_tokens
            if self.attended is not None:
                pointers = int(self.attended[i, first_pointer:].sum())
            objects.append(
                MemoryTokens(
                    tokens=self.tokens[i : i + 1, own],
                    positions=self.positions[i : i + 1, own],
                    pointer_tokens=pointers,
                )
            )
        return objects


def joined_tokens(parts: Sequence[tuple[Tensor, Tensor, int]]) -> MemoryTokens:
    """Tokens (M, d), positions (M, d) and pointer tokens of N objects as one batch."""
    maps = max(len(tokens) - pointers for tokens, _, pointers in parts)
    most = max(pointers for _, _, pointers in parts)
    if all(len(tokens) == maps + most and pointers == most for tokens, _, pointers in parts):
        return MemoryTokens(
            tokens=torch.stack([tokens for tokens, _, _ in parts]),
            positions=torch.stack([positions for _, positions, _ in parts]),
            pointer_tokens=most,
            attended=None,
        )
    first = parts[0][0]
    tokens = first.new_zeros(len(parts), maps + most, first.shape[1])
    positions = torch.zeros_like(tokens)
    attended = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=first.device)
    for i, (own, places, pointers) in enumerate(parts):
        count = len(own) - pointers
        for whole, part in ((tokens, own), (positions, places)):
            whole[i, :count] = part[:count]
            whole[i, maps : maps + pointers] = part[count:]
        attended[i, :count] = True
        attended[i, maps : maps + pointers] = True
    return MemoryTokens(tokens=tokens, positions=positions, pointer_tokens=most, attended=attended)
