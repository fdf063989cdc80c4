"""How well memory across images finds an object that it was shown once.

    python benchmarks/found_by_looks.py DAVIS [--model pico] [--every 10]

DAVIS is a folder of sequences as `samkit eval --video` takes it. Each object is remembered by its
mask on the first frame of its sequence, and looked for in every tenth frame after, each alone, so
that only its looks tell where it is, and in every tenth frame of the other sequences, where it is
not. Prints for each sequence the mean IoU, and how often it is said to be there: in the frames
where it is, and in those of the others.
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
    sequences = evaluation.open_sequences(args.data)
    later = {
        name: [
            (predictor.embed(frame.image), frame)
            for frame in (video[t] for t in range(args.every, len(video), args.every))
            if frame.labels is not None
        ]
        for name, video in sequences.items()
    }
    rows = []
    print(f"{'':20} {'IoU':>6} {'there':>6} {'others':>6}")
    for name, video in sequences.items():
        labels = video[0].labels
        ids = [] if labels is None else [int(i) for i in np.unique(labels) if i > 0]
        if not ids or not later[name]:
            print(f"{name:20} left out: no object on its first frame, or no frame to look into")
            continue
        memory = samkit.MemoryPredictor(predictor)
        memory.remember(video[0].image, {i: Prompt.mask(labels == i) for i in ids})
        ious, there, others = [], [], []
        for image, frame in later[name]:
            found = memory.predict(image)
            for i, mask in zip(found.object_ids.tolist(), found.masks, strict=True):
                ious.append(mask_iou(mask, frame.labels == i, frame.ignore))
                if (frame.labels == i).any():
                    there.append(mask.any())
        for other, frames in later.items():
            if other != name:
                others += [
                    mask.any() for image, _ in frames for mask in memory.predict(image).masks
                ]
        rows.append([np.mean(values) if values else np.nan for values in (ious, there, others)])
        print(f"{name:20} " + " ".join(f"{value:6.3f}" for value in rows[-1]))
    if rows:
        print(f"{'mean':20} " + " ".join(f"{value:6.3f}" for value in np.nanmean(rows, 0)))


if __name__ == "__main__":
    main()
