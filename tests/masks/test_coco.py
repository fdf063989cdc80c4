"""COCO files of one image: ours, others' and damaged ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from masks.helpers import assert_fields, write

from samkit.errors import InputError
from samkit.masks import Masks

RNG = np.random.default_rng(0)


def test_coco_round_trip(some: Masks, tmp_path: Path) -> None:
    some.save(tmp_path / "a.json")
    again = Masks.load(str(tmp_path / "a.json"))
    assert again.image_size == some.image_size
    assert_fields(again, some, "masks", "scores", "boxes", "object_ids", "prompt_index")
    if len(some):
        assert_fields(again, some, "presence")
    data = json.loads((tmp_path / "a.json").read_text())
    kinds = {one["name"]: one["id"] for one in data["categories"]}
    assert data["annotations"] == some.to_coco(category_id=[kinds[one] for one in some.names])
    assert data["images"][0]["height"] == some.image_size[0]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    masks = Masks(RNG.random((3, 5, 6)) < 0.5, [0.5, 0.6, 0.7])
    masks.save(tmp_path / "a.json")
    data_set = COCO(str(tmp_path / "a.json"))
    for i, annotation in enumerate(data_set.loadAnns(data_set.getAnnIds())):
        np.testing.assert_array_equal(data_set.annToMask(annotation), masks.masks[i])
    capsys.readouterr()


def test_coco_of_others(tmp_path: Path) -> None:
    masks = Masks(RNG.random((2, 5, 6)) < 0.5, [0.5, 0.6])
    data = {
        "images": [{"id": 9, "height": 5, "width": 6}],
        "annotations": [{"id": 3, "segmentation": one} for one in masks.to_rle()],
    }
    (tmp_path / "a.json").write_text(json.dumps(data))
    again = Masks.load(tmp_path / "a.json")
    assert again.scores.tolist() == [1, 1]
    assert_fields(again, masks, "masks", "boxes", "object_ids")


SIZE = {"id": 1, "height": 4, "width": 5}
FULL: dict[str, Any] = {"segmentation": {"size": [4, 5], "counts": [20]}}


def rle_of(**changes: Any) -> dict[str, Any]:
    return {"segmentation": {"size": [4, 5], "counts": [20], **changes}}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("\ud800".encode("utf-8", "surrogatepass"), "no JSON"),
        ("[" * 10**5, "at most 64 levels"),
        ("1" * 5000, "no JSON"),
        ([], "COCO data set"),
        ({}, "COCO data set"),
        ({"images": [], "annotations": []}, "got 0 images"),
        ({"images": [SIZE, SIZE], "annotations": []}, "got 2 images"),
        ({"images": None, "annotations": []}, "images: expected a list"),
        ({"images": {"a": SIZE}, "annotations": []}, "images: expected a list"),
        ({"images": ["x"], "annotations": []}, "images: expected a list"),
        ({"images": [{}], "annotations": []}, "the size of the image: expected"),
        ({"images": [{**SIZE, "height": "4"}], "annotations": []}, "size of the image: expected"),
        ({"images": [{**SIZE, "height": 4.0}], "annotations": []}, "size of the image: expected"),
        ({"images": [{**SIZE, "height": 10**40}], "annotations": []}, "size of the image: expec"),
        ({"images": [{**SIZE, "height": 0}], "annotations": []}, "size of the image: expected"),
        ({"images": [{**SIZE, "height": 2**31}], "annotations": []}, "expected at most 536870912"),
        ({"images": [SIZE], "annotations": [1]}, "annotations: expected a list"),
        ({"images": [SIZE], "annotations": {"a": 1}}, "annotations: expected a list"),
        ({"images": [SIZE], "annotations": [{}]}, "annotation 0: expected a segmentation"),
        ({"images": [SIZE], "annotations": [{**FULL, "image_id": 2}]}, "expected the image_id 1"),
        ({"images": [SIZE], "annotations": [{**FULL, "bbox": [1, 2, 3]}]}, "bbox of shape"),
        ({"images": [SIZE], "annotations": [{**FULL, "bbox": [1, [2], 3, 4]}]}, "bbox as an array"),
        ({"images": [SIZE], "annotations": [{**FULL, "bbox": "x"}]}, "bbox as an array"),
        ({"images": [SIZE], "annotations": [{**FULL, "bbox": [1, 2, 3, 1e999]}]}, "bbox to be fin"),
        (
            {"images": [SIZE], "annotations": [{**FULL, "score": float("nan")}]},
            "scores to be finite",
        ),
        ({"images": [SIZE], "annotations": [{**FULL, "score": 10**400}]}, "scores as an array"),
        ({"images": [SIZE], "annotations": [{**FULL, "score": None}]}, "scores as an array"),
        ({"images": [SIZE], "annotations": [{**FULL, "object_id": 2**70}]}, "object_ids of int"),
        ({"images": [SIZE], "annotations": [{**FULL, "object_id": 1.5}]}, "object_ids of int"),
        ({"images": [SIZE], "annotations": [rle_of(size=[[4], [5]])]}, "RLE 0 of size"),
        ({"images": [SIZE], "annotations": [rle_of(size="45")]}, "RLE 0 of size"),
        ({"images": [SIZE], "annotations": [rle_of(size=4)]}, "RLE 0 of size"),
        ({"images": [SIZE], "annotations": [rle_of(counts=None)]}, "counts of RLE 0"),
        ({"images": [SIZE], "annotations": [rle_of(counts=[[20]])]}, "counts of RLE 0"),
        ({"images": [SIZE], "annotations": [rle_of(counts=[20, []])]}, "counts of RLE 0"),
        ({"images": [SIZE], "annotations": [rle_of(counts=[20.0])]}, "counts of RLE 0"),
        ({"images": [SIZE], "annotations": [rle_of(counts=[10**30])]}, "counts of RLE 0"),
        ({"images": [SIZE], "annotations": [rle_of(counts=[2**64 - 1])]}, "fill 4 x 5"),
        ({"images": [SIZE], "annotations": [rle_of(counts=["20"])]}, "counts of RLE 0"),
        ({"images": [SIZE], "annotations": [rle_of(counts="\ud800")]}, "counts of RLE 0"),
        ({"images": [SIZE], "annotations": [{"segmentation": [[1, 2, 3, 4]]}]}, "RLE 0"),
        (
            {
                "images": [SIZE],
                "annotations": [{"segmentation": {"size": [4, 5], "counts": [20]}, "score": "x"}],
            },
            "scores as an array of numbers",
        ),
    ],
)
def test_damaged_json(tmp_path: Path, data: Any, reason: str) -> None:
    write(tmp_path / "a.json", data)
    with pytest.raises(InputError, match=f"cannot load .*a.json: .*{reason}"):
        Masks.load(tmp_path / "a.json")


def test_coco_files_name_their_image(some: Masks, tmp_path: Path) -> None:
    some.save(tmp_path / "a.json", image="photos/dog.jpg")
    assert json.loads((tmp_path / "a.json").read_text())["images"][0]["file_name"] == "dog.jpg"
    some.save(tmp_path / "a.npz", image="photos/dog.jpg")
    assert_fields(Masks.load(tmp_path / "a.npz"), some, "masks", "scores")
