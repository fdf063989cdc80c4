"""Programs of `torch.export` from parts."""

import inspect

import torch
from torch.export import Dim, ExportedProgram

from samkit.exporter.parts import Part

__all__ = ["trace"]


def trace(part: Part) -> ExportedProgram:
    """A part as a program, whose free axes have their names."""
    axes = [
        {axis: Dim(name, min=1) for axis, name in part.axes.get(input_name, {}).items()}
        for input_name in part.inputs
    ]
    kinds = [one.kind for one in inspect.signature(part.module.forward).parameters.values()]
    named = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    # Those of *maps are a tuple of their own.
    shapes = (*axes[:named], *([tuple(axes[named:])] if named < len(kinds) else []))
    with torch.no_grad():
        return torch.export.export(
            part.module.eval(), tuple(part.inputs.values()), dynamic_shapes=shapes, strict=False
        )
