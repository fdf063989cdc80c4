"""What is saved has the form of its name, and nothing half-written is ever left."""

import contextlib
import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samkit.errors import InputError
from samkit.masks import Masks, contours, formats


def test_a_mask_a_line(some: Masks, tmp_path: Path) -> None:
    some.save(tmp_path / "a.jsonl", image="photos/dog.jpg", category="dog")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line.pop("file_name") for line in lines] == ["dog.jpg"] * len(some)
    assert [line.pop("category") for line in lines] == ["dog"] * len(some)
    assert lines == some.to_coco()


def test_polygons(some: Masks, tmp_path: Path) -> None:
    some.save(tmp_path / "a.json", format="polygons")
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["image_size"] == list(some.image_size)
    assert [one["object_id"] for one in data["polygons"]] == some.object_ids.tolist()
    assert [one["score"] for one in data["polygons"]] == some.scores.tolist()
    for one, rings in zip(data["polygons"], some.polygons(), strict=True):
        assert [contours.area(np.array(ring)) for ring in one["rings"]] == list(
            map(contours.area, rings)
        )
    with pytest.raises(InputError, match="COCO data set"):
        Masks.load(tmp_path / "a.json")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".PNG"])
def test_overlay(some: Masks, tmp_path: Path, suffix: str) -> None:
    image = np.full((*some.image_size, 3), 90, np.uint8)
    path = tmp_path / f"a{suffix}"
    some.save(path, image=image)
    with Image.open(path) as picture:
        assert picture.size == some.image_size[::-1]
        if suffix.lower() in (".png", ".bmp", ".tif"):
            np.testing.assert_array_equal(np.asarray(picture), some.overlay(image))


IMAGE = np.zeros((4, 5, 3), np.uint8)
SUFFIXES = {
    "png": ".png", "tiff": ".tif", "overlay": ".jpg", "cutout": ".webp", "coco": ".json",
    "polygons": ".json", "jsonl": ".jsonl", "geojson": ".geojson", "csv": ".csv", "yolo": ".txt",
    "npz": ".npz", "labelme": ".json", "labelstudio": ".json", "voc-class": ".png",
    "voc-object": ".png",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("a", {}, "one of the suffixes"),
        ("a.doc", {}, "one of the suffixes"),
        ("a.png", {"format": "gif"}, "one of the formats png, tiff, overlay, "),
        ("a.jpg", {"format": "png"}, "the format png is for files .png"),
        ("a.npz", {"format": "coco"}, "the format coco is for files .json"),
        ("a.jpg", {}, "give image="),
        ("a.png", {"format": "overlay"}, "give image="),
        ("a.png", {"image": IMAGE[:3]}, "of the size of the masks"),
    ],
)
def test_wrong_ways_to_save(
    tmp_path: Path, name: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        Masks.empty((4, 5)).save(tmp_path / name, **options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", sorted({*formats.FORMATS} - {"gpkg"}))  # test_maps.py
def test_an_error_while_writing_leaves_nothing(
    some: Masks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(temporary: Path, target: Path) -> None:
        assert Path(temporary).exists()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    image = "a.jpg" if name == "labelme" else np.zeros((*some.image_size, 3), np.uint8)
    with pytest.raises(InputError, match=r"cannot write .*No space left"):
        some.save(tmp_path / f"a{SUFFIXES[name]}", format=name, image=image)
    assert os.listdir(tmp_path) == []


def test_a_table(some: Masks, tmp_path: Path) -> None:
    rows = some.table()
    for i, row in enumerate(rows):
        y, x = np.nonzero(some.masks[i])
        assert row["area"] == len(x)
        assert [row[key] for key in ("x0", "y0", "x1", "y1")] == some.boxes[i].tolist()
        assert row["score"] == some.scores[i]
        assert row["object_id"] == some.object_ids[i]
        if len(x):
            middle = (x.mean() + 0.5, y.mean() + 0.5)
            assert (row["centroid_x"], row["centroid_y"]) == pytest.approx(middle)
        else:
            assert row["centroid_x"] is row["centroid_y"] is None
    some.save(tmp_path / "a.csv", image="photos/cat.jpg", category="cat")
    with (tmp_path / "a.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames is not None
        assert {"file_name", "object_id", "area", "score"} <= set(reader.fieldnames)
        for row, read in zip(rows, reader, strict=True):
            assert read.pop("file_name") == "cat.jpg"
            assert read.pop("category") == "cat"
            assert read == {key: "" if value is None else str(value) for key, value in row.items()}


def test_geojson_has_parts_with_their_holes(some: Masks, tmp_path: Path) -> None:
    some.save(tmp_path / "a.geojson", category="cell")
    data = json.loads((tmp_path / "a.geojson").read_text())
    assert data["type"] == "FeatureCollection"
    for feature, mask in zip(data["features"], some.masks, strict=True):
        assert feature["properties"]["classification"] == {"name": "cell"}
        if not mask.any():
            assert feature["geometry"] is None
            continue
        area = 0.0
        for outer, *holes in feature["geometry"]["coordinates"]:
            assert all(ring[0] == ring[-1] for ring in (outer, *holes))
            area += contours.area(np.array(outer[:-1]))
            area -= sum(contours.area(np.array(hole[:-1])) for hole in holes)
        assert area == mask.sum()


def test_yolo_polygons_cover_the_masks(tmp_path: Path) -> None:
    stack = np.zeros((3, 40, 50), bool)
    stack[0, 5:20, 10:30] = True
    stack[1, 2:8, 2:8] = stack[1, 30:38, 40:49] = True
    masks = Masks(stack, [1, 1, 1])
    masks.save(tmp_path / "a.txt")
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert len(lines) == 2, "an empty mask has no line"
    for line, mask in zip(lines, stack, strict=False):
        number, *values = line.split()
        assert number == "0"
        ring = np.array(values, float).reshape(-1, 2)
        assert ring.min() >= 0
        assert ring.max() <= 1
        assert contours.area(ring * (50, 40)) == pytest.approx(mask.sum(), rel=1e-3)


def test_places_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    for name, reason in (
        ("none.npz", "no such file"),
        ("folder.npz", "expected a file, got a folder"),
        ("x" * 300 + ".npz", "cannot read"),
        ("a.txt", "expected a file .npz, .json, .png or .tif"),
    ):
        with pytest.raises(InputError, match=reason):
            Masks.load(tmp_path / name)


@given(st.data())
def test_noise_raises_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("noise")
    suffix = data.draw(st.sampled_from([".npz", ".json", ".png", ".tif"]))
    path = folder / f"a{suffix}"
    Masks(np.ones((2, 4, 5), bool), [1, 1]).save(path)
    good = path.read_bytes()
    start = data.draw(st.integers(0, len(good)))
    noise = data.draw(st.binary(max_size=8))
    path.write_bytes(good[:start] + noise + good[start + len(noise) :])
    with contextlib.suppress(InputError):
        assert Masks.load(path).image_size


def test_files_have_the_usual_permissions(some: Masks, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    some.save(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("name", ["a\0.png", "file:///tmp/a.png", "a" * 300 + ".png"])
def test_names_that_no_file_can_have(some: Masks, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"cannot write|null character"):
        some.save(f"{tmp_path}/{name}" if "://" not in name else name)


def test_boxes_far_outside_can_be_drawn() -> None:
    far = [[-1e30, -1e30, 1e30, 1e30]]
    masks = Masks(np.ones((1, 5, 6), bool), [0.5], boxes=far)
    assert masks.overlay(np.zeros((5, 6, 3), np.uint8), boxes=True).shape == (5, 6, 3)
