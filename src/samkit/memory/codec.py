"""Prompted objects and memories as JSON and tensors, and back, for files.

Tensors are numbered ("0", "1", ...) and written once each, however often they are used; in the JSON
a number stands for one:

    prompt        as `Prompt.to_dict`
    prediction    the fields of `ObjectPrediction`
    memory        {tokens, pointer, confidence} of `Memory`; tokens may be null
    prompted      {prompt, prediction, memory, corrects} of `PromptedObject`

Reading runs no code and checks every value.
"""

from typing import Any

import torch
from torch import Tensor

from samkit.memory.prediction import PromptedObject
from samkit.nn import MemoryNetwork
from samkit.nn.memory import Memory, ObjectPrediction
from samkit.prompts import Prompt
from samkit.weights.tensor_file import read_bool

__all__ = ["MemoryReader", "MemoryWriter"]


class MemoryWriter:
    """Turns values into JSON, and collects their tensors. The values must not change meanwhile.

    Attributes:
        tensors: by number.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._numbers: dict[int, int] = {}

    def prompted(self, value: PromptedObject) -> dict[str, Any]:
        """An object where it was prompted."""
        return {
            "prompt": value.prompt.to_dict(),
            "prediction": self.prediction(value.prediction),
            "memory": self.memory(value.memory),
            "corrects": value.corrects,
        }

    def prediction(self, value: ObjectPrediction) -> dict[str, Any]:
        """A prediction of one object."""
        return {name: self._tensor(tensor) for name, tensor in vars(value).items()}

    def memory(self, value: Memory) -> dict[str, Any]:
        """A memory."""
        return {
            "tokens": None if value.tokens is None else self._tensor(value.tokens),
            "pointer": self._tensor(value.pointer),
            "confidence": value.confidence,
        }

    def _tensor(self, tensor: Tensor) -> int:
        if id(tensor) not in self._numbers:
            number = self._numbers[id(tensor)] = len(self._numbers)
            # A copy: a file cannot hold parts of one batch.
            self.tensors[str(number)] = tensor.detach().cpu().clone()
        return self._numbers[id(tensor)]


class MemoryReader:
    """Makes values from JSON and tensors; impossible ones raise ValueError, KeyError or the like.

    Args:
        tensors: by number, as `MemoryWriter` collected them.
        network: the one that made them.
        device: to which tensors are moved.
    """

    def __init__(
        self, tensors: dict[str, Tensor], network: MemoryNetwork, device: torch.device
    ) -> None:
        self._tensors, self._config, self._device = tensors, network.config, device
        height, width = self._config.grid
        self._mask_size = (4 * height, 4 * width)
        self._tokens_shape = network.memory_positions((height, width)).shape
        self._moved: dict[int, Tensor] = {}

    def prompted(self, value: dict[str, Any]) -> PromptedObject:
        """An object where it was prompted."""
        memory = self.memory(value["memory"])
        if memory.tokens is None:
            raise ValueError("a prompted object without memory tokens")
        return PromptedObject(
            prompt=Prompt.from_dict(value["prompt"]),
            prediction=self.prediction(value["prediction"]),
            memory=memory,
            corrects=read_bool(value["corrects"]),
        )

    def prediction(self, value: dict[str, Any]) -> ObjectPrediction:
        """A prediction of one object."""
        return ObjectPrediction(
            logits=self._tensor(value["logits"], torch.float32, 1, *self._mask_size),
            iou=self._tensor(value["iou"], torch.float32, 1),
            pointer=self._tensor(value["pointer"], torch.float32, 1, self._config.dim),
            object_score=self._tensor(value["object_score"], torch.float32, 1, 1),
        )

    def memory(self, value: dict[str, Any]) -> Memory:
        """A memory."""
        tokens = value["tokens"]
        if tokens is not None:
            tokens = self._tensor(tokens, torch.bfloat16, *self._tokens_shape)
        return Memory(
            tokens=tokens,
            pointer=self._tensor(value["pointer"], torch.float32, self._config.dim),
            confidence=_share(value["confidence"]),
        )

    def _tensor(self, number: int, dtype: torch.dtype, *shape: int) -> Tensor:
        tensor = self._tensors[str(number)]
        if tensor.dtype != dtype or tuple(tensor.shape) != shape:
            raise ValueError(f"tensor {number} has a wrong type or shape")
        if number not in self._moved:
            if not torch.isfinite(tensor).all():
                raise ValueError(f"tensor {number} has values that are not finite")
            self._moved[number] = tensor.to(self._device)
        return self._moved[number]


def _share(value: Any) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"expected a number from 0 to 1, got {value!r:.80}")
    return float(value)
