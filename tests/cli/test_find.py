"""`samkit find`: words, files of all images and of one, and models that cannot."""

import json

import numpy as np
import pytest
from whole_sam3 import QUERIES, save_whole_sam3

import samkit
from samkit import Concept


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam3")
    save_whole_sam3(folder)
    return folder


def test_all_images_into_one_file(run, photos, whole, tmp_path):
    target = tmp_path / "out.json"
    code, out, err = run(
        "find", photos, "red cup, dog", "-o", target, "-m", whole, "--threshold", 0
    )
    assert code == 0, err
    assert f"{2 * QUERIES} masks: {QUERIES} red cup, {QUERIES} dog" in out
    data = json.loads(target.read_text())
    kinds = {one["id"]: one["name"] for one in data["categories"]}
    assert list(kinds.values()) == ["red cup", "dog"]
    assert len(data["annotations"]) == 3 * 2 * QUERIES
    first = data["annotations"][: 2 * QUERIES]
    assert [kinds[one["category_id"]] for one in first] == ["red cup"] * 9 + ["dog"] * 9


def test_an_image_without_any(run, photos, whole, tmp_path):
    target = tmp_path / "out.json"
    code, out, err = run(
        "find", photos / "a.png", "dog", "-o", target, "-m", whole, "--threshold", 1
    )
    assert code == 0, err
    assert "0 masks" in out
    assert json.loads(target.read_text())["annotations"] == []


def found(target):
    """Scores of each category in a file of COCO."""
    data = json.loads(target.read_text())
    kinds = {one["id"]: one["name"] for one in data["categories"]}
    scores = {name: [] for name in kinds.values()}
    for one in data["annotations"]:
        scores[kinds[one["category_id"]]].append(one["score"])
    return scores


@pytest.mark.parametrize(
    ("words", "concepts"),
    [
        ("", {"visual": None}),
        ("dog", {"dog": "dog"}),
        ("red cup, dog", {"red cup": "red cup", "dog": "dog"}),
    ],
)
def test_examples(run, photos, whole, tmp_path, words, concepts):
    target, image = tmp_path / "out.json", photos / "a.png"
    boxes = ("--box", "3,4,30,20", "--box", "20.5,5,40,30,0")
    command = ("find", image, words, *boxes, "-o", target, "-m", whole, "--threshold", 0)
    code, _, err = run(*command, "--dtype", "float32", "--device", "cpu")
    assert code == 0, err
    predictor = samkit.load(whole, device="cpu", dtype="float32")
    corners = [[3, 4, 30, 20], [20.5, 5, 40, 30]]
    scores = found(target)
    assert scores.keys() == concepts.keys()
    for name, text in concepts.items():
        expected = predictor.find(image, Concept(text, boxes=corners, labels=[1, 0]), threshold=0)
        np.testing.assert_allclose(scores[name], expected.scores, atol=1e-4)


def test_examples_in_several_processes(run, photos, whole, tmp_path):
    target = tmp_path / "out.json"
    command = ("find", photos, "", "--box", "3,4,30,20", "-o", target, "-m", whole)
    code, _, err = run(*command, "--threshold", 0, "--jobs", 2)
    assert code == 0, err
    assert len(found(target)["visual"]) == 3 * QUERIES


@pytest.mark.parametrize(
    ("words", "boxes", "message"),
    [
        ("", [], "expected words"),
        (" , ", ["1,2,3,4"], "expected words"),
        ("dog, cat, dog", [], "expected words, each once"),
        ("dog, a\x07b", [], "expected words without control characters"),
        ("", ["1,2,3,4,0"], "expected words or a box around an example"),
        ("dog", ["1,2,3"], "x0,y0,x1,y1,label with label 1 or 0, got '1,2,3'"),
        ("dog", ["1,2,3,4,2"], "with label 1 or 0"),
        ("dog", ["1,2,3,4,5,6"], "with label 1 or 0"),
        ("dog", ["a,b,c,d"], "with label 1 or 0"),
        ("dog", ["30,2,3,4"], "expected"),
        ("dog", ["1,2,nan,4"], "expected"),
    ],
)
def test_what_is_no_example(run, photos, tmp_path, words, boxes, message):
    options = [part for box in boxes for part in ("--box", box)]
    code, _, err = run("find", photos / "a.png", words, *options, "-o", tmp_path / "o.json")
    assert code == 2
    assert message in " ".join(err.split())


def test_a_model_that_cannot(run, photos, model, tmp_path):
    code, _, err = run("find", photos / "a.png", "dog", "-o", tmp_path / "o.json", "-m", model)
    assert code == 2
    assert "SAM 3 alone can: -m sam3" in err


def test_a_model_that_cannot_is_not_downloaded(run, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("samkit.load", lambda *_, **__: pytest.fail("not to be loaded"))
    options = ("-o", tmp_path / "o.json", "-m", "sam2.1-tiny")
    code, _, err = run("find", photos / "a.png", "dog", *options)
    assert code == 2
    assert "sam2.1-tiny cannot find by words" in " ".join(err.split())
