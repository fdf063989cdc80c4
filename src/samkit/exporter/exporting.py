"""A network as a folder of ONNX files, compared with it before the folder is there."""

import copy
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import torch
from torch.export import ExportedProgram

from samkit.arguments import switch
from samkit.errors import CheckpointError, ExportError, InputError, MissingDependencyError, shown
from samkit.exporter.layouts import LAYOUTS, LayoutName
from samkit.exporter.parity import Differences, compare_clip, compare_images, compare_memory
from samkit.exporter.parts import Part, memory_parts
from samkit.exporter.programs import trace
from samkit.exporter.small_weights import rounded
from samkit.files import checked_path
from samkit.image_predictor import ImagePredictor
from samkit.media.writing import temporary_folder
from samkit.nn import Network, Sam2
from samkit.runtimes import (
    LAYOUT_VERSION,
    MANIFEST,
    WEIGHTS,
    Engine,
    Weights,
    checksum,
    is_exported,
    load_exported,
    open_folder,
    weights_between,
)
from samkit.sizes import Sam2Config, to_dict
from samkit.weights.tensor_file import write_safetensors

__all__ = ["PARTS", "Parts", "check", "export", "program"]

Parts = Literal["image", "video"]
PARTS: tuple[Parts, ...] = get_args(Parts)

_Choice = TypeVar("_Choice", bound=str)


def export(
    predictor: ImagePredictor,
    folder: str | Path,
    *,
    parts: Parts = "image",
    layout: LayoutName = "samkit",
    half: bool = False,
    int8: bool = False,
) -> dict[str, Any]:
    """Write a network as ONNX files, and compare them with it.

    The files run in onnxruntime before they are kept: on photographs with prompts of all kinds,
    and for video through a clip with two objects. If a tensor differs by more than 1e-4 of its
    scale, or a mask has an IoU below 0.999 with that of the network, nothing is left behind.

    Args:
        predictor: whose network, in float32.
        folder: a new or empty folder. Beside the files lies `samkit.json`: sizes, mean, std,
            checksums, and what the comparison found.
        parts: "image" for the image encoder and the mask decoder, "video" for the memory too.
        layout: "samkit", which `samkit.load` reads; "transformers" (transformers.js) or
            "samexporter" (X-AnyLabeling), which have no video.
        half: store weights as float16. They are computed with in float32, so that only the rounding
            of the weights changes masks; how much, is in `samkit.json`.
        int8: store those of layers as integers of 8 bits, with a scale for each channel; else as
            `half`. Masks change more.

    Returns:
        The contents of `samkit.json`.

    Raises:
        MissingDependencyError: the extra `export` is not installed.
        InputError: the folder cannot be written to, or the options do not go together.
        ExportError: the network cannot be exported, or the files do something else.
    """
    network = _exportable(predictor, parts, layout)
    target = _new_folder(folder)
    weights, before = _weights(half, int8), None
    if weights != "float32":
        before, network = network, rounded(network, weights)
    is_there = target.exists()
    try:
        # Inside a folder that only this process can look into, until all is well.
        with temporary_folder(target if is_there else target.parent) as place:
            written = place / "export"
            written.mkdir()
            _write(network, written, parts, layout, weights)
            about = _about(network, written, parts, layout, weights)
            _save(about, written / MANIFEST)
            about["parity"] = _compare(network, written, parts, layout, before)
            _save(about, written / MANIFEST)
            if is_there:
                _fill(target, place, written)
            else:
                os.rename(written, target)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror or error}") from error
    return about


def check(predictor: ImagePredictor, folder: str | Path) -> dict[str, Any]:
    """Compare an export in the layout samkit with a network again, such as on another machine.

    Returns:
        What the comparison found, as in `samkit.json`.

    Raises:
        CheckpointError: the folder is no such export, or it was changed.
        InputError: the network is of other sizes.
        ExportError: the files do something else.
    """
    opened = open_folder(folder)
    parts: Parts = "video" if "memory_attention.onnx" in opened.checksums else "image"
    network = _exportable(predictor, parts, "samkit")
    if opened.config != network.config:
        raise InputError(f"{opened.path} holds a network of other sizes than the one given")
    if opened.weights != "float32":
        network = rounded(network, opened.weights)
    return _compare(network, opened.path, parts, "samkit", None)


def program(predictor: ImagePredictor, part: str) -> ExportedProgram:
    """A part of a network as a program of `torch.export`, for ExecuTorch, Core ML and others.

    It does what the file of that name does in the layout samkit, with the same inputs, by position,
    and outputs. It is not compared with the network; compare what you make of it.

    Args:
        predictor: whose network, in float32.
        part: "image_encoder" or "mask_decoder"; of a network with memory also its other parts.

    Raises:
        MissingDependencyError: the extra `export` is not installed.
        InputError: the network has no such part, or cannot be exported.
    """
    network = _exportable(predictor, "image", "samkit")
    kinds: Parts = "video" if network.has_memory else "image"
    found = {one.name: one for one in _all_parts(network, kinds, "samkit")}
    if not isinstance(part, str) or part not in found:
        raise InputError(f"part: expected one of {', '.join(found)}, got {shown(part)}")
    return trace(found[part])


def _exportable(predictor: ImagePredictor, parts: Parts, layout: LayoutName) -> Network:
    """The network of a predictor, on the CPU.

    Raises:
        MissingDependencyError, InputError: it cannot be exported so.
    """
    _check_installed()
    _check_choice("parts", parts, PARTS)
    _check_choice("layout", layout, LAYOUTS)
    if not isinstance(predictor, ImagePredictor):
        raise InputError(
            f"expected an ImagePredictor (samkit.load gives one), got {type(predictor).__name__}"
        )
    network = predictor.network
    if is_exported(network):
        raise InputError("expected the network itself, got one that was exported already")
    if predictor.dtype != torch.float32:
        raise InputError(
            f"expected a network in float32, got {predictor.dtype}: samkit.load(..., "
            "dtype='float32')"
        )
    decoder = network.config.mask_decoder
    if decoder.high_quality and decoder.dynamic_multimask:
        raise InputError("the exported parts do not say how stable masks of HQ-SAM 2 are")
    if parts == "video" and layout != "samkit":
        raise InputError(f"the layout {layout} has no parts for video; expected layout='samkit'")
    if decoder.high_quality and layout != "samkit":
        raise InputError(f"the layout {layout} has no HQ-SAM; expected layout='samkit'")
    if parts == "video" and not _memory_is_exportable(network):
        raise InputError("parts: memories that are pooled cannot be exported; expected 'image'")
    if parts == "video" and not network.has_memory:
        raise InputError("parts: this network has no memory, which video needs; expected 'image'")
    if predictor.device.type == "cpu":
        return network
    return copy.deepcopy(network).to("cpu")


def _memory_is_exportable(network: Network) -> bool:
    config = network.config
    return not isinstance(config, Sam2Config) or config.memory.pooling == "none"


def _check_installed() -> None:
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as error:
        raise MissingDependencyError(
            f"exporting needs the package {error.name}: pip install 'samkit[export]'"
        ) from error
    else:
        del onnx, onnxruntime, onnxscript


def _check_choice(name: str, value: object, choices: Collection[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{name}: expected one of {', '.join(choices)}, got {shown(value)}")


def _new_folder(folder: str | Path) -> Path:
    """Where the export will be.

    Raises:
        InputError: something is there, or nothing can be written there.
    """
    target = checked_path(folder, "a folder to write")
    try:
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise InputError(f"expected a new or empty folder to export to, got {target}")
        target = Path(os.path.realpath(target))
        if target.is_symlink():
            raise InputError(f"cannot write {target}: it is a link that leads to itself")
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def _fill(target: Path, place: Path, written: Path) -> None:
    """Move what was written into a folder, which may be a mounted one, or that of the shell.

    Raises:
        InputError: something else came there in the meantime.
    """
    if any(path != place for path in target.iterdir()):
        raise InputError(f"{target} is no longer empty")
    # The manifest is last, as it makes an export of the folder.
    for path in sorted(written.iterdir(), key=lambda path: path.name == MANIFEST):
        os.rename(path, target / path.name)


def _weights(half: bool, int8: bool) -> Weights:
    if all([switch("half", half), switch("int8", int8)]):
        raise InputError("expected half or int8, got both")
    return "float16" if half else "int8" if int8 else "float32"


def _all_parts(network: Network, parts: Parts, layout: LayoutName) -> list[Part]:
    found = [LAYOUTS[layout].encoder(network), LAYOUTS[layout].decoder(network)]
    if parts == "video":
        assert isinstance(network, Sam2)
        found += memory_parts(network)
    return found


def _write(
    network: Network, folder: Path, parts: Parts, layout: LayoutName, weights: Weights
) -> None:
    from samkit.exporter.onnx_files import write_onnx

    for part in _all_parts(network, parts, layout):
        (folder / part.name).parent.mkdir(exist_ok=True)
        try:
            write_onnx(part, folder, weights)
        except (RuntimeError, TypeError, ValueError) as error:  # of torch's exporter
            reason = str(error).strip().partition("\n")[0]
            raise ExportError(f"{part.name} cannot be exported: {reason}") from error
    for name, contents in LAYOUTS[layout].configs(network).items():
        _save(contents, folder / name)
    if layout == "samkit":
        write_safetensors(folder / WEIGHTS, weights_between(network), {"format": "pt"})


def _about(
    network: Network, folder: Path, parts: Parts, layout: LayoutName, weights: Weights
) -> dict[str, Any]:
    """What `samkit.json` says, but for the comparison."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    height, width = network.config.image_size
    return {
        "layout": layout,
        "version": LAYOUT_VERSION,
        "parts": parts,
        "weights": weights,
        "input": {
            "height": height,
            "width": width,
            "mean": network.config.mean,
            "std": network.config.std,
            "keep_aspect": network.config.keep_aspect,
        },
        "sizes": to_dict(network.config),
        "files": {
            path.relative_to(folder).as_posix(): {
                "sha256": checksum(path),
                "bytes": path.stat().st_size,
            }
            for path in files
        },
    }


def _save(contents: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")


def _compare(
    network: Network, folder: Path, parts: Parts, layout: LayoutName, before: Network | None
) -> dict[str, Any]:
    """Run the files, and say how much they differ.

    Raises:
        ExportError: too much, or they do not run.
    """
    try:
        return _differences(network, folder, parts, layout, before)
    except CheckpointError as error:
        raise ExportError(f"the files do not run: {error}") from error


def _differences(
    network: Network, folder: Path, parts: Parts, layout: LayoutName, before: Network | None
) -> dict[str, Any]:
    import onnxruntime

    engines = {
        part.name: Engine(folder / f"{part.name}.onnx", "onnx", "")
        for part in _all_parts(network, parts, layout)
    }
    found, ious = compare_images(network, LAYOUTS[layout], engines, before)
    report: dict[str, Any] = {
        "engine": f"onnxruntime {onnxruntime.__version__}",
        "images": _report(found),
    }
    if before is not None:
        report["iou_with_float32"] = {"lowest": min(ious), "mean": sum(ious) / len(ious)}
    if parts == "video":
        assert isinstance(network, Sam2)
        report["memory"] = _report(compare_memory(network, engines))
        exported = load_exported(open_folder(folder), "onnx")
        predictor = ImagePredictor(exported, device="cpu", dtype="float32")
        report["video"] = _report(compare_clip(predictor, network))
    return report


def _report(differences: Differences) -> dict[str, Any]:
    report: dict[str, Any] = {}
    if differences.largest:
        report["largest_difference"] = differences.largest
    if differences.masks:
        report |= {"masks": differences.masks, "lowest_iou": differences.lowest_iou}
    return report
