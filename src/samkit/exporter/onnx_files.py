"""ONNX files from parts."""

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import onnx_ir
import torch
from torch import Tensor, nn

from samkit.exporter.attention import TRANSLATIONS
from samkit.exporter.parts import Part
from samkit.exporter.small_weights import store_small
from samkit.runtimes import Weights

__all__ = ["write_onnx"]

_OPSET = 18
# A file of ONNX holds 2 GB at most; the weights then lie in one of their own.
_MOST_INSIDE = 1_800_000_000


def write_onnx(part: Part, folder: Path, weights: Weights) -> None:
    """Write a part as `NAME.onnx`; weights of more than 1.8 GB lie beside it, `NAME.onnx.data`.

    Args:
        part: what to write.
        folder: where to.
        weights: how to store those that it loses nothing of. They are computed with in float32.
    """
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            _Listed(part.module).eval(),
            (list(part.inputs.values()),),
            dynamo=True,
            dynamic_shapes=([part.axes.get(name, {}) for name in part.inputs],),
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            opset_version=_OPSET,
            custom_translation_table=TRANSLATIONS,
            verbose=False,
        )
    assert program is not None
    graph = program.model.graph
    for value in graph.inputs:
        if value.name in part.shared:  # traced as 1, and broadcast by all that is done with it
            axis = part.shared[value.name]
            lengths = enumerate(value.shape or ())
            value.shape = onnx_ir.Shape(
                ["one_or_all" if i == axis else length for i, length in lengths]
            )
    if weights != "float32":
        store_small(graph, weights)
    stored = [value.const_value for value in graph.initializers.values()]
    size = sum(tensor.nbytes for tensor in stored if tensor is not None)
    program.save(folder / f"{part.name}.onnx", external_data=size > _MOST_INSIDE)


class _Listed(nn.Module):
    """A module that takes its inputs as one list, however many there are."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: list[Tensor]) -> Any:
        return self.module(*inputs)


@contextlib.contextmanager
def _quiet() -> Any:
    """Without what the exporter tells its developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
