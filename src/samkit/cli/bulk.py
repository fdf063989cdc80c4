"""`samkit bulk`: masks of very many images into Parquet files."""

from __future__ import annotations

import glob
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, cast

import typer

from samkit.cli.options import (
    Category,
    Device,
    Dtype,
    Model,
    PointsPerSide,
    Preset,
    check_device,
    model_or_pico,
)
from samkit.cli.progress import progress_line
from samkit.cli.usage import as_usage_error, check_choice, check_there, usage_error
from samkit.errors import SamkitError, UnknownModelError, count_of

if TYPE_CHECKING:
    from samkit.bulk import Status
    from samkit.bulk.running import EngineName

__all__ = ["bulk"]


def bulk(
    arguments: Annotated[
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
            help="everything, predict (what prompts ask for), or track (through videos).",
            show_default="everything; predict with --prompts",
        ),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A table .parquet, .json or .jsonl with image, points, labels, box, mask or "
            "words, object_id, category and, of videos, frame.",
        ),
    ] = None,
    preset: Preset = None,
    points_per_side: PointsPerSide = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="P",
            help="Of what words find, keep what is more probable than this.",
            show_default="0.5",
        ),
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

    Run it again to go on where it stopped. What fails is a row with its error; it is a failure of
    the command if all images fail. `status` says how far a run is, `verify` reads all of it, `coco`
    makes one COCO file of it.

    Example: samkit bulk photos/ -o masks/
    """
    if len(arguments) == 2 and arguments[0] in _VERBS:
        _VERBS[arguments[0]](arguments[1], output)
        return
    if len(arguments) != 1:
        expected = f"one SOURCE, or {', '.join(_VERBS)} and DEST"
        raise usage_error(f"expected {expected}, got {' '.join(arguments)}")
    source = arguments[0]
    if output is None and source in _VERBS:
        raise usage_error(f"expected {source} DEST, or -o for a SOURCE of this name")
    if output is None:
        raise usage_error("expected a folder for the results", "-o")
    if not glob.has_magic(source):
        _check_there(source, "SOURCE")
    if prompts is not None:
        _check_there(prompts, "--prompts")
    given = {"preset": preset, "points_per_side": points_per_side, "threshold": threshold}
    settings = {name: value for name, value in given.items() if value is not None}

    from samkit import bulk as runs
    from samkit.bulk import running
    from samkit.mask_generator.config import PRESETS

    with as_usage_error("--task"):
        kind = running.checked_kind(task, has_prompts=prompts is not None)
    with as_usage_error("--preset, --points-per-side, --threshold"):
        running.check_settings(settings, kind)
    if preset is not None:
        check_choice(preset, PRESETS, "--preset")
    with as_usage_error("--engine, --cluster"):
        running.check_engine(engine, cluster)
    if engine != "ray":  # whose machines may have others
        check_device(device, dtype)
    progress = _Progress()
    try:
        with as_usage_error("--model", UnknownModelError):
            done = runs.run(
                source,
                output,
                task=kind,
                prompts=prompts,
                model=model_or_pico(model),
                device=device,
                dtype=dtype,
                settings=settings,
                label=category,
                jobs=jobs,
                shard_size=shard_size,
                engine=cast("EngineName", engine),
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
    if done.failed == done.images:
        first = next(runs.open(output))
        name = "" if first.image_id in str(first.error) else f"{first.image_id}: "
        raise SamkitError(f"no image could be done; the first: {name}{first.error}")


def _check_there(name: str, option: str) -> None:
    if "://" not in name:
        check_there(name, option)


def _status(dest: str, _: str | None) -> None:
    from samkit import bulk as runs

    typer.echo(_described(runs.status(dest)))


def _verify(dest: str, _: str | None) -> None:
    from samkit import bulk as runs

    wrong = runs.verify(dest)
    for line in wrong:
        typer.echo(f"error: {line}", err=True)
    if wrong:
        raise typer.Exit(1)
    typer.echo("all is there")


def _coco(dest: str, output: str | None) -> None:
    from samkit import bulk as runs

    if output is None:
        raise usage_error("expected a file .json", "-o")
    runs.save_coco(dest, output)


_VERBS = {"status": _status, "verify": _verify, "coco": _coco}


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
