"""`samkit bulk`: masks of very many images into Parquet files."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samkit.cli.options import Category, Device, Dtype, Model
from samkit.cli.progress import progress_line
from samkit.cli.usage import check_choice, usage_error
from samkit.errors import count_of

if TYPE_CHECKING:
    from samkit.bulk import Status
    from samkit.bulk.running import EngineName
    from samkit.bulk.work import Kind

__all__ = ["bulk"]

_ENGINES: tuple[EngineName, ...] = ("processes", "ray")
_TASKS: tuple[Kind, ...] = ("everything", "predict", "track")


def bulk(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE | status DEST | verify DEST | coco DEST",
            help="A folder with all in it, a pattern, Parquet files or tars (WebDataset), on this "
            "machine or in an object store (s3://bucket/name).",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="DEST", help="A folder, or s3://...; of coco a .json."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="everything, predict (what prompts point at), or track (through videos).",
            show_default="everything; predict with --prompts",
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A table .parquet, .json or .jsonl with image, points, labels, box, mask, "
            "object_id, category and, of videos, frame.",
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="As of `samkit everything`.")
    ] = None,
    points_per_side: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Ask about N x N points.", show_default="32"),
    ] = None,
    category: Category = "object",
    shard_size: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Images in a file.", show_default="256, fewer of few images"
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Processes, or actors.",
            show_default="as many as CPUs; on a GPU 1",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="processes (of this machine) or ray.")
    ] = "processes",
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Of Ray.", show_default="that in RAY_ADDRESS, or this machine"
        ),
    ] = None,
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Find masks of very many images or videos, as rows of Parquet files.

    Run it again to go on where it stopped. What fails is a row with its error. `status` says how
    far a run is, `verify` reads all of it, `coco` makes one COCO file of it.

    Example: samkit bulk photos/ -o masks/
    """
    from samkit import bulk as runs

    verb = words[0]
    if len(words) == 2 and verb == "coco":
        if output is None:
            raise usage_error("expected a file .json", "-o")
        runs.save_coco(words[1], output)
    elif len(words) == 2 and verb == "status":
        typer.echo(_described(runs.status(words[1])))
    elif len(words) == 2 and verb == "verify":
        wrong = runs.verify(words[1])
        for line in wrong:
            typer.echo(f"error: {line}", err=True)
        if wrong:
            raise typer.Exit(1)
        typer.echo("all is there")
    elif len(words) == 1:
        if output is None and verb in ("status", "verify", "coco"):
            raise usage_error(f"expected {verb} DEST, or -o for a SOURCE of this name")
        if output is None:
            raise usage_error("expected a folder for the results", "-o")
        kind = None if task is None else check_choice(task, _TASKS, "--task")
        settings: dict[str, Any] = {"preset": preset, "points_per_side": points_per_side}
        progress = _Progress()
        try:
            done = runs.run(
                verb,
                output,
                task=kind,
                prompts=prompts,
                model=model or "pico",
                device=device,
                dtype=dtype,
                settings={name: value for name, value in settings.items() if value is not None},
                label=category,
                jobs=jobs,
                shard_size=shard_size,
                engine=check_choice(engine, _ENGINES, "--engine"),
                cluster=cluster,
                tell=lambda line: typer.echo(line, err=True),
                on_progress=progress.show,
            )
        except KeyboardInterrupt:
            typer.echo("stopped; the same command goes on", err=True)
            raise typer.Exit(130) from None
        finally:
            progress.close()
        typer.echo(_described(done))
    else:
        raise usage_error(f"expected one SOURCE, or status, verify or coco and DEST: {words}")


class _Progress:
    """Shows how far a run is, from the first `show` on."""

    def __init__(self) -> None:
        self._line = ExitStack()
        self._done: int | None = None

    def show(self, status: Status) -> None:
        if self._done is None:
            left = status.images - status.images_done
            self._advance = self._line.enter_context(progress_line(left))
        else:
            self._advance(status.images_done - self._done)
        self._done = status.images_done

    def close(self) -> None:
        self._line.close()


def _described(status: Status) -> str:
    return (
        f"{status.done} of {count_of(status.shards, 'shard')}, {status.images_done} of "
        f"{count_of(status.images, 'image')}, {count_of(status.masks, 'mask')}, "
        f"{status.failed} failed"
    )
