"""Images of which a window or one tile after the other is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from samkit.cli.jobs import Job
from samkit.cli.parsing import FormatError, parse_whole
from samkit.cli.usage import as_usage_error, usage_error

if TYPE_CHECKING:
    from samkit import AutomaticMaskGenerator, Masks
    from samkit.geometry import Window
    from samkit.media.windows import WindowedImage

__all__ = [
    "check_no_pictures",
    "check_tiles",
    "parse_window",
    "segment_tiles",
]

# Most networks see 1024 x 1024 pixels, of which each one of a smaller tile would fill over 16 x 16.
_LEAST_TILE = 64


def parse_window(text: str) -> Window:
    """X0,Y0,X1,Y1 in whole pixels."""
    from samkit.geometry import checked_window

    try:
        numbers = [parse_whole(part) for part in text.split(",")]
    except FormatError:
        numbers = []
    if len(numbers) != 4:
        raise usage_error(f"expected whole numbers X0,Y0,X1,Y1, got {text!r}", "--window")
    with as_usage_error("--window"):
        return checked_window(numbers, None)


def check_tiles(jobs: Sequence[Job], tile: int, overlap: int | None) -> None:
    """An error of usage where tiles cannot be so, or a picture of the image is to be written."""
    from samkit.mask_generator import tiles_of

    if tile < _LEAST_TILE:
        raise usage_error(
            f"expected at least {_LEAST_TILE} pixels, got {tile}: each tile is looked at by "
            "itself, and in so few pixels no object can be told",
            "--tile",
        )
    with as_usage_error("--tile, --overlap"):
        tiles_of((1, 1), tile, overlap)
    check_no_pictures(jobs, "--tile")


def check_no_pictures(jobs: Sequence[Job], option: str) -> None:
    """An error of usage where a picture of the whole image is to be written."""
    from samkit.masks.formats import PICTURES_OF_THE_IMAGE

    pictures = {kind for job in jobs for kind in job.targets.values()} & {*PICTURES_OF_THE_IMAGE}
    if pictures:
        raise usage_error(
            f"the image is never read whole, so there is no {min(pictures)}; give -o a file of "
            "another format, such as .geojson, .gpkg or .json",
            option,
        )


def segment_tiles(
    generator: AutomaticMaskGenerator,
    tile: int,
    overlap: int | None,
    image: WindowedImage,
    *,
    shown: bool,
) -> Masks:
    """All masks of an image, which is closed then; a bar shows how far it is, if wanted."""
    from rich.console import Console
    from rich.progress import track

    from samkit import Masks
    from samkit.mask_generator import tiles_of

    console = Console(stderr=True)
    with image:
        parts = generator.stream_tiles(image, tile=tile, overlap=overlap)
        total = len(tiles_of(image.image_size, tile, overlap))
        hidden = not (shown and console.is_terminal)
        bar = track(parts, "Tiles", total, console=console, transient=True, disable=hidden)
        return Masks.concatenate(bar)
