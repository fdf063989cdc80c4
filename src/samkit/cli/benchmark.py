"""`samkit benchmark`: how quick a model is on this machine."""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from samkit.cli.options import load_model, model_names
from samkit.cli.parsing import FormatError, parse_whole
from samkit.cli.usage import check_choice, usage_error
from samkit.errors import MissingDependencyError

if TYPE_CHECKING:
    from samkit.exporter import Parts, Speed

__all__ = ["benchmark"]

_Choice = Literal["torch", "onnx", "openvino"]
_PACKAGES: dict[_Choice, str] = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}


def benchmark(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name of `samkit models`, a checkpoint file, a folder, or an export.",
            autocompletion=model_names,
        ),
    ],
    runtime: Annotated[
        str | None,
        typer.Option(
            metavar="RUNTIME,...",
            help="torch, onnx, openvino; an export has no torch.",
            show_default="those that are installed",
        ),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(metavar="N,...", help="Numbers of threads.", show_default="all cores"),
    ] = None,
) -> None:
    """Time a photograph's embedding, a click and a tracked frame on the CPU.

    Of each runtime and number of threads: percentiles 50, 90 and 99 in milliseconds, and the most
    memory in megabytes. For onnx and openvino the model is exported first, into a folder that is
    removed at the end. The last line says which was best here.

    Example: samkit benchmark pico --runtime torch,onnx --threads 1,2
    """
    from samkit.exporter import export, measure
    from samkit.runtimes import is_export

    exported = is_export(model)
    runtimes = _runtimes(runtime, exported)
    counts = _counts(threads)
    found: dict[str, Speed] = {}
    with tempfile.TemporaryDirectory(prefix="samkit-") as place:
        folder = Path(model)
        if not exported:
            predictor = load_model(model, "cpu", "float32", "MODEL")
            if runtimes != ["torch"]:
                folder = Path(place) / "export"
                typer.echo("exporting, which takes a while", err=True)
                parts: Parts = "video" if predictor.network.has_memory else "image"
                export(predictor, folder, parts=parts)
            del predictor
        typer.echo(f"{'':22}{'embed':>24}{'click':>24}{'tracked frame':>24}{'memory':>8}")
        typer.echo(f"{'milliseconds':22}" + f"{'p50':>8}{'p90':>8}{'p99':>8}" * 3 + f"{'MB':>8}")
        for count in counts:
            for name in runtimes:
                engine = None if name == "torch" else name
                speed = measure(model if engine is None else folder, engine, count)
                label = f"{name}, {count} thread{'s' * (count > 1)}"
                found[label] = speed
                typer.echo(_row(label, speed))
    best = min(found, key=lambda label: found[label].total)
    typer.echo(f"Best here, by the sum of the medians: {best}.")


def _runtimes(text: str | None, exported: bool) -> list[_Choice]:
    """Which ones to time, torch first.

    Raises:
        typer.BadParameter: there is no such runtime.
        MissingDependencyError: what it needs is not installed.
    """
    possible = [name for name in _PACKAGES if not (exported and name == "torch")]
    installed = [name for name in possible if find_spec(_PACKAGES[name])]
    if text is None and installed:
        return installed if find_spec("onnxscript") or exported else ["torch"]
    wanted = possible if text is None else text.split(",")
    chosen = [check_choice(name, possible, "--runtime") for name in wanted]
    for name in chosen:
        if name not in installed:  # said before a long export
            raise MissingDependencyError(
                f"{_PACKAGES[name]} is not installed: pip install 'samkit[export,openvino]'"
            )
    return [name for name in possible if name in chosen]


def _counts(text: str | None) -> list[int]:
    if text is None:
        return [os.cpu_count() or 1]
    try:
        counts = [parse_whole(one) for one in text.split(",")]
    except FormatError:
        counts = [0]
    if min(counts) < 1:
        raise usage_error(f"expected numbers from 1 on, such as 1,2, got {text!r}", "--threads")
    return counts


def _row(label: str, speed: Speed) -> str:
    times = [
        " ".join(f"{value:7.1f}" for value in one) if one else "-"
        for one in (speed.embed, speed.click, speed.track)
    ]
    memory = "-" if speed.megabytes is None else f"{speed.megabytes:.0f}"
    return f"{label:22}{times[0]:>24}{times[1]:>24}{times[2]:>24}{memory:>8}"
