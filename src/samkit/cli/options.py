"""Options that several commands share."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samkit.cli.parsing import FormatError, parse_numbers, parse_whole
from samkit.cli.usage import as_usage_error, usage_error
from samkit.errors import DownloadError, UnknownModelError

if TYPE_CHECKING:
    from samkit import ImagePredictor

__all__ = [
    "Bands",
    "Device",
    "Dtype",
    "Images",
    "Model",
    "Output",
    "Overwrite",
    "Page",
    "Scale",
    "load_model",
    "model_names",
    "reading",
]


def model_names(incomplete: str) -> list[str]:
    """Names of models that begin so, for the shell's completion."""
    from samkit.weights import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]


Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE...", help="Files, folders or patterns; - for standard input."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="A file, a folder (for several images), or - for standard output.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A name of `samkit models`, a checkpoint file, or a Hugging Face folder or id.",
        show_default="pico",
        autocompletion=model_names,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Also do images whose files are there already.")
]
Page = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="The page of a TIFF stack or animation, from 0."),
]
Bands = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N,N]",
        help="The band shown as grey, or those as red, green and blue, from 0.",
        show_default="those that the file says",
    ),
]
Scale = Annotated[
    str,
    typer.Option(
        metavar="SCALE",
        help="What becomes black and white: full (the type's range), minmax, percentile (1 and "
        "99), or LOW,HIGH.",
    ),
]
Device = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.", metavar="DEVICE")
]
Dtype = Annotated[
    str, typer.Option("--dtype", help="auto, float32, bfloat16, float16.", metavar="DTYPE")
]


def reading(bands: str | None, scale: str) -> dict[str, Any]:
    """`Bands` and `Scale` as arguments of `samkit.read_image`.

    Raises:
        typer.BadParameter: they cannot be.
    """
    from samkit.media.pixels import checked_bands, checked_scale

    try:
        numbers = None if bands is None else [parse_whole(text) for text in bands.split(",")]
    except FormatError:
        raise usage_error(f"expected N or N,N,N, got {bands!r}", "--bands") from None
    try:
        range_ = parse_numbers(scale, (2,)) if "," in scale else scale
    except FormatError:
        raise usage_error(f"expected LOW,HIGH, got {scale!r}", "--scale") from None
    with as_usage_error("--bands"):
        chosen = checked_bands(numbers)
    with as_usage_error("--scale"):
        return {"bands": chosen, "scale": checked_scale(range_)}


def load_model(
    model: str | None, device: str, dtype: str, option: str = "--model"
) -> ImagePredictor:
    """The predictor of `Model`, `Device` and `Dtype`; without a model that of `pico`.

    Raises:
        typer.BadParameter: there is no such model, device or dtype.
        SamkitError: the model cannot be loaded.
    """
    import samkit
    from samkit.image_predictor.device import find_device, find_dtype

    if model is None:
        _tell_of_pico()
    with as_usage_error("--device"):
        place = find_device(device)
    with as_usage_error("--dtype"):
        find_dtype(dtype, place)
    with as_usage_error(option, UnknownModelError):
        return samkit.load(model or "pico", device=device, dtype=dtype)


def _tell_of_pico() -> None:
    """Say on stderr, once for each user, that there are better models than the default one."""
    from samkit.weights import cache_folder

    with suppress(OSError, DownloadError):  # where nothing can be kept, it is said each time
        told = cache_folder() / "told-of-pico"
        if told.exists():
            return
        told.parent.mkdir(parents=True, exist_ok=True)
        told.touch()
    typer.echo(
        "Using pico, the small model that samkit ships. "
        "For better masks choose another: --model sam2.1-tiny (see `samkit models`).",
        err=True,
    )
