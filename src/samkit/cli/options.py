"""Options that several commands share."""

from typing import Annotated

import typer

__all__ = ["Device", "Dtype", "Model", "note_default_model"]

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A name of `samkit models`, a checkpoint file, or a Hugging Face folder or id.",
        show_default="pico",
    ),
]
Device = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.", metavar="DEVICE")
]
Dtype = Annotated[
    str, typer.Option("--dtype", help="auto, float32, bfloat16, float16.", metavar="DTYPE")
]


def note_default_model(model: str | None) -> str:
    """The model to load; says so when the user named none."""
    if model is not None:
        return model
    typer.echo(
        "Using pico, the small model that samkit ships. "
        "For better masks choose another: --model sam2.1-tiny (see `samkit models`).",
        err=True,
    )
    return "pico"
