"""Images from everything that a source can be, in the right colours; and what is no source."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from videos import number_of

from samkit.compat.ultralytics.arrays import rgb_images
from samkit.compat.ultralytics.sources import open_video, source_images
from samkit.errors import ImageError, InputError


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.roll(photo, i, axis=0))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def all_of(source: object) -> list[np.ndarray]:
    return [image.pixels for image in source_images(source)]


def test_arrays_are_bgr_all_others_rgb(folder: Path, photo: np.ndarray) -> None:
    rgb = photo[..., ::-1]
    tensor = torch.from_numpy(rgb.transpose(2, 0, 1).copy())
    alike = [
        photo,
        Image.fromarray(rgb),
        tensor,
        tensor.float() / 255,
        tensor[None],
        folder / "0.png",
        str(folder / "0.png"),
        (folder / "0.png").as_uri(),
        [photo],
    ]
    for source in alike:
        (pixels,) = all_of(source)
        assert np.array_equal(pixels, rgb), type(source)
        assert pixels.dtype == np.uint8


def test_folders_patterns_lists_and_videos(folder: Path, clip: Path, photo: np.ndarray) -> None:
    assert len(all_of(folder)) == 3
    assert len(all_of(folder / "[01].png")) == 2
    mixed = [folder / "1.png", photo, Image.fromarray(photo), torch.zeros(2, 3, 8, 9)]
    assert [pixels.shape for pixels in all_of(mixed)] == [(50, 83, 3)] * 3 + [(8, 9, 3)] * 2
    assert [number_of(pixels) for pixels in all_of(clip)] == list(range(12))
    assert [number_of(pixels) for pixels in all_of([clip, clip])] == list(range(12)) * 2


def test_paths_and_frames(folder: Path, clip: Path, photo: np.ndarray) -> None:
    assert [Path(image.path).name for image in source_images(folder)] == ["0.png", "1.png", "2.png"]
    assert [image.path for image in source_images([photo, photo])] == ["image0.jpg", "image1.jpg"]
    assert [image.path for image in source_images(Image.open(folder / "1.png"))] == [
        str(folder / "1.png")
    ]
    last = list(source_images(clip))[-1]
    assert (last.path, last.frame) == (str(clip), 11)
    assert [image.frame for image in source_images(photo)] == [None]


def test_files_are_read_when_their_turn_comes(folder: Path) -> None:
    (folder / "1.png").write_bytes(b"damaged")
    images = source_images(folder)
    next(images)
    with pytest.raises(ImageError, match=r"1\.png"):
        next(images)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((9, 8), np.uint8), r"\(H, W, 3\) of uint8 in BGR, got shape \(9, 8\).*GRAY2BGR"),
        (np.zeros((9, 8, 1), np.uint8), r"got shape \(9, 8, 1\).*GRAY2BGR"),
        (np.zeros((9, 8, 4), np.uint8), r"got shape \(9, 8, 4\).*alpha"),
        (np.zeros((3, 9, 8), np.uint8), r"got shape \(3, 9, 8\)"),
        (np.zeros((2, 9, 8, 3), np.uint8), r"got shape \(2, 9, 8, 3\)"),
        (np.zeros((0, 8, 3), np.uint8), r"got shape \(0, 8, 3\)"),
        (np.zeros((9, 8, 3), np.uint16), "uint8 in BGR, got uint16.*257"),
        (np.full((9, 8, 3), np.nan, np.float32), "got float32"),
        (np.zeros((9, 8, 3)), "uint8 in BGR, got float64"),
        (np.ma.masked_equal(np.eye(3, dtype=np.uint8)[None], 1), "no masked values"),
        (np.broadcast_to(np.uint8(0), (2**20, 2**20, 3)), "at most 536870912 pixels"),
        (torch.zeros(9, 8), r"\(3, H, W\).*got shape \(9, 8\)"),
        (torch.zeros(4, 9, 8), r"got shape \(4, 9, 8\)"),
        (torch.zeros(3, 9, 8, dtype=torch.int64), "int64"),
        (torch.full((3, 9, 8), torch.nan), "NaN"),
        (torch.full((3, 9, 8), 200.0), "0..1"),
        ([], "at least one image, got an empty list"),
        ("missing.jpg", "missing.jpg"),
        ("", "empty"),
        (3.5, "got float"),
        ({}, "got dict"),
    ],
)
def test_bad_sources(source: object, message: str) -> None:
    with pytest.raises((ImageError, InputError), match=message) as caught:
        all_of(source)
    assert isinstance(caught.value, ValueError)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no image in the folder"):
        source_images(tmp_path)


def test_videos(folder: Path, clip: Path, frames: np.ndarray) -> None:
    rgb = frames[..., ::-1]
    tensor = torch.from_numpy(rgb.transpose(0, 3, 1, 2).copy())
    for source in (frames, list(frames), iter(frames), (f for f in frames), tensor, list(tensor)):
        video = open_video(source)
        assert np.array_equal(video.frames.read(3), rgb[3])
        assert video.image(3).frame == 3
    assert number_of(open_video(clip).image(7).pixels) == 7
    assert open_video(clip).image(7).path == str(clip)
    pictures = open_video(folder)
    assert pictures.frames.count == 3
    assert pictures.image(2).path == str(folder / "2.png")


@pytest.mark.parametrize(
    "source",
    [
        "missing.mp4",
        np.zeros((9, 8, 3), np.uint8),
        np.zeros((2, 9, 8, 4), np.uint8),
        np.zeros((2, 9, 8, 3), np.float32),
        torch.zeros(3, 9, 8),
        [],
        3.5,
    ],
)
def test_bad_videos(source: object) -> None:
    with pytest.raises((ImageError, InputError)):
        open_video(source)


def test_lists_that_are_no_images() -> None:
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(InputError, match="got lists within lists"):
        source_images(nested)
    for wrong in ([[1, 2], [3]], torch.zeros(3, device="meta"), object()):
        with pytest.raises(ImageError, match=r"expected an array \(H, W, 3\) of uint8 in BGR"):
            rgb_images([wrong])
    for wrong in (np.array(1), torch.ones(()), []):
        with pytest.raises(ImageError, match="expected a list of images"):
            rgb_images(wrong)
