"""Files of LabelMe: as it shows and draws them, and as people draw them there."""

import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from samkit import limits as limits_module
from samkit.errors import InputError
from samkit.masks import Masks
from samkit.masks.documents import read_document

SIZE = (60, 80)
Y, X = np.ogrid[: SIZE[0], : SIZE[1]]
DISC = (Y - 30) ** 2 + (X - 40) ** 2 < 20**2
TWO = ((Y - 12) ** 2 + (X - 15) ** 2 < 100) | ((Y - 45) ** 2 + (X - 60) ** 2 < 120)
RING = DISC & ((Y - 28) ** 2 + (X - 43) ** 2 >= 8**2)


def document(shapes: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": "a.jpg",
        "imageData": None, "imageHeight": SIZE[0], "imageWidth": SIZE[1], **changes,
    }  # fmt: skip


def load(folder: Path, data: dict[str, Any]) -> Masks:
    (folder / "a.json").write_text(json.dumps(data))
    return Masks.load(folder / "a.json")


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def drawn(shape: dict[str, Any]) -> np.ndarray:
    """As LabelMe's own converters draw shapes: polygons by Pillow, pictures between two pixels."""
    if shape["shape_type"] == "mask":
        (x0, y0), (x1, y1) = shape["points"]
        mask = np.zeros(SIZE, bool)
        picture = Image.open(io.BytesIO(base64.b64decode(shape["mask"])))
        mask[y0 : y1 + 1, x0 : x1 + 1] = np.array(picture).astype(bool)
        return mask
    picture = Image.new("L", SIZE[::-1])
    points = [tuple(point) for point in shape["points"]]
    ImageDraw.Draw(picture).polygon(points, outline=1, fill=1)
    return np.array(picture) > 0


def test_what_labelme_opens(tmp_path: Path) -> None:
    masks = Masks(np.stack([DISC, TWO, RING]), [0.9, 0.8, 0.7], object_ids=[4, 7, 9])
    (tmp_path / "labels").mkdir()
    path = tmp_path / "labels" / "a.json"
    masks.save(path, format="labelme", image=tmp_path / "photos" / "a.jpg",
               category=["disc", "two", "ring"])  # fmt: skip
    data = json.loads(path.read_text())
    assert (path.parent / data["imagePath"]).resolve() == tmp_path / "photos" / "a.jpg"
    assert data["imageData"] is None
    assert (data["imageHeight"], data["imageWidth"]) == SIZE
    assert isinstance(data["version"], str)
    found = [(one["label"], one["group_id"], one["shape_type"]) for one in data["shapes"]]
    assert found == [
        ("disc", 4, "polygon"), ("two", 7, "polygon"), ("two", 7, "polygon"), ("ring", 9, "mask")
    ]  # fmt: skip
    for one in data["shapes"]:
        assert one["flags"] == {}
        assert all(type(v) in (int, float) for point in one["points"] for v in point)
        if one["shape_type"] == "polygon":
            assert 8 <= len(one["points"]) < 40, "corners that can be moved by hand"
    disc, first, second, ring = map(drawn, data["shapes"])
    assert iou(disc, DISC) > 0.93  # Pillow adds half a pixel all round
    assert iou(first | second, TWO) > 0.9
    np.testing.assert_array_equal(ring, RING)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    masks = Masks(np.stack([DISC, TWO, RING]), [0.5, 0.25, 0.75], object_ids=[4, 7, 9])
    masks.save(tmp_path / "a.json", format="labelme", image="a.jpg")
    again = Masks.load(tmp_path / "a.json")
    assert again.scores.tolist() == [0.5, 0.25, 0.75]
    assert again.object_ids.tolist() == [4, 7, 9]
    assert again.image_size == SIZE
    for one, other in zip(again.masks, masks.masks, strict=True):
        assert iou(one, other) > 0.95
    np.testing.assert_array_equal(again.masks[2], RING)


def test_candidates_of_one_object_stay_apart(tmp_path: Path) -> None:
    masks = Masks(np.stack([DISC, TWO]), [0.5, 0.25], object_ids=[3, 3])
    masks.save(tmp_path / "a.json", format="labelme", image="a.jpg")
    assert len(Masks.load(tmp_path / "a.json")) == 2


def test_an_empty_mask_has_no_shape(tmp_path: Path) -> None:
    masks = Masks(np.zeros((1, *SIZE), bool), [1])
    masks.save(tmp_path / "a.json", format="labelme", image="a.jpg")
    again = Masks.load(tmp_path / "a.json")
    assert len(again) == 0
    assert again.image_size == SIZE


def test_labelme_needs_the_path_of_its_image(tmp_path: Path) -> None:
    masks = Masks(DISC[None], [1])
    for image in (None, np.zeros((*SIZE, 3), np.uint8)):
        with pytest.raises(InputError, match=r"a\.json: the format labelme names the image"):
            masks.save(tmp_path / "a.json", format="labelme", image=image)
    assert list(tmp_path.iterdir()) == []


def test_shapes_that_people_draw(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.fromarray(RING[11:50, 21:61].astype(np.uint8)).save(png, "PNG")
    shapes = [
        {"label": "a", "shape_type": "rectangle", "points": [[30, 20], [10, 5]]},
        {"label": "b", "shape_type": "circle", "points": [[40, 30], [60, 30]]},
        {"label": "c", "points": [[10, 5], [30, 5], [30, 20], [10, 20]]},
        {"label": "d", "shape_type": "polygon", "points": [[10, 5], [30, 5], [30, 20]],
         "group_id": 5},
        {"label": "e", "shape_type": "line", "points": [[1, 1], [2, 2]]},
        {"label": "f", "shape_type": "point", "points": [[1, 1]]},
        {"label": "g", "shape_type": "mask", "points": [[21, 11], [60, 49]],
         "mask": base64.b64encode(png.getvalue()).decode()},
        {"label": "d", "shape_type": "polygon", "points": [[10, 5], [30, 20], [10, 20]],
         "group_id": 5},
        {"label": "other", "points": [[0, 0], [4, 0], [4, 4]], "group_id": 5},
    ]  # fmt: skip
    masks = load(tmp_path, document(shapes))
    box = np.zeros(SIZE, bool)
    box[5:20, 10:30] = True
    assert len(masks) == 6
    for i in (0, 2, 3):
        np.testing.assert_array_equal(masks.masks[i], box)
    assert masks.areas[1] == pytest.approx(np.pi * 20**2, rel=0.01)
    np.testing.assert_array_equal(masks.masks[4], RING)
    assert masks.areas[5] in range(6, 11)
    assert masks.scores.tolist() == [1] * 6
    assert masks.object_ids.tolist() == list(range(6))


POLYGON = {"label": "a", "shape_type": "polygon", "points": [[1, 1], [9, 1], [9, 9]]}
PICTURE = {"label": "a", "shape_type": "mask", "points": [[1, 1], [9, 9]]}


def png_of(height: int, width: int) -> str:
    file = io.BytesIO()
    Image.new("L", (width, height), 1).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (document([POLYGON], imageHeight=None), "imageHeight and imageWidth"),
        (document([POLYGON], imageWidth=10**9), "the image: expected at most"),
        ({"shapes": 3, "imagePath": "", "imageHeight": 4, "imageWidth": 5}, "shapes: expected"),
        (document(["polygon"]), "shapes: expected a list of objects"),  # type: ignore[list-item]
        (document([{**POLYGON, "points": None}]), "shape 0: points: expected 3 and more"),
        (document([{**POLYGON, "points": [[1, 1], [2, 2]]}]), "points: expected 3 and more"),
        (document([{**POLYGON, "points": [[1, 1], [2, 2], [3]]}]), "shape 0: points"),
        (document([{**POLYGON, "points": [[1, 1], [2, 2], [3, None]]}]), "shape 0: points"),
        (document([{**POLYGON, "points": [[1, 1], [2, 2], [1e9, 3]]}]), "far outside"),
        (document([{**POLYGON, "score": "high"}]), "scores"),
        (document([{**POLYGON, "shape_type": "circle"}]), "points: expected 2"),
        (document([PICTURE]), "shape 0: mask"),
        (document([{**PICTURE, "mask": 3}]), "shape 0: mask"),
        (document([{**PICTURE, "mask": "ä"}]), "shape 0: mask"),
        (document([{**PICTURE, "mask": "AAAA"}]), "shape 0: mask"),
        (document([{**PICTURE, "mask": png_of(9, 8)}]), r"expected a mask of \(9, 9\)"),
        (
            document([{**PICTURE, "points": [[75, 1], [83, 9]], "mask": png_of(9, 9)}]),
            "a mask in an image of",
        ),
        (
            document([{**PICTURE, "points": [[-1e30, 1], [7, 9]], "mask": png_of(9, 9)}]),
            "a mask in an image of",
        ),
    ],
)
def test_damaged_files(tmp_path: Path, data: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=rf"cannot load .*a\.json: .*{reason}"):
        load(tmp_path, data)


def test_limits_hold_for_pictures_in_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(limits_module, "_set", {"image_pixels": 60 * 80})
    assert len(load(tmp_path, document([POLYGON]))) == 1
    with pytest.raises(InputError, match="at most 4800 pixels"):
        load(tmp_path, document([{**PICTURE, "mask": png_of(100, 100)}]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_in_a_file(spoilt, data: st.DataObject) -> None:
    """Only errors that say so; `Masks.load` would turn others into such."""
    shapes = [POLYGON, {**POLYGON, "shape_type": "circle", "points": [[5, 5], [9, 5]]},
              {**PICTURE, "mask": png_of(9, 9), "group_id": 3, "score": 0.5}]  # fmt: skip
    file = json.loads(json.dumps(document(shapes)))
    spoilt(data, file)
    with contextlib.suppress(InputError):
        read_document(json.dumps(file).encode())
