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
    predictor = samkit.load(args.model, device="cpu", dtype="float32")
    means = []
    for name, video in evaluation.open_sequences(args.data).items():
        memory = samkit.MemoryPredictor(predictor)
        ids = [int(i) for i in np.unique(video[0].labels) if i > 0]
        memory.remember(video[0].image, {i: Prompt.mask(video[0].labels == i) for i in ids})
        ious = []
        for t in range(args.every, len(video), args.every):
            found = memory.predict(video[t].image)
            for i, mask in zip(found.object_ids.tolist(), found.masks, strict=True):
                ious.append(mask_iou(mask, video[t].labels == i))
        means.append(np.mean(ious))
        print(f"{name:20} {means[-1]:.3f}")
    print(f"{'mean':20} {np.mean(means):.3f}")


if __name__ == "__main__":
    main()
