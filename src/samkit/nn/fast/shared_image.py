"""What the mask decoder makes of an image alone, kept for all prompts on it."""

import operator
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor, nn

from samkit.nn.fast.linear import linear

__all__ = ["LastImage", "SharedImage"]

_Kept = TypeVar("_Kept")


class SharedImage:
    """Image tokens that prompts share, and what layers make of them, each computed once.

    Args:
        tokens: (P, D).
        positions: (P, D).
    """

    def __init__(self, tokens: Tensor, positions: Tensor) -> None:
        self.tokens, self.positions = tokens.contiguous(), positions.contiguous()
        self._kept: dict[tuple[str, nn.Module], object] = {}

    def kept(self, what: str, layer: nn.Module, make: Callable[[], _Kept]) -> _Kept:
        """What `make` gives for a layer the first time."""
        if (what, layer) not in self._kept:
            self._kept[what, layer] = make()
        return self._kept[what, layer]  # type: ignore[return-value]

    def projected(self, layer: nn.Linear) -> Tensor:
        """The tokens after a layer without its bias, (E, P)."""
        return self.kept("tokens", layer, lambda: linear(layer.weight, self.tokens, None))

    def positions_projected(self, layer: nn.Linear) -> Tensor:
        """The positions after a layer without its bias, (E, P)."""
        return self.kept("positions", layer, lambda: linear(layer.weight, self.positions, None))

    def placed(self, layer: nn.Linear) -> Tensor:
        """The tokens with their positions after a layer without its bias, (E, P)."""
        return self.kept(
            "placed", layer, lambda: linear(layer.weight, self.tokens + self.positions, None)
        )

    def values(self, layer: nn.Linear, heads: int) -> Tensor:
        """The tokens after a layer without its bias, by head: (heads, P, c)."""

        def by_head() -> Tensor:
            rows = linear(layer.weight, self.tokens, None)
            return rows.unflatten(0, (heads, -1)).transpose(1, 2).contiguous()

        return self.kept("values", layer, by_head)

    def normed(self, norm: nn.LayerNorm) -> "tuple[SharedImage, Tensor]":
        """The centred tokens times a norm's weights, and the sum of squares (P,) of the centred."""

        def make() -> "tuple[SharedImage, Tensor]":
            centred = self.centred(norm)
            return SharedImage(centred * norm.weight, self.positions), centred.square().sum(1)

        return self.kept("normed", norm, make)

    def centred(self, norm: nn.LayerNorm) -> Tensor:
        """The tokens without their mean over the channels, (P, D)."""
        return self.kept("centred", norm, lambda: self.tokens - self.tokens.mean(1, keepdim=True))


class LastImage(Generic[_Kept]):
    """The image that was asked about last, with what was made of it.

    It is held as long as the tensors that it was made of, and for the same weights.
    """

    def __init__(self) -> None:
        self._slot: _Slot[_Kept] | None = None

    def __reduce__(self) -> "tuple[type[LastImage[_Kept]], tuple[()]]":
        return LastImage, ()  # copies of a network begin with none

    def find(
        self,
        image: tuple[Tensor, ...],
        weights: Iterable[Tensor],
        make: Callable[[], _Kept],
        *,
        at_once: bool,
    ) -> _Kept | None:
        """What `make` gave for an image.

        Args:
            image: its tensors; others are another image, whatever they hold.
            weights: that the result depends on; it is made anew when they have changed.
            make: makes it.
            at_once: make it the first time that the image is seen. Else it is made the second
                time, and None the first time.
        """
        weights = tuple(weights)
        if any(tensor.is_inference() for tensor in weights):  # whose changes are not counted
            return make() if at_once else None
        state = tuple((tensor.data_ptr(), tensor._version) for tensor in weights)
        slot = self._slot
        if slot is not None and slot.is_of(image, state):
            if slot.made is None:
                slot.made = make()
            return slot.made
        self._slot = slot = _Slot(
            tuple(weakref.ref(one, self._forget_if_gone) for one in image),
            state,
            # While these are there, nothing else can be where the weights were.
            tuple(tensor.detach() for tensor in weights),
            make() if at_once else None,
        )
        return slot.made

    def forget(self) -> None:
        """Give back what was made, at once."""
        self._slot = None

    def _forget_if_gone(self, gone: "weakref.ref[Tensor]") -> None:
        slot = self._slot
        if slot is not None and any(one is gone for one in slot.image):
            self._slot = None


@dataclass
class _Slot(Generic[_Kept]):
    """What was made of an image with some weights."""

    image: "tuple[weakref.ref[Tensor], ...]"
    state: tuple[tuple[int, int], ...]
    weights: tuple[Tensor, ...]
    made: _Kept | None

    def is_of(self, image: tuple[Tensor, ...], state: tuple[tuple[int, int], ...]) -> bool:
        known = tuple(one() for one in self.image)
        same = len(known) == len(image) and all(map(operator.is_, known, image))
        return same and self.state == state
