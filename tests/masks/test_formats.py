"""What is saved comes back, and nothing half-written is ever left."""

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
from samkit.masks import Masks, contours, drawing, formats

RNG = np.random.default_rng(0)


def labels(masks: Masks) -> np.ndarray:
    index = np.zeros(masks.image_size, int)
    for i in np.argsort(-masks.scores, kind="stable")[::-1]:
        index[masks.masks[i]] = i + 1
    return index


def assert_fields(left: Masks, right: Masks, *names: str) -> None:
    for name in names:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


@pytest.mark.parametrize("packed", [False, True])
def test_npz_keeps_everything(some: Masks, tmp_path: Path, packed: bool) -> None:
    masks = some.compressed() if packed else some
    masks.save(tmp_path / "a.npz")
    again = Masks.load(tmp_path / "a.npz")
    assert again.is_compressed == packed
    assert again.image_size == masks.image_size
    names = ("masks", "scores", "boxes", "object_ids", "prompt_index", "presence", "logits")
    assert_fields(again, masks, *names)
    plain = Masks(some.masks, some.scores, boxes=np.ones((len(some), 4)))
    plain.save(tmp_path / "b.npz")
    again = Masks.load(tmp_path / "b.npz")
    assert again.presence is None
    assert again.logits is None
    assert_fields(again, plain, "boxes")


def test_coco_round_trip(some: Masks, tmp_path: Path) -> None:
    some.save(tmp_path / "a.json")
    again = Masks.load(str(tmp_path / "a.json"))
    assert again.image_size == some.image_size
    assert_fields(again, some, "masks", "scores", "boxes", "object_ids", "prompt_index")
    if len(some):
        assert_fields(again, some, "presence")
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["annotations"] == some.to_coco()
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


def test_png_round_trip(some: Masks, tmp_path: Path) -> None:
    some.save(tmp_path / "a.png")
    again = Masks.load(tmp_path / "a.png")
    assert_fields(again, some, "scores", "object_ids", "prompt_index")
    assert again.image_size == some.image_size
    index = labels(some)
    np.testing.assert_array_equal(
        again.masks, [index == i + 1 for i in range(len(some))] or again.masks
    )
    with Image.open(tmp_path / "a.png") as picture:
        if len(some) == 1:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), some.masks[0] * 255)
        else:
            assert picture.mode == "P"
            np.testing.assert_array_equal(np.asarray(picture), index)
            colours = np.asarray(picture.convert("RGB"))
            for i in np.unique(index[index > 0]) - 1:
                expected = drawing.colour_of(int(some.object_ids[i]))
                assert (colours[index == i + 1] == expected).all()


@pytest.mark.parametrize(("count", "mode"), [(2, "P"), (255, "P"), (256, "I;16"), (700, "I;16")])
def test_png_of_many(tmp_path: Path, count: int, mode: str) -> None:
    stack = np.arange(count).reshape(-1, 1, 1) == np.arange(720).reshape(24, 30)
    masks = Masks(stack, RNG.random(count)).compressed()
    masks.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == mode
    again = Masks.load(tmp_path / "a.png")
    assert_fields(again, masks, "masks", "scores", "object_ids")
    assert again.is_compressed == (count > 255)


def test_png_of_too_many(tmp_path: Path) -> None:
    stack = np.zeros((65536, 1, 1), bool)
    with pytest.raises(InputError, match="at most 65535"):
        Masks(stack, np.zeros(65536)).save(tmp_path / "a.png")
    assert os.listdir(tmp_path) == []


def test_png_of_others(tmp_path: Path) -> None:
    mask = RNG.random((5, 6)) < 0.5
    path = tmp_path / "a.png"
    for picture in (Image.fromarray(mask), Image.fromarray(mask.astype(np.uint8) * 255)):
        picture.save(path)
        again = Masks.load(path)
        np.testing.assert_array_equal(again.masks, mask[None])
        assert again.scores.tolist() == [1]
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(path)
    assert Masks.load(path).areas.tolist() == [0]
    index = RNG.integers(0, 3, (5, 6), dtype=np.uint8)
    picture = Image.fromarray(index)
    picture.putpalette([0, 0, 0, 1, 1, 1, 2, 2, 2])
    picture.save(path)
    np.testing.assert_array_equal(Masks.load(path).masks, [index == 1, index == 2])


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


def test_a_tiff_holds_numbers(some: Masks, tmp_path: Path) -> None:
    import tifffile

    some.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), labels(some))
    again = Masks.load(tmp_path / "a.tif")
    index = labels(some)
    np.testing.assert_array_equal(
        again.masks, [index == i + 1 for i in range(int(index.max()))] or again.masks
    )


def test_a_tiff_of_more_than_255(tmp_path: Path) -> None:
    import tifffile

    stack = np.arange(300).reshape(-1, 1, 1) == np.arange(720).reshape(24, 30)
    masks = Masks(stack, np.linspace(1, 0, 300)).compressed()
    masks.save(tmp_path / "a.tiff")
    values = tifffile.imread(tmp_path / "a.tiff")
    assert values.dtype == np.uint16
    assert values.ravel()[:300].tolist() == list(range(1, 301))
    np.testing.assert_array_equal(Masks.load(tmp_path / "a.tiff").masks, stack)


def test_a_black_and_white_tiff_is_one_mask(tmp_path: Path) -> None:
    Image.fromarray(np.eye(5, dtype=np.uint8) * 255).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(Masks.load(tmp_path / "a.tif").masks, [np.eye(5)])


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


def write(path: Path, data: Any) -> None:
    text = data if isinstance(data, (str, bytes)) else json.dumps(data)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


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


def test_damaged_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    Masks(np.ones((2, 4, 5), bool), [1, 1]).save(path)
    data = path.read_bytes()
    arrays = dict(np.load(path))
    for change in (
        {"samkit_masks": np.array(2)},
        {"image_size": np.array([4, 50])},
        {"image_size": np.array([])},
        {"packed": np.zeros((2, 4), np.uint8)},
        {"packed": np.zeros((3, 4, 1), np.uint8)},
        {"packed": np.zeros((2, 4, 1), np.float32)},
        {"scores": np.array([None, None])},
    ):
        np.savez(path, **{**arrays, **change})
        with pytest.raises(InputError, match=r"cannot load .*a\.npz"):
            Masks.load(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(InputError, match="saved by samkit"):
        Masks.load(path)
    for damaged in (b"", data[: len(data) // 2], b"noise"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"cannot load .*a\.npz"):
            Masks.load(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="saved by samkit"):
        Masks.load(path)


def test_damaged_png(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.full((4, 5), 7, np.uint8)).save(path)
    with pytest.raises(InputError, match="shades of grey"):
        Masks.load(path)
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(path)
    with pytest.raises(InputError, match="mode RGB"):
        Masks.load(path)
    Masks(np.ones((3, 4, 5), bool), [1, 1, 1]).save(path)
    data = path.read_bytes()
    for damaged in (b"", data[:50], b"noise"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"cannot load .*a\.png"):
            Masks.load(path)


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


def test_coco_files_name_their_image(some: Masks, tmp_path: Path) -> None:
    some.save(tmp_path / "a.json", image="photos/dog.jpg")
    assert json.loads((tmp_path / "a.json").read_text())["images"][0]["file_name"] == "dog.jpg"
    some.save(tmp_path / "a.npz", image="photos/dog.jpg")
    assert_fields(Masks.load(tmp_path / "a.npz"), some, "masks", "scores")


def test_files_have_the_usual_permissions(some: Masks, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    some.save(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_mode == plain.stat().st_mode


def test_a_depth_map_is_no_label_map(tmp_path: Path) -> None:
    depth = np.random.default_rng(0).integers(0, 2**16, (50, 50)).astype(np.uint16)
    Image.fromarray(depth).save(tmp_path / "depth.png")
    with pytest.raises(InputError, match="expected labels up to"):
        Masks.load(tmp_path / "depth.png")


def test_pictures_too_wide_for_their_format(tmp_path: Path) -> None:
    wide = Masks(np.ones((1, 1, 70_000), bool), [0.5])
    image = np.zeros((1, 70_000, 3), np.uint8)
    for name in ("a.webp", "a.jpg"):
        with pytest.raises(InputError, match=r"cannot write|null character"):
            wide.save(tmp_path / name, image=image)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a\0.png", "file:///tmp/a.png", "a" * 300 + ".png"])
def test_names_that_no_file_can_have(some: Masks, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"cannot write|null character"):
        some.save(f"{tmp_path}/{name}" if "://" not in name else name)


def test_boxes_far_outside_can_be_drawn() -> None:
    far = [[-1e30, -1e30, 1e30, 1e30]]
    masks = Masks(np.ones((1, 5, 6), bool), [0.5], boxes=far)
    assert masks.overlay(np.zeros((5, 6, 3), np.uint8), boxes=True).shape == (5, 6, 3)
