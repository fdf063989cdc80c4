"""Masks of a window as masks of its image, and what is done in the boxes of masks alone."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samkit import rle
from samkit.errors import InputError
from samkit.masks import Masks

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("full", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_run_lengths_of_boxes(full: float) -> None:
    for _ in range(60):
        h, w, down, right = (int(n) for n in RNG.integers([1, 1, 0, 0], [9, 9, 5, 5]))
        y, x = (int(n) for n in RNG.integers(0, [down + 1, right + 1]))
        size = (h + down, w + right)
        mask, image = RNG.random((h, w)) < full, np.zeros(size, bool)
        image[y : y + h, x : x + w] = mask
        counts = rle.placed(rle.encode([mask])[0], (h, w), (x, y), size)
        assert np.array_equal(rle.decode_one(counts, size), image)
        assert counts == rle.encode([image])[0]
        x0, y0 = (int(n) for n in RNG.integers(0, [size[1], size[0]]))
        x1, y1 = (int(n) for n in RNG.integers([x0, y0], [size[1] + 1, size[0] + 1]))
        box = (x0, y0, x1, y1)
        assert np.array_equal(rle.decode_box(counts, size, box), image[y0:y1, x0:x1])
        other = RNG.random(size) < 0.3
        both = rle.union([counts, rle.encode([other])[0]], size)
        assert np.array_equal(rle.decode_one(both, size), image | other)


def test_runs_of_no_pixels() -> None:
    """They are rare, but may be in files of others."""
    runs = [0, 0, 3, 0, 4, 2, 0, 1, 10, 0]
    masks = Masks.from_rle([{"size": [4, 5], "counts": runs}], (4, 5), [1.0])
    assert masks.boxes.tolist() == [[1, 0, 3, 4]]
    assert masks.areas.tolist() == [3]
    assert [ring.max(0).tolist() for ring in masks.polygons()[0]] == [[3, 2], [2, 4]]
    assert masks.placed((2, 1), (8, 9)).boxes.tolist() == [[3, 1, 5, 5]]


def _masks(**fields: Any) -> Masks:
    pixels = np.zeros((3, 20, 30), bool)
    pixels[0, 2:9, 3:20] = True
    pixels[0, 4:6, 5:9] = False
    pixels[1, 10:, 25:] = pixels[1, 0, 0] = True
    return Masks(pixels, [0.5, 0.75, 1.0], **fields)


def test_fields_move_too() -> None:
    points = [[1, 2], [3, 4], [5, 6]]
    boxes = [[1, 2, 30, 4]] * 3
    masks = _masks(
        points=points,
        crop_boxes=boxes,
        boxes=boxes,
        logits=np.zeros((3, 4, 4)),
        object_ids=[7, 8, 9],
    )
    placed = masks.placed((100, 50), (400, 500))
    assert np.array_equal(placed.points, np.add(points, [100, 50]))
    assert np.array_equal(placed.crop_boxes, [[101, 52, 130, 54]] * 3)
    assert np.array_equal(placed.boxes, [[101, 52, 130, 54]] * 3)
    assert placed.logits is None
    assert placed.object_ids.tolist() == [7, 8, 9]
    assert np.array_equal(placed.areas, masks.areas)


def test_a_huge_canvas_costs_nothing(tmp_path: Path) -> None:
    """Of 60,000 x 60,000 pixels, which would be 3.6 GB for each mask."""
    masks, corner = _masks(), (50_000, 40_000)
    huge = masks.placed(corner, (60_000, 60_000))
    rings, own = huge.polygons(holes=True), masks.polygons(holes=True)
    assert [[len(part) for part in one] for one in rings] == [[2], [1, 1], []]
    for one, other in zip(chain(*rings), chain(*own), strict=True):
        for ring, expected in zip(one, other, strict=True):
            assert np.array_equal(ring, expected + np.float32(corner))
    row, expected = huge.table()[0], masks.table()[0]
    assert row["centroid_x"] == pytest.approx(expected["centroid_x"] + 50_000)
    assert row["area"] == 7 * 17 - 8
    assert huge.cleaned(fill_holes=True).areas.tolist() == [7 * 17, 51, 0]
    assert huge.cleaned(largest=True).areas.tolist() == [7 * 17 - 8, 50, 0]
    huge.save(tmp_path / "a.geojson")
    assert len(json.loads((tmp_path / "a.geojson").read_text())["features"]) == 3


@pytest.mark.parametrize(
    ("corner", "size", "message"),
    [
        ((11, 0), (40, 40), "window: expected one inside"),
        ((-1, 0), (40, 40), "window: expected one inside"),
        ((0.5, 0), (40, 40), "corner: expected"),
        ((0, 0, 0), (40, 40), "corner: expected"),
        ((0, 0), (0, 40), "image size: expected"),
        ((0, 0), (70_000, 70_000), "fewer than 2"),
    ],
)
def test_places_that_cannot_be(corner: Any, size: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _masks().placed(corner, size)
