"""Many images with prompts of their own, into one file or many, as annotators want them."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from samkit import Prompt, load
from samkit.masks import Masks
from samkit.masks.datasets import read_labelstudio

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def prompts(photos):
    """Objects of two categories in two of the three photographs."""
    rough = np.zeros((32, 50), np.uint8)
    rough[5:20, 5:20] = 255
    Image.fromarray(rough).save(photos / "rough.png")
    entries = [
        {"image": "a.png", "object_id": 7, "points": [[20, 10]], "labels": [1], "category": "dog"},
        {"image": "c.png", "mask": "rough.png"},
        {"image": "a.png", "object_id": 7, "box": [5, 5, 30, 20]},
        {"image": "a.png", "box": [1, 1, 9, 9], "category": "cat"},
        {"image": "c.png", "points": [[3, 4]], "labels": [1]},
    ]
    (photos / "prompts.json").write_text(json.dumps(entries))
    return photos / "prompts.json"


def test_one_data_set_of_all_images(run, photos, prompts, model, tmp_path) -> None:
    target = tmp_path / "all.json"
    code, out, err = run("predict", "--prompts", prompts, "--category", "thing", "-o", target,
                         "-m", model)  # fmt: skip
    assert code == 0, err
    assert len(out.splitlines()) == 3
    assert out.splitlines()[-1] == f"{target}: 2 images"
    data = COCO(str(target))
    assert [one["name"] for one in data.loadCats(data.getCatIds())] == ["cat", "dog", "thing"]
    names = {one["id"]: one for one in data.loadImgs(data.getImgIds())}
    assert [one["file_name"] for one in names.values()] == ["a.png", "c.png"]
    found = data.loadAnns(data.getAnnIds())
    assert [(one["image_id"], one["object_id"], one["category_id"]) for one in found] == [
        (1, 7, 2), (1, 8, 1), (2, 1, 3), (2, 2, 3)
    ]  # fmt: skip
    for one in found:
        image = names[one["image_id"]]
        assert data.annToMask(one).shape == (image["height"], image["width"])


def test_the_same_masks_as_one_by_one(run, photos, prompts, model, tmp_path) -> None:
    run("predict", "--prompts", prompts, "-o", tmp_path / "all.json", "-m", model)
    run("predict", photos / "a.png", "--point", "20,10", "--box", "5,5,30,20", "-m", model,
        "-o", tmp_path / "one.npz")  # fmt: skip
    annotations = json.loads((tmp_path / "all.json").read_text())["annotations"]
    found = Masks.from_rle([annotations[0]["segmentation"]], (30, 50), [1])
    assert np.array_equal(found.masks, Masks.load(tmp_path / "one.npz").masks)


def test_a_file_for_each_image(run, prompts, model, tmp_path) -> None:
    target = tmp_path / "labels"
    code, _, err = run("predict", "--prompts", prompts, "-o", target, "--format", "yolo",
                       "--category", "thing", "-m", model)  # fmt: skip
    assert code == 0, err
    assert sorted(path.name for path in target.iterdir()) == ["a.txt", "c.txt", "classes.txt"]
    numbers = [line.split()[0] for line in (target / "a.txt").read_text().splitlines()]
    # The numbers are those of all categories: cat 0, dog 1, thing 2.
    assert numbers in (["1", "0"], ["1"], ["0"])
    assert (target / "classes.txt").read_text() == "cat\ndog\nthing\n"


def test_images_of_one_name_in_a_file_of_prompts(run, photos, model, tmp_path) -> None:
    for name, source in (("one", "a.png"), ("two", "c.png")):
        (photos / name).mkdir()
        shutil.copy(photos / source, photos / name / "x.png")
    entries = [{"image": f"{name}/x.png", "box": [5, 5, 30, 20]} for name in ("one", "two")]
    (photos / "p.json").write_text(json.dumps(entries))
    command = ("predict", "--prompts", photos / "p.json", "-m", model)
    code, _, err = run(*command, "-o", tmp_path / "out")
    assert code == 0, err
    sizes = {}
    for path in (tmp_path / "out").rglob("*.png"):
        with Image.open(path) as image:
            sizes[path.relative_to(tmp_path / "out").as_posix()] = image.size
    assert sizes == {"one/x.png": (50, 30), "two/x.png": (50, 32)}


def yolo_names(folder, file):
    """The names of the labels in a file, as readers of YOLO find them."""
    names = (folder / "classes.txt").read_text().splitlines()
    return {names[int(line.split()[0])] for line in (folder / file).read_text().splitlines()}


def test_numbers_of_classes_stay(run, photos, model, tmp_path) -> None:
    """One command for each image, with other categories each."""
    target = tmp_path / "labels"
    common = ("-m", model, "--format", "yolo", "--category")
    everything = ("--points-per-side", 2, "--preset", "recall")
    for arguments, name in (
        (("predict", photos / "a.png", "--box", "5,5,45,25", "-o", target / "a.txt"), "dog"),
        (("everything", photos / "b.jpg", *everything, "-o", target), "cat"),
        (("predict", photos / "c.png", "--box", "5,5,45,25", "-o", target / "c.txt"), "dog"),
    ):
        code, _, err = run(*arguments, *common, name)
        assert code == 0, err
    assert (target / "classes.txt").read_text().split() == ["dog", "cat"]
    found = {name: yolo_names(target, f"{name}.txt") for name in "abc"}
    assert found == {"a": {"dog"}, "b": {"cat"}, "c": {"dog"}}


def test_classes_that_cannot_be_read(run, photos, model, tmp_path) -> None:
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe")
    code, out, err = run("predict", photos / "a.png", "--box", "5,5,45,25", "-m", model,
                         "-o", tmp_path / "a.txt")  # fmt: skip
    assert (code, out) == (1, "")
    assert "classes.txt" in err
    assert (tmp_path / "classes.txt").read_bytes() == b"\xff\xfe"
    assert not (tmp_path / "a.txt").exists()


def test_supervision_reads_the_labels(run, photos, model, tmp_path) -> None:
    supervision = pytest.importorskip("supervision")
    command = ("predict", photos, "--box", "5,5,45,25", "-m", model, "--category", "cell")
    code, _, err = run(*command, "-o", tmp_path / "labels", "--format", "yolo")
    assert code == 0, err
    names = (tmp_path / "labels" / "classes.txt").read_text().splitlines()
    (tmp_path / "data.yaml").write_text(f"names: {json.dumps(names)}\n")
    data = supervision.DetectionDataset.from_yolo(
        str(photos), str(tmp_path / "labels"), str(tmp_path / "data.yaml"), force_masks=True
    )
    assert data.classes == ["cell"]
    assert len(data) == 3
    assert all(found.class_id.tolist() == [0] for _, _, found in data)


def test_a_table_of_all_images(run, photos, model, tmp_path) -> None:
    code, _, err = run("predict", photos, "--box", "5,5,30,20", "--category", "cell", "-m", model,
                       "-o", tmp_path / "all.csv")  # fmt: skip
    assert code == 0, err
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file_name"].rsplit("/")[-1] for row in rows] == ["a.png", "b.jpg", "c.png"]
    assert {row["category"] for row in rows} == {"cell"}


@pytest.mark.parametrize("many", [False, True])
def test_candidates_are_told_apart(run, photos, prompts, model, tmp_path, many) -> None:
    """The same masks, in the same order, as Python gives; of one candidate nothing is said."""
    boxes = [Prompt.box(5, 5, 30, 20), Prompt.box(1, 1, 20, 9)]
    expected = load(model).predict(photos / "a.png", boxes, candidates=3)
    shutil.copy(photos / "a.png", photos / "z.png")
    images = [photos / "a.png", photos / "z.png"] if many else [photos / "a.png"]
    command = ("predict", *images, "--box", "5,5,30,20", "--box", "1,1,20,9", "-m", model)
    names = [f"a{suffix}" for suffix in (".csv", ".json", ".jsonl")]
    names += [] if many else ["a.geojson", "a_polygons.json"]
    for count in (1, 3):
        for name in names:
            form = ("--format", "polygons") if "polygons" in name else ()
            code, _, err = run(*command, "--candidates", count, "-o", tmp_path / name, *form)
            assert code == 0, err
            rows = rows_of(tmp_path / name)
            if count == 1:
                assert not any("candidate" in row for row in rows)
                continue
            rows = rows[:6]
            assert [int(row["candidate"]) for row in rows] == [0, 1, 2, 0, 1, 2]
            assert [int(row["prompt_index"]) for row in rows] == [0, 0, 0, 1, 1, 1]
            assert [int(row["object_id"]) for row in rows] == [0, 0, 0, 1, 1, 1]
            assert np.allclose([float(row["score"]) for row in rows], expected.scores, atol=1e-4)
    if not many:
        assert Masks.load(tmp_path / "a.json").candidates.tolist() == [0, 1, 2, 0, 1, 2]


def rows_of(path):
    """What a file says of each mask."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    data = json.loads(path.read_text())
    if path.suffix == ".geojson":
        return [one["properties"] for one in data["features"]]
    return data["polygons"] if "polygons" in data else data["annotations"]


def test_tasks_of_label_studio(run, photos, prompts, model, tmp_path) -> None:
    command = ("predict", "--prompts", prompts, "--category", "thing", "-m", model, "-o")
    code, out, err = run(*command, tmp_path / "tasks.json", "--format", "labelstudio")
    assert code == 0, err
    assert out.splitlines()[-1] == f"{tmp_path / 'tasks.json'}: 2 images"
    run(*command, tmp_path / "all.json")
    data = COCO(str(tmp_path / "all.json"))
    names = {one["id"]: one["name"] for one in data.loadCats(data.getCatIds())}
    found = {one.image: one for one in read_labelstudio(tmp_path / "tasks.json")}
    for image in data.loadImgs(data.getImgIds()):
        annotations = data.loadAnns(data.getAnnIds(imgIds=image["id"]))
        expected = [one for one in annotations if one["area"]]
        task = found.pop(image["file_name"])
        assert task.category == [names[one["category_id"]] for one in expected]
        for one, mask in zip(expected, task.masks.masks, strict=True):
            assert np.array_equal(data.annToMask(one), mask)
    assert not found


def test_the_formats_of_others_in_a_folder(run, photos, model, tmp_path) -> None:
    command = ("everything", photos / "a.png", "--points-per-side", 2, "--pred-iou-thresh", 0,
               "-m", model, "-o", tmp_path / "out")  # fmt: skip
    formats = ("labelme", "labelstudio", "voc-class", "voc-object")
    code, _, err = run(*command, *(word for one in formats for word in ("--format", one)))
    assert code == 0, err
    out = tmp_path / "out"
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert files == ["SegmentationClass/a.png", "SegmentationObject/a.png", "a.json",
                     "a_labelstudio.json"]  # fmt: skip
    image = out / json.loads((out / "a.json").read_text())["imagePath"]
    assert image.resolve() == (photos / "a.png").resolve()
    code, _, err = run(*command, "--format", "coco", "--format", "labelme", "--overwrite")
    assert code == 2
    assert "would both be" in " ".join(err.replace("│", " ").split())


def test_everything_of_many_images(run, photos, model, tmp_path) -> None:
    command = ("everything", photos, "--points-per-side", 2, "--pred-iou-thresh", 0, "-m", model)
    code, _, err = run(*command, "-o", tmp_path / "all.json")
    assert code == 0, err
    data = json.loads((tmp_path / "all.json").read_text())
    assert len(data["images"]) == 3
    assert len({one["id"] for one in data["annotations"]}) == len(data["annotations"])


def test_a_bad_image_is_left_out_of_the_file(run, photos, model, tmp_path) -> None:
    (photos / "b.jpg").write_bytes(b"noise")
    code, _, err = run("predict", photos, "--box", "5,5,30,20", "-o", tmp_path / "all.json",
                       "-m", model)  # fmt: skip
    assert code == 1
    assert "b.jpg" in err
    data = json.loads((tmp_path / "all.json").read_text())
    assert len(data["images"]) == 2


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
def test_all_images_failed(run, photos, model, tmp_path, suffix) -> None:
    for path in photos.iterdir():
        path.write_bytes(b"noise")
    target = tmp_path / f"all{suffix}"
    command = ("predict", photos, "--box", "5,5,30,20", "-m", model, "-o")
    for before in (False, True):
        if before:
            target.write_text("of an earlier run")
        code, out, err = run(*command, target)
        assert (code, out) == (1, "")
        assert "3 of 3 images failed" in err
        assert target.exists() == before
    assert target.read_text() == "of an earlier run"
    code, out, err = run(*command, tmp_path / "labels", "--format", "yolo")
    assert (code, out) == (1, "")
    assert not (tmp_path / "labels").exists()


def test_cleaned_masks_and_soft_edges(run, photos, model, tmp_path) -> None:
    command = ("predict", photos / "a.png", "--box", "5,5,40,25", "-m", model, "-o")
    run(*command, tmp_path / "plain.npz")
    code, _, err = run(*command, tmp_path / "clean.npz", "--fill-holes", "all", "--largest")
    assert code == 0, err
    plain, clean = (Masks.load(tmp_path / f"{name}.npz") for name in ("plain", "clean"))
    expected = plain.cleaned(fill_holes=True, largest=True)
    assert np.array_equal(clean.masks, expected.masks)
    code, _, err = run(*command, tmp_path / "cut.png", "--format", "cutout", "--feather", 2)
    assert code == 0, err
    with Image.open(tmp_path / "cut.png") as picture:
        assert picture.mode == "RGBA"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({}, "entry 1: image: expected the name of a file"),
        ({"image": 3}, "entry 1: image: expected the name of a file, got 3"),
        ({"image": "a.png", "category": 3, "box": [1, 1, 2, 2]}, "category: expected a name"),
        ({"image": "a.png", "object_id": "x", "box": [1, 1, 2, 2]}, "object_id: expected a whole"),
        ({"image": "a.png"}, "expected points, a box or a mask"),
        ({"image": "gone.png", "box": [1, 1, 2, 2]}, "entry 1: no such file: "),
        ({"image": "a.png", "box": [1, 1]}, "entry 1"),
        ({"image": "a.png", "mask": "none.png"}, "none.png"),
        ([], "expected an object with image"),
    ],
)
def test_bad_entries(run, photos, model, entry, reason) -> None:
    (photos / "prompts.json").write_text(json.dumps([entry]))
    code, _, err = run("predict", "--prompts", photos / "prompts.json", "-m", model)
    assert code == 2
    assert reason in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize("arguments", [["--box", "1,1,5,5"], ["--point", "3,3"], ["a.png"]])
def test_the_file_says_images_and_prompts(run, prompts, model, arguments) -> None:
    code, _, err = run("predict", *arguments, "--prompts", prompts, "-m", model)
    assert code == 2
    assert "--prompts" in err


def test_one_object_has_one_category(run, photos, model) -> None:
    entries = [{"image": "a.png", "object_id": 1, "points": [[i, 4]], "labels": [1], "category": c}
               for i, c in enumerate(("cat", "dog"))]  # fmt: skip
    (photos / "prompts.json").write_text(json.dumps(entries))
    code, _, err = run("predict", "--prompts", photos / "prompts.json", "-m", model)
    assert code == 2
    assert "object 1 is cat already" in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize("value", ["x", "-1", "1.5"])
def test_holes_that_are_no_number(run, photos, model, value) -> None:
    code, _, err = run("predict", photos / "a.png", "--box", "1,1,9,9", "--fill-holes", value,
                       "-m", model)  # fmt: skip
    assert code == 2
    assert "--fill-holes" in err


def test_no_image_is_an_error_of_usage(run, model) -> None:
    code, _, err = run("predict", "--box", "1,1,9,9", "-m", model)
    assert code == 2
    assert "IMAGE" in err


@pytest.mark.parametrize("options", [["--feather", 2], ["--refine", 3, "--format", "overlay"]])
def test_soft_edges_of_something_else_than_cutouts(run, photos, model, tmp_path, options) -> None:
    code, _, err = run("predict", photos / "a.png", "--box", "1,1,9,9", *options, "-m", model,
                       "-o", tmp_path / "x.png")  # fmt: skip
    assert code == 2
    assert "--feather, --refine" in err
