"""`samkit predict`: prompts on images to masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samkit.cli.jobs import Job, plan_jobs, run_jobs
from samkit.cli.options import Device, Dtype, Model, note_default_model
from samkit.cli.parsing import NotAsExpected, box_of, mask_of, point_of

if TYPE_CHECKING:
    from samkit import Masks, Prompt

__all__ = ["predict"]


def predict(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Files, folders or patterns.")
    ],
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
        Path | None, typer.Option(metavar="FILE", help="A rough mask: black-and-white image.")
    ] = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="Each point is an object of its own.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="A file, or a folder (for several images)."
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="png (masks; where they overlap the best-scored is on top), overlay, coco, "
            "jsonl, npz or polygons.",
            show_default="by OUT's suffix; png for a folder; overlay without OUT",
        ),
    ] = None,
    candidates: Annotated[
        int, typer.Option(metavar="1|3", help="Masks for each object: 1, or 3 proposals.")
    ] = 1,
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Segment what the prompts point at, in one or many images.

    All points together with one box or mask describe ONE object; several boxes are several
    objects. Coordinates are pixels of the image, x to the right, y down. The same prompts serve
    every image. Of a folder its own images are taken; those of folders inside it by a pattern such
    as 'photos/**/*.jpg'. Results are called after their images.

    Example: samkit predict dog.jpg --point 420,310 --point 50,60,0 -o dog.png
    """
    if candidates not in (1, 3):
        raise typer.BadParameter(f"expected 1 or 3, got {candidates}", param_hint="--candidates")
    prompts = _prompts(point, box, mask, separate)
    jobs = plan_jobs(images, output, [] if format is None else [format])

    import samkit
    from samkit.media import read_image

    predictor = samkit.load(note_default_model(model), device=device, dtype=dtype)

    def segment(job: Job) -> str:
        image = read_image(job.source)
        masks = predictor.predict(image, prompts, candidates=candidates)
        job.save(masks, image)
        return _describe(masks)

    run_jobs(jobs, segment)


def _describe(masks: Masks) -> str:
    scores = ", ".join(f"{score:.2f}" for score in masks.scores[:5])
    more = ", ..." if len(masks) > 5 else ""
    empty = int((masks.areas == 0).sum())
    note = f" ({empty} empty)" if empty else ""
    kind = "mask" if len(masks) == 1 else "masks"
    return f"{len(masks)} {kind}{note}, predicted IoU {scores}{more}"


def _prompts(
    points: list[str], boxes: list[str], mask: Path | None, separate: bool
) -> list[Prompt]:
    """The objects that the options describe."""
    from samkit.errors import ImageError, PromptError

    if not points and not boxes and mask is None:
        raise typer.BadParameter(
            "point at something: --point x,y or --box x0,y0,x1,y1 or --mask FILE"
        )
    try:
        clicks = [_parsed(text, "--point", "x,y or x,y,label with label 1 or 0") for text in points]
        areas = [_parsed(text, "--box", "x0,y0,x1,y1") for text in boxes]
        rough = [] if mask is None else [mask_of(mask)]
        if separate:
            if rough or areas:
                raise typer.BadParameter("it goes with points only", param_hint="--separate")
            return clicks
        if len(areas) > 1:
            if clicks or rough:
                raise typer.BadParameter(
                    "several boxes are several objects, so points or a mask cannot be added; "
                    "run the command once for each object"
                )
            return areas
        parts = clicks + areas + rough
        prompt = parts[0]
        for part in parts[1:]:
            prompt = prompt + part
        return [prompt]
    except (PromptError, ImageError) as error:
        raise typer.BadParameter(str(error)) from None


def _parsed(text: str, option: str, form: str) -> Prompt:
    try:
        return point_of(text) if option == "--point" else box_of(text)
    except NotAsExpected:
        raise typer.BadParameter(
            f"expected numbers {form}, got {text!r}", param_hint=option
        ) from None
