"""`samkit eval`: how good a model is on annotated images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samkit.cli.options import Device, Dtype
from samkit.errors import InputError

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name of `samkit models`, or a checkpoint.")
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="A COCO file of instances, a folder with images/ and masks/ (values are instance "
            "ids, 255 is ignored), or a folder of such folders, one for each sequence.",
        ),
    ],
    every: Annotated[int, typer.Option(min=1, help="Of folders, only each n-th image.")] = 1,
    min_area: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out objects below this part of the image.")
    ] = 0.005,
    clicks: Annotated[
        str, typer.Option(metavar="N,N,...", help="After how many clicks to measure; 0 for none.")
    ] = "1,3,5,8",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Also write JSON.")
    ] = None,
    worst: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the 24 worst masks: the truth in green."),
    ] = None,
    worst_of: Annotated[
        str, typer.Option(metavar="PROMPT", help="Which row of the table --worst is about.")
    ] = "box",
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Prompt every annotated object with its box and with clicks; report the mean IoU.

    The first click is at the point farthest from the object's boundary, each next one at the
    centre of the largest error. F says how well outlines agree; "predicted" is what the model says
    of its own masks, and "off by" how far that is from the real IoU.

    Example: samkit eval pico --data voc/ -o voc.json --worst worst.png
    """
    counts = _counts(clicks)

    import json

    from PIL import Image
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    import samkit
    from samkit.evaluation import contact_sheet, evaluate_interactive, open_dataset
    from samkit.media import write_atomically

    dataset = open_dataset(data, every=every)
    predictor = samkit.load(model, device=device, dtype=dtype)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("images", total=len(dataset))
        report = evaluate_interactive(
            predictor,
            dataset,
            clicks=counts,
            min_area=min_area,
            on_image=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if not report.objects:
        raise InputError(f"{data}: no object covers {min_area:.2%} of its image or more")
    table = Table(title=f"{model} on {data.name}: {len(report.objects)} objects")
    table.add_column("prompt")
    for heading in ("mean IoU", "F", "predicted", "off by"):
        table.add_column(heading, justify="right")
    for means in report.means().values():
        values = (means.iou, means.boundary_f, means.predicted_iou, means.calibration_error)
        table.add_row(means.protocol, *(f"{value:.3f}" for value in values))
    Console(soft_wrap=True).print(table)
    if output is not None:
        with write_atomically(output) as temporary:
            temporary.write_text(json.dumps(report.to_dict(), indent=1), encoding="utf-8")
    if worst is not None:
        sheet = Image.fromarray(contact_sheet(report.worst(worst_of, 24), dataset))
        with write_atomically(worst) as temporary:
            sheet.save(temporary)


def _counts(text: str) -> tuple[int, ...]:
    if text.strip() == "0":
        return ()
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = (0,)
    if min(counts) < 1:
        raise typer.BadParameter(
            f"expected numbers such as 1,3,5, got {text}", param_hint="--clicks"
        )
    return counts
