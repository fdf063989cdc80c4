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
    "Category",
    "Device",
    "Dtype",
    "Feather",
    "FillHoles",
    "Images",
    "Jobs",
    "Largest",
    "MinArea",
    "Model",
    "Output",
    "Overlap",
    "Overwrite",
    "Page",
    "PointsPerSide",
    "Preset",
    "Refine",
    "Scale",
    "Tile",
    "Window",
    "check_device",
    "cleaning",
    "load_model",
    "model_names",
    "model_or_pico",
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
        help="A file, - for standard output, or a folder; of several images a folder, or a .json, "
        ".jsonl or .csv of all.",
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
Category = Annotated[
    str,
    typer.Option(metavar="NAME", help="What the masks are of, in formats that say it, as coco."),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="default; recall: nearly all proposals; disjoint: each pixel in one mask at most.",
        show_default="default",
    ),
]
PointsPerSide = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Ask about N x N points.", show_default="32"),
]
FillHoles = Annotated[
    str | None,
    typer.Option(metavar="N|all", help="Fill holes of fewer pixels than this, or all of them."),
]
MinArea = Annotated[
    int, typer.Option(min=0, metavar="N", help="Remove separate parts of fewer pixels than this.")
]
Largest = Annotated[
    bool, typer.Option("--largest", help="Keep only the largest part of each mask.")
]
Feather = Annotated[
    float, typer.Option(min=0, metavar="PIXELS", help="Width of the soft edge of a cutout.")
]
Refine = Annotated[
    int,
    typer.Option(
        min=0, metavar="PIXELS", help="How far the edge of a cutout may follow that of the picture."
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Also do images whose files are there already.")
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", min=1, metavar="N", help="Processes that share the images, of one model each."
    ),
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
Tile = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS",
        help="Go over the image in tiles of this side, 64 or more, for images that are too large "
        "as a whole.",
        show_default="the whole image",
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="PIXELS",
        help="How many pixels neighbouring tiles share, half of a tile at most.",
        show_default="an eighth of a tile",
    ),
]
Window = Annotated[
    str | None,
    typer.Option(
        metavar="X0,Y0,X1,Y1",
        help="Look at this part of the image only; all coordinates stay those of the whole.",
        show_default="the whole image",
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


def cleaning(fill_holes: str | None, min_area: int, largest: bool) -> dict[str, Any]:
    """`FillHoles`, `MinArea` and `Largest` as arguments of `Masks.cleaned`.

    Raises:
        typer.BadParameter: they cannot be.
    """
    holes: int | bool = fill_holes == "all"
    if fill_holes is not None and not holes:
        try:
            holes = parse_whole(fill_holes)
        except FormatError:
            raise usage_error(
                f"expected a number or all, got {fill_holes!r}", "--fill-holes"
            ) from None
        if holes < 0:
            raise usage_error(f"expected a number of 0 and more, got {holes}", "--fill-holes")
    return {"fill_holes": holes, "min_area": min_area, "largest": largest}


def load_model(
    model: str | None, device: str, dtype: str, option: str = "--model"
) -> ImagePredictor:
    """The predictor of `Model`, `Device` and `Dtype`; without a model that of `pico`.

    Raises:
        typer.BadParameter: there is no such model, device or dtype.
        SamkitError: the model cannot be loaded.
    """
    import samkit

    name = model_or_pico(model)
    check_device(device, dtype)
    with as_usage_error(option, UnknownModelError):
        return samkit.load(name, device=device, dtype=dtype)


def model_or_pico(model: str | None) -> str:
    """`Model`; without one it is `pico`, which is told."""
    if model is not None:
        return model
    _tell_of_pico()
    return "pico"


def check_device(device: str, dtype: str) -> None:
    """Check `Device` and `Dtype`.

    Raises:
        typer.BadParameter: there is no such device or dtype.
    """
    from samkit.image_predictor.device import find_device, find_dtype

    with as_usage_error("--device"):
        place = find_device(device)
    with as_usage_error("--dtype"):
        find_dtype(dtype, place)


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
