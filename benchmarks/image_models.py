"""Seconds to look at one image, and to answer one click, beside transformers on the same weights.

    python benchmarks/image_models.py [sam-vit-b sam2.1-tiny ...] [--runs 5] [--dtype float32]

Networks have random weights, which changes no timing, so nothing is downloaded. Both libraries run
in turns in one process, so that a machine whose speed drifts is fair to both. Needs the test extra.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

from samkit.nn import PromptTensors, build
from samkit.weights import convert, find_model, save_network

NAMES = ("sam-vit-b", "sam2.1-tiny", "sam2.1-base-plus")


def pair(name: str, dtype: torch.dtype) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Our network and that of transformers, with the same weights."""
    network = build(find_model(name).config)
    model_class = transformers.SamModel if name.startswith("sam-") else transformers.Sam2VideoModel
    with tempfile.TemporaryDirectory() as folder:
        own, other = Path(folder) / "own.safetensors", Path(folder) / "other"
        save_network(network, own)
        convert(own, other, layout="hugging-face")
        peer = model_class.from_pretrained(other, dtype=dtype)
    return network.eval().to(dtype), peer.eval()


def compare(runs: int, **jobs: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each job; the jobs take turns."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for run in range(runs + 1):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            if run:  # the first turn warms up
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    dtype = getattr(torch, options.dtype)
    print(f"{torch.get_num_threads()} threads, {options.dtype}, median of {options.runs} runs")
    print(f"{'':<18} {'job':<12} {'samkit':>9} {'transformers':>13} {'ratio':>6}")
    for name in options.names:
        network, peer = pair(name, dtype)
        for job, ours, theirs in jobs_of(name, network, peer, dtype):
            seconds = compare(options.runs, ours=ours, theirs=theirs)
            print(
                f"{name:<18} {job:<12} {seconds['ours']:>7.3f} s {seconds['theirs']:>11.3f} s "
                f"{seconds['theirs'] / seconds['ours']:>5.2f}x"
            )


def jobs_of(
    name: str, network: torch.nn.Module, peer: torch.nn.Module, dtype: torch.dtype
) -> list[tuple[str, Callable[[], object], Callable[[], object]]]:
    """What is timed: (job, ours, theirs)."""
    pixels = torch.randn(1, 3, 1024, 1024).to(dtype)
    jobs = [("embed", lambda: network.encode_image(pixels), lambda: look(peer, pixels))]
    if name.startswith("sam-"):
        features, embedding = network.encode_image(pixels), look(peer, pixels)
        click = PromptTensors(
            points=torch.tensor([[[500.0, 400.0], [0.0, 0.0]]]), labels=torch.tensor([[1, -1]])
        )
        points, labels = click.points[:, None, :1], click.labels[:, None, :1]
        jobs.append(
            (
                "one click",
                lambda: network.decode_masks(features, click),
                lambda: peer(image_embeddings=embedding, input_points=points, input_labels=labels),
            )
        )
    return jobs


def look(peer: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """What transformers computes once for an image."""
    if isinstance(peer, transformers.SamModel):
        return peer.get_image_embeddings(pixels)
    return peer.get_image_features(pixels)


if __name__ == "__main__":
    main()
