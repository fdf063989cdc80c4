"""`samkit train`: weights from annotated images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samkit.cli.options import Device, model_names
from samkit.cli.parsing import real_path
from samkit.cli.usage import as_usage_error, check_choice, check_there, usage_error
from samkit.errors import UnknownModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from samkit.nn import Network
    from samkit.training import Report, Validation

__all__ = ["train"]


def train(
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="PATH",
            help="A COCO file of instances, a folder with instances.json, or a folder with images/ "
            "and masks/ (values are instance ids). Repeatable.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Weights: a .safetensors file.")
    ],
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="What to start from: a name or a file.",
            show_default="pico",
            autocompletion=model_names,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A run of those that made the bundled model; --data is then one folder with "
            "train/ and samples/ in it. pico: from ImageNet weights; pico-refinement: --from that; "
            "pico-memory: --from that, so that it can track.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length in optimiser steps.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Length in minutes.")] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="At its highest.",
            show_default="5e-4 for pico, 1e-4 for large networks, or that of the preset",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="State of the run; NAME.training.csv and NAME.validation.csv go beside it.",
            show_default="OUTPUT with the suffix .checkpoint",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew where a checkpoint is there already.")
    ] = False,
    processes: Annotated[
        int, typer.Option(min=0, help="Share each batch among this many processes.")
    ] = 0,
    freeze: Annotated[
        list[str],
        typer.Option(
            metavar="PART",
            help="A part that does not learn: image_encoder, prompt_encoder, mask_decoder, or the "
            "beginning of any tensor's name. Repeatable.",
        ),
    ] = [],  # noqa: B006
    accumulate: Annotated[
        int, typer.Option(min=1, help="Compute each batch in this many parts, to save memory.")
    ] = 1,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Compute in bfloat16, where the hardware is fast.")
    ] = False,
    hold_out: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Do not learn from every N-th image, but measure on it."
        ),
    ] = 0,
    validate: Annotated[
        list[Path],
        typer.Option(metavar="PATH", help="Other annotated images to measure on. Repeatable."),
    ] = [],  # noqa: B006
    validate_every: Annotated[
        int, typer.Option(min=1, metavar="N", help="Steps between measurements.")
    ] = 500,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also log for TensorBoard.")
    ] = None,
    device: Device = "auto",
    half: Annotated[bool, typer.Option("--half", help="Write float16 weights.")] = False,
    seed: Annotated[int, typer.Option(help="Decides scenes, prompts and initial weights.")] = 0,
) -> None:
    """Fine-tune a model on your data, or train one from scratch.

    Weights are moving averages over the run. An interrupted run goes on with --resume and the same
    options; with --steps it ends with the same weights as one that was never interrupted.

    Several GPUs: torchrun --nproc-per-node 4 -m samkit train ...

    Example: samkit train --data cells/ --hold-out 5 --steps 500 -o cells.safetensors
    """
    if (steps is None) == (minutes is None):
        raise usage_error("expected one of them", "--steps or --minutes")
    if preset is not None:
        from samkit.training.presets import PRESETS

        check_choice(preset, PRESETS, "--preset")
        if len(data) != 1:
            raise usage_error("with --preset: expected one folder", "--data")
        if freeze:
            raise usage_error("a preset decides which parts learn", "--freeze")
        if preset == "pico" and start is not None:
            raise usage_error("--preset pico starts from ImageNet weights", "--from")
    if learning_rate is not None and not 0 < learning_rate < float("inf"):
        raise usage_error(f"expected a number above 0, got {learning_rate}", "--learning-rate")
    if hold_out == 1:
        raise usage_error("expected 0 (none) or 2 and more", "--hold-out")
    if output.suffix != ".safetensors":
        raise usage_error("expected a name that ends in .safetensors", "--output")
    checkpoint = checkpoint or output.with_suffix(".checkpoint")
    if real_path(checkpoint) == real_path(output):
        raise usage_error("expected another file than that of --output", "--checkpoint")
    if os.path.isdir(checkpoint):
        raise usage_error(f"expected a file, got the folder {checkpoint}", "--checkpoint")
    if resume and not os.path.exists(checkpoint):
        raise usage_error(f"there is no checkpoint {checkpoint} to go on from", "--resume")
    if os.path.exists(checkpoint) and not resume and not overwrite:
        raise usage_error(
            f"{checkpoint} holds an earlier run: --resume goes on with it, --overwrite starts anew"
        )

    from contextlib import closing
    from dataclasses import replace

    import torch

    from samkit import training
    from samkit.image_predictor.device import find_device
    from samkit.media.writing import check_writable
    from samkit.sizes import to_dict
    from samkit.training.distributed import is_main_process
    from samkit.training.loop import check_config
    from samkit.weights import load_network, save_network

    if is_main_process():
        check_writable(output)
    for path in data:
        check_there(path, "--data")
    for path in validate:
        check_there(path, "--validate")
    with as_usage_error("--device"):
        place = find_device(device)
    with as_usage_error("--from", UnknownModelError):
        network = None if preset == "pico" else load_network(start or "pico")
    if preset is not None:
        config = training.preset(preset, data[0], minutes=minutes, steps=steps)
    else:
        assert network is not None
        _check_parts(freeze, network)
        config = training.fine_tuning(
            to_dict(network.config), data, frozen=tuple(freeze), minutes=minutes, steps=steps
        )
    config = replace(
        config,
        learning_rate=config.learning_rate if learning_rate is None else learning_rate,
        accumulate=accumulate,
        precision="bfloat16" if bfloat16 else "float32",
        hold_out=hold_out,
        validation=tuple(str(path) for path in validate),
        validate_every=validate_every,
        seed=seed,
    )
    with as_usage_error():
        check_config(config, processes, place)
    events = training.train(
        config,
        checkpoint,
        start=network,
        resume=resume,
        processes=processes,
        device=place,
        tensorboard=tensorboard,
    )
    try:
        with closing(events):  # writes the checkpoint wherever the interruption comes
            trained = _shown(events)
    except KeyboardInterrupt:
        end = "no step was done, and nothing is written"
        if checkpoint.is_file():
            end = f"the same command with --resume goes on from {checkpoint}"
        typer.echo(f"stopped; {end}", err=True)
        raise typer.Exit(130) from None
    if not is_main_process():
        return
    dtype = torch.float16 if half else torch.float32
    save_network(trained, output, dtype=dtype, metadata=config.metadata())
    typer.echo(f"{output}: written")


def _check_parts(parts: list[str], network: Network) -> None:
    names = [name for name, _ in network.named_parameters()]
    for part in parts:
        if not any(name.startswith(part) for name in names):
            known = ", ".join(name for name, _ in network.named_children())
            raise usage_error(f"expected one of {known}, got {part}", "--freeze")
    if all(name.startswith(tuple(parts)) for name in names):
        raise usage_error("then nothing is left to learn", "--freeze")


def _shown(events: Iterator[Report | Validation | Network]) -> Network:
    """Show the progress of a run until its network; warnings are lines."""
    import warnings
    from contextlib import nullcontext

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from samkit.training import Report, Validation

    fields = TextColumn("{task.fields[now]}")
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), fields)
    console = Console(stderr=True, soft_wrap=True)
    bar = Progress(*columns, console=console)
    # Where nobody watches, an error is a line without a bar.
    with warnings.catch_warnings(), bar if console.is_terminal else nullcontext(bar) as progress:
        # While the progress bar is shown, lines are printed by its console.
        warnings.showwarning = lambda message, *place, **where: console.print(
            f"warning: {message}", markup=False, highlight=False
        )
        task = progress.add_task("", total=1.0, now="reading the data")
        for event in events:
            if isinstance(event, Report):
                now = (
                    f"step {event.step}  loss {event.loss:.2f}  IoU by box {event.box_iou:.2f}, "
                    f"by click {event.click_iou:.2f}  {event.images_per_second:.3g} images/s"
                )
                progress.update(task, completed=event.progress, now=now)
            elif isinstance(event, Validation):
                shown = {n: i for n, i in event.iou().items() if "," not in n and "jit" not in n}
                ious = ", ".join(f"by {name} {iou:.3f}" for name, iou in shown.items())
                console.print(
                    f"step {event.step}, IoU of {event.objects} objects not learned from: {ious}"
                )
            else:
                return event
    raise AssertionError("training always ends with the network")
