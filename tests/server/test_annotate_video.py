"""Annotating a video over HTTP: prompts, corrections, tracking, what is kept, what comes out."""

import json
import shutil
import warnings
from functools import partial

import av
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from server.calls import error_of
from server.test_annotate import pixels_of

from samkit import Prompt, VideoPredictor
from samkit.errors import InputError
from samkit.server import VideoProject

BOX, CLICK = {"box": [5, 6, 25, 20]}, {"points": [[30, 12]], "labels": [1]}
SIZE = (32, 48)
pixels = partial(pixels_of, size=SIZE)


@pytest.fixture
def opened(clip, tmp_path):
    return lambda out="out", **options: VideoProject(clip, tmp_path / out, **options)


@pytest.fixture
def page(serving, opened):
    """A client of a new application for the same film and the same folder."""
    return lambda **options: serving(project=opened(classes=["cup", "plate"]), **options)


def overview(client):
    return client.get("/v1/project").json()


def timelines(client):
    return {one["id"]: one["timeline"] for one in overview(client)["objects"]}


def masks(client, frame):
    found = client.get(f"/v1/project/frames/{frame}/masks").json()["masks"]
    return {one["id"]: pixels(one["mask"]) for one in found}


def prompt(client, frame=0, object_id=None, **about):
    if not {"strokes", "absent"} & set(about):
        about.setdefault("prompt", BOX)
    answer = client.post(
        "/v1/project/prompts", json={"frame": frame, "object_id": object_id, **about}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def track(client, start=0, direction="forward"):
    """Numbers of the frames that were tracked."""
    body = {"start": start, "direction": direction}
    text = client.post("/v1/project/track", json=body).text
    blocks = [
        dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n")[:-1]
    ]
    assert blocks[-1]["event"] == "end", blocks[-1]
    return [json.loads(one["data"])["frame"] for one in blocks[:-1]]


def test_masks_are_those_of_the_tracker(page, clip, predictors):
    client = page()
    about = overview(client)
    assert (about["kind"], about["frames"], about["image_size"]) == ("video", 12, [32, 48])
    first, second = prompt(client), prompt(client, 3, prompt=CLICK)
    assert (first["object_id"], second["object_id"]) == (1, 2)
    assert timelines(client) == {1: "p" + "-" * 11, 2: "---p" + "-" * 8}
    assert track(client, 3) == list(range(3, 12))
    assert timelines(client) == {1: "p--ttttttttt", 2: "---ptttttttt"}
    with VideoPredictor(predictors["tracker"], clip) as tracker:
        tracker.prompt(0, 1, Prompt.from_dict(BOX))
        tracker.prompt(3, 2, Prompt.from_dict(CLICK))
        for frame, expected in tracker.track(start=3):
            found = masks(client, frame)
            for number, mask in zip((1, 2), expected.masks, strict=True):
                assert (found[number] == mask).all()
    assert client.get("/v1/project/frames/3/masks").json()["prompts"] == [
        {"id": 2, **CLICK, "mask": None}
    ]


def test_corrections_and_what_follows_them(page, clip, predictors):
    client = page()
    prompt(client)
    assert track(client) == list(range(12))
    prompt(client, 6, 1, prompt=CLICK)
    assert timelines(client) == {1: "ptttttcttttt"}
    assert track(client, 6) == list(range(6, 12))
    assert timelines(client) == {1: "ptttttcttttt"}
    with VideoPredictor(predictors["tracker"], clip) as tracker:
        tracker.prompt(0, 1, Prompt.from_dict(BOX))
        expected = dict(tracker.track())
        tracker.prompt(6, 1, Prompt.from_dict(CLICK))
        expected |= dict(tracker.track(start=6))
    for frame, one in expected.items():
        assert (masks(client, frame)[1] == one.masks[0]).all()
    assert track(client, 6, "backward") == list(range(6, -1, -1))


def test_undo_takes_back_what_came_of_a_prompt(page):
    client = page()
    assert error_of(client.post("/v1/project/undo"))[0] == 422
    prompt(client)
    track(client)
    first, later = masks(client, 0)[1], masks(client, 9)[1]
    prompt(client, 6, 1, prompt=CLICK)
    track(client, 6)
    answer = client.post("/v1/project/undo").json()
    assert (answer["object_id"], answer["frame"]) == (1, 6)
    assert [one["kind"] for one in answer["masks"]] == ["tracked"]
    assert timelines(client) == {1: "p" + "t" * 11}
    assert (masks(client, 0)[1] == first).all()
    assert (masks(client, 9)[1] == later).all()
    client.post("/v1/project/undo")
    assert timelines(client) == {}


def test_undo_after_a_restart_leaves_what_is_older(page):
    client = page()
    prompt(client)
    track(client)
    prompt(client, 6, 1, prompt=CLICK)
    track(client, 6)
    again = page()
    again.post("/v1/project/undo")
    assert timelines(again) == timelines(page()) == {1: "pttttt------"}


def test_strokes_and_absence(page):
    client = page()
    prompt(client)
    before = masks(client, 0)[1]
    stroke = {"points": [[40, 28], [44, 28]], "radius": 2}
    prompt(client, 0, 1, strokes=[stroke])
    painted = masks(client, 0)[1]
    assert painted[28, 42]
    assert (painted[:, :30] == before[:, :30]).all()
    prompt(client, 0, 1, strokes=[{"points": [[0, 0], [48, 32]], "radius": 60, "erase": True}])
    assert not masks(client, 0)[1].any()
    prompt(client, 5, 1, absent=True)
    assert not masks(client, 5)[1].any()
    prompt(client, 7, strokes=[stroke])
    assert list(timelines(client)) == [1, 2]


def test_what_is_kept_comes_back(page, tmp_path):
    client = page()
    prompt(client, category="cup")
    prompt(client, 2, prompt=CLICK)
    track(client)
    about = {"name": "mine", "category": "spoon", "visible": False}
    assert client.put("/v1/project/objects/2", json=about).status_code == 200
    before, frames = overview(client), [masks(client, i) for i in range(12)]
    again = page()  # another process
    assert overview(again) == before
    assert before["classes"] == ["cup", "plate", "spoon"]
    assert {one["id"]: one["name"] for one in before["objects"]} == {1: "", 2: "mine"}
    for i, expected in enumerate(frames):
        found = masks(again, i)
        assert all((found[number] == mask).all() for number, mask in expected.items())
    again.post("/v1/project/undo")  # the prompt of frame 2
    assert list(timelines(again)) == [1]
    assert again.delete("/v1/project/objects/1").status_code == 200
    assert overview(page())["objects"] == []
    assert not [*(tmp_path / "out/sessions").glob("*.jsonl")]


def test_a_prompt_is_kept_though_masks_were_not_saved_since(page, tmp_path):
    client = page()
    prompt(client)
    track(client)
    kept = (tmp_path / "out/sessions/clip.mkv.masks.jsonl").read_bytes()
    prompt(client, 6, 1, prompt=CLICK)
    prompt(client, 6, prompt=CLICK)
    expected = masks(client, 6)
    assert (tmp_path / "out/sessions/clip.mkv.masks.jsonl").read_bytes() == kept
    again = masks(page(), 6)
    assert list(again) == [1, 2]
    assert all((again[number] == mask).all() for number, mask in expected.items())


def test_an_id_that_is_used_again_has_nothing_of_the_object_before(page):
    for take_away in ("remove", "undo"):
        client = page()
        prompt(client)
        prompt(client, 3, prompt=CLICK)
        track(client)
        if take_away == "remove":
            client.delete("/v1/project/objects/2")
        else:
            client.post("/v1/project/undo")
        prompt(client, 5, prompt=CLICK)
        again = page()  # without any tracking since
        assert timelines(again)[2] == "-" * 5 + "p" + "-" * 6
        for number in (1, 2):
            again.delete(f"/v1/project/objects/{number}")


def test_a_network_that_was_not_the_one_before(page, opened, predictors, tmp_path):
    with pytest.raises(InputError, match="tracking"):
        opened().begin(predictors["plain"], "plain")
    prompt(page())
    with pytest.raises(InputError, match="was begun with tracker"):
        opened().begin(predictors["tracker"], "other")
    (tmp_path / "out/sessions/clip.mkv.masks.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="is damaged"):
        opened().begin(predictors["tracker"], "tracker")
    (tmp_path / "out/sessions/clip.mkv.safetensors").unlink()
    with pytest.raises(InputError, match="is missing"):
        opened().begin(predictors["tracker"], "tracker")


def test_exports_are_those_of_track(page, clip, tmp_path):
    client = page()
    assert error_of(client.post("/v1/project/export", json={"form": "coco"}))[0] == 422
    prompt(client, 2, category="plate")
    prompt(client, 2, prompt=CLICK)
    track(client, 2)
    paths = {
        form: client.post("/v1/project/export", json={"form": form}).json()["path"]
        for form in overview(client)["exports"]
    }
    data = COCO(paths["coco"])
    assert {one["name"]: one["id"] for one in data.dataset["categories"]} == {
        "cup": 1,
        "plate": 2,
        "object": 3,
    }
    assert sorted(data.imgs) == list(range(2, 12))
    for frame in data.imgs:
        shown = masks(client, frame)
        found = data.loadAnns(data.getAnnIds(imgIds=frame))
        assert [one["category_id"] for one in found] == [2, 3]
        for one in found:
            with warnings.catch_warnings(action="ignore"):  # pycocotools with newer numpy
                mask = coco_masks.decode(one["segmentation"]).astype(bool)
            assert (mask == shown[one["object_id"]]).all()
    for form in ("mp4", "mov"):
        with av.open(paths[form]) as film:
            assert sum(1 for _ in film.decode(video=0)) == 10
    pngs = sorted((tmp_path / "out/clip.mkv-png").glob("*.png"))
    assert [one.stem for one in pngs] == [f"{i:05d}" for i in range(2, 12)]
    assert set(np.unique(np.array(Image.open(pngs[0])))) <= {0, 1, 2}
    assert json.loads((tmp_path / "out/clip.mkv-sav.json").read_text())["masklet_num"] == 2
    assert clip.stat().st_size > 0
    assert error_of(client.post("/v1/project/export", json={"form": "xyz"})) == (422, "invalid")


def test_frames_are_pictures_of_the_film(page, clip):
    from samkit.media import read_image
    from samkit.media.frames import open_frames

    client, frames = page(), open_frames(clip)
    for i in (0, 7, 3):
        shown = read_image(client.get(f"/v1/project/frames/{i}").content)
        assert np.abs(shown.astype(int) - frames.read(i)).mean() < 12  # JPEG
    frames.close()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": BOX, "absent": True},
        {"prompt": BOX, "frame": 12},
        {"prompt": BOX, "frame": -1},
        {"prompt": BOX, "object_id": 7},
        {"prompt": BOX, "object_id": 0},
        {"prompt": {"mask": {"size": [32, 48], "counts": "a"}}},
        {"prompt": {"box": [3, 3, 1, 1]}},
        {"prompt": {"points": [[float("1e99"), 1]], "labels": [1]}},
        {"prompt": BOX, "more": 1},
        {"prompt": BOX, "category": "a\nb"},
        {"prompt": BOX, "category": "a\u2028b"},
        {"prompt": {"points": [[1, 1]] * 501, "labels": [1] * 501}},
        {"strokes": [{"points": [], "radius": 1}]},
    ],
)
def test_what_is_no_prompt(page, body):
    client = page()
    assert error_of(client.post("/v1/project/prompts", json={"frame": 0, **body}))[0] == 422
    assert overview(client)["objects"] == []


def test_what_is_not_there(page):
    client = page()
    assert error_of(client.post("/v1/project/track", json={"start": 12}))[0] == 422
    for path in ("frames/12", "frames/12/masks"):
        assert error_of(client.get(f"/v1/project/{path}"))[0] == 422
    assert error_of(client.delete("/v1/project/objects/1"))[0] == 422
    assert error_of(client.put("/v1/project/objects/1", json={}))[0] == 422
    nothing = client.post("/v1/project/track", json={"start": 0})
    assert error_of(nothing)[0] == 422
    prompt(client)
    assert error_of(client.post("/v1/project/track", json={"start": 99}))[0] == 422


def test_nothing_of_anybody_else_is_written_over(page, tmp_path):
    client = page()
    prompt(client)
    folder, table = tmp_path / "out/clip.mkv-png", tmp_path / "out/clip.mkv-masks.csv"
    folder.mkdir()
    for path in (folder / "00000.png", folder / "00007.png", table):
        path.write_text("mine")
    for form in ("png", "csv"):
        answer = client.post("/v1/project/export", json={"form": form})
        assert error_of(answer) == (422, "invalid")
        assert "is there already" in answer.text
    assert {path.read_text() for path in (*folder.iterdir(), table)} == {"mine"}
    table.unlink()
    for _ in range(2):  # what was exported is exported again
        assert client.post("/v1/project/export", json={"form": "csv"}).status_code == 200


def test_what_cannot_be_saved_is_not_there(page, tmp_path):
    client = page()
    prompt(client)
    (tmp_path / "out/sessions").rename(tmp_path / "aside")
    (tmp_path / "out/sessions").write_text("in the way")
    answer = client.post("/v1/project/prompts", json={"frame": 3, "prompt": CLICK})
    assert error_of(answer)[0] == 422
    assert timelines(client) == {1: "p" + "-" * 11}
    (tmp_path / "out/sessions").unlink()
    (tmp_path / "aside").rename(tmp_path / "out/sessions")
    assert prompt(client, 4)["object_id"] == 2
    assert timelines(client) == {1: "p" + "-" * 11, 2: "----p" + "-" * 7}


def test_another_film_in_place_of_the_one_before(page, opened, clip, predictors, tmp_path):
    prompt(page())
    with clip.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InputError, match="has changed"):
        opened().begin(predictors["tracker"], "tracker")
    (tmp_path / "out/videos/clip.mkv.json").unlink()
    with pytest.raises(InputError, match="is there without its file"):
        opened().begin(predictors["tracker"], "tracker")


@pytest.mark.parametrize("change", [{"area": "x"}, {"area": -5}, {"kind": "no"}, {"more": 1}])
def test_damaged_masks(page, opened, predictors, tmp_path, change):
    client = page()
    prompt(client)
    track(client)
    file = tmp_path / "out/sessions/clip.mkv.masks.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[3]["objects"][0] |= change
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match="is damaged"):
        opened().begin(predictors["tracker"], "tracker")


def test_folders_of_pictures_and_things_that_are_no_videos(tmp_path, clip):
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (9, 8), (i, i, i)).save(folder / f"{i}.png")
    project = VideoProject(folder, tmp_path / "out")
    assert (project.name, project.count, project.image_size) == ("frames", 3, (8, 9))
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    for path in ("no.mp4", "missing.mp4"):
        with pytest.raises(InputError):
            VideoProject(tmp_path / path, tmp_path / "out")


def test_films_of_one_name_are_told_apart(clip, tmp_path, predictors):
    other = tmp_path / "other" / clip.name
    other.parent.mkdir()
    shutil.copy(clip, other)
    for i, film in enumerate((clip, other)):
        project = VideoProject(film, tmp_path / "out")
        project.begin(predictors["tracker"], "tracker")
        assert not project.objects
        for _ in range(i + 1):
            project.prompt(_request(prompt=BOX))
    for film, count in ((clip, 1), (other, 2)):
        project = VideoProject(film, tmp_path / "out")
        project.begin(predictors["tracker"], "tracker")
        assert len(project.objects) == count


def _request(**about):
    from samkit.server.annotate.sidecars import VideoPrompt

    return VideoPrompt(frame=0, **about)
