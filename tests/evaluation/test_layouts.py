"""Data sets in the folders of others: DAVIS, YouTube-VOS, Pascal VOC."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samkit.errors import InputError
from samkit.evaluation import open_dataset, open_sequences


def write(root: Path, images: str, masks: str, number: int, suffix: str = ".jpg") -> None:
    """Two pictures of one grey value, and their masks with an object of so many pixels."""
    for folder in (images, masks):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for frame in range(2):
        labels = np.zeros((3, 4), np.uint8)
        labels.ravel()[:number] = 1
        Image.new("RGB", (4, 3), (20 * number,) * 3).save(root / images / f"{frame:05}{suffix}")
        Image.fromarray(labels).save(root / masks / f"{frame:05}.png")


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images", "masks"),
        ("JPEGImages", "Annotations"),
        ("JPEGImages", "SegmentationObject"),
    ],
)
def test_names_of_folders(tmp_path, images, masks):
    write(tmp_path, images, masks, 5)
    dataset = open_dataset(tmp_path)
    assert [dataset[i].name for i in range(len(dataset))] == ["00000", "00001"]
    assert dataset[1].masks.sum() == 5
    assert list(open_sequences(tmp_path)) == [tmp_path.name]
    assert len(open_dataset(tmp_path, every=2)) == 1


def test_boxes_of_pascal_voc_are_no_masks(tmp_path):
    write(tmp_path, "JPEGImages", "SegmentationObject", 5)
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "00000.xml").write_text("<annotation/>")
    assert open_dataset(tmp_path)[0].masks.sum() == 5


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("{}/images", "{}/masks"),
        ("{}/JPEGImages", "{}/Annotations"),
        ("JPEGImages/{}", "Annotations/{}"),
        ("JPEGImages/480p/{}", "Annotations/480p/{}"),
        ("train/JPEGImages/{}", "train/Annotations/{}"),
        ("images/{}", "masks/{}"),
    ],
)
def test_sequences(tmp_path, images, masks):
    for name, number in (("cow", 3), ("ant", 7)):
        write(tmp_path, images.format(name), masks.format(name), number)
    # A video without masks, as those that a test set keeps to itself.
    (tmp_path / images.format("zebra")).mkdir(parents=True)
    prefix = "480p/" if "480p" in images else "train/" if "train" in images else ""
    dataset = open_dataset(tmp_path)
    names = [f"{prefix}{name}" for name in ("ant", "cow")]
    assert [dataset[i].name for i in range(len(dataset))] == [
        f"{name}/0000{frame}" for name in names for frame in range(2)
    ]
    assert [int(dataset[i].masks.sum()) for i in range(len(dataset))] == [7, 7, 3, 3]
    videos = open_sequences(tmp_path)
    assert list(videos) == names
    for video, number in zip(videos.values(), (7, 3), strict=True):
        assert len(video) == 2
        assert video[1].labels.sum() == number
        assert abs(int(video[1].image[0, 0, 0]) - 20 * number) < 5  # JPEG


@pytest.mark.parametrize("folders", [["Annotations"], ["JPEGImages"], ["JPEGImages", "masks"]])
def test_one_folder_alone(tmp_path, folders):
    for folder in folders:
        (tmp_path / folder).mkdir()
    for use in (open_dataset, open_sequences):
        with pytest.raises(InputError, match="images/ and masks/"):
            use(tmp_path)


def test_masks_of_other_images(tmp_path):
    write(tmp_path, "JPEGImages", "Annotations", 3)
    for path in (tmp_path / "Annotations").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    for use in (open_dataset, open_sequences):
        with pytest.raises(InputError, match="JPEGImages: no image in it has a mask of the same"):
            use(tmp_path)


def test_folders_without_pictures(tmp_path):
    write(tmp_path, "JPEGImages", "Annotations", 3)
    for path in (tmp_path / "Annotations").iterdir():
        path.unlink()
    for use in (open_dataset, open_sequences):
        with pytest.raises(InputError, match="no image in the folder"):
            use(tmp_path)
