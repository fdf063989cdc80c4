"""Annotation over HTTP: what is clicked and painted, what is kept, what comes out."""

import base64
import io
import json
import warnings
from functools import partial

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from server.calls import error_of, picture

from samkit import AutomaticMaskGenerator, Masks, Prompt
from samkit.errors import InputError
from samkit.media import read_image
from samkit.server import Project
from samkit.server.annotate import project
from samkit.server.annotate.masks import masks_of_steps, painted
from samkit.server.annotate.sidecars import Sidecar, Stroke
from samkit.server.annotate.tiles import TILE, Pyramid

CLICK, BOX = {"points": [[20, 20]], "labels": [1]}, {"box": [5, 6, 40, 30]}
STROKE = {"points": [[10, 10], [30, 12]], "radius": 4}


@pytest.fixture
def photos(tmp_path):
    """Three pictures 60 x 40, two of one name."""
    folder = tmp_path / "photos"
    for i, name in enumerate(("a.png", "b.png", "inner/a.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(i))
    return folder


@pytest.fixture
def page(serving, photos, tmp_path):
    """A client of a new application for the same photographs and the same folder."""

    def page(**options):
        images = [photos, photos / "inner"]
        own = Project(images, tmp_path / "out", classes=["cup", "plate"])
        return serving(project=own, **options)

    return page


def pixels_of(mask, size=(40, 60)):
    """The mask (H, W) that a picture of one stands for."""
    drawn = np.zeros(size, bool)
    part = np.array(Image.open(io.BytesIO(base64.b64decode(mask["png"]))))
    part = part.repeat(mask["scale"], 0).repeat(mask["scale"], 1)
    drawn[mask["y"] : mask["y"] + part.shape[0], mask["x"] : mask["x"] + part.shape[1]] = part
    return drawn


def test_the_page_and_what_it_needs_are_served(page):
    client = page()
    answer = client.get("/")
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "http" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    for name in ("app.js", "style.css", "icon.svg"):
        assert client.get(f"/page/{name}").status_code == 200
    for name in ("../app.py", "%2e%2e/app.py", "none.js"):
        assert client.get(f"/page/{name}").status_code == 404


def test_without_a_project_there_is_no_page(client):
    assert error_of(client.get("/"))[0] == 404
    assert error_of(client.get("/v1/project"))[0] == 404


def test_the_page_itself_needs_no_token(page):
    client = page(tokens=("a-long-token",))
    assert client.get("/").status_code == 200
    assert client.get("/page/app.js").status_code == 200
    assert error_of(client.get("/v1/project")) == (401, "unauthorized")


def test_masks_are_those_of_the_library(page, photos, predictors):
    client, predictor = page(), predictors["tracker"]
    embedding = predictor.embed(photos / "a.png")
    box, click = Prompt.from_dict(BOX), Prompt.from_dict(CLICK)
    first = predictor.predict(embedding, box)
    cases = [
        ({"steps": [BOX]}, first),
        ({"steps": [BOX, CLICK]}, predictor.predict(embedding, box + click, prior=first)),
        ({"steps": [CLICK], "candidate": 2},
         predictor.predict(embedding, click, candidates=3)[[2]]),
    ]  # fmt: skip
    for body, expected in cases:
        answer = client.post("/v1/project/images/0/mask", json=body).json()
        assert (pixels_of(answer) == expected.masks[0]).all()
        assert answer["score"] == pytest.approx(float(expected.scores[0]))
    assert client.get("/v1/project").json()["images"][0]["state"] == "open"


def test_objects_are_kept_and_come_back(page, tmp_path):
    client = page()
    assert client.post("/v1/project/images/0/ready").status_code == 200
    body = {"steps": [BOX, CLICK], "strokes": [STROKE], "category": "cup", "name": "mine"}
    made = client.post("/v1/project/images/0/objects", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["id"] == 1
    second = {"strokes": [STROKE], "category": "spoon", "visible": False}
    assert client.post("/v1/project/images/0/objects", json=second).json()["id"] == 2
    client.put("/v1/project/images/1/done", json={"done": True})
    again = page()  # another process
    overview = again.get("/v1/project").json()
    assert [one["state"] for one in overview["images"]] == ["begun", "done", "open"]
    assert [one["name"] for one in overview["images"]] == ["a.png", "b.png", "inner/a.png"]
    assert overview["classes"] == ["cup", "plate", "spoon"]
    objects = again.get("/v1/project/images/0").json()["objects"]
    assert objects[0] == made.json()
    assert [one["visible"] for one in objects] == [True, False]
    changed = again.put("/v1/project/images/0/objects/1", json={"steps": [CLICK]}).json()
    assert changed["steps"] == [CLICK]
    assert again.delete("/v1/project/images/0/objects/2").status_code == 204
    (left,) = page().get("/v1/project/images/0").json()["objects"]
    assert left == changed
    sidecar = json.loads((tmp_path / "out" / "objects" / "a.png.json").read_text())
    assert sidecar["image_size"] == [40, 60]
    assert Prompt.from_dict(sidecar["objects"][0]["steps"][0]) == Prompt.from_dict(CLICK)


def test_what_everything_mode_found_is_picked_from(page, monkeypatch):
    # A random network is sure of nothing.
    generator = partial(AutomaticMaskGenerator, preset="recall", points_per_side=4)
    monkeypatch.setattr(project, "AutomaticMaskGenerator", generator)
    client = page()
    found = client.post("/v1/project/images/0/everything").json()["masks"]
    assert found
    made = client.post("/v1/project/images/0/objects", json={"found": 0}).json()
    assert (pixels_of(made["mask"]) == pixels_of(found[0])).all()
    # After a restart the search is gone, and the mask is not.
    again = page()
    body = {"found": 0, "strokes": [STROKE]}
    painted_over = again.put("/v1/project/images/0/objects/1", json=body).json()
    assert (pixels_of(painted_over["mask"]) >= pixels_of(found[0])).all()
    shown = again.post("/v1/project/images/0/mask?object_id=1", json={"found": 0}).json()
    assert (pixels_of(shown) == pixels_of(found[0])).all()
    answer = again.post("/v1/project/images/0/objects", json={"found": 0})
    assert error_of(answer) == (422, "invalid")


def test_exports_are_read_by_others(page, tmp_path):
    client = page()
    for i, category in ((0, "cup"), (2, "plate"), (2, "")):
        body = {"strokes": [STROKE], "category": category}
        client.post(f"/v1/project/images/{i}/objects", json=body)
    path = client.post("/v1/project/export", json={"form": "coco"}).json()["path"]
    coco = COCO(path)
    assert [one["file_name"] for one in coco.loadImgs(coco.getImgIds())] == ["a.png", "inner/a.png"]
    annotations = coco.loadAnns(coco.getAnnIds())
    names = {one["id"]: one["name"] for one in coco.loadCats(coco.getCatIds())}
    assert [names[one["category_id"]] for one in annotations] == ["cup", "plate", "object"]
    expected = painted(np.zeros((40, 60), bool), [Stroke(**STROKE)])
    with warnings.catch_warnings():  # pycocotools with numpy 2
        warnings.simplefilter("ignore", DeprecationWarning)
        for one in annotations:
            assert (coco.annToMask(one).astype(bool) == expected).all()
    for form in client.get("/v1/project").json()["exports"]:
        answer = client.post("/v1/project/export", json={"form": form})
        assert answer.status_code == 200, answer.text
        path = answer.json()["path"]
        assert (tmp_path / "out") in (type(tmp_path)(path)).parents
    out = tmp_path / "out"
    assert (out / "yolo" / "classes.txt").read_text().split() == ["cup", "plate", "object"]
    assert (out / "yolo" / "inner" / "a.txt").read_text().count("\n") == 2
    assert len(Masks.load(out / "png" / "inner" / "a.png")) == 2
    # What was deleted is in no later export, and classes keep their numbers.
    assert (out / "yolo" / "a.txt").exists()
    client.delete("/v1/project/images/0/objects/1")
    client.post("/v1/project/classes", json={"name": "fork"})
    client.post("/v1/project/export", json={"form": "yolo"})
    assert not (out / "yolo" / "a.txt").exists()
    again = Project([tmp_path / "photos"], out)
    assert again.classes == ["cup", "plate", "fork"]


def test_objects_of_another_photograph_are_not_shown(page, photos):
    page().post("/v1/project/images/0/objects", json={"strokes": [STROKE]})
    (photos / "a.png").write_bytes(picture(size=(30, 20)))
    assert error_of(page().get("/v1/project/images/0")) == (422, "invalid")


def test_nothing_to_export(page):
    assert error_of(page().post("/v1/project/export", json={"form": "coco"})) == (422, "invalid")
    assert error_of(page().post("/v1/project/export", json={"form": "no"})) == (422, "invalid")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"steps": [{}]},
        {"steps": [{"mask": {"size": [2, 2], "counts": "0120"}}]},
        {"steps": [BOX, BOX]},
        {"steps": [{"box": [5, 5, 1, 1]}]},
        {"steps": [CLICK] * 201},
        {"steps": [CLICK], "candidate": 3},
        {"found": 0},
        {"found": -1},
        {"found": 0, "steps": [CLICK]},
        {"strokes": [{"points": [], "radius": 3}]},
        {"strokes": [{"points": [[1, 1]], "radius": 0}]},
        {"strokes": [{"points": [[1e300, 1]], "radius": 1}]},
        {"strokes": [{"points": [["NaN", 1]], "radius": 1}]},
        {"strokes": [{**STROKE, "erase": True}], "steps": [], "category": 3},
        {"strokes": [STROKE], "category": "x" * 201},
        {"strokes": [STROKE], "category": "two\nlines"},
        {"strokes": [STROKE], "name": "\x00"},
        {"strokes": [STROKE], "more": 1},
        {"strokes": [{**STROKE, "erase": True}]},  # an empty mask
    ],
)
def test_bad_objects(page, body, tmp_path):
    answer = page().post("/v1/project/images/0/objects", json=body)
    assert error_of(answer)[0] == 422
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("index", [3, 10**6])
def test_images_that_are_not_there(page, index):
    client, url = page(), f"/v1/project/images/{index}"
    for answer in (
        client.get(url),
        client.post(f"{url}/ready"),
        client.post(f"{url}/mask", json={"steps": [CLICK]}),
        client.post(f"{url}/objects", json={"steps": [CLICK]}),
        client.delete(f"{url}/objects/1"),
        client.put(f"{url}/done", json={"done": True}),
        client.get(f"{url}/tiles/0/0/0"),
    ):
        assert error_of(answer) == (422, "invalid")


def test_objects_that_are_not_there(page):
    client = page()
    assert error_of(client.delete("/v1/project/images/0/objects/1")) == (422, "invalid")
    answer = client.put("/v1/project/images/0/objects/9", json={"steps": [CLICK]})
    assert error_of(answer) == (422, "invalid")
    for place in ("1/0/0", "0/1/0", "0/0/1"):
        answer = client.get(f"/v1/project/images/0/tiles/{place}")
        assert error_of(answer) == (422, "invalid")


@pytest.mark.parametrize("classes", [["two\nlines"], [3], "a\nb"])
def test_classes_are_names_of_one_line(photos, tmp_path, classes):
    with pytest.raises(InputError, match="classes"):
        Project([photos], tmp_path / "out", classes=classes)


@pytest.mark.parametrize("content", [b"junk", picture(3)[:5000], None])
def test_an_image_that_cannot_be_read(page, photos, content):
    """It is called as the project calls it: where it lies is nobody's business."""
    client = page()
    inner = photos / "inner" / "a.png"
    inner.unlink() if content is None else inner.write_bytes(content)
    names = [one["name"] for one in client.get("/v1/project").json()["images"]]
    url = f"/v1/project/images/{names.index('inner/a.png')}"
    for answer in (
        client.get(url),
        client.get(f"{url}/tiles/0/0/0"),
        client.post(f"{url}/ready"),
        client.post(f"{url}/everything"),
        client.post(f"{url}/mask", json={"steps": [CLICK]}),
    ):
        assert error_of(answer) == (422, "image")
        message = answer.json()["error"]["message"]
        assert message.startswith("cannot read inner/a.png: ")
        assert str(photos) not in message
    assert client.get("/v1/project/images/0").status_code == 200


@pytest.mark.parametrize("name", ["", " ", " \t ", "\u3000"])
def test_a_class_has_a_name(page, tmp_path, name):
    client = page()
    assert error_of(client.post("/v1/project/classes", json={"name": name})) == (422, "invalid")
    kept = client.post("/v1/project/images/0/objects", json={"steps": [CLICK], "category": name})
    assert kept.json()["category"] == ""
    assert client.get("/v1/project").json()["classes"] == ["cup", "plate"]
    added = client.post("/v1/project/classes", json={"name": " tea pot "})
    assert added.json()["classes"] == ["cup", "plate", "tea pot"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', "null"])
def test_damaged_files_are_said_and_left_alone(page, photos, tmp_path, text):
    path = tmp_path / "out" / "objects" / "a.png.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.png\.json is damaged"):
        Project([photos], tmp_path / "out")
    assert path.read_text() == text


def test_a_file_with_other_masks_is_damaged(page, photos, tmp_path):
    page().post("/v1/project/images/0/objects", json={"strokes": [STROKE]})
    path = tmp_path / "out" / "objects" / "a.png.json"
    good = json.loads(path.read_text())
    for change in ({"image_size": [10**9, 10**9]}, {"objects": good["objects"] * 2},
                   {"image_size": [41, 60]}):  # fmt: skip
        path.write_text(json.dumps(good | change))
        with pytest.raises(InputError, match="damaged"):
            Project([photos], tmp_path / "out")


# Strokes


def test_a_stroke_covers_what_is_near_its_way():
    y, x = np.mgrid[:60, :80] + 0.5
    way = [(20.0, 30.0), (60.0, 30.0)]
    mask = painted(np.zeros((60, 80), bool), [Stroke(points=way, radius=6)])
    distance = np.hypot(x - x.clip(20, 60), y - 30)
    assert mask[distance < 4.5].all()
    assert not mask[distance > 7.5].any()
    erased = painted(mask, [Stroke(points=way, radius=20, erase=True)])
    assert not erased.any()


def test_strokes_take_effect_in_their_order():
    on, off = (Stroke(points=[(20, 20)], radius=5, erase=erase) for erase in (False, True))
    empty = np.zeros((40, 40), bool)
    assert painted(empty, [off, on])[20, 20]
    assert not painted(empty, [on, off])[20, 20]
    assert not empty.any()


@pytest.mark.parametrize("radius", [0.01, 0.5, 1.0, 99_999.0])
@pytest.mark.parametrize("where", [(5.5, 5.5), (-1e7, 1e7), (0.0, 0.0)])
def test_any_stroke_can_be_drawn(radius, where):
    mask = painted(np.zeros((11, 11), bool), [Stroke(points=[where, where], radius=radius)])
    if where == (5.5, 5.5):
        assert mask[5, 5]
        if radius <= 0.5:
            assert mask.sum() == 1


def test_steps_are_needed(predictors):
    predictor = predictors["tracker"]
    with pytest.raises(InputError, match="at least one"):
        masks_of_steps(predictor, predictor.embed(picture()), [])


# Tiles


@pytest.mark.parametrize("size", [(1, 1), (512, 512), (513, 40), (1500, 2600)])
def test_tiles_make_up_the_picture(size):
    rng = np.random.default_rng(0)
    image = np.repeat(rng.integers(0, 255, (*size, 1), np.uint8) // 128 * 100, 3, 2)
    pyramid = Pyramid(image)
    height, width = size
    for level in range(pyramid.levels):
        rows = []
        for row in range(-(-height // TILE)):
            tiles = [
                read_image(pyramid.tile(level, column, row)) for column in range(-(-width // TILE))
            ]
            rows.append(np.concatenate(tiles, 1))
        whole = np.concatenate(rows)
        assert whole.shape == (height, width, 3)
        if level == 0:
            assert np.abs(whole.astype(int) - image).mean() < 8  # JPEG
        height, width = max(1, -(-height // 2)), max(1, -(-width // 2))
    assert pyramid.levels == 1 + max(0, int(np.ceil(np.log2(max(size) / TILE))))


def test_strokes_that_would_take_minutes_are_refused():
    stroke = Stroke(points=[(0, 0)] * 1000, radius=1e5)
    with pytest.raises(InputError, match="too many pixels"):
        painted(np.zeros((4000, 5000), bool), [stroke])
    assert painted(np.zeros((4, 5), bool), [stroke]).all()


def test_a_sidecar_is_what_was_written(tmp_path):
    sidecar = Sidecar(source="a", bytes=7, image_size=(3, 4), model="pico", done=True)
    sidecar.write(tmp_path / "a.json")
    assert Sidecar.read(tmp_path / "a.json") == sidecar
