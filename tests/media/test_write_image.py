"""Pictures to files."""

import numpy as np
import pytest

from samkit.errors import InputError
from samkit.media import read_image, write_image


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (9, 8, 3), np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_there_and_back(tmp_path, pixels, suffix):
    path = tmp_path / "folder" / f"x.{suffix}"
    write_image(path, pixels)
    assert np.array_equal(read_image(path), pixels)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["x.txt", "x", "x.mp4"])
def test_no_picture(tmp_path, pixels, name):
    with pytest.raises(InputError, match="cannot write"):
        write_image(tmp_path / name, pixels)
    assert list(tmp_path.iterdir()) == []
