"""`samkit predict`: prompts on images to masks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samkit.cli.image_prompts import ImagePrompts, read_image_prompts
from samkit.cli.jobs import ImageWork, Job, find_images, make_jobs, run_jobs, unfinished
from samkit.cli.map_coordinates import MapCoordinates
from samkit.cli.options import (
    Bands,
    Category,
    Device,
    Dtype,
    Feather,
    FillHoles,
    Jobs,
    Largest,
    MinArea,
    Model,
    Output,
    Overwrite,
    Page,
    Refine,
    Scale,
    Window,
    cleaning,
    load_model,
    reading,
)
from samkit.cli.parsing import FormatError, parse_box, parse_point, read_mask
from samkit.cli.streams import standard_streams
from samkit.cli.tiles import check_no_pictures, parse_window
from samkit.cli.usage import as_usage_error, usage_error
from samkit.cli.yolo_classes import YoloClasses
from samkit.errors import count_of

if TYPE_CHECKING:
    from samkit import ImagePredictor, Masks, Prompt

__all__ = ["predict"]


def predict(
    context: typer.Context,
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE...", help="Files, folders, patterns; or -."),
    ] = None,
    point: Annotated[
        list[str],
        typer.Option(
            metavar="X,Y[,LABEL]",
            help="A click; label 1 (default): on the object, 0: not the object. Repeatable.",
        ),
    ] = [],  # noqa: B006
    box: Annotated[
        list[str],
        typer.Option(metavar="X0,Y0,X1,Y1", help="A box. Several boxes are several objects."),
    ] = [],  # noqa: B006
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A rough mask: black-and-white image; or -."),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='Images and their prompts as JSON: \\[{"image": "dog.jpg", "object_id": 1, '
            '"points": [\\[x, y]], "labels": \\[1], "box": \\[x0, y0, x1, y1], '
            '"mask": "file.png", "category": "dog"}, ...].',
        ),
    ] = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="Each point is an object of its own.")
    ] = False,
    window: Window = None,
    map_coordinates: Annotated[
        bool,
        typer.Option(
            "--map-coordinates",
            help="Points, boxes and the window are in the coordinate system of the GeoTIFF.",
        ),
    ] = False,
    output: Output = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="png or tiff (masks; where they overlap the best-scored is on top), overlay, "
            "cutout, coco, jsonl, csv, geojson, gpkg (a map), yolo, labelstudio, labelme, "
            "voc-class, voc-object, npz or polygons.",
            show_default="by OUT's suffix; png for a folder; overlay without OUT",
        ),
    ] = None,
    candidates: Annotated[
        int, typer.Option(metavar="1|3", help="Masks for each object: 1, or 3 proposals.")
    ] = 1,
    category: Category = "object",
    fill_holes: FillHoles = None,
    min_area: MinArea = 0,
    largest: Largest = False,
    feather: Feather = 0.0,
    refine: Refine = 0,
    page: Page = None,
    bands: Bands = None,
    scale: Scale = "full",
    overwrite: Overwrite = False,
    processes: Jobs = 1,
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Segment what the prompts point at, in one or many images.

    All points together with one box or mask describe ONE object; several boxes are several
    objects. Coordinates are pixels of the image, x to the right, y down. The same prompts serve
    every image. Of a folder its own images are taken; those of folders inside it by a pattern such
    as 'photos/**/*.jpg'. Results are called after their images. Of a GeoTIFF .geojson and .gpkg are
    maps.

    Of several images into a folder, those whose results are there are left out, so that an
    interrupted run goes on where it stopped. Every file is written whole or not at all.

    Example: samkit predict dog.jpg --point 420,310 --point 50,60,0 -o dog.png
    """
    if candidates not in (1, 3):
        raise usage_error(f"expected 1 or 3, got {candidates}", "--candidates")
    clean = cleaning(fill_holes, min_area, largest)
    how = reading(bands, scale)
    streams = context.with_resource(standard_streams(output))
    folder: Path | None
    asked: dict[Path, ImagePrompts] = {}
    windows: dict[Path, tuple[int, int, int, int] | None] = {}
    if prompts is None:
        rough = None if mask is None else Path(streams.input(str(mask), "--mask"))
        if rough is not None and (window or map_coordinates):
            raise usage_error("it covers the whole image, not a window or map", "--mask")
        sources = find_images(images or [], streams)
        points, boxes = point, box
        part = None if window is None or map_coordinates else parse_window(window)
        for source in sources:
            if map_coordinates:
                place = MapCoordinates(source, window)
                points, boxes, part = place.points(point), place.boxes(box), place.window
            if map_coordinates or not asked:
                with as_usage_error():
                    one = _asked(_prompts(points, boxes, rough, separate), category)
            asked[source] = one
            windows[source] = part
        folder = None
    elif images or point or box or mask or separate or map_coordinates:
        raise usage_error(
            "the file says which images and prompts there are: leave out IMAGE, --point, --box, "
            "--mask, --separate and --map-coordinates",
            "--prompts",
        )
    else:
        folder = Path() if str(prompts) == "-" else prompts.parent
        file = Path(streams.input(str(prompts), "--prompts"))
        asked = read_image_prompts(file, category, folder)
        windows = dict.fromkeys(asked, None if window is None else parse_window(window))
    formats = [] if format is None else [format]
    jobs = make_jobs(list(asked), output, formats, streams, several=prompts is not None)
    if (feather or refine) and not any("cutout" in job.targets.values() for job in jobs):
        raise usage_error("cut-outs have soft edges: --format cutout", "--feather, --refine")
    if window is not None:
        check_no_pictures(jobs, "--window")
    jobs = unfinished(jobs, output, overwrite=overwrite or len(jobs) == 1)
    if not jobs:
        return
    names = {name for one in asked.values() for name in one.categories.values()}
    classes = YoloClasses([job.targets for job in jobs], streams.result or output, sorted(names))

    run_jobs(
        jobs,
        _Predict(
            model=(model, device, dtype),
            asked=asked,
            windows=windows,
            reading={"page": page, **how},
            candidates=candidates,
            cleaning=clean,
        ),
        classes=classes,
        processes=processes,
        output=streams.result or output,
        formats=formats,
        base=folder,
        feather=feather,
        refine=refine,
    )


@dataclass(frozen=True, kw_only=True)
class _Predict:
    """Loads the model; gives what answers the prompts of an image."""

    model: tuple[str | None, str, str]
    asked: dict[Path, ImagePrompts]
    windows: dict[Path, tuple[int, int, int, int] | None]
    reading: dict[str, Any]
    candidates: int
    cleaning: dict[str, Any]

    def __call__(self) -> ImageWork:
        import samkit
        from samkit.media.windows import WindowedImage

        predictor = load_model(*self.model)
        has_window = any(part is not None for part in self.windows.values())
        return ImageWork(
            read=partial(WindowedImage if has_window else samkit.read_image, **self.reading),
            segment=partial(self._segment, predictor),
            describe=_describe,
            category=lambda job, masks: [
                self.asked[job.source].categories[i] for i in masks.object_ids.tolist()
            ],
        )

    def _segment(self, predictor: ImagePredictor, job: Job, image: Any) -> Masks:
        known, part = self.asked[job.source].prompts, self.windows[job.source]
        with nullcontext() if part is None else image:
            masks = predictor.predict(
                image, list(known.values()), candidates=self.candidates, window=part
            )
        ids = list(known)
        masks = masks.with_object_ids([ids[i] for i in masks.prompt_index.tolist()])
        return masks.cleaned(**self.cleaning)


def _describe(masks: Masks) -> str:
    scores = ", ".join(f"{score:.2f}" for score in masks.scores[:5])
    more = ", ..." if len(masks) > 5 else ""
    empty = int((masks.areas == 0).sum())
    note = f" ({empty} empty)" if empty else ""
    return f"{count_of(len(masks), 'mask')}{note}, predicted IoU {scores}{more}"


def _asked(objects: list[Prompt], category: str) -> ImagePrompts:
    prompts = dict(enumerate(objects))
    return ImagePrompts(prompts=prompts, categories=dict.fromkeys(prompts, category))


def _prompts(
    points: list[str], boxes: list[str], mask: Path | None, separate: bool
) -> list[Prompt]:
    """One prompt for each object that the options describe."""
    clicks = _parsed(parse_point, points, "--point", "x,y or x,y,label with label 1 or 0")
    corners = _parsed(parse_box, boxes, "--box", "x0,y0,x1,y1")
    rough = [] if mask is None else [read_mask(mask)]
    prompts = clicks + corners + rough
    if not prompts:
        raise usage_error("point at something: --point x,y or --box x0,y0,x1,y1 or --mask FILE")
    if separate:
        if corners or rough:
            raise usage_error("it goes with points only", "--separate")
        return clicks
    if len(corners) > 1:
        if clicks or rough:
            raise usage_error(
                "several boxes are several objects, so points or a mask cannot be added; "
                "run the command once for each object"
            )
        return corners
    return [sum(prompts[1:], start=prompts[0])]


def _parsed(
    parse: Callable[[str], Prompt], texts: list[str], option: str, form: str
) -> list[Prompt]:
    prompts = []
    for text in texts:
        try:
            prompts.append(parse(text))
        except FormatError:
            raise usage_error(f"expected numbers {form}, got {text!r}", option) from None
    return prompts
