"""Where the images and the masks of a data set lie."""

import os
from pathlib import Path

from samkit.errors import InputError
from samkit.media import IMAGE_SUFFIXES

__all__ = ["annotated_folders"]

# Folders of images and of masks: ours, Pascal VOC's (whose Annotations/ are no masks), and those of
# DAVIS and YouTube-VOS.
_NAMES = (
    ("images", "masks"),
    ("JPEGImages", "SegmentationObject"),
    ("JPEGImages", "Annotations"),
)
_EXPECTED = "the folders images/ and masks/ in it, or JPEGImages/ and Annotations/"
# DAVIS has folders of sequences in folders of resolutions.
_MOST_DEPTH = 2


def annotated_folders(root: Path) -> dict[str, tuple[Path, Path]]:
    """Name -> the folder of images and the folder of their masks, sorted.

    - `images/` and `masks/` in the root: one, called "";
    - folders that both of these have: one for each, such as JPEGImages/cows and Annotations/cows;
    - folders in the root that have `images/` and `masks/`: one or more for each.

    `JPEGImages/` and `Annotations/`, or `SegmentationObject/`, are the same as these two.

    Raises:
        InputError: there is none of these.
    """
    try:
        if any(os.path.isdir(root / masks) for _, masks in _NAMES):
            return _within(*_pair(root), _MOST_DEPTH)
        folders = sorted(
            one for one in root.iterdir() if any(os.path.isdir(one / name) for _, name in _NAMES)
        )
        if not folders:
            raise InputError(f"{root}: expected folders with images/ and masks/ in them")
        return {
            "/".join(filter(None, (folder.name, name))): pair
            for folder in folders
            for name, pair in _within(*_pair(folder), _MOST_DEPTH).items()
        }
    except OSError as error:
        raise InputError(f"cannot read {root}: {error.strerror or error}") from error


def _pair(root: Path) -> tuple[Path, Path]:
    for images, masks in _NAMES:
        if os.path.isdir(root / images) and os.path.isdir(root / masks):
            return root / images, root / masks
    raise InputError(f"{root}: expected {_EXPECTED}")


def _within(images: Path, masks: Path, depth: int) -> dict[str, tuple[Path, Path]]:
    """The two folders, or those in them where they hold no pictures."""
    inside = sorted(one for one in masks.iterdir() if os.path.isdir(one))
    common = [one for one in inside if os.path.isdir(images / one.name)]
    if not depth or not common or _has_pictures(masks):
        return {"": (images, masks)}
    return {
        "/".join(filter(None, (folder.name, name))): pair
        for folder in common
        for name, pair in _within(images / folder.name, folder, depth - 1).items()
    }


def _has_pictures(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())
