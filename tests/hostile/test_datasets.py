"""COCO files, and folders of images and masks, in which something is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile.harness import pick
from hostile.mutations import HOSTILE_VALUES, changed_json, damaged, json_text
from PIL import Image

from samkit.evaluation import open_dataset

SQUARE = [2, 1, 9, 1, 9, 8, 2, 8]
ANNOTATIONS = [
    {"id": 1, "image_id": 1, "segmentation": [SQUARE, [1, 1, 5, 5, 1, 9]], "area": 9, "iscrowd": 0},
    {"id": 2, "image_id": 1, "segmentation": {"size": [12, 16], "counts": [5, 20, 167]}},
    {"image_id": 2, "segmentation": {"size": [12, 16], "counts": "c12:0000000a2"}, "iscrowd": 1},
    {"id": 4, "image_id": "2", "segmentation": json.dumps([SQUARE])},
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `coco` and a folder `masks`, of the same two images."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for kind in ("coco", "folder"):
        (root / kind / "images").mkdir(parents=True)
        for name in "ab":
            pixels = rng.integers(0, 256, (12, 16, 3), np.uint8)
            Image.fromarray(pixels).save(root / kind / "images" / f"{name}.png")
    (root / "folder" / "masks").mkdir()
    for name in "ab":
        labels = rng.integers(0, 3, (12, 16)).astype(np.uint8)
        Image.fromarray(labels).save(root / "folder" / "masks" / f"{name}.png")
    images = [
        {"id": i + 1, "file_name": f"{name}.png", "height": 12, "width": 16}
        for i, name in enumerate("ab")
    ]
    content = {"images": images, "annotations": ANNOTATIONS, "categories": [{"id": 1}]}
    (root / "coco" / "instances.json").write_text(json.dumps(content))
    Image.new("L", (5000, 5000)).save(root / "big.png")  # more than the attack's limit
    return root


def read_all(path: Path, every: int = 1) -> None:
    dataset = open_dataset(path, every=every)
    dataset.image_paths()
    for i in range(len(dataset)):
        item = dataset[i]
        assert item.masks.shape[1:] == item.image.shape[:2] == item.ignore.shape
        item.objects_from(0.1)


def coco_files(rng: np.random.Generator, folder: Path, whole: Path) -> Callable[[], object]:
    target = folder / "set"
    shutil.copytree(whole / "coco", target)
    path = target / "instances.json"
    content = json.loads(path.read_text())
    way = rng.integers(6)
    if way == 0:  # what stands in an annotation
        one = pick(rng, content["annotations"])
        one["segmentation"] = changed_json(rng, {"iscrowd": 0, "s": one["segmentation"]}).get("s")
        path.write_text(json.dumps(content))
    elif way == 1:
        one = pick(rng, content["images"])
        one[pick(rng, ("file_name", "id", "height", "width"))] = pick(rng, HOSTILE_VALUES)
        path.write_text(json.dumps(content))
    elif way == 2:
        image = target / "images" / "a.png"
        image.write_bytes(damaged(rng, image.read_bytes()))
    elif way == 3:
        one = pick(rng, content["annotations"])
        size = pick(rng, ([12, 16], [65535, 65535], [2**31, 2], [0, 0], [-1, 5], "ab", [12, 16.0]))
        texts = ("", "0", "PPPP2", "~" * 50, "\xff", "o" * 3000, [192], [-1, 193], [10**30], [1e9])
        one["segmentation"] = {"size": size, "counts": pick(rng, texts)}
        path.write_text(json.dumps(content))
    else:
        path.write_bytes(json_text(rng, content))
    return lambda: read_all(target if rng.random() < 0.5 else path)


def mask_folders(rng: np.random.Generator, folder: Path, whole: Path) -> Callable[[], object]:
    target = folder / "set"
    shutil.copytree(whole / "folder", target)
    path = target / pick(rng, ("masks", "masks", "masks", "images")) / "a.png"
    way = rng.integers(9)
    if way < 3:
        path.write_bytes(damaged(rng, path.read_bytes()))
    elif way == 3:
        modes = ("1", "L", "LA", "RGB", "RGBA", "P", "I;16")
        Image.new(pick(rng, modes), pick(rng, ((16, 12), (12, 16), (1, 1)))).save(path)
    elif way == 4:
        values = rng.integers(0, 65536, (12, 16), np.uint16)  # an object for each pixel
        Image.fromarray(values).save(path)
    elif way == 5:
        path.unlink()
        pick(
            rng, (path.mkdir, lambda: path.symlink_to(path), lambda: path.symlink_to("/dev/null"))
        )()
    elif way == 6:
        name = pick(rng, ("a_0", "a_x", ".a", "a" * 200, "a_9999999999999999999999", "A", "ä"))
        path.rename(path.with_name(f"{name}.png"))
    elif way == 7:
        shutil.rmtree(path.parent)
        if rng.random() < 0.5:
            path.parent.write_bytes(b"no folder")
    else:
        shutil.copy(whole / "big.png", path)
    every = pick(rng, (1, 1, 2, 100, 0, -1, 2**70, "x", None)) if rng.random() < 0.2 else 1
    return lambda: read_all(target, every)


def test_coco_files(hostile, whole) -> None:
    hostile("COCO files", lambda rng, folder: coco_files(rng, folder, whole), 175)


def test_mask_folders(hostile, whole) -> None:
    hostile("mask folders", lambda rng, folder: mask_folders(rng, folder, whole), 125)
