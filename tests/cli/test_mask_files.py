"""Files of `--mask`: white on black, or numbers of objects."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samkit.cli.parsing import read_mask
from samkit.errors import PromptError


def _saved(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize(("dtype", "ids"), [(np.uint16, (1, 2, 300)), (np.uint8, (1, 100, 150))])
def test_many_objects_are_not_white(tmp_path: Path, dtype: type, ids: tuple[int, ...]) -> None:
    labels = np.repeat(np.array([[0, *ids]], dtype), 3, axis=0)
    path = _saved(tmp_path / "labels.png", labels)
    for number in ids:
        mask = read_mask(path, number).mask_input
        assert mask is not None
        assert np.array_equal(mask, labels == number)
    with pytest.raises(PromptError, match="holds the objects"):
        read_mask(path, 7)
    with pytest.raises(PromptError, match="of a label map choose one"):
        read_mask(path)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint8, 250), (np.uint16, 65535)])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_white_on_black(tmp_path: Path, dtype: type, white: int, suffix: str) -> None:
    grey = np.array([[0, white // 5, white - white // 5, white]], dtype)
    path = _saved(tmp_path / f"mask.{suffix}", grey)
    for number in (None, 1):
        mask = read_mask(path, number).mask_input
        assert mask is not None
        assert mask.tolist() == [[False, False, True, True]]
    binary = read_mask(_saved(tmp_path / "two.png", (grey > 0) * dtype(200))).mask_input
    assert binary is not None
    assert binary.tolist() == [[False, True, True, True]]


def test_white_on_black_in_a_photograph(tmp_path: Path) -> None:
    white = np.zeros((32, 32), np.uint8)
    white[8:24, 8:24] = 255
    mask = read_mask(_saved(tmp_path / "mask.jpg", white)).mask_input
    assert mask is not None
    assert np.array_equal(mask, white > 0)
