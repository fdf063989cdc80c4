"""`samkit eval`: how good a model is on annotated images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samkit.cli.options import Device, Dtype

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
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Also write JSON.")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Prompt every annotated object with its box and with one click; report the mean IoU.

    The click is at the point farthest from the object's boundary.

    Example: samkit eval pico --data voc/ -o voc.json
    """
    import json

    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    import samkit
    from samkit.evaluation import evaluate_interactive, open_dataset
    from samkit.media import write_atomically

    dataset = open_dataset(data, every=every)
    predictor = samkit.load(model, device=device, dtype=dtype)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("images", total=len(dataset))
        report = evaluate_interactive(
            predictor,
            dataset,
            min_area=min_area,
            on_image=lambda done, total: progress.update(task, completed=done, total=total),
        )
    table = Table(
        "prompt", "mean IoU", title=f"{model} on {data.name}: {len(report.objects)} objects"
    )
    for row in report.rows():
        table.add_row(*row)
    Console(soft_wrap=True).print(table)
    if output is not None:
        with write_atomically(output) as temporary:
            temporary.write_text(json.dumps(report.to_dict(), indent=1), encoding="utf-8")
