"""Seconds for one tracked frame with a full memory, beside transformers on the same weights.

    python benchmarks/tracking.py [--model sam2.1-tiny] [--objects 1 4] [--no-peer]

A frame is looked at, all objects are found in it by their memories (a prompted frame, six more and
their pointers), and it is remembered. Networks have random weights, which changes no timing. Both
libraries take turns in one process. Needs the test extra.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

import samkit
from samkit import ImagePredictor, Prompt
from samkit.nn import Sam2, build
from samkit.weights import convert, find_model, save_network

# Frames until the memory is full.
WARM = 8


def present(network: Sam2) -> Sam2:
    """Random weights that see every object, so that all are remembered with their pointers."""
    last = network.mask_decoder.pred_obj_score_head.layers[-1]
    torch.nn.init.constant_(last.bias, 9.0)
    return network.eval()


def boxes(count: int) -> list[list[float]]:
    return [[40.0 + 60 * i, 40.0, 240.0 + 60 * i, 300.0] for i in range(count)]


def ours(network: Sam2, frames: np.ndarray, count: int, dtype: str) -> Iterator[object]:
    tracker = samkit.VideoPredictor(ImagePredictor(network, dtype=dtype), frames)
    for i, box in enumerate(boxes(count)):
        tracker.prompt(0, i, Prompt.box(*box))
    return tracker.track()


def theirs(folder: Path, frames: np.ndarray, count: int, dtype: torch.dtype) -> Iterator[object]:
    model = transformers.Sam2VideoModel.from_pretrained(folder, dtype=dtype).eval()
    height, width = frames.shape[1:3]
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).to(dtype) / 255 - 0.5
    pixels = torch.nn.functional.interpolate(pixels, (1024, 1024))
    session = Sam2VideoInferenceSession(
        video=pixels, video_height=height, video_width=width, dtype=dtype
    )
    for i, box in enumerate(boxes(count)):
        corners = torch.tensor(box).view(1, 1, 2, 2)
        labels = torch.tensor([[[2, 3]]], dtype=torch.int32)
        session.add_point_inputs(
            session.obj_id_to_idx(i), 0, {"point_coords": corners, "point_labels": labels}
        )
    session.obj_with_new_inputs = list(range(count))
    for number in range(len(frames)):
        with torch.inference_mode():
            yield model(inference_session=session, frame_idx=number)


def seconds(job: Callable[[], object]) -> float:
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sam2.1-tiny")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--no-peer", action="store_true")
    options = parser.parse_args()

    torch.manual_seed(0)
    network = present(build(find_model(options.model).config))
    dtype = ImagePredictor(network, dtype=options.dtype).dtype
    frames = np.random.default_rng(0).integers(0, 255, (WARM + options.runs, 480, 854, 3), np.uint8)
    print(f"{options.model}, {torch.get_num_threads()} threads, {dtype}, {options.runs} frames")
    with tempfile.TemporaryDirectory() as name:
        own, other = Path(name) / "own.safetensors", Path(name) / "other"
        save_network(network, own)
        convert(own, other, layout="hugging-face")
        for count in options.objects:
            jobs = {"samkit": ours(network, frames, count, options.dtype)}
            if not options.no_peer:
                jobs["transformers"] = theirs(other, frames, count, dtype)
            times: dict[str, list[float]] = {job: [] for job in jobs}
            for number in range(len(frames)):
                for job, results in jobs.items():
                    taken = seconds(lambda results=results: next(results))
                    if number >= WARM:
                        times[job].append(taken)
            medians = {job: statistics.median(values) for job, values in times.items()}
            told = ", ".join(f"{job} {value:.2f} s" for job, value in medians.items())
            print(f"{count} object{'s' * (count > 1)}: {told}")


if __name__ == "__main__":
    main()
