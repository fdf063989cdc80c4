import numpy as np
import pytest
from PIL import Image

from samkit.errors import InputError
from samkit.evaluation import open_sequences
from samkit.media.frames import open_frames


def write(root, frames, masks, dtype=np.uint8):
    """Frames of one grey value each, name -> value, and masks, name -> a row of labels."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for name, value in frames.items():
        Image.new("RGB", (4, 3), (value,) * 3).save(root / "images" / f"{name}.png")
    for name, row in masks.items():
        Image.fromarray(np.array([row] * 3, dtype)).save(root / "masks" / f"{name}.png")
    return root


def values(video):
    return [int(video[i].image[0, 0, 0]) for i in range(len(video))]


def test_frames_come_as_they_are_tracked(tmp_path):
    frames = {f"f{i}": i for i in range(12)}
    root = write(tmp_path / "car", frames, {name: [0, 1, 1, 0] for name in frames})
    video = open_sequences(tmp_path)["car"]
    tracked = open_frames(root / "images")
    assert values(video) == [int(tracked.read(i)[0, 0, 0]) for i in range(12)] == [*range(12)]


def test_it_begins_with_the_first_mask_and_leaves_out_no_frame(tmp_path):
    masks = {"2": [0, 1, 1, 0], "4": [0, 0, 1, 0]}
    write(tmp_path, {str(i): i for i in range(7)}, masks)
    (video,) = open_sequences(tmp_path).values()
    assert values(video) == [2, 3, 4, 5, 6]
    rows = [None if video[i].labels is None else video[i].labels[0].tolist() for i in range(5)]
    assert rows == [masks["2"], None, masks["4"], None, None]


@pytest.mark.parametrize(
    ("rows", "dtype", "labels", "ignored"),
    [
        # The object leaves: what is left is void, as in the frames before.
        ([[0, 1, 255], [0, 0, 255]], np.uint8, [[0, 1, 0], [0, 0, 0]], 6),
        ([[0, 255, 255], [0, 0, 255]], np.uint8, [[0, 255, 255], [0, 0, 255]], 0),
        ([[0, 1, 255], [0, 300, 255]], np.uint16, [[0, 1, 255], [0, 300, 255]], 0),
        ([[0, 1, 2], [0, 2, 2]], np.uint8, [[0, 1, 2], [0, 2, 2]], 0),
    ],
)
def test_when_255_is_an_object(tmp_path, rows, dtype, labels, ignored):
    rows = [[0, *row] for row in rows]
    write(tmp_path, {"0": 0, "1": 1}, {str(i): row for i, row in enumerate(rows)}, dtype)
    (video,) = open_sequences(tmp_path).values()
    for i, row in enumerate(labels):
        assert video[i].labels[0].tolist() == [0, *row]
    assert sum(video[i].ignore.sum() for i in range(2)) == ignored


def test_bad_sequences(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        open_sequences(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected folders with images/ and masks/"):
        open_sequences(tmp_path / "empty")
    (tmp_path / "half" / "masks").mkdir(parents=True)
    with pytest.raises(InputError, match="expected the folders images/ and masks/"):
        open_sequences(tmp_path / "half")
    write(tmp_path / "other", {"a": 0}, {"b": [0, 1, 1, 0]})
    with pytest.raises(InputError, match="same name"):
        open_sequences(tmp_path / "other")
    root = write(tmp_path / "small", {"a": 0}, {"a": [0, 1]})
    with pytest.raises(
        InputError, match=r"a\.png: expected the image's size \(3, 4\), got \(3, 2\)"
    ):
        open_sequences(root)["small"][0]
    Image.new("RGB", (4, 3)).save(root / "images" / "a.jpg")
    with pytest.raises(InputError, match="different names"):
        open_sequences(root)
