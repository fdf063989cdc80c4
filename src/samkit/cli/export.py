"""`samkit export`: networks as ONNX files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from samkit.cli.options import load_model, model_names
from samkit.cli.usage import check_choice, check_there, usage_error

__all__ = ["export"]


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name of `samkit models`, a checkpoint file, or a Hugging Face folder or id.",
            autocompletion=model_names,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="A new or empty folder.")
    ],
    parts: Annotated[
        str, typer.Option(metavar="PARTS", help="image, or video: the memory too.")
    ] = "image",
    layout: Annotated[
        str,
        typer.Option(
            metavar="LAYOUT",
            help="Names and axes of samkit, transformers (transformers.js) or samexporter.",
        ),
    ] = "samkit",
    half: Annotated[bool, typer.Option("--half", help="Store weights as float16.")] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Store them as integers of 8 bits: other masks.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: compare DIR with MODEL once more.")
    ] = False,
) -> None:
    """Write a network as ONNX files, and compare them with it before they are kept.

    The files run in onnxruntime on photographs and, with --parts video, on a clip. If they do not
    do what the network does, nothing is written. `samkit predict --model DIR` runs them.

    Example: samkit export sam2.1-tiny -o tiny-onnx --parts video
    """
    from samkit import exporter

    chosen_parts = check_choice(parts, exporter.PARTS, "--parts")
    chosen_layout = check_choice(layout, exporter.LAYOUTS, "--layout")
    if chosen_parts == "video" and chosen_layout != "samkit":
        raise usage_error(f"the layout {layout} has no parts for video", "--parts")
    if half and int8:
        raise usage_error("expected one of --half and --int8", "--int8")
    if check:
        if half or int8 or chosen_layout != "samkit":
            raise usage_error(
                "DIR says how its weights are stored, and is in the layout samkit; expected no "
                "--layout, --half or --int8 beside it",
                "--check",
            )
        check_there(output, "--output")
        predictor = load_model(model, "cpu", "float32", "MODEL")
        typer.echo(f"{output}: {_summary(exporter.check(predictor, output))}")
        return
    predictor = load_model(model, "cpu", "float32", "MODEL")
    typer.echo("exporting, which takes a while", err=True)
    about = exporter.export(
        predictor, output, parts=chosen_parts, layout=chosen_layout, half=half, int8=int8
    )
    size = sum(file["bytes"] for file in about["files"].values()) / 1e6
    typer.echo(f"{output}: {len(about['files'])} files, {size:.0f} MB; {_summary(about['parity'])}")


def _summary(parity: dict[str, Any]) -> str:
    found = [parity[name] for name in ("images", "memory", "video") if name in parity]
    difference = max(max(one.get("largest_difference", {"": 0}).values()) for one in found)
    iou = min(one.get("lowest_iou", 1.0) for one in found)
    text = (
        f"largest difference {difference:.1e} of a tensor's scale, lowest IoU of a mask {iou:.5f}"
    )
    if "iou_with_float32" in parity:
        ious = parity["iou_with_float32"]
        text += (
            f"; IoU with the masks of weights in float32: lowest {ious['lowest']:.5f}, "
            f"mean {ious['mean']:.5f}"
        )
    return text
