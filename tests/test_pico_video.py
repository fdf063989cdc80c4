"""The bundled network in video: `examples/coffee.mp4`, where the cup is known in every frame."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import samkit
from samkit import Prompt

CLIP = Path(__file__).parents[1] / "examples" / "coffee.mp4"
LENGTH, SIZE = 36, (240, 360)


def cup() -> np.ndarray:
    """The cup without its handle in `coffee.jpg`, drawn by hand: the rim's ellipse and the body."""
    y, x = np.mgrid[:400, :600]
    rim = ((x - 291) / 118) ** 2 + ((y - 107) / 90) ** 2 <= 1
    body = ((x - 291) / 112) ** 2 + ((y - 185) / 100) ** 2 <= 1
    return rim | body


def cup_in(frame: int) -> np.ndarray:
    """The same as the camera sees it, whose way over the photograph is known."""
    progress = frame / (LENGTH - 1)
    width = 480 - 150 * (0.5 - 0.5 * np.cos(np.pi * progress))
    height = width * 2 / 3
    far = (480 - width) / 150
    centre = (260 + 56 * np.sin(2 * np.pi * progress) + 40 * far, 195 - 30 * far)
    x = np.clip(centre[0] - width / 2, 0, 600 - width)
    y = np.clip(centre[1] - height / 2, 0, 400 - height)
    scale = SIZE[1] / width
    matrix = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]])
    seen = cv2.warpAffine(cup().astype(np.uint8), matrix, SIZE[::-1], flags=cv2.INTER_NEAREST)
    return seen.astype(bool)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


@pytest.fixture(scope="module")
def pico() -> samkit.ImagePredictor:
    return samkit.load("pico", device="cpu")


@pytest.mark.parametrize("kind", ["mask", "box and click"])
def test_the_cup_is_followed(pico: samkit.ImagePredictor, kind: str) -> None:
    prompt = Prompt.mask(cup_in(0))
    if kind != "mask":
        prompt = Prompt.box(114, 0, 303, 188) + Prompt.point(202, 86)
    with samkit.VideoPredictor(pico, CLIP) as tracker:
        tracker.prompt(0, 1, prompt)
        found = dict(tracker.track())
    assert list(found) == list(range(LENGTH))
    assert all(masks.presence[0] > 0.5 for masks in found.values())
    overlaps = [iou(found[frame].masks[0], cup_in(frame)) for frame in found]
    assert np.mean(overlaps) > 0.7
    # The mask moves with the cup: where it was at first fits worse.
    last = LENGTH - 1
    assert overlaps[last] > iou(cup_in(0), cup_in(last))


def test_the_way_of_the_camera() -> None:
    """What the tests take for the truth fits the frames: they show the photograph's pixels."""
    photo = samkit.read_image(CLIP.with_suffix(".jpg"))
    assert photo.shape == (400, 600, 3)
    inside, outside = cup(), ~cup()
    for frame in (0, 17, 35):
        pixels = samkit.media.frames.open_frames(CLIP).read(frame)
        seen = cup_in(frame)
        for there, here in ((inside, seen), (outside, ~seen)):
            assert np.abs(photo[there].mean(0) - pixels[here].mean(0)).max() < 25


def test_what_was_shown_is_found_again(pico: samkit.ImagePredictor) -> None:
    photo = samkit.read_image(CLIP.with_suffix(".jpg"))
    memory = samkit.MemoryPredictor(pico)
    memory.remember(photo, {7: Prompt.mask(cup())})
    masks = memory.predict(photo)
    assert masks.object_ids.tolist() == [7]
    assert masks.presence[0] > 0.5
    assert iou(masks.masks[0], cup()) > 0.5
