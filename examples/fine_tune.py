"""Ten annotated pictures -> a model that knows what is on them, and how much it has gained.

    python examples/fine_tune.py [FOLDER] [--steps 60] [-o outputs/cells.safetensors]

FOLDER has `images/` and `masks/`, or `instances.json`. Every third picture is held out: on those
the IoU is measured before and after. Without a folder fifteen pictures of cells are drawn into
outputs/cells. In one line: `samkit train --data FOLDER --hold-out 3 --steps 60 -o FILE`.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

import samkit
from samkit.sizes import to_dict
from samkit.training import Report, Validation, fine_tuning, train
from samkit.weights import load_network, save_network

PICTURES, CELLS, HEIGHT, WIDTH = 15, 6, 192, 256


def make_pictures(folder: Path) -> None:
    """Draw `images/` of cells and `masks/`, in which a pixel's value is the number of its cell."""
    rng = np.random.default_rng(0)
    for i in range(PICTURES):
        image, labels = draw_cells(rng)
        samkit.media.write_image(folder / "images" / f"{i:02}.png", image)
        samkit.media.write_image(folder / "masks" / f"{i:02}.png", labels)


def draw_cells(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cells of fine grain with a dark nucleus on coarse grain: no edge, only texture, tells where
    a cell ends.

    Returns:
        Image (H, W, 3) uint8 RGB, and labels (H, W) uint8.
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    grain = rng.normal(size=(HEIGHT, WIDTH))
    values = 150 + 14 * (grain + np.roll(grain, 1, 0) + np.roll(grain, 1, 1))
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number in range(1, CELLS + 1):
        cy, cx = rng.uniform(20, HEIGHT - 20), rng.uniform(20, WIDTH - 20)
        angle, distance = np.arctan2(y - cy, x - cx), np.hypot(y - cy, x - cx)
        wobble = 1 + 0.2 * np.sin(rng.integers(2, 5) * angle + rng.uniform(0, 6))
        radius = rng.uniform(18, 32) * wobble
        cell, nucleus = distance < radius, distance < 0.4 * radius
        values[cell] = 140 + 40 * grain[cell]
        values[nucleus] -= 60
        labels[cell] = number
    image = values[..., None] * (1.0, 0.85, 0.95)
    return image.clip(0, 255).astype(np.uint8), labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="annotated images of your own")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("-o", "--output", type=Path, default=Path("outputs/cells.safetensors"))
    given = parser.parse_args()
    folder = given.folder or Path("outputs/cells")
    if given.folder is None:
        make_pictures(folder)

    network = load_network("pico")
    config = fine_tuning(to_dict(network.config), folder, steps=given.steps)
    config = replace(config, hold_out=3)
    for event in train(config, given.output.with_suffix(".checkpoint"), start=network):
        if isinstance(event, Validation):
            ious = ", ".join(f"{prompt} {iou:.3f}" for prompt, iou in event.iou().items())
            print(f"step {event.step}, mean IoU of {event.objects} objects held out: {ious}")
        elif isinstance(event, Report):
            print(f"step {event.step}, loss {event.loss:.2f}")
        else:
            save_network(event, given.output, metadata=config.metadata())
    print(f"{given.output}: written")


if __name__ == "__main__":
    main()
