"""Tasks of Label Studio: what it is given, and what its exports hold."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samkit import limits as limits_module
from samkit.errors import InputError
from samkit.masks import Masks
from samkit.masks.brush import encode_brush
from samkit.masks.datasets import open_dataset_writer, read_labelstudio

RNG = np.random.default_rng(0)
SIZE = (30, 40)


def rough_masks(count: int, size: tuple[int, int] = SIZE) -> Masks:
    small = RNG.random((count, size[0] // 5, size[1] // 5)) < 0.5
    return Masks(np.kron(small, np.ones((1, 5, 5))) > 0, np.linspace(0.9, 0.4, count))


def region(kind: str, value: Any, **changes: Any) -> dict[str, Any]:
    return {
        "type": kind, "from_name": "tag", "to_name": "image", "id": "aB3",
        "original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0,
        "value": value, **changes,
    }  # fmt: skip


def brush(mask: np.ndarray, label: str = "cup", **changes: Any) -> dict[str, Any]:
    value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": [label]}
    return region("brushlabels", value, **changes)


def export(*results: dict[str, Any], key: str = "annotations") -> list[dict[str, Any]]:
    return [{"id": 4, "data": {"image": "/data/upload/1/a.jpg"}, key: [{"result": list(results)}]}]


def load(folder: Path, data: Any) -> Masks:
    (folder / "tasks.json").write_text(json.dumps(data))
    return Masks.load(folder / "tasks.json")


def test_what_label_studio_is_given(tmp_path: Path) -> None:
    masks = rough_masks(2)
    masks.save(tmp_path / "a.json", format="labelstudio", image="photos/a.jpg",
               category=["cup", "table"])  # fmt: skip
    (task,) = json.loads((tmp_path / "a.json").read_text())
    assert task["data"] == {"image": "photos/a.jpg"}
    (prediction,) = task["predictions"]
    assert prediction["score"] == pytest.approx(masks.scores.mean())
    assert len({one["id"] for one in prediction["result"]}) == 2
    for one, label, score in zip(prediction["result"], ("cup", "table"), masks.scores, strict=True):
        # As in the template "Semantic Segmentation with Masks".
        assert (one["from_name"], one["to_name"], one["type"]) == ("tag", "image", "brushlabels")
        assert (one["original_height"], one["original_width"]) == SIZE
        assert one["value"]["format"] == "rle"
        assert one["value"]["brushlabels"] == [label]
        assert one["score"] == pytest.approx(score)
    again = Masks.load(tmp_path / "a.json")
    np.testing.assert_array_equal(again.masks, masks.masks)
    np.testing.assert_array_equal(again.scores, masks.scores)


def test_an_address_stays_as_it_is(tmp_path: Path) -> None:
    address = "/data/local-files/?d=photos//a.jpg"
    rough_masks(1).save(tmp_path / "a.json", format="labelstudio", image=address)
    assert json.loads((tmp_path / "a.json").read_text())[0]["data"] == {"image": address}


def test_empty_masks_are_left_out(tmp_path: Path) -> None:
    masks = Masks(np.stack([np.zeros(SIZE, bool), np.ones(SIZE, bool)]), [0.5, 0.75])
    masks.save(tmp_path / "a.json", format="labelstudio")
    assert Masks.load(tmp_path / "a.json").scores.tolist() == [0.75]
    masks[:1].save(tmp_path / "a.json", format="labelstudio")
    assert "score" not in json.loads((tmp_path / "a.json").read_text())[0]["predictions"][0]
    with pytest.raises(InputError, match=r"cannot load .*a\.json: expected a task with masks"):
        Masks.load(tmp_path / "a.json")
    assert list(read_labelstudio(tmp_path / "a.json")) == []


def test_many_images_in_one_file(tmp_path: Path) -> None:
    given = {"a/one.jpg": rough_masks(2), "b/one.jpg": rough_masks(1, (20, 25))}
    writer = open_dataset_writer(tmp_path / "all.json", ["cat", "dog"], format="labelstudio")
    for name, masks in given.items():
        writer.write(name, masks, ["dog", "cat"][: len(masks)])
    assert os.listdir(tmp_path) != ["all.json"], "not in place yet"
    writer.close()
    found = list(read_labelstudio(tmp_path / "all.json"))
    assert [one.image for one in found] == list(given)
    assert [one.category for one in found] == [["dog", "cat"], ["dog"]]
    for one, masks in zip(found, given.values(), strict=True):
        np.testing.assert_array_equal(one.masks.masks, masks.masks)
    with pytest.raises(InputError, match=r"got 2 tasks: use .*read_labelstudio"):
        Masks.load(tmp_path / "all.json")


def test_polygons_and_rectangles(tmp_path: Path) -> None:
    height, width = SIZE
    corners = [[10, 5], [30, 5], [30, 20], [10, 20]]
    points = [[100 * x / width, 100 * y / height] for x, y in corners]
    box = {"x": 25, "y": 100 / 6, "width": 50, "height": 50, "rotation": 0}
    masks = load(
        tmp_path,
        export(
            region("polygonlabels", {"points": points, "closed": True, "polygonlabels": ["a"]}),
            region("rectanglelabels", {**box, "rectanglelabels": ["b"]}),
            region("rectangle", {**box, "rotation": None}),
        ),
    )
    expected = np.zeros((3, *SIZE), bool)
    expected[0, 5:20, 10:30] = True
    expected[1:, 5:20, 10:30] = True
    np.testing.assert_array_equal(masks.masks, expected)
    (found,) = read_labelstudio(tmp_path / "tasks.json")
    assert found.category[:2] == ["a", "b"]
    assert found.image == "/data/upload/1/a.jpg"


def test_a_turned_rectangle(tmp_path: Path) -> None:
    """A quarter turn about its first corner, as the hands of a clock go: width goes down."""
    value = {"x": 50, "y": 10, "width": 25, "height": 20, "rotation": 90}
    expected = np.zeros(SIZE, bool)
    expected[3:13, 14:20] = True  # 10 pixels wide and 6 high before
    np.testing.assert_array_equal(
        load(tmp_path, export(region("rectangle", value))).masks, expected[None]
    )


def test_a_brush_whose_label_is_in_another_record(tmp_path: Path) -> None:
    mask = rough_masks(1).masks[0]
    value = {"format": "rle", "rle": encode_brush(mask)}
    data = export(
        region("brush", value),
        region("labels", {**value, "labels": ["cat"]}),
        region("brush", value, id="other"),
    )
    np.testing.assert_array_equal(load(tmp_path, data).masks, [mask, mask])
    (found,) = read_labelstudio(tmp_path / "tasks.json")
    assert found.category == ["cat", "object"]


def test_which_answer_counts(tmp_path: Path) -> None:
    one, two, three = (mask[None] for mask in rough_masks(3).masks)
    task: dict[str, Any] = {"data": {"image": "a.jpg"}}
    task["predictions"] = [{"result": [brush(one[0], score=0.25)]}]
    task["annotations"] = []
    found = load(tmp_path, task)  # a task alone is read too
    np.testing.assert_array_equal(found.masks, one)
    assert found.scores.tolist() == [0.25]
    task["annotations"] = [
        {"created_at": "2024-05-02T10:00:00Z", "result": [brush(two[0])]},
        {"created_at": "2024-05-01T10:00:00Z", "result": [brush(one[0])]},
        {"created_at": "2024-05-03T10:00:00Z", "result": [brush(three[0])], "was_cancelled": True},
    ]
    found = load(tmp_path, [task])
    np.testing.assert_array_equal(found.masks, two)
    assert found.scores.tolist() == [1]


def test_what_has_no_area_is_left_out(tmp_path: Path) -> None:
    mask = rough_masks(1).masks
    others = [region("keypointlabels", {"x": 1, "y": 2, "width": 1, "keypointlabels": ["a"]}),
              {"type": "choices", "value": {"choices": ["blurred"]}}]  # fmt: skip
    found = load(tmp_path, export(*others, brush(mask[0])))
    np.testing.assert_array_equal(found.masks, mask)


MASK = np.ones(SIZE, bool)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (export(), "expected a task with masks"),
        (export(brush(MASK, original_width=None)), "region 0: original_height and original_width"),
        (export(brush(MASK, original_width=10**9)), "expected at most"),
        (export(brush(MASK, original_width=41)), "region 0: rle: expected run lengths of 30 x 41"),
        (export(brush(MASK), brush(MASK, original_width=41)), "regions of one image size"),
        (export(brush(MASK, image_rotation=90)), "an image that was not turned"),
        (export(region("brush", None)), "region 0: expected a value, got None"),
        (export(region("brush", {})), "region 0: rle: expected a list of bytes"),
        (export(brush(MASK, score="high")), "scores"),
        (export(brush(MASK, score=[1, 2])), "scores"),
        (export(region("polygon", {"points": [[1, 2], [3, 4]]})), "points: expected three"),
        (export(region("polygon", {"points": [[1, 2], [3], [5, 6]]})), "points"),
        (export(region("polygon", {"points": [[1, 2], ["x", 4], [5, 6]]})), "points"),
        (export(region("polygon", {"points": [[1, 2], [1e9, 4], [5, 6]]})), "far outside"),
        (export(region("rectangle", {"x": 1, "y": 2, "width": 3})), "x, y, width and height"),
        (
            export(region("rectangle", {"x": 1, "y": 2, "width": 3, "height": 4, "rotation": "a"})),
            "rotation",
        ),
        ([*export(brush(MASK)), 3], "task 1: expected one of Label Studio"),
        ([{"data": {}, "annotations": 3}], "annotations: expected a list of objects, got 3"),
        ([{"data": {}, "annotations": [{"result": ["x"]}]}], "result: expected a list of objects"),
    ],
)  # fmt: skip
def test_damaged_tasks(tmp_path: Path, data: Any, reason: str) -> None:
    with pytest.raises(InputError, match=rf"cannot load .*tasks\.json: .*{reason}"):
        load(tmp_path, data)


def test_exports_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    for text, reason in (("[", "no JSON"), ("{}", "task 0"), ("[3]", "task 0")):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"tasks\.json.* {reason}"):
            list(read_labelstudio(path))
    path.write_text("[]")
    assert list(read_labelstudio(path)) == []
    with pytest.raises(InputError, match="no such file"):
        list(read_labelstudio(tmp_path / "none.json"))


def test_limits_hold_before_pixels_are_made(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(limits_module, "_set", {"image_pixels": 1000})
    value = {"x": 0, "y": 0, "width": 100, "height": 100}
    with pytest.raises(InputError, match="at most 1000 pixels, got 40 x 30"):
        load(tmp_path, export(region("rectangle", value)))


@pytest.mark.parametrize(
    ("name", "format", "reason"),
    [
        ("a.json", "yolo", "one of the formats coco, labelstudio, got 'yolo'"),
        ("a.json", 3, "one of the formats coco, labelstudio, got 3"),
        ("a.csv", "labelstudio", "one of the formats csv, got 'labelstudio'"),
    ],
)
def test_formats_that_do_not_go_with_a_suffix(tmp_path, name, format, reason) -> None:
    with pytest.raises(InputError, match=reason):
        open_dataset_writer(tmp_path / name, ["cat"], format=format)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_in_a_task(tmp_path: Path, spoilt, data: st.DataObject) -> None:
    """Only errors that say so."""
    small = MASK[:2, :2]
    sizes = {"original_height": 2, "original_width": 2}
    points = {"points": [[0, 0], [50, 0], [50, 50]], "polygonlabels": ["a"]}
    box = {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 10}
    tasks = export(
        brush(small, **sizes),
        region("polygonlabels", points, **sizes),
        region("rectangle", box, **sizes),
    )
    spoilt(data, tasks)
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(tasks))
    for read in (lambda: list(read_labelstudio(path)), lambda: Masks.load(path)):
        with contextlib.suppress(InputError):
            read()
