"""`samkit convert`: weights from one layout to another."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["convert"]


def convert(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A model's name, checkpoint file or folder.")
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="A file; for hugging-face a folder."),
    ],
    layout: Annotated[
        str, typer.Option(metavar="LAYOUT", help="meta, ultralytics, hugging-face or samkit.")
    ],
) -> None:
    """Write weights in the layout of Meta, Ultralytics, Hugging Face or samkit.

    Values, precision and names survive a round trip exactly.

    Example: samkit convert sam2.1_hiera_tiny.pt tiny-hf --layout hugging-face
    """
    from samkit.weights.conversion import LAYOUTS
    from samkit.weights.conversion import convert as convert_weights

    if layout not in LAYOUTS:
        raise typer.BadParameter(
            f"expected one of {', '.join(LAYOUTS)}, got {layout}", param_hint="--layout"
        )
    convert_weights(source, target, layout=layout)
    typer.echo(f"{target}: written in the layout {layout}")
