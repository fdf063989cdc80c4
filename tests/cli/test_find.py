"""`samkit find`: words, files of all images and of one, and models that cannot."""

import json

import pytest
from whole_sam3 import QUERIES, save_whole_sam3


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


def test_a_model_that_cannot(run, photos, model, tmp_path):
    code, _, err = run("find", photos / "a.png", "dog", "-o", tmp_path / "o.json", "-m", model)
    assert code == 2
    assert "SAM 3 alone can: -m sam3" in err
