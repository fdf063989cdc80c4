"""How well memory across images finds an object that it was shown once.

    python benchmarks/found_by_looks.py DAVIS [--model pico] [--every 10]

DAVIS is a folder of sequences as `samkit eval --video` takes it. Each object is remembered by its
mask on the first frame of its sequence, and looked for in every tenth frame after, each alone, so
that only its looks tell where it is. Prints the mean IoU of each sequence.
"""

import argparse

import numpy as np

import samkit
from samkit import Prompt, evaluation
from samkit.evaluation.metrics import mask_iou


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--model", default="pico")
    parser.add_argument("--every", type=int, default=10)
    args = parser.parse_args()
    if args.every < 1:
        parser.error(f"--every: expected 1 and more, got {args.every}")
    predictor = samkit.load(args.model, device="cpu", dtype="float32")
    means = []
    for name, video in evaluation.open_sequences(args.data).items():
        memory = samkit.MemoryPredictor(predictor)
        labels = video[0].labels
        ids = [] if labels is None else [int(i) for i in np.unique(labels) if i > 0]
        if not ids:
            print(f"{name:20} left out: no object on its first frame")
            continue
        memory.remember(video[0].image, {i: Prompt.mask(labels == i) for i in ids})
        ious = []
        for t in range(args.every, len(video), args.every):
            frame = video[t]
            if frame.labels is None:
                continue
            found = memory.predict(frame.image)
            for i, mask in zip(found.object_ids.tolist(), found.masks, strict=True):
                ious.append(mask_iou(mask, frame.labels == i, frame.ignore))
        if not ious:
            print(f"{name:20} left out: no frame to look into")
            continue
        means.append(np.mean(ious))
        print(f"{name:20} {means[-1]:.3f}")
    if means:
        print(f"{'mean':20} {np.mean(means):.3f}")


if __name__ == "__main__":
    main()
