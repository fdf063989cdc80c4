"""Pictures whose values are the numbers of objects."""

import os
from pathlib import Path

import numpy as np
import pytest
from masks.helpers import assert_fields, labels
from PIL import Image

from samkit.errors import InputError
from samkit.masks import Masks, drawing

RNG = np.random.default_rng(0)


def test_png_round_trip(some: Masks, tmp_path: Path) -> None:
    some.save(tmp_path / "a.png")
    again = Masks.load(tmp_path / "a.png")
    assert_fields(again, some, "scores", "object_ids", "prompt_index")
    assert again.image_size == some.image_size
    index = labels(some)
    np.testing.assert_array_equal(
        again.masks, [index == i + 1 for i in range(len(some))] or again.masks
    )
    with Image.open(tmp_path / "a.png") as picture:
        if len(some) == 1:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), some.masks[0] * 255)
        else:
            assert picture.mode == "P"
            np.testing.assert_array_equal(np.asarray(picture), index)
            colours = np.asarray(picture.convert("RGB"))
            for i in np.unique(index[index > 0]) - 1:
                expected = drawing.colour_of(int(some.object_ids[i]))
                assert (colours[index == i + 1] == expected).all()


@pytest.mark.parametrize(("count", "mode"), [(2, "P"), (255, "P"), (256, "I;16"), (700, "I;16")])
def test_png_of_many(tmp_path: Path, count: int, mode: str) -> None:
    stack = np.arange(count).reshape(-1, 1, 1) == np.arange(720).reshape(24, 30)
    masks = Masks(stack, RNG.random(count)).compressed()
    masks.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == mode
    again = Masks.load(tmp_path / "a.png")
    assert_fields(again, masks, "masks", "scores", "object_ids")
    assert again.is_compressed == (count > 255)


def test_png_of_too_many(tmp_path: Path) -> None:
    stack = np.zeros((65536, 1, 1), bool)
    with pytest.raises(InputError, match="at most 65535"):
        Masks(stack, np.zeros(65536)).save(tmp_path / "a.png")
    assert os.listdir(tmp_path) == []


def test_png_of_others(tmp_path: Path) -> None:
    mask = RNG.random((5, 6)) < 0.5
    path = tmp_path / "a.png"
    for picture in (Image.fromarray(mask), Image.fromarray(mask.astype(np.uint8) * 255)):
        picture.save(path)
        again = Masks.load(path)
        np.testing.assert_array_equal(again.masks, mask[None])
        assert again.scores.tolist() == [1]
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(path)
    assert Masks.load(path).areas.tolist() == [0]
    index = RNG.integers(0, 3, (5, 6), dtype=np.uint8)
    picture = Image.fromarray(index)
    picture.putpalette([0, 0, 0, 1, 1, 1, 2, 2, 2])
    picture.save(path)
    np.testing.assert_array_equal(Masks.load(path).masks, [index == 1, index == 2])


def test_a_tiff_holds_numbers(some: Masks, tmp_path: Path) -> None:
    import tifffile

    some.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), labels(some))
    again = Masks.load(tmp_path / "a.tif")
    index = labels(some)
    np.testing.assert_array_equal(
        again.masks, [index == i + 1 for i in range(int(index.max()))] or again.masks
    )


def test_a_tiff_of_more_than_255(tmp_path: Path) -> None:
    import tifffile

    stack = np.arange(300).reshape(-1, 1, 1) == np.arange(720).reshape(24, 30)
    masks = Masks(stack, np.linspace(1, 0, 300)).compressed()
    masks.save(tmp_path / "a.tiff")
    values = tifffile.imread(tmp_path / "a.tiff")
    assert values.dtype == np.uint16
    assert values.ravel()[:300].tolist() == list(range(1, 301))
    np.testing.assert_array_equal(Masks.load(tmp_path / "a.tiff").masks, stack)


def test_a_black_and_white_tiff_is_one_mask(tmp_path: Path) -> None:
    Image.fromarray(np.eye(5, dtype=np.uint8) * 255).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(Masks.load(tmp_path / "a.tif").masks, [np.eye(5)])


def test_damaged_png(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.full((4, 5), 7, np.uint8)).save(path)
    with pytest.raises(InputError, match="shades of grey"):
        Masks.load(path)
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(path)
    with pytest.raises(InputError, match="mode RGB"):
        Masks.load(path)
    Masks(np.ones((3, 4, 5), bool), [1, 1, 1]).save(path)
    data = path.read_bytes()
    for damaged in (b"", data[:50], b"noise"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"cannot load .*a\.png"):
            Masks.load(path)


def test_a_depth_map_is_no_label_map(tmp_path: Path) -> None:
    depth = np.random.default_rng(0).integers(0, 2**16, (50, 50)).astype(np.uint16)
    Image.fromarray(depth).save(tmp_path / "depth.png")
    with pytest.raises(InputError, match="expected labels up to"):
        Masks.load(tmp_path / "depth.png")


def test_pictures_too_wide_for_their_format(tmp_path: Path) -> None:
    wide = Masks(np.ones((1, 1, 70_000), bool), [0.5])
    image = np.zeros((1, 70_000, 3), np.uint8)
    for name in ("a.webp", "a.jpg"):
        with pytest.raises(InputError, match=r"cannot write|null character"):
            wide.save(tmp_path / name, image=image)
    assert os.listdir(tmp_path) == []
