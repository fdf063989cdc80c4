"""`samkit bulk`: masks of very many images into Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from samkit.cli.options import Category, Device, Dtype, Model
from samkit.cli.usage import usage_error
from samkit.errors import count_of

__all__ = ["bulk"]


def bulk(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE | status DEST | verify DEST | coco DEST",
            help="A folder, a pattern, Parquet files or tars (WebDataset).",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DEST", help="A folder; of coco a .json."),
    ] = None,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="As of `samkit everything`.")
    ] = "default",
    points_per_side: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Ask about N x N points.", show_default="32"),
    ] = None,
    category: Category = "object",
    shard_size: Annotated[int, typer.Option(min=1, metavar="N", help="Images in a file.")] = 256,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes.", show_default="as many as CPUs"),
    ] = None,
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Find all masks of very many images, as rows of Parquet files.

    Run it again to go on where it stopped. An image that fails is a row with its error. `status`
    says how far a run is, `verify` reads all of it, `coco` makes one COCO file of it.

    Example: samkit bulk photos/ -o masks/
    """
    from samkit import bulk as runs

    verb = words[0]
    if len(words) == 2 and verb == "coco":
        if output is None:
            raise usage_error("expected a file .json", "-o")
        runs.save_coco(words[1], output)
    elif len(words) == 2 and verb == "status":
        found = runs.status(words[1])
        typer.echo(f"{found.done} of {count_of(found.shards, 'shard')}, {found.images} images")
    elif len(words) == 2 and verb == "verify":
        wrong = runs.verify(words[1])
        for line in wrong:
            typer.echo(f"error: {line}", err=True)
        if wrong:
            raise typer.Exit(1)
        typer.echo("all is there")
    elif len(words) == 1:
        if output is None:
            raise usage_error("expected a folder for the results", "-o")
        settings: dict[str, Any] = {"preset": preset}
        if points_per_side is not None:
            settings["points_per_side"] = points_per_side
        runs.run(
            verb,
            output,
            model=model or "pico",
            device=device,
            dtype=dtype,
            settings=settings,
            label=category,
            jobs=jobs,
            shard_size=shard_size,
            tell=lambda line: typer.echo(line, err=True),
        )
    else:
        raise usage_error(f"expected one SOURCE, or status, verify or coco and DEST: {words}")
