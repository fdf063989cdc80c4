"""CVAT's functions, called as its agent calls them, with shapes in CVAT's numbers."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

import samkit
from samkit import Prompt, VideoPredictor
from samkit.errors import InputError
from samkit.media.frames import open_frames

cvat = pytest.importorskip("samkit.integrations.cvat", reason="needs the extra cvat")
masks_of_cvat = pytest.importorskip("cvat_sdk.masks")
cvataa = pytest.importorskip("cvat_sdk.auto_annotation")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def predictor():
    return samkit.load("pico", device="cpu")


@pytest.fixture(scope="module")
def frames():
    """Six frames of the cup, as CVAT gives them."""
    film = open_frames(EXAMPLES / "coffee.mp4")
    pictures = [Image.fromarray(film.read(2 * t)) for t in range(6)]
    film.close()
    return pictures


def prompts(pos=(), neg=(), box=None):
    return SimpleNamespace(pos_points=list(pos), neg_points=list(neg), bounding_box=box)


def decoded(shape, image):
    width, height = image.size
    return masks_of_cvat.decode_mask(shape.points, image_width=width, image_height=height)


def test_clicks_give_the_masks_of_the_library(predictor, frames):
    function = cvat.create(job="clicks")
    assert isinstance(function.spec, cvataa.InteractionFunctionSpec)
    image = function.preprocess_image(None, frames[0])
    cases = [
        (prompts(pos=[(200, 60)], neg=[(20, 20)]), Prompt.points([[200, 60], [20, 20]], [1, 0])),
        (prompts(box=((114, 0), (303, 188))), Prompt.box(114, 0, 303, 188)),
        (
            prompts(pos=[(200, 60)], box=((114, 0), (303, 188))),
            Prompt.point(200, 60) + Prompt.box(114, 0, 303, 188),
        ),
    ]
    for given, prompt in cases:
        (shape,) = function.detect(None, image, given)
        assert shape.type == "mask"
        expected = predictor.predict(frames[0], prompt).masks[0]
        assert (decoded(shape, frames[0]) == expected).all()
    assert function.detect(None, image, prompts()) == []


@pytest.mark.parametrize("kind", ["mask", "polygon"])
def test_shapes_are_tracked_as_by_the_library(predictor, frames, kind):
    function = cvat.create(job="tracking")
    assert kind in function.spec.supported_shape_types
    first = predictor.predict(frames[0], Prompt.box(114, 0, 303, 188)).cleaned(largest=True)
    mask = first.masks[0]
    if kind == "mask":
        points = masks_of_cvat.encode_mask(mask)
    else:
        points = first.polygons()[0][0].ravel().tolist()
    context = SimpleNamespace(original_shape_type=kind)
    images = [function.preprocess_image(context, frame) for frame in frames]
    shape = cvataa.TrackableShape(type=kind, points=points)
    state = function.init_tracking_state(context, images[0], shape)
    tracker = VideoPredictor(predictor)
    tracker.step(frames[0], {1: Prompt.mask(mask)})
    for frame, image in zip(frames[1:], images[1:], strict=True):
        found = function.track(context, image, state)
        expected = tracker.step(frame).masks[0]
        assert found.type == kind
        if kind == "mask":
            assert (decoded(found, frame) == expected).all()
            continue
        drawn = np.zeros(expected.shape, np.uint8)
        ring = np.array(found.points).reshape(-1, 2)
        cv2.fillPoly(drawn, [np.round(ring - 0.5).astype(np.int32)], 1)
        overlap = (drawn.astype(bool) & expected).sum() / (drawn.astype(bool) | expected).sum()
        assert overlap > 0.93


def test_two_shapes_do_not_disturb_each_other(frames):
    function = cvat.create(job="tracking")
    context = SimpleNamespace(original_shape_type="polygon")
    image, later = (function.preprocess_image(context, frames[t]) for t in (0, 1))
    squares = [[120, 20, 200, 20, 200, 90, 120, 90], [20, 20, 60, 20, 60, 70, 20, 70]]
    shapes = [cvataa.TrackableShape(type="polygon", points=one) for one in squares]
    alone = []
    for shape in shapes:
        state = function.init_tracking_state(context, image, shape)
        alone.append(function.track(context, later, state))
    states = [function.init_tracking_state(context, image, shape) for shape in shapes]
    together = [function.track(context, later, state) for state in states]
    assert together == alone


def test_bad_input(frames):
    with pytest.raises(InputError, match="job"):
        cvat.create(job="no")
    function = cvat.create(job="tracking")
    context = SimpleNamespace(original_shape_type="polygon")
    image = function.preprocess_image(context, frames[0])
    outside = cvataa.TrackableShape(type="polygon", points=[-9, -9, -5, -9, -5, -5])
    with pytest.raises(InputError, match="covers a pixel"):
        function.init_tracking_state(context, image, outside)
