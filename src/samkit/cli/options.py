"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Device", "Dtype", "Images", "Model", "Output", "Overwrite", "model_or_default"]

Images = Annotated[
    list[str], typer.Argument(metavar="IMAGE...", help="Files, folders or patterns.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="OUT", help="A file, or a folder (for several images)."),
]
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
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Also do images whose files are there already.")
]
Device = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.", metavar="DEVICE")
]
Dtype = Annotated[
    str, typer.Option("--dtype", help="auto, float32, bfloat16, float16.", metavar="DTYPE")
]


def model_or_default(model: str | None) -> str:
    """The model to load; without one `pico`, with a note on stderr."""
    if model is not None:
        return model
    typer.echo(
        "Using pico, the small model that samkit ships. "
        "For better masks choose another: --model sam2.1-tiny (see `samkit models`).",
        err=True,
    )
    return "pico"
