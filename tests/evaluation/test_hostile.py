"""Annotated images that are damaged, lead elsewhere, or ask for more than they hold."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from samkit import limits as limits_module
from samkit.errors import InputError, SamkitError
from samkit.evaluation import open_dataset, open_sequences
from samkit.evaluation.datasets import CocoDataset, MaskFolderDataset, read_label_map

IMAGE: dict[str, Any] = {"id": 1, "file_name": "a.png"}
SQUARE: dict[str, Any] = {"image_id": 1, "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A COCO file, beside an image of 4 x 5."""
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("set/a.png", "set/b.png", "outside.png"):
        Image.new("RGB", (5, 4)).save(tmp_path / name)
    return folder / "it.json"


def write(file: Path, images: Any = (IMAGE,), annotations: Any = (SQUARE,)) -> Path:
    file.write_text(json.dumps({"images": images, "annotations": annotations}))
    return file


def test_images_of_the_same_id(file: Path) -> None:
    for second in (1, "1"):
        write(file, [IMAGE, {"id": second, "file_name": "b.png"}])
        with pytest.raises(InputError, match=r"images\[1\]: expected an id of its own, got 1"):
            open_dataset(file)


def test_records_of_the_same_file_have_annotations_of_their_own(file: Path) -> None:
    """As an image of several annotators; ids of annotations count for nothing."""
    annotations = [{**SQUARE, "id": 5}, {**SQUARE, "id": 5}, {**SQUARE, "image_id": 2, "id": 5}]
    write(file, [IMAGE, {**IMAGE, "id": 2}], annotations)
    dataset = open_dataset(file)
    assert [len(dataset[i].masks) for i in range(2)] == [2, 1]
    assert len(set(dataset.image_paths())) == 1


@pytest.mark.parametrize(
    "name",
    [
        "../outside.png",
        "x/../../outside.png",
        "..",
        "..\\outside.png",
        "/etc/passwd",
        "",
        "/",
        "x/",
        "a\0.png",
        "\ud800.png",
        None,
        3,
        ["a.png"],
    ],
)
def test_names_that_lead_elsewhere(file: Path, name: Any) -> None:
    write(file, [{"id": 1, "file_name": name}])
    with pytest.raises(InputError, match=r"it\.json: the image with id 1: file_name|path of a fil"):
        open_dataset(file)
    with pytest.raises(InputError, match="name of a file"):
        open_dataset(write(file, [{"id": 1, "file_name": str(file.parent / "a.png")}]))


def test_names_in_folders_and_links(file: Path) -> None:
    inner = file.parent / "in..ner"
    inner.mkdir()
    (inner / "12:30.png").symlink_to(file.parent.parent / "outside.png")
    write(file, [{"id": 1, "file_name": "./in..ner/12:30.png"}])
    assert open_dataset(file)[0].masks.sum() == 4


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", "{}", '{"images": 3, "annotations": []}', "[" * 10**5, "1" * 5000],
    ids=lambda text: text[:30],
)
def test_files_that_are_none(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError, match=r"it\.json"):
        open_dataset(file)


@pytest.mark.parametrize(
    "image",
    [
        None,
        [],
        {"file_name": "a.png"},
        {**IMAGE, "id": None},
        {**IMAGE, "id": "x"},
        {**IMAGE, "id": "9" * 5000},
        {**IMAGE, "id": 1.5},
        {**IMAGE, "id": True},
        {**IMAGE, "id": 10**30},
        {**IMAGE, "id": float("nan")},
        {**IMAGE, "id": {}},
        {**IMAGE, "height": "x"},
        {**IMAGE, "width": [5]},
        {**IMAGE, "width": float("inf")},
    ],
    ids=lambda value: str(value)[:40],
)
def test_records_of_images(file: Path, image: Any) -> None:
    with pytest.raises(InputError, match=r"it\.json.*expected"):
        open_dataset(write(file, [image]))


@pytest.mark.parametrize(
    "annotation",
    [
        None,
        {"segmentation": []},
        {"image_id": 1},
        {**SQUARE, "image_id": None},
        {**SQUARE, "image_id": [1]},
        {**SQUARE, "iscrowd": "maybe"},
        {**SQUARE, "iscrowd": float("nan")},
        *(
            {**SQUARE, "segmentation": one}
            for one in (
                None,
                3,
                [],
                [[]],
                [3],
                [[1, 2, 3]],
                [[1, 2, 3, 4, 5, "x"]],
                [[1, 2, 3, 4, 5, None]],
                [[1, 2, 3, 4, 5, [6]]],
                [[1, 2, 3, 4, 5, float("nan")]],
                [[1, 2, 3, 4, 5, 10**400]],
                [[1, 2, 3, 4, 5, 1e300]],
                [[0, 0, 500, 500] * 10**5],
                {},
                {"size": [4, 5]},
                {"size": [4, 6], "counts": [24]},
                {"size": [4, 5], "counts": [[20]]},
                {"size": [4, 5], "counts": [20, [1]]},
                {"size": [4, 5], "counts": [5, 5]},
                {"size": [4, 5], "counts": [-5, 25]},
                {"size": [4, 5], "counts": "\ud800"},
                "x",
                "[" * 10**5,
            )
        ),
    ],
    ids=lambda value: str(value)[:70],
)
def test_records_of_annotations(file: Path, annotation: Any) -> None:
    with pytest.raises(InputError, match=r"it\.json"):
        open_dataset(write(file, annotations=[annotation]))[0]


def test_many_masks_of_an_image(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(file, annotations=[SQUARE] * 100)
    masks = file.parent.parent / "masks"
    for name in ("masks", "images"):
        (file.parent.parent / name).mkdir()
    Image.new("RGB", (20, 10)).save(file.parent.parent / "images" / "a.png")
    Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)).save(masks / "a.png")
    monkeypatch.setattr(limits_module, "_set", {"mask_pixels": 1000})
    for path in (file, masks.parent):
        with pytest.raises(InputError, match=r"at most 1000 pixels of masks.*MAX_MASK_PIXELS"):
            open_dataset(path)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        Image.new("L", (5, 4), 1).save(tmp_path / name / "a.png")
    return tmp_path


@pytest.mark.parametrize("damage", [b"", b"noise", 5, 20, 45, "RGB", "F", "pipe"])
def test_damaged_masks(folder: Path, damage: Any) -> None:
    mask = folder / "masks" / "a.png"
    if damage == "F":
        Image.new("F", (5, 4)).save(mask, "TIFF")
    elif damage == "RGB":
        Image.new("RGB", (5, 4)).save(mask)
    elif damage == "pipe":
        mask.unlink()
        os.mkfifo(folder / "pipe.png")
        mask.symlink_to(folder / "pipe.png")
    elif isinstance(damage, int):
        data = bytearray(mask.read_bytes())
        data[damage] ^= 255
        mask.write_bytes(data)
    else:
        mask.write_bytes(damage)
    for use in (lambda: open_dataset(folder)[0], lambda: open_sequences(folder)[folder.name][0]):
        with pytest.raises(SamkitError):
            use()
    with pytest.raises(SamkitError):
        read_label_map(mask)


@pytest.mark.parametrize("path", [None, b"x", 3, ["x"], "", "a\0b", "\ud800"])
def test_paths_that_are_none(path: Any) -> None:
    uses = (
        open_dataset,
        CocoDataset,
        MaskFolderDataset,
        open_sequences,
        read_label_map,
    )
    for use in uses:
        with pytest.raises(InputError, match="expected the path of"):
            use(path)


@pytest.mark.parametrize("path", ["/dev/null", "x" * 300, "/dev/null/x", "missing"])
def test_paths_of_something_else(path: str) -> None:
    for use in (open_dataset, CocoDataset, MaskFolderDataset, open_sequences):
        with pytest.raises(InputError):
            use(path)
