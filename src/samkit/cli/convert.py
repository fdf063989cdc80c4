"""`samkit convert`: weights from one layout to another."""

from pathlib import Path
from typing import Annotated

import typer

from samkit.cli.options import model_names
from samkit.cli.usage import as_usage_error, check_choice
from samkit.errors import UnknownModelError

__all__ = ["convert"]


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A model's name, checkpoint file or folder.",
            autocompletion=model_names,
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="A file; for hugging-face a folder.")
    ],
    layout: Annotated[
        str, typer.Option(metavar="LAYOUT", help="meta, ultralytics, hugging-face or samkit.")
    ],
) -> None:
    """Write weights in the layout of Meta, Ultralytics, Hugging Face or samkit.

    Values, precision and names survive a round trip exactly.

    Example: samkit convert sam2.1_hiera_tiny.pt tiny-hf --layout hugging-face
    """
    from samkit.weights import conversion

    chosen = check_choice(layout, conversion.LAYOUTS, "--layout")
    with as_usage_error("TARGET"):
        conversion.check_target(target, chosen)
    with as_usage_error("SOURCE", UnknownModelError):
        conversion.convert(source, target, layout=chosen)
    typer.echo(f"{target}: written in the layout {layout}")
