"""Masks with all that goes with them, in .npz files."""

from pathlib import Path

import numpy as np
import pytest
from masks.helpers import assert_fields

from samkit.errors import InputError
from samkit.masks import Masks


@pytest.mark.parametrize("packed", [False, True])
def test_npz_keeps_everything(some: Masks, tmp_path: Path, packed: bool) -> None:
    masks = some.compressed() if packed else some
    masks.save(tmp_path / "a.npz")
    again = Masks.load(tmp_path / "a.npz")
    assert again.is_compressed == packed
    assert again.image_size == masks.image_size
    names = ("masks", "scores", "boxes", "object_ids", "prompt_index", "presence", "logits")
    assert_fields(again, masks, *names)
    plain = Masks(some.masks, some.scores, boxes=np.ones((len(some), 4)))
    plain.save(tmp_path / "b.npz")
    again = Masks.load(tmp_path / "b.npz")
    assert again.presence is None
    assert again.logits is None
    assert_fields(again, plain, "boxes")


def test_damaged_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    Masks(np.ones((2, 4, 5), bool), [1, 1]).save(path)
    data = path.read_bytes()
    arrays = dict(np.load(path))
    for change in (
        {"samkit_masks": np.array(2)},
        {"image_size": np.array([4, 50])},
        {"image_size": np.array([])},
        {"packed": np.zeros((2, 4), np.uint8)},
        {"packed": np.zeros((3, 4, 1), np.uint8)},
        {"packed": np.zeros((2, 4, 1), np.float32)},
        {"scores": np.array([None, None])},
    ):
        np.savez(path, **{**arrays, **change})
        with pytest.raises(InputError, match=r"cannot load .*a\.npz"):
            Masks.load(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(InputError, match="saved by samkit"):
        Masks.load(path)
    for damaged in (b"", data[: len(data) // 2], b"noise"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"cannot load .*a\.npz"):
            Masks.load(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="saved by samkit"):
        Masks.load(path)
