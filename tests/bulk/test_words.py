"""Prompts with words: rows, what they cost, and models that cannot find by words."""

import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from bulk.conftest import rows
from safetensors.torch import load_file, save_file
from whole_sam3 import QUERIES, save_whole_sam3

from samkit import CheckpointError, ImagePredictor, InputError, Prompt, bulk, load
from samkit.bulk.places import Place
from samkit.bulk.ray_engine import Shared
from samkit.bulk.sources import Item
from samkit.bulk.tables import Origin
from samkit.bulk.work import Segmenter, Task
from samkit.nn.detector import Detector
from samkit.weights import save_network

ENTRIES = [
    {"image": "0.png", "words": "red cup"},
    {"image": "0.png", "words": "dog", "category": "animal"},
    {"image": "1.png", "words": "dog"},
    {"image": "3.png", "box": [3, 4, 30, 20]},
    {"image": "5.png", "words": "dog"},
]
ALL = {"threshold": 0}


@pytest.fixture(scope="module")
def sam3(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam3")
    save_whole_sam3(folder)
    return str(folder)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps(ENTRIES))
    return path


@pytest.fixture
def task(sam3, tmp_path):
    origin = Origin(model=sam3, fingerprint="", settings="")
    dest = Place.of(tmp_path, "x")
    return Task(
        kind="predict", dest=dest, origin=origin, model=sam3, dtype="float32", settings=ALL,
        has_words=True,
    )  # fmt: skip


def test_rows_are_what_find_gives(photos, sam3, table, tmp_path, inline):
    dest = tmp_path / "dest"
    done = bulk.run(photos, dest, prompts=table, model=sam3, settings=ALL)
    assert (done.images, done.failed, done.masks) == (4, 1, 3 * QUERIES + 1)
    predictor = load(sam3)
    cup_and_dog, dog, box, broken = bulk.open(dest)
    assert cup_and_dog.labels == ["red cup"] * QUERIES + ["animal"] * QUERIES
    assert dog.labels == ["dog"] * QUERIES
    for image, words in ((cup_and_dog, ["red cup", "dog"]), (dog, "dog")):
        expected = predictor.find(photos / image.image_id, words, **ALL)
        assert image.masks.to_rle() == expected.to_rle()
        for name in ("scores", "presence", "object_ids"):
            np.testing.assert_array_equal(
                getattr(image.masks, name), getattr(expected, name), err_msg=name
            )
        boxes = [row["bbox"] for row in rows(dest) if row["image_id"] == image.image_id]
        low, high = expected.boxes[:, :2], expected.boxes[:, 2:]
        np.testing.assert_allclose(boxes, np.concatenate([low, high - low], 1), atol=1e-4)
    expected = predictor.predict(photos / "3.png", Prompt.box(3, 4, 30, 20))
    assert box.masks.to_rle() == expected.to_rle()
    assert box.labels == ["object"]
    assert "5.png" in broken.error
    assert bulk.verify(dest) == []


def test_nothing_is_found(photos, sam3, table, tmp_path, inline):
    dest = tmp_path / "dest"
    bulk.run(photos, dest, prompts=table, model=sam3, settings={"threshold": 1})
    first = next(bulk.open(dest))
    assert (len(first.masks), first.labels, first.error) == (0, [], None)


def test_words_of_an_image_share_its_embedding(photos, task, monkeypatch):
    counts = {"embed": 0, "maps": 0, "detect": 0}

    def count(cls, name):
        step = getattr(cls, name)

        def run(self, *args):
            counts[name] += 1
            return step(self, *args)

        monkeypatch.setattr(cls, name, run)

    count(ImagePredictor, "embed")
    count(Detector, "maps")
    count(Detector, "detect")
    asked = tuple({"words": words} for words in ("red cup", "dog", "red cup", "cat"))
    found = Segmenter(task)(Item("0.png", Place.of(photos / "0.png", "x"), prompts=asked))
    assert counts == {"embed": 1, "maps": 1, "detect": 3}
    assert [row["label"] for row in found[::QUERIES]] == ["red cup", "dog", "cat"]


def test_models_that_cannot(photos, model, sam3, table, tmp_path):
    """Known before any work: nothing is written."""
    with pytest.raises(InputError, match="cannot find by words; SAM 3 alone can"):
        bulk.run(photos, tmp_path / "dest", prompts=table, model=model)
    save_network(load(sam3).network, tmp_path / "clicks.safetensors")
    with pytest.raises(CheckpointError, match="holds no detector of concepts"):
        bulk.run(photos, tmp_path / "dest", prompts=table, model=f"{tmp_path}/clicks.safetensors")
    assert not (tmp_path / "dest").exists()


def test_another_detector_is_another_model(task, sam3, tmp_path):
    """Also where all else is the same."""
    name = "detector_model.detr_decoder.presence_token.weight"
    state = load_file(f"{sam3}/model.safetensors")
    save_file({**state, name: state[name] + 1}, tmp_path / "model.safetensors")
    shutil.copy(f"{sam3}/config.json", tmp_path)
    other = replace(task, model=str(tmp_path))
    assert Segmenter(other).fingerprint != Segmenter(task).fingerprint
    clicks = [Segmenter(replace(one, has_words=False, settings={})) for one in (task, other)]
    assert clicks[0].fingerprint == clicks[1].fingerprint


def test_a_threshold_without_words(photos, model, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"image": "0.png", "points": [[5, 5]]}]))
    with pytest.raises(InputError, match=r"threshold is of words, and .*a\.json has none"):
        bulk.run(photos, tmp_path / "dest", prompts=path, model=model, settings=ALL)


def test_actors_take_both_networks_as_they_are(photos, task):
    """As arrays, on which networks are built without a copy."""
    item = Item("0.png", Place.of(photos / "0.png", "x"), prompts=({"words": "red cup"},))
    first = Segmenter(task)
    sent = [Shared.of(first.network), Shared.of(first.detector)]
    network, detector = pickle.loads(pickle.dumps(sent))
    other = Segmenter(task, network.build(), detector.build)
    assert other.fingerprint == first.fingerprint
    assert other(item) == first(item)
    built = detector.build().state_dict()
    assert all(built[name].data_ptr() == detector.arrays[name].ctypes.data for name in built)
    assert sum(len(pickle.dumps(one.empty)) for one in sent) < len(pickle.dumps(sent)) / 2


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_actors_find_the_same(photos, sam3, table, tmp_path, inline):
    pytest.importorskip("ray")
    about = {"prompts": table, "model": sam3, "settings": ALL, "dtype": "float32"}
    bulk.run(photos, tmp_path / "here", **about)
    bulk.run(photos, tmp_path / "there", **about, engine="ray", jobs=1)
    assert rows(tmp_path / "there") == rows(tmp_path / "here")
