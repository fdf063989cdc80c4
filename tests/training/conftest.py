"""A small world to learn: bright discs and boxes on dark noise."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny import tiny_sam2

from samkit.sizes import to_dict
from samkit.training import DataSource, SceneConfig, Stage, TrainingConfig, loop


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A COCO folder of 4 images with 3 objects each, and a folder of class masks."""
    root = tmp_path_factory.mktemp("data")
    images, annotations = [], []
    for i in range(4):
        rng = np.random.default_rng(i)
        pixels = rng.integers(0, 60, (90, 120, 3), np.uint8)
        classes = np.zeros((90, 120), np.uint8)
        for k in range(3):
            x, y, r = 20 + 38 * k, int(rng.integers(25, 65)), int(rng.integers(12, 18))
            colour = rng.integers(120, 256, 3).tolist()
            cv2.circle(pixels, (x, y), r, colour, -1)
            cv2.circle(classes, (x, y), r, 1 + k % 2, -1)
            angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            outline = np.column_stack([x + r * np.cos(angle), y + r * np.sin(angle)])
            annotations.append(
                {"id": 3 * i + k, "image_id": i, "segmentation": [outline.flatten().tolist()]}
            )
        for folder, name in (("coco", "images"), ("classes", "images"), ("classes", "masks")):
            path = root / folder / name
            path.mkdir(parents=True, exist_ok=True)
            array = classes if name == "masks" else pixels
            Image.fromarray(array).save(path / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 120, "height": 90})
    content = {"images": images, "annotations": annotations}
    (root / "coco" / "instances.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def config(photos):
    return TrainingConfig(
        network=to_dict(tiny_sam2(draw_prompts=True)),
        sources=(
            DataSource(path=str(photos / "coco")),
            DataSource(path=str(photos / "classes"), kind="classes", paste_weight=0.5),
        ),
        backgrounds=(str(photos / "coco" / "images"),),
        stages=(
            Stage(size=64, images=2, prompts=3, until=0.5),
            Stage(size=96, images=2, prompts=2),
        ),
        scenes=SceneConfig(cache_side=100),
        steps=6,
        warmup=2,
    )


@pytest.fixture
def often(monkeypatch):
    """Report every second step."""
    monkeypatch.setattr(loop, "_LOG_EVERY", 2)
