"""The masks of many images in one file, as others read them."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from samkit.errors import InputError
from samkit.masks import Masks
from samkit.masks.datasets import open_dataset_writer

RNG = np.random.default_rng(0)
NAMES = ("cat", "dog")


def some_masks(count: int, size: tuple[int, int]) -> Masks:
    return Masks(RNG.random((count, *size)) < 0.5, np.linspace(1, 0.5, count))


IMAGES = {"a/one.jpg": some_masks(2, (5, 6)), "a/none.jpg": some_masks(0, (7, 3)),
          "b/one.jpg": some_masks(1, (4, 4))}  # fmt: skip


def write(path: Path) -> None:
    writer = open_dataset_writer(path, NAMES)
    for name, masks in IMAGES.items():
        writer.write(name, masks, ["dog", "cat"][: len(masks)])
    writer.close()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_images_categories_and_masks(tmp_path: Path, capsys) -> None:
    from pycocotools.coco import COCO

    write(tmp_path / "all.json")
    data = COCO(str(tmp_path / "all.json"))
    assert [one["file_name"] for one in data.loadImgs(data.getImgIds())] == list(IMAGES)
    assert [one["name"] for one in data.loadCats(data.getCatIds())] == list(NAMES)
    assert sorted(data.getAnnIds()) == [1, 2, 3]
    for image, masks in zip(data.loadImgs(data.getImgIds()), IMAGES.values(), strict=True):
        assert (image["height"], image["width"]) == masks.image_size
        found = data.loadAnns(data.getAnnIds(imgIds=image["id"]))
        assert [one["category_id"] for one in found] == [2, 1][: len(masks)]
        for annotation, mask in zip(found, masks.masks, strict=True):
            np.testing.assert_array_equal(data.annToMask(annotation), mask)
    capsys.readouterr()


def test_a_row_for_each_mask(tmp_path: Path) -> None:
    write(tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file_name"] for row in rows] == ["a/one.jpg", "a/one.jpg", "b/one.jpg"]
    assert [row["category"] for row in rows] == ["dog", "cat", "dog"]
    areas = [area for masks in IMAGES.values() for area in masks.areas]
    assert [int(row["area"]) for row in rows] == areas


def test_a_line_for_each_mask(tmp_path: Path) -> None:
    write(tmp_path / "all.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [line["file_name"] for line in lines] == ["a/one.jpg", "a/one.jpg", "b/one.jpg"]
    found = Masks.from_rle([line["segmentation"] for line in lines[:2]], (5, 6), [1, 1])
    np.testing.assert_array_equal(found.masks, IMAGES["a/one.jpg"].masks)


KINDS = [(".json", None), (".json", "labelstudio"), (".jsonl", None), (".csv", None)]


@pytest.mark.parametrize(("suffix", "format"), KINDS)
def test_what_is_not_finished_is_not_there(tmp_path: Path, suffix: str, format: str | None) -> None:
    path = tmp_path / f"all{suffix}"
    path.write_text("before")
    writer = open_dataset_writer(path, NAMES, format=format)
    writer.write("one.jpg", IMAGES["a/one.jpg"], ["cat", "dog"])
    writer.discard()
    writer.close()
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_text() == "before"


@pytest.mark.parametrize(("suffix", "format"), KINDS)
@pytest.mark.parametrize(("category", "reason"), [(["cat", "cow"], "got cow"), (["cat"], "got 1")])
def test_categories_that_are_not_known(tmp_path, suffix, format, category, reason) -> None:
    writer = open_dataset_writer(tmp_path / f"all{suffix}", NAMES, format=format)
    with pytest.raises(InputError, match=reason):
        writer.write("one.jpg", IMAGES["a/one.jpg"], category)
    writer.discard()
    assert os.listdir(tmp_path) == []


def test_other_suffixes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"files \.json, \.jsonl, \.csv"):
        open_dataset_writer(tmp_path / "all.npz", NAMES)


def test_categories_in_the_files_of_one_image(tmp_path: Path) -> None:
    masks = IMAGES["a/one.jpg"]
    masks.save(tmp_path / "a.json", category=["dog", "cat"])
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert [one["category_id"] for one in data["annotations"]] == [2, 1]
    masks.save(tmp_path / "a.txt", category="dog", categories=["cow", "cat", "dog"])
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["2", "2"]
    for wrong in (["dog"], 3, ["dog", 4]):
        with pytest.raises(InputError, match="category"):
            masks.save(tmp_path / "b.json", category=wrong)
    with pytest.raises(InputError, match="expected one of cat, got dog"):
        masks.save(tmp_path / "b.json", category="dog", categories=["cat"])
