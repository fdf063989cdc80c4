"""A 16-bit microscopy stack, a box -> a stack of labels and a table of sizes.

    python examples/stack.py [STACK.tif X0 Y0 X1 Y1]

The box is around a cell on the middle slice. Without arguments a stack of 12 slices with two bright
cells is made. In one line: `samkit track STACK.tif --scale LOW,HIGH --box 6:1:X0,Y0,X1,Y1
--direction both -o labels.tif -o cells.csv`.
"""

import sys
from pathlib import Path

import numpy as np
import tifffile

import samkit
from samkit.masks.stacks import LabelStackWriter, TableWriter
from samkit.media.frames import open_frames

SLICES = 12


def make_stack(path: Path) -> None:
    """Two balls in noise, 16 bits of which 12 are used."""
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[:SLICES, :160, :200]
    values = rng.normal(300, 40, z.shape)
    for cz, cy, cx, radius in ((6, 70, 60, 34), (5, 100, 145, 26)):
        distance = np.sqrt((4 * (z - cz)) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
        values += 2600 / (1 + np.exp((distance - radius) / 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, values.clip(0, 4095).astype(np.uint16))


def main() -> None:
    if len(sys.argv) == 6:
        path, boxes = Path(sys.argv[1]), [[float(value) for value in sys.argv[2:]]]
    else:
        path, boxes = Path("outputs/stack.tif"), [[26, 36, 94, 104], [119, 74, 171, 126]]
        make_stack(path)

    values = tifffile.imread(path)
    frames = open_frames(path, scale=(float(values.min()), float(values.max())))
    middle = len(values) // 2
    slices = {}
    with samkit.VideoPredictor(samkit.load("pico"), frames) as tracker:
        for i, box in enumerate(boxes, 1):
            tracker.prompt(middle, i, samkit.Prompt.box(*box))
        for page, masks in tracker.track("both"):
            slices[page] = masks
    labels = LabelStackWriter(path.with_name("labels.tif"))
    table = TableWriter(path.with_name("cells.csv"), frames)
    for page in sorted(slices):
        labels.write(page, slices[page])
        table.write(page, slices[page])
    labels.close()
    table.close()
    frames.close()
    volume = sum(masks.areas for masks in slices.values())
    print(f"{len(slices)} slices; voxels of each cell: {volume.tolist()}")


if __name__ == "__main__":
    main()
