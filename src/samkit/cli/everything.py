"""`samkit everything`: all masks of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samkit.cli.jobs import ImageWork, find_images, make_jobs, run_jobs, unfinished
from samkit.cli.options import (
    Bands,
    Category,
    Device,
    Dtype,
    Images,
    Jobs,
    Model,
    Output,
    Overlap,
    Overwrite,
    Page,
    PointsPerSide,
    Preset,
    Scale,
    Tile,
    load_model,
    reading,
)
from samkit.cli.parsing import names_file
from samkit.cli.streams import standard_streams
from samkit.cli.tiles import check_tiles, segment_tiles
from samkit.cli.usage import as_usage_error, usage_error
from samkit.cli.yolo_classes import YoloClasses
from samkit.errors import count_of

if TYPE_CHECKING:
    from samkit import Masks

__all__ = ["everything"]


def _threshold(help: str, default: str) -> Any:
    return typer.Option(min=0, max=1, help=help, show_default=default)


def everything(
    context: typer.Context,
    images: Images,
    output: Output = None,
    format: Annotated[
        list[str],
        typer.Option(
            metavar="FORMAT",
            help="coco, jsonl (one mask a line), csv, geojson, gpkg (a map), yolo, overlay, "
            "cutout, png or tiff (a label map; where masks overlap the best-scored is on top), "
            "labelstudio, labelme, voc-class, voc-object, npz or polygons. Repeatable.",
            show_default="by OUT's suffix; coco for a folder; overlay without OUT",
        ),
    ] = [],  # noqa: B006
    preset: Preset = None,
    points_per_side: PointsPerSide = None,
    pred_iou_thresh: Annotated[
        float | None, _threshold("Leave out masks with a lower predicted IoU.", "by the model")
    ] = None,
    stability_score_thresh: Annotated[
        float | None, _threshold("Leave out masks that are less stable.", "by the model")
    ] = None,
    box_nms_thresh: Annotated[
        float | None, _threshold("Of masks whose boxes overlap more, keep the best.", "0.7")
    ] = None,
    crop_n_layers: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=6,
            metavar="N",
            help="Also look at 4, 16, ... crops of the image, to find small things.",
            show_default="0",
        ),
    ] = None,
    min_mask_region_area: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="PIXELS", help="Remove smaller holes and specks.", show_default="0"
        ),
    ] = None,
    use_m2m: Annotated[
        bool, typer.Option("--use-m2m", help="Refine each mask once; takes several times longer.")
    ] = False,
    tile: Tile = None,
    overlap: Overlap = None,
    category: Category = "object",
    page: Page = None,
    bands: Bands = None,
    scale: Scale = "full",
    overwrite: Overwrite = False,
    processes: Jobs = 1,
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Find all masks of images, without prompts.

    In a folder of results, files that are there are left out, so that an interrupted run goes on
    where it stopped. Every file is written whole or not at all. With --jobs several processes share
    the images.

    With --tile an image is never read whole, and objects that the edges of tiles cut are joined.
    Of a GeoTIFF .geojson and .gpkg are maps.

    Example: samkit everything photos/ -o masks/ --format coco --format overlay
    """
    how = reading(bands, scale)
    into_folder = output is not None and not names_file(output)  # or to standard output
    formats = format or (["coco"] if into_folder else [])

    options = {
        "preset": preset,
        "points_per_side": points_per_side,
        "pred_iou_thresh": pred_iou_thresh,
        "stability_score_thresh": stability_score_thresh,
        "box_nms_thresh": box_nms_thresh,
        "crop_n_layers": crop_n_layers,
        "min_mask_region_area": min_mask_region_area,
        "use_m2m": use_m2m or None,
    }
    given = {name: value for name, value in options.items() if value is not None}
    streams = context.with_resource(standard_streams(output))
    jobs = make_jobs(find_images(images, streams), output, formats, streams)
    if overlap is not None and tile is None:
        raise usage_error("it goes with --tile", "--overlap")
    if tile is not None:
        check_tiles(jobs, tile, overlap)
    jobs = unfinished(jobs, output, overwrite=overwrite)
    if not jobs:
        return
    classes = YoloClasses([job.targets for job in jobs], streams.result or output, [category])

    run_jobs(
        jobs,
        _Everything(
            model=(model, device, dtype),
            options=given,
            tiles=None if tile is None else (tile, overlap),
            reading={"page": page, **how},
            category=category,
            shown=len(jobs) == 1,
        ),
        classes=classes,
        processes=processes,
        output=streams.result or output,
        formats=formats,
    )


@dataclass(frozen=True, kw_only=True)
class _Everything:
    """Loads the model; gives what finds all masks of an image."""

    model: tuple[str | None, str, str]
    options: dict[str, Any]
    tiles: tuple[int, int | None] | None
    reading: dict[str, Any]
    category: str
    shown: bool

    def __call__(self) -> ImageWork:
        import samkit
        from samkit.media.windows import WindowedImage

        predictor = load_model(*self.model)
        with as_usage_error():
            generator = samkit.AutomaticMaskGenerator(predictor, **self.options)
        segment: Callable[[Any], Masks] = generator
        if self.tiles is not None:
            segment = partial(segment_tiles, generator, *self.tiles, shown=self.shown)
        return ImageWork(
            read=partial(
                samkit.read_image if self.tiles is None else WindowedImage, **self.reading
            ),
            segment=lambda _, image: segment(image),
            describe=lambda masks: count_of(len(masks), "mask"),
            category=lambda _, masks: [self.category] * len(masks),
        )
