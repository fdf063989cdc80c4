"""`samkit everything`: all masks of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samkit.cli.jobs import Job, plan_jobs, run_jobs
from samkit.cli.options import Device, Dtype, Model, note_default_model
from samkit.cli.parsing import names_file

__all__ = ["everything"]


def everything(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Files, folders or patterns.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="A file, or a folder (for several images)."
        ),
    ] = None,
    format: Annotated[
        list[str],
        typer.Option(
            metavar="FORMAT",
            help="coco, jsonl (one mask a line), overlay, png (a label map; where masks overlap "
            "the best-scored is on top), npz or polygons. Repeatable.",
            show_default="by OUT's suffix; coco for a folder; overlay without OUT",
        ),
    ] = [],  # noqa: B006
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="default; recall: nearly all proposals; disjoint: each pixel in one mask at most.",
        ),
    ] = "default",
    points_per_side: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Ask about N x N points.", show_default="32"),
    ] = None,
    pred_iou_thresh: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Leave out masks with a lower predicted IoU.",
            show_default="by the model",
        ),
    ] = None,
    stability_score_thresh: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Leave out masks that are less stable.", show_default="by the model"
        ),
    ] = None,
    box_nms_thresh: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Of masks whose boxes overlap more, keep the best.",
            show_default="0.7",
        ),
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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also do images whose files are there already.")
    ] = False,
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Find all masks of images, without prompts.

    In a folder of results, images that were finished earlier are left out, so that an interrupted
    run goes on where it stopped. Every file is written whole or not at all.

    Example: samkit everything photos/ -o masks/ --format coco --format overlay
    """
    kinds = format or (["coco"] if output is not None and not names_file(output) else [])
    jobs = plan_jobs(images, output, kinds)
    single = output is not None and names_file(output)
    waiting = jobs if overwrite or single or output is None else [j for j in jobs if not j.is_done]
    if len(waiting) < len(jobs):
        done = len(jobs) - len(waiting)
        typer.echo(
            f"{done} of {len(jobs)} images were finished earlier, with whatever options they were "
            "made (--overwrite does them again)",
            err=True,
        )
    if not waiting:
        return

    import samkit
    from samkit.errors import InputError
    from samkit.media import read_image

    given = {
        "points_per_side": points_per_side,
        "pred_iou_thresh": pred_iou_thresh,
        "stability_score_thresh": stability_score_thresh,
        "box_nms_thresh": box_nms_thresh,
        "crop_n_layers": crop_n_layers,
        "min_mask_region_area": min_mask_region_area,
        "use_m2m": use_m2m or None,
    }
    options = {name: value for name, value in given.items() if value is not None}
    predictor = samkit.load(note_default_model(model), device=device, dtype=dtype)
    try:
        generator = samkit.AutomaticMaskGenerator(predictor, preset=preset, **options)
    except InputError as error:
        raise typer.BadParameter(str(error)) from None

    def segment(job: Job) -> str:
        image = read_image(job.source)
        masks = generator(image)
        job.save(masks, image)
        return f"{len(masks)} {'mask' if len(masks) == 1 else 'masks'}"

    run_jobs(waiting, segment)
