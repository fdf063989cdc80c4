"""Results: what they hold, and how they are shown and written."""

import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from samkit.compat.ultralytics import Results
from samkit.errors import InputError
from samkit.masks import Masks


def make(**changes: object) -> Results:
    """Two parts, nothing, and a square with a hole, in an image 20 x 30."""
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 2:6, 4:10] = masks[0, 10:12, 20:25] = True
    masks[2, 5:15, 5:15] = True
    masks[2, 8:10, 8:10] = False
    image = np.full((20, 30, 3), (250, 120, 10), np.uint8)
    scores = np.array([0.9, 0.1, 0.5], np.float32)
    core = Masks(masks, scores, object_ids=changes.pop("ids", None))  # type: ignore[arg-type]
    return Results(image, "folder/dog.png", core, scores, **changes)  # type: ignore[arg-type]


def test_what_it_holds() -> None:
    result = make(conf=0.4)
    assert len(result) == len(result.masks) == len(result.boxes) == 3
    assert result.orig_shape == (20, 30)
    assert result.path == "folder/dog.png"
    assert result.names == {0: "0", 1: "1", 2: "2"}
    assert result.masks.data.shape == (3, 20, 30)
    assert result.masks.data.dtype == torch.bool
    assert result.masks.data.sum((1, 2)).tolist() == [34, 0, 96]
    assert result.boxes.xyxy.tolist() == [[4, 2, 25, 12], [0, 0, 0, 0], [5, 5, 15, 15]]
    assert result.boxes.xywh[0].tolist() == [14.5, 7, 21, 10]
    assert result.boxes.xyxyn[0].tolist() == pytest.approx([4 / 30, 0.1, 25 / 30, 0.6])
    assert result.boxes.xywhn[2].tolist() == pytest.approx([10 / 30, 0.5, 10 / 30, 0.5])
    assert result.boxes.conf.tolist() == pytest.approx([0.9, 0.1, 0.5])
    assert result.boxes.cls.tolist() == [0, 1, 2]
    assert result.boxes.data.shape == (3, 6)
    assert result.boxes.id is None
    assert result.confident.tolist() == [True, False, True]
    assert repr(result) == "<Results: 3 masks in folder/dog.png, 20 x 30>"


def test_ids_of_any_size_are_exact() -> None:
    ids = [2**40 + 1, -7, 2**24 + 1]
    result = make(ids=ids, has_ids=True)
    assert result.boxes.cls.tolist() == ids
    assert result.boxes.id is not None
    assert result.boxes.id.tolist() == ids
    assert result.names[-7] == "-7"


def area(polygon: np.ndarray) -> float:
    x, y = polygon.astype(float).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def test_polygons() -> None:
    result = make()
    assert [ring.shape[1] for ring in result.masks.xy] == [2, 2, 2]
    assert [area(ring) for ring in result.masks.xy[::2]] == [34, 100]  # the hole is filled
    assert len(result.masks.xy[1]) == 0
    ring = result.masks.xyn[0]
    assert ring.dtype == np.float32
    assert (ring * [30, 20]).round(3).tolist() == result.masks.xy[0].tolist()


@pytest.mark.parametrize(
    ("index", "kept"),
    [
        (1, [1]),
        (-1, [2]),
        (slice(1, None), [1, 2]),
        ([2, 0], [2, 0]),
        (np.array([True, False, True]), [0, 2]),
        (torch.tensor([True, False, True]), [0, 2]),
        (torch.tensor([2]), [2]),
        ([], []),
    ],
)
def test_indexing(index: object, kept: list[int]) -> None:
    result = make()
    some = result[index]
    assert isinstance(some, Results)
    assert some.boxes.cls.tolist() == kept
    assert torch.equal(some.masks.data, result.masks.data[kept])
    assert torch.equal(result.boxes[index].data, result.boxes.data[kept])
    assert torch.equal(result.masks[index].data, result.masks.data[kept])
    assert some.names == result.names


def test_iterating_over_results_boxes_and_masks() -> None:
    result = make(conf=0.4)
    assert [one.boxes.cls.item() for one in result] == [0, 1, 2]  # type: ignore[attr-defined]
    assert [box.xyxy.shape for box in result.boxes] == [(1, 4)] * 3  # type: ignore[attr-defined]
    assert [len(mask.data) for mask in result.masks] == [1, 1, 1]  # type: ignore[attr-defined]
    assert len(result[result.boxes.conf > 0.4]) == len(result[result.confident]) == 2
    with pytest.raises(IndexError):
        result[3]


def test_plot_is_bgr_and_changes_nothing() -> None:
    result = make()
    before = result.orig_img.copy()
    plain = result[[]].plot()
    assert np.array_equal(plain, before)
    drawn = result.plot(boxes=False, labels=False)
    assert drawn.shape == (20, 30, 3)
    inside = result.masks.data.any(0).numpy()
    assert np.array_equal(drawn[~inside], before[~inside])
    assert (drawn[3, 5] != before[3, 5]).any()
    assert np.array_equal(result.orig_img, before)
    labelled = result.plot()
    assert not np.array_equal(labelled, result.plot(labels=False))
    assert not np.array_equal(result.plot(labels=False), drawn)


def test_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = make()
    assert result.save() == "results_dog.png"
    picture = cv2.imread("results_dog.png")
    assert picture is not None
    assert np.array_equal(picture, result.plot())
    assert result.save(tmp_path / "other" / "x.jpg") == str(tmp_path / "other" / "x.jpg")
    assert cv2.imread(str(tmp_path / "other" / "x.jpg")) is not None
    assert make(frame=3).save() == "results_dog_000003.jpg"
    with pytest.raises(InputError, match="txt"):
        result.save(tmp_path / "x.txt")


def test_show(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Image.Image] = []
    monkeypatch.setattr(Image.Image, "show", lambda image: shown.append(image))
    result = make()
    result.show()
    assert np.array_equal(np.asarray(shown[0])[..., ::-1], result.plot())


def test_save_txt_is_yolo_segmentation(tmp_path: Path) -> None:
    result, path = make(), tmp_path / "labels" / "dog.txt"
    assert result.save_txt(path) == str(path)
    rows = [line.split() for line in path.read_text().splitlines()]
    assert [row[0] for row in rows] == ["0", "2"]
    for row, mask in zip(rows, result.masks.data[[0, 2]].numpy(), strict=True):
        numbers = np.array(row[1:], float)
        assert len(numbers) % 2 == 0
        assert len(numbers) >= 6
        assert ((numbers >= 0) & (numbers <= 1)).all()
        corners = numbers.reshape(-1, 2) * [30, 20]
        drawn = np.zeros((20, 30), np.uint8)
        # Pixel centres are at whole numbers for OpenCV; an eighth inside tells the sides apart.
        inner = [np.round((corners * 8 - 4) * 1).astype(np.int32)]
        cv2.fillPoly(drawn, inner, 1, shift=3)
        assert drawn[mask].mean() == 1
    result.save_txt(path, save_conf=True)
    rows = [line.split() for line in path.read_text().splitlines()]
    assert [row[-1] for row in rows] == ["0.900000", "0.500000"]
    assert len(rows) == 2  # written anew


def test_summary_and_json() -> None:
    result = make()
    first, empty, last = result.summary()
    assert first["name"] == "0"
    assert first["class"] == 0
    assert first["confidence"] == 0.9
    assert first["box"] == {"x1": 4.0, "y1": 2.0, "x2": 25.0, "y2": 12.0}
    assert "track_id" not in first
    assert empty["segments"] == {"x": [], "y": []}
    assert sorted(set(last["segments"]["x"])) == sorted(set(last["segments"]["y"])) == [5, 15]
    normalised = result.summary(normalize=True, decimals=2)[0]
    assert normalised["box"] == {"x1": 0.13, "y1": 0.1, "x2": 0.83, "y2": 0.6}
    assert json.loads(result.to_json()) == result.summary()
    assert make(has_ids=True).summary()[2]["track_id"] == 2
    assert json.loads(result[[]].to_json()) == []


def test_supervision_takes_them() -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    found = supervision.Detections.from_ultralytics(make(has_ids=True))
    assert found.xyxy.tolist() == make().boxes.xyxy.tolist()
    assert found.mask.sum((1, 2)).tolist() == [34, 0, 96]
    assert found.tracker_id.tolist() == [0, 1, 2]


def test_what_supervision_reads() -> None:
    """The attributes that `supervision.Detections.from_ultralytics` uses, as it uses them."""
    result = make(has_ids=True)
    assert getattr(result, "obb", None) is None
    assert result.boxes is not None
    assert result.boxes.xyxy.cpu().numpy().shape == (3, 4)
    classes = result.boxes.cls.cpu().numpy().astype(int)
    assert [result.names[i] for i in classes] == ["0", "1", "2"]
    assert result.boxes.conf.cpu().numpy().shape == (3,)
    assert result.boxes.id is not None
    assert result.boxes.id.int().cpu().numpy().tolist() == [0, 1, 2]
    assert result.masks
    assert result.masks.data.cpu().numpy().shape[1:] == result.orig_shape
    assert not result[[]].masks  # no masks at all


def test_arguments_of_other_types(tmp_path: Path) -> None:
    result = make()
    text = tmp_path / "dog.txt"
    for wrong in ("no", 2, np.ones(2), None):
        for call, name in (
            (result.plot, "boxes"),
            (result.plot, "labels"),
            (partial(result.save_txt, text), "save_conf"),
            (result.summary, "normalize"),
        ):
            with pytest.raises(InputError, match=f"{name}: expected True or False"):
                call(**{name: wrong})
    for wrong in (1.5, "2", None, np.ones(2)):
        with pytest.raises(InputError, match="decimals: expected a whole number"):
            result.to_json(decimals=wrong)
    for wrong in (3, b"dog.png", "a\0.png", []):
        with pytest.raises(InputError, match="expected the path of the picture"):
            result.save(wrong)
    for index in (2**63, [[1], [2, 3]], "0", torch.zeros(2, device="meta"), [object()]):
        for part in (result, result.masks, result.boxes):
            with pytest.raises(IndexError, match="3 masks"):
                part[index]
    assert not any(tmp_path.iterdir())
