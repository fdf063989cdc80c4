"""Everything mode tile by tile: drawn objects are found in each tile, and joined at the seams."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

import samkit
from samkit.errors import ImageError, InputError
from samkit.mask_generator import AutomaticMaskGenerator, tiles_of
from samkit.mask_generator.tiles import stream_tiles
from samkit.masks import Masks
from samkit.media.windows import WindowedImage


def _drawn(labels: np.ndarray, *, parts: bool = True) -> Callable[[np.ndarray], Masks]:
    """A network that sees the numbers of objects, and gives the parts of each in a tile."""

    def segment(pixels: np.ndarray) -> Masks:
        found = []
        for label in np.unique(pixels[..., 0][pixels[..., 0] > 0]):
            mask = pixels[..., 0] == label
            count, islands = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
            found += [islands == n for n in range(1, count)] if parts else [mask]
        stack = np.array(found).reshape(-1, *pixels.shape[:2])
        return Masks(stack, np.full(len(found), 0.5))

    return segment


def _joined(labels: np.ndarray, tile: int, overlap: int, *, parts: bool = True) -> Masks:
    with WindowedImage(labels) as image:
        tiles = tiles_of(image.image_size, tile, overlap)
        found = list(stream_tiles(_drawn(labels, parts=parts), image, tiles, disjoint=False))
    assert len(found) == len(tiles)
    return Masks.concatenate(found)


def _same_objects(found: Masks, labels: np.ndarray) -> None:
    drawn = {(labels == n).tobytes() for n in np.unique(labels[labels > 0])}
    assert {mask.tobytes() for mask in found.masks} == drawn
    assert len(found) == len(drawn)
    assert found.object_ids.tolist() == list(range(len(drawn)))


@pytest.mark.parametrize(
    ("size", "tile", "overlap"),
    [
        ((100, 130), 40, 8),
        ((40, 41), 40, 20),
        ((7, 5), 40, 1),
        ((1, 300), 64, 10),
        ((65, 64), 3, 1),
    ],
)
def test_tiles_cover_the_image(size: tuple[int, int], tile: int, overlap: int) -> None:
    count = np.zeros(size, int)
    tiles = tiles_of(size, tile, overlap)
    for x0, y0, x1, y1 in tiles:
        assert (x1 - x0, y1 - y0) == (min(tile, size[1]), min(tile, size[0]))
        count[y0:y1, x0:x1] += 1
    assert count.min() == 1
    columns = sorted({(x0, x1) for x0, _, x1, _ in tiles})
    for (_, end), (start, _) in pairwise(columns):
        assert end - start >= overlap
    assert tiles == sorted(tiles, key=lambda box: (box[1], box[0]))


@pytest.mark.parametrize(
    ("tile", "overlap", "message"),
    [
        (1, 1, "tile"),
        (64, 0, "overlap"),
        (64, 33, "half of the tile, 32, got 33"),
        (6.5, 2, "tile"),
    ],
)
def test_tiles_that_cannot_be(tile: Any, overlap: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiles_of((100, 100), tile, overlap)


@pytest.mark.parametrize("overlap", [1, 6, 20, 32])
def test_one_object_across_four_tiles_is_the_one_that_was_drawn(overlap: int) -> None:
    labels = np.zeros((100, 100), np.uint8)
    cv2.circle(labels, (50, 50), 30, 1, -1)
    cv2.circle(labels, (50, 50), 12, 0, -1)  # a hole where the four tiles meet
    found = _joined(labels, 64, overlap)
    _same_objects(found, labels)
    assert found.scores.tolist() == [0.5]


@pytest.mark.parametrize("parts", [True, False])
def test_many_shapes(parts: bool) -> None:
    labels = np.zeros((230, 260), np.uint8)
    cv2.rectangle(labels, (2, 2), (255, 5), 1, -1)  # along all tiles of a row
    cv2.rectangle(labels, (20, 20), (30, 120), 2, -1)  # a U, of two parts in the upper tiles
    cv2.rectangle(labels, (45, 20), (55, 120), 2, -1)
    cv2.rectangle(labels, (20, 110), (55, 120), 2, -1)
    cv2.rectangle(labels, (90, 90), (99, 99), 3, -1)  # neighbours that touch, in the overlap
    cv2.rectangle(labels, (100, 90), (109, 99), 4, -1)
    cv2.ellipse(labels, (180, 150), (60, 45), 30, 0, 360, 5, -1)
    cv2.ellipse(labels, (180, 150), (40, 25), 30, 0, 360, 6, -1)  # within the one before
    labels[200, 10] = 7
    labels[229, 259] = 8
    _same_objects(_joined(labels, 100, 24, parts=parts), labels)


def test_whole_and_part_stay_two() -> None:
    """A house on a field, both cut by the seam."""
    field, house = np.zeros((2, 60, 160), bool)
    field[5:55, 10:150] = True
    house[20:40, 70:95] = True

    def segment(pixels: np.ndarray) -> Masks:
        x = int(pixels[0, 0, 0])
        cut = [mask[:, x : x + 100] for mask in (field, house)]
        return Masks(np.array(cut), [0.9, 0.8])

    columns = np.tile(np.arange(160, dtype=np.uint8), (60, 1))
    with WindowedImage(columns) as image:
        tiles = tiles_of(image.image_size, 100, 40)
        assert len(tiles) == 2
        found = Masks.concatenate(stream_tiles(segment, image, tiles, disjoint=False))
        apart = Masks.concatenate(stream_tiles(segment, image, tiles, disjoint=True))
    assert np.array_equal(found.masks, [field, house])
    assert np.array_equal(apart.masks, [field])  # which is better, and has all pixels


def test_scores_are_weighted_and_other_fields_those_of_the_largest_piece() -> None:
    def segment(pixels: np.ndarray) -> Masks:
        is_first = pixels[0, 0, 0] == 0
        return Masks(
            np.ones((1, 10, 100), bool), [1.0 if is_first else 0.5], points=[[3 + is_first, 4]]
        )

    image = np.zeros((10, 190), np.uint8)
    image[:, 50:] = 1
    with WindowedImage(image) as opened:
        tiles = tiles_of((10, 190), 100, 10)
        masks = Masks.concatenate(stream_tiles(segment, opened, tiles, disjoint=False))
    assert len(masks) == 1
    assert masks.scores[0] == pytest.approx(0.75)
    assert masks.areas.tolist() == [1900]
    assert masks.points.tolist() == [[4, 4]]  # of equal ones, the first


def test_disjoint_masks() -> None:
    pixels = np.zeros((4, 12, 12), bool)
    pixels[0, 2:10, 2:10] = True
    pixels[1, :6, :6] = True
    pixels[2, 3:5, 3:5] = True  # all of it is in a better one
    masks = Masks(pixels, [0.5, 0.9, 0.4, 1.0], object_ids=[4, 5, 6, 7]).disjoint()
    assert masks.object_ids.tolist() == [4, 5]
    assert np.array_equal(masks.masks, [pixels[0] & ~pixels[1], pixels[1]])


def test_tiles_without_data_are_left_out(tmp_path: Path) -> None:
    labels = np.zeros((96, 96), np.uint8)
    labels[50:90, 50:90] = 1
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, labels, tile=(16, 16), extratags=[(42113, "s", 0, "0", True)])
    asked = []

    def segment(pixels: np.ndarray) -> Masks:
        asked.append(pixels.shape)
        return _drawn(labels)(pixels)

    with WindowedImage(path, scale=(0, 255)) as image:
        tiles = tiles_of((96, 96), 36, 4)
        found = Masks.concatenate(stream_tiles(segment, image, tiles, disjoint=False))
    assert len(tiles) == 9
    assert len(asked) == 4
    _same_objects(found, labels)


def test_pico_finds_a_square_that_a_seam_cuts() -> None:
    image = np.full((200, 360, 3), 60, np.uint8)
    square = np.zeros((200, 360), bool)
    square[60:140, 130:230] = True
    image[square] = 220, 200, 40
    generator = AutomaticMaskGenerator(samkit.load("pico"), points_per_side=6)
    found = Masks.concatenate(generator.stream_tiles(image, tile=200, overlap=40))
    both = (found.masks & square).sum((1, 2))
    iou = both / ((found.masks | square).sum((1, 2)))
    assert iou.max() > 0.9


def test_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8)
    tifffile.imwrite(path, noise, tile=(16, 16), compression="zlib")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(ImageError, match="truncated"), WindowedImage(path) as image:
        list(stream_tiles(_drawn(noise), image, tiles_of((96, 96), 32, 4), disjoint=False))
