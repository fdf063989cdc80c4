"""Every model exported, loaded, compared with its network, and timed: a table for docs/export.md.

    python benchmarks/exports.py                      # all whose networks differ
    python benchmarks/exports.py pico sam-vit-h       # some
    python benchmarks/exports.py --table              # what was found so far, as Markdown

Networks but pico have random weights, so that nothing is downloaded; times do not depend on them:
they are seconds on the clock, with as many threads as torch takes (`OMP_NUM_THREADS`).
Each model has a process of its own, and its files are deleted once it is measured. What is found
goes to build/exports.jsonl, a line for each model, so that a run can be continued.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from models import networks
from torch import Tensor

import samkit
from samkit import ImagePredictor
from samkit.errors import SamkitError
from samkit.exporter import Parts
from samkit.exporter.layouts import LAYOUTS
from samkit.exporter.parts import Part, decoder, encoder, memory_parts
from samkit.exporter.samples import PHOTOGRAPH
from samkit.nn import ImageFeatures, Network, PromptTensors, Sam2, build
from samkit.runtimes import Engine, Runtime
from samkit.weights import MODELS

FOUND = Path(__file__).parents[1] / "build" / "exports.jsonl"
NAMES = networks(every=True)
# An object's memory when it is full: maps of so many frames, and so many tokens of pointers.
FRAMES, POINTERS = 7, 64
SECONDS, MOST, LEAST = 6.0, 20, 3
# Their decoder and memory are of the sizes that those of the tiny SAM 2.1 have; timed once.
ENCODER_ONLY = [name for name in NAMES if name.startswith("sam2") and name != "sam2.1-tiny"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", default=NAMES, metavar="MODEL")
    parser.add_argument("--table", action="store_true", help="only print what was found so far")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # in this process
    options = parser.parse_args()
    FOUND.parent.mkdir(exist_ok=True)
    if options.here:
        (name,) = options.models
        with FOUND.open("a", encoding="utf-8") as file:
            file.write(json.dumps(measure(name)) + "\n")
        return
    if not options.table:
        for name in options.models:
            print(name, flush=True)
            subprocess.run([sys.executable, __file__, "--here", name], check=False)
    print(table(FOUND.read_text(encoding="utf-8")))


def measure(name: str) -> dict[str, Any]:
    """All about one model."""
    predictor = predictor_of(name)
    network = predictor.network
    with tempfile.TemporaryDirectory(dir=FOUND.parent) as place:
        folder = Path(place) / name
        start = time.perf_counter()
        try:
            kind: Parts = "video" if network.has_memory else "image"
            about = samkit.export(predictor, folder, parts=kind)
        except SamkitError as error:
            return {"model": name, "error": str(error)}
        seconds = time.perf_counter() - start
        parts = parts_of(network)[: 1 if name in ENCODER_ONLY else None]
        return {
            "model": name,
            "seconds": seconds,
            "parity": about["parity"],
            "files": {file: each["bytes"] for file, each in about["files"].items()},
            "milliseconds": {part.name: timed(network, part, folder) for part in parts},
        }


def predictor_of(name: str) -> ImagePredictor:
    if name == "pico":
        return samkit.load("pico", device="cpu", dtype="float32")
    torch.manual_seed(0)
    return ImagePredictor(build(MODELS[name].config), device="cpu", dtype="float32")


def parts_of(network: Network) -> list[Part]:
    memory = memory_parts(network) if isinstance(network, Sam2) else []
    return [encoder(network), decoder(network), *memory]


def timed(network: Network, part: Part, folder: Path) -> dict[str, float]:
    """Milliseconds of each runtime; they take turns."""
    given = inputs_of(network, part)
    runs: dict[str, Callable[[], object]] = {"torch": eager(network, part, given)}
    runtimes: list[Runtime] = ["onnx", "openvino"] if find_spec("openvino") else ["onnx"]
    for runtime in runtimes:
        engine = Engine(folder / f"{part.name}.onnx", runtime, "")
        runs[runtime] = lambda engine=engine: engine(given)
    times: dict[str, list[float]] = {runtime: [] for runtime in runs}
    with torch.inference_mode():
        for run in runs.values():
            run()
        spent = 0.0
        while len(times["torch"]) < LEAST or (spent < SECONDS and len(times["torch"]) < MOST):
            for runtime, run in runs.items():
                start = time.perf_counter()
                run()
                times[runtime].append(time.perf_counter() - start)
                spent += times[runtime][-1]
    return {runtime: statistics.median(each) * 1000 for runtime, each in times.items()}


def inputs_of(network: Network, part: Part) -> dict[str, Tensor]:
    """A photograph, a click, or a full memory of one object."""
    torch.manual_seed(0)
    if part.name == "image_encoder":
        image = samkit.read_image(PHOTOGRAPH)
        return {"pixels": LAYOUTS["samkit"].pixels(network, image)}
    sizes = {"prompts": 1, "tokens": 2, "objects": 1, "frames": FRAMES, "pointers": POINTERS}
    given = {}
    for name, example in part.inputs.items():
        shape = list(example.shape)
        for axis, what in part.axes.get(name, {}).items():
            shape[axis] = sizes[what]
        given[name] = torch.randn(shape) if example.is_floating_point() else torch.ones(shape) > 0
    if "points" in given:
        given["points"] = given["points"].abs() * 100
        given["labels"] = torch.tensor([[1, -1]])
        given["has_mask"] = torch.tensor([False])
    return given


def eager(network: Network, part: Part, given: dict[str, Tensor]) -> Callable[[], object]:
    """As the network does it when no file is there."""
    if part.name != "mask_decoder":
        return lambda: part.module(*given.values())
    maps = [given[name] for name in part.inputs][4:]
    features = ImageFeatures(
        embedding=maps[0], high_resolution=tuple(maps[1:]), stride=network.config.stride
    )
    click = PromptTensors(points=given["points"], labels=given["labels"])
    return lambda: network.decode(features, click)


def table(lines: str) -> str:
    """Markdown; of a model that was measured twice the last."""
    found = {one["model"]: one for one in map(json.loads, lines.splitlines())}
    rows = [
        "| model | part | MB | largest difference | lowest IoU | torch | onnxruntime | OpenVINO |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted(found, key=[*NAMES, *found].index):
        rows += rows_of(found[name])
    return "\n".join(rows)


def rows_of(one: dict[str, Any]) -> list[str]:
    if "error" in one:
        return [f"| `{one['model']}` | {one['error']} | | | | | | |"]
    images, memory = one["parity"]["images"], one["parity"].get("memory", {})
    differences = images["largest_difference"] | memory.get("largest_difference", {})
    video = one["parity"].get("video", {})
    ious = {"mask_decoder": images["lowest_iou"], "memory_attention": video.get("lowest_iou")}
    rows = []
    for part in differences:
        times = one["milliseconds"].get(part, {})
        size = sum(b for file, b in one["files"].items() if file.startswith(f"{part}.")) / 1e6
        iou = "" if ious.get(part) is None else f"{ious[part]:.5f}"
        each = [short(times[x]) if x in times else "" for x in ("torch", "onnx", "openvino")]
        label = "" if rows else f"`{one['model']}`"
        cells = (label, f"`{part}`", short(size), f"{differences[part]:.1e}", iou, *each)
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
