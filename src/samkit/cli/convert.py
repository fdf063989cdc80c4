"""`samkit convert`: weights from one layout to another."""

from pathlib import Path
from typing import Annotated

import typer

from samkit.cli.options import model_names
from samkit.cli.streams import name_of, standard_streams
from samkit.cli.usage import as_usage_error, check_choice, usage_error
from samkit.errors import UnknownModelError

__all__ = ["convert"]


def convert(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A model's name, checkpoint file or folder; or -.",
            autocompletion=model_names,
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="A file, or -; for hugging-face a folder.")
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
    if str(target) == "-" and chosen == "hugging-face":
        raise usage_error("expected a folder for the layout hugging-face, got -", "TARGET")
    streams = context.with_resource(standard_streams(target))
    source = streams.input(source, "SOURCE")
    target = Path(streams.output(str(target), ".safetensors" if chosen == "samkit" else ".pt"))
    with as_usage_error("TARGET"):
        conversion.check_target(target, chosen)
    with as_usage_error("SOURCE", UnknownModelError):
        conversion.convert(source, target, layout=chosen)
    typer.echo(f"{name_of(target)}: written in the layout {layout}")
