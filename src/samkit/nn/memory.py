"""Predictions of objects in a frame of a video, and their memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

__all__ = ["Memory", "MemoryTokens", "ObjectPrediction", "ReachableMemory"]


@dataclass(frozen=True, kw_only=True)
class ObjectPrediction:
    """N objects in one frame.

    Attributes:
        logits: (N, h, w) mask logits, four times finer than the embedding.
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
            ObjectPrediction(**{name: tensor[i : i + 1] for name, tensor in vars(self).items()})
            for i in range(len(self.iou))
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Memory:
    """The memory of one object in one frame.

    Attributes:
        tokens: (M, d), or None where only the pointer is in reach. Their positions are the same in
            all memories of a network (`MemoryNetwork.memory_positions`).
        pointer: (D,) object pointer.
        confidence: from 0 to 1, how surely the object was seen, and how good its mask is.
    """

    tokens: Tensor | None
    pointer: Tensor
    confidence: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ReachableMemory:
    """The memories of one object in reach from one frame (2408.00714, section 4).

    Attributes:
        memories: (frames ago, memory with tokens) of each; 0 for a prompted frame at any distance.
        pointers: (frames ago, (D,) pointer) of each object pointer; negative: a later frame.
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

    @classmethod
    def padded(cls, objects: "Sequence[MemoryTokens]") -> "MemoryTokens":
        """Objects, each a batch of one without padding, as one batch."""
        pointers = [one.pointer_tokens for one in objects]
        maps = [one.tokens.shape[1] - count for one, count in zip(objects, pointers, strict=True)]

        def stacked(each: Sequence[Tensor]) -> Tensor:
            """(N, longest maps + most pointers, ...), each part zero-padded."""
            first = pad_sequence([one[:n] for one, n in zip(each, maps, strict=True)], True)
            last = pad_sequence([one[n:] for one, n in zip(each, maps, strict=True)], True)
            return torch.cat([first, last], 1)

        tokens = [one.tokens[0] for one in objects]
        attended = None
        if len(set(maps)) > 1 or len(set(pointers)) > 1:
            attended = stacked([own.new_ones(len(own), dtype=torch.bool) for own in tokens])
        return cls(
            tokens=stacked(tokens),
            positions=stacked([one.positions[0] for one in objects]),
            pointer_tokens=max(pointers),
            attended=attended,
        )

    @property  # not cached: the lock of a `cached_property` ends a graph of `torch.compile`
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
