"""What smoothing outlines in time does to them, on videos with a true mask for every frame.

    python benchmarks/smooth_outlines.py DAVIS [--model pico] [--smooth 0 1 2 4]

DAVIS is a folder of sequences as `samkit eval --video` takes it. Objects are tracked from their
true mask on the first frame. Prints J and F (see `samkit.evaluation.video`), how many milliseconds
a frame takes, and the flicker: the area in which a mask differs from the one before it, which is
moved along by optical flow, divided by the length of the outline. That is how many pixels the
outline jumps on average, from one frame to the next, beyond the motion of the picture. True masks
are not without, because the flow is not.
"""

import argparse
import time
from collections import defaultdict
from itertools import pairwise

import cv2
import numpy as np

import samkit
from samkit import Prompt, VideoPredictor, evaluation
from samkit.evaluation.video import score_sequence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--model", default="pico")
    parser.add_argument("--smooth", type=int, nargs="+", default=[0, 1, 2, 4])
    args = parser.parse_args()
    predictor = samkit.load(args.model, device="cpu", dtype="float32")
    rows = defaultdict(list)
    for name, video in evaluation.open_sequences(args.data).items():
        frames = [video[t] for t in range(len(video))]
        if any(frame.labels is None for frame in frames):
            print(f"{name}: left out, not every frame has true masks")
            continue
        images = [frame.image for frame in frames]
        flows = [backward_flow(*pair) for pair in pairwise(images)]
        for object_id in [i for i in np.unique(frames[0].labels).tolist() if i > 0]:
            truth = [frame.labels == object_id for frame in frames]
            rows["truth"].append((1.0, 1.0, flicker(truth, flows), 0.0))
            for smooth in args.smooth:
                start = time.perf_counter()
                with VideoPredictor(predictor, images) as tracker:
                    tracker.prompt(0, 1, Prompt.mask(truth[0]))
                    masks = [m.masks[0] for _, m in tracker.track(smooth=smooth)]
                took = 1000 * (time.perf_counter() - start) / len(images)
                score = score_sequence(masks, truth, ignore=[frame.ignore for frame in frames])
                rows[smooth].append((score.j, score.f, flicker(masks, flows), took))
    print(f"{'smooth':>8} {'J':>6} {'F':>6} {'flicker':>8} {'ms':>6}")
    for label, values in rows.items():
        j, f, jumps, took = np.mean(values, 0)
        print(f"{label:>8} {j:6.3f} {f:6.3f} {jumps:8.2f} {took:6.0f}")


def backward_flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where each pixel of the second picture is in the first, by a finer method than samkit's."""
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (after, before)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    columns, rows = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in flow.shape[1::-1]))
    return flow + np.stack([columns, rows], -1)


def flicker(masks: list[np.ndarray], flows: list[np.ndarray]) -> float:
    """How many pixels the outline jumps, on average over frames."""
    jumps = []
    for (before, after), flow in zip(pairwise(masks), flows, strict=True):
        moved = cv2.remap(before.astype(np.float32), flow, None, cv2.INTER_LINEAR) > 0.5
        edge = cv2.morphologyEx(after.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3)))
        jumps.append((moved ^ after).sum() / max(1, edge.sum() / 2))
    return float(np.mean(jumps))


if __name__ == "__main__":
    main()
