import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools import mask as coco_mask

from samkit.errors import ImageError, InputError
from samkit.evaluation import open_dataset
from samkit.evaluation.datasets import read_label_map
from samkit.rle import decode_one


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    for name, dtype in (("a", np.uint8), ("b", np.uint16)):
        labels = np.zeros((6, 8), dtype)
        labels[1:3, 1:4] = 1
        labels[4:, 5:] = 7
        labels[0, 0] = 255
        write(root / "images" / f"{name}.png", np.zeros((6, 8, 3), np.uint8))
        write(root / "masks" / f"{name}.png", labels)
    write(root / "images" / "unannotated.png", np.zeros((6, 8, 3), np.uint8))
    return root


def test_mask_folder(folder):
    dataset = open_dataset(folder)
    assert [path.name for path in dataset.image_paths()] == ["a.png", "b.png"]
    first, second = dataset[0], dataset[1]
    assert first.image.shape == (6, 8, 3)
    assert first.masks.sum((1, 2)).tolist() == [6, 6]
    assert first.ignore.sum() == 1
    # 255 is an ordinary id among more than 255 of them.
    labels = np.arange(48, dtype=np.uint16).reshape(6, 8) + 250
    write(folder / "masks" / "b.png", labels)
    second = dataset[1]
    assert len(second.masks) == 48
    assert not second.ignore.any()


LABELS = np.array([[0, 1, 1, 300], [0, 7, 0, 300]])


@pytest.mark.parametrize("dtype", ["u2", ">u2", "i2", "u4", "i4", "i8", "u8"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_labels_in_tiff(tmp_path, dtype, options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, LABELS.astype(dtype), photometric="minisblack", **options)
    assert np.array_equal(read_label_map(path), LABELS)


def test_labels_in_tiff_that_are_none(tmp_path):
    path = tmp_path / "a.tif"
    for array, options, reason in (
        (np.stack([LABELS.astype(np.uint16)] * 2), {}, "expected one picture, got 2 pages"),
        (LABELS.astype(np.float32), {}, "of whole numbers"),
        (-LABELS, {}, "labels from 0 to 2147483647, got -300 to 0"),
        (LABELS + 2**40, {}, "labels from 0 to"),
        (LABELS.astype(np.uint8), {"photometric": "miniswhite"}, "black is zero, and not white"),
    ):
        tifffile.imwrite(path, array, **{"photometric": "minisblack", **options})
        with pytest.raises(ImageError, match=reason):
            read_label_map(path)


def test_labels_are_not_stretched(tmp_path):
    path = tmp_path / "a.pgm"
    for top, labels in ((10, LABELS % 8), (1000, LABELS)):
        values = labels.astype(np.uint8 if top < 256 else ">u2")
        path.write_bytes(b"P5\n4 2\n%d\n" % top + values.tobytes())
        assert np.array_equal(read_label_map(path), labels)
    # What its owner may not read all of.
    path.unlink()
    path.symlink_to("/proc/self/mem")
    with pytest.raises(ImageError, match="cannot read"):
        read_label_map(path)


@pytest.mark.parametrize("suffix", ["jpg", "avif"])
def test_formats_that_lose_labels(folder, suffix):
    (folder / "masks" / "a.png").unlink()
    write(folder / "masks" / f"a.{suffix}", np.full((6, 8), 255, np.uint8))
    if suffix == "jpg":  # others are not listed as images
        with pytest.raises(ImageError, match="does not keep: save masks as PNG"):
            open_dataset(folder)[0]
    with pytest.raises(ImageError, match="does not keep: save masks as PNG"):
        read_label_map(folder / "masks" / f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_labels_of_several_pictures(tmp_path, suffix):
    first, second = (Image.fromarray(np.full((4, 6), i, np.uint8)) for i in (1, 2))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
    with pytest.raises(ImageError, match="expected one picture, got 2"):
        read_label_map(tmp_path / f"a.{suffix}")


def test_several_annotators(folder, tmp_path):
    """As in BSDS: an image comes once for each of its masks, of which 255 may be any label."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for name in ("a", "b_1"):
        Image.new("RGB", (4, 3)).save(tmp_path / "images" / f"{name}.png")
    for name, labels in (("a_0", [1, 2]), ("a_1", [1, 1]), ("b_1", [3, 3])):
        Image.fromarray(np.repeat([labels], 3, 0).repeat(2, 1).astype(np.uint8)).save(
            tmp_path / "masks" / f"{name}.png"
        )
    dataset = open_dataset(tmp_path)
    assert [dataset[i].name for i in range(len(dataset))] == ["a_0", "a_1", "b_1"]
    assert [len(dataset[i].masks) for i in range(len(dataset))] == [2, 1, 1]
    assert [path.stem for path in dataset.image_paths()] == ["a", "a", "b_1"]


def test_every_nth(folder):
    assert len(open_dataset(folder, every=2)) == 1
    for every in (0, -1, "x", None, True, 1.0):
        with pytest.raises(InputError, match="whole number from 1"):
            open_dataset(folder, every=every)


def test_sequences(folder):
    dataset = open_dataset(folder.parent)
    assert len(dataset) == 2
    assert dataset[1].name == "set/b"


def test_palette_masks_keep_their_indices(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([0, 0, 0, 9, 9, 9, 200, 0, 0])
    image.putdata([0, 1, 2])
    image.save(tmp_path / "m.png")
    assert read_label_map(tmp_path / "m.png").tolist() == [[0, 1, 2]]


@pytest.fixture
def coco(tmp_path):
    def make(*annotations, images=True):
        write(tmp_path / "images" / "x.png", np.zeros((10, 12, 3), np.uint8))
        entries = [{"id": 3, "file_name": "x.png", "height": 10, "width": 12}] if images else []
        content = {"images": entries, "annotations": list(annotations)}
        (tmp_path / "instances.json").write_text(json.dumps(content))
        return tmp_path

    return make


def test_coco_polygons_run_lengths_and_crowds(coco):
    square = [[2, 1, 6, 1, 6, 4, 2, 4]]
    counts = {"size": [10, 12], "counts": [0, 10, 110]}
    root = coco(
        {"image_id": 3, "segmentation": square},
        {"image_id": "3", "segmentation": json.dumps(square), "iscrowd": "0"},
        {"image_id": 3, "segmentation": counts},
        {"image_id": 3, "segmentation": counts, "iscrowd": 1},
        {"image_id": 99, "segmentation": square},
    )
    item = open_dataset(root)[0]
    assert len(item.masks) == 3
    assert item.masks[0, 1:4, 2:6].all()
    assert item.masks[0].sum() == 12
    assert np.array_equal(item.masks[0], item.masks[1])
    assert np.array_equal(item.masks[2], np.arange(12) < np.ones((10, 1)))
    assert np.array_equal(item.ignore, item.masks[2])


@pytest.mark.parametrize("radius", [3, 8, 20])
def test_polygons_are_drawn_as_coco_draws_them(coco, radius):
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    outline = np.column_stack([6 + radius * np.cos(angle), 5 + radius * np.sin(angle)])
    item = open_dataset(coco({"image_id": 3, "segmentation": [outline.flatten().tolist()]}))[0]
    rle = coco_mask.merge(coco_mask.frPyObjects([outline.flatten().tolist()], 10, 12))
    assert np.array_equal(item.masks[0], decode_one(rle["counts"], (10, 12)))
    assert item.masks[0].sum() == int(coco_mask.area(rle))


@pytest.mark.parametrize(
    "segmentation",
    [None, 3, [], [["a"] * 6], [[1, 2, 3, 4, 5, [6]]], [[float("nan")] * 6], [[1e9] * 6], "{"],
)
def test_broken_polygons(coco, segmentation):
    root = coco({"image_id": 3, "segmentation": segmentation})
    with pytest.raises(InputError, match=r"instances\.json"):
        open_dataset(root)[0]


def test_a_mask_belongs_to_the_image_of_its_name(tmp_path):
    """frame_1 is an image of its own here, and not a second annotation of frame."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("frame", "frame_1"):
        Image.new("RGB", (4, 3)).save(tmp_path / "images" / f"{name}.png")
    Image.new("L", (4, 3), 1).save(tmp_path / "masks" / "frame_1.png")
    assert [path.stem for path in open_dataset(tmp_path).image_paths()] == ["frame_1"]


def test_when_255_is_a_label(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "images" / "a.png")
    two = np.array([[0, 1, 1, 255]] * 3)
    one = np.array([[0, 0, 255, 255]] * 3)  # black and white, as samkit and others write one mask
    cases = ((two, np.uint8, 1, 3), (two, np.uint16, 2, 0), (one, np.uint8, 1, 0))
    for labels, dtype, objects, ignored in cases:
        Image.fromarray(labels.astype(dtype)).save(tmp_path / "masks" / "a.png")
        item = open_dataset(tmp_path)[0]
        assert (len(item.masks), item.ignore.sum()) == (objects, ignored)


def test_an_image_without_objects(coco):
    item = open_dataset(coco() / "instances.json")[0]
    assert item.masks.shape == (0, 10, 12)


def test_bad_data(folder, coco, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_dataset(tmp_path / "missing")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="images/ and masks/"):
        open_dataset(empty)
    (empty / "bad.json").write_text("{")
    with pytest.raises(InputError, match="is no JSON"):
        open_dataset(empty / "bad.json")
    with pytest.raises(InputError, match="at least one image"):
        open_dataset(coco(images=False))
    with pytest.raises(InputError, match="not a polygon"):
        open_dataset(coco({"image_id": 3, "segmentation": [[1, 2, 3]]}))[0]
    write(folder / "masks" / "a.png", np.zeros((5, 8), np.uint8))
    with pytest.raises(InputError, match="expected the image's size"):
        open_dataset(folder)[0]
    write(folder / "masks" / "a.png", np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(InputError, match="one channel"):
        open_dataset(folder)[0]
    (folder / "masks" / "a.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="cannot read"):
        open_dataset(folder)[0]
    (folder / "masks" / "a.png").unlink()
    (folder / "masks" / "b.png").rename(folder / "masks" / "other.png")
    with pytest.raises(InputError, match="same name"):
        open_dataset(folder)


@pytest.mark.parametrize(
    "annotation", [{}, {"image_id": 1}, 5, {"image_id": 1, "segmentation": "x"}]
)
def test_incomplete_annotations(tmp_path, annotation):
    Image.new("RGB", (4, 5)).save(tmp_path / "a.png")
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [annotation]}
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"x\.json"):
        open_dataset(tmp_path / "x.json")[0]


def test_images_without_a_name(tmp_path):
    content = {"images": [{"id": 7, "file_name": ""}], "annotations": []}
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="id 7: file_name: expected"):
        open_dataset(tmp_path / "x.json")
