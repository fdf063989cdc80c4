"""Pictures of Pascal VOC, as its tools read them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samkit.errors import InputError
from samkit.evaluation.datasets import read_labels
from samkit.masks import Masks

CUP, TABLE = np.zeros((2, 30, 40), bool)
CUP[5:20, 5:20] = True
TABLE[15:, 10:] = True  # the cup stands in front of it
MASKS = Masks(np.stack([TABLE, CUP]), [0.5, 0.9])


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values, and the palette."""
    with Image.open(path) as picture:
        assert picture.mode == "P"
        return np.array(picture), np.reshape(picture.getpalette(), (-1, 3))


def border(index: np.ndarray) -> np.ndarray:
    """Pixels of whose 5 x 5 neighbours in the picture not all are alike."""
    expected = np.zeros(index.shape, bool)
    for y, x in np.ndindex(index.shape):
        expected[y, x] = len(np.unique(index[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3])) > 1
    return expected


INDEX = np.where(CUP, 2, TABLE * 1)


def test_objects_and_categories(tmp_path: Path) -> None:
    void = border(INDEX)
    MASKS.save(tmp_path / "object.png", format="voc-object")
    values, _ = read(tmp_path / "object.png")
    np.testing.assert_array_equal(values, np.where(void, 255, INDEX))
    names = ["cat", "cup", "table"]
    MASKS.save(tmp_path / "class.png", format="voc-class", category=["table", "cup"],
               categories=names)  # fmt: skip
    values, _ = read(tmp_path / "class.png")
    np.testing.assert_array_equal(values, np.where(void, 255, np.array([0, 3, 2])[INDEX]))
    MASKS.save(tmp_path / "one.png", format="voc-class")
    values, _ = read(tmp_path / "one.png")
    np.testing.assert_array_equal(values, np.where(void, 255, INDEX > 0))


def test_the_palette_is_that_of_voc(tmp_path: Path) -> None:
    MASKS.save(tmp_path / "a.png", format="voc-object")
    _, palette = read(tmp_path / "a.png")
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128),
             15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}  # fmt: skip
    assert {i: tuple(palette[i]) for i in known} == known
    assert len({tuple(colour) for colour in palette}) == 256


def test_what_reads_it(tmp_path: Path) -> None:
    void = border(INDEX)
    MASKS.save(tmp_path / "a.png", format="voc-object")
    again = Masks.load(tmp_path / "a.png")
    np.testing.assert_array_equal(again.masks, [(i == INDEX) & ~void for i in (1, 2)])
    labels, ignored = read_labels(tmp_path / "a.png", (30, 40))
    np.testing.assert_array_equal(ignored, void)
    np.testing.assert_array_equal(labels[~void], INDEX[~void])


def test_255_masks_have_no_border_in_our_own_png(tmp_path: Path) -> None:
    stack = np.arange(255).reshape(-1, 1, 1) == np.arange(300).reshape(15, 20)
    Masks(stack, np.ones(255)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(Masks.load(tmp_path / "a.png").masks, stack)


@pytest.mark.parametrize("format", ["voc-class", "voc-object"])
def test_as_many_as_there_are_values(tmp_path: Path, format: str) -> None:
    masks = Masks(np.zeros((255, 3, 4), bool), np.ones(255))
    masks[:254].save(tmp_path / "a.png", format=format)
    with pytest.raises(InputError, match="at most 254 masks for Pascal VOC, got 255"):
        masks.save(tmp_path / "a.png", format=format)
    names = [str(i) for i in range(255)]
    if format == "voc-class":
        with pytest.raises(InputError, match="at most 254 categories for Pascal VOC, got 255"):
            masks[:1].save(tmp_path / "a.png", format=format, category="1", categories=names)


def test_no_masks_and_whole_pictures(tmp_path: Path) -> None:
    Masks.empty((5, 6)).save(tmp_path / "a.png", format="voc-object")
    assert not read(tmp_path / "a.png")[0].any()
    Masks(np.ones((1, 5, 6), bool), [1]).save(tmp_path / "a.png", format="voc-object")
    assert (read(tmp_path / "a.png")[0] == 1).all(), "the edge of the picture is no border"
