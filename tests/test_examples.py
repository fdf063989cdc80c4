"""The scripts in examples/, offline; what they write is read by what people would read it with."""

import csv
import hashlib
import json
import re
import runpy
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
import rasterio
import tifffile
from geotiffs import drawn, read_features
from PIL import Image
from pycocotools.coco import COCO

import samkit

ROOT = Path(__file__).parents[1]


@pytest.fixture
def example(tmp_path, monkeypatch, capsys):
    """Run an example in an empty folder -> what it printed."""
    monkeypatch.chdir(tmp_path)

    def example(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
        return capsys.readouterr().out

    return example


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_thirty_photographs_to_coco_and_yolo(example, capsys) -> None:
    assert "30 files of labels" in example("annotate.py")
    data = COCO("outputs/photos/annotations.json")
    assert len(data.getImgIds()) == len(data.getAnnIds()) == 30
    assert [one["name"] for one in data.loadCats(data.getCatIds())] == ["cup"]
    for annotation, image in zip(
        data.loadAnns(data.getAnnIds()), data.loadImgs(data.getImgIds()), strict=True
    ):
        area = int(data.annToMask(annotation).sum())
        number, *outline = Path(
            f"outputs/photos/labels/{Path(image['file_name']).stem}.txt"
        ).read_text().split()  # fmt: skip
        assert number == "0"
        x, y = (np.array(outline, float).reshape(-1, 2) * (image["width"], image["height"])).T
        drawn = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
        assert drawn == pytest.approx(area, rel=0.01)
        assert area > 20_000, "the cup is some 37,000 pixels"


def test_a_stack_to_labels_and_a_table(example) -> None:
    assert "12 slices" in example("stack.py")
    stack, labels = (tifffile.imread(f"outputs/{name}.tif") for name in ("stack", "labels"))
    assert stack.dtype == np.uint16
    assert labels.shape == stack.shape
    with open("outputs/cells.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    # On the clicked slice both balls are found; the sizes are those of the balls that were drawn.
    for cell, radius in ((1, 34), (2, 26)):
        row = next(r for r in rows if (r["frame"], r["object_id"]) == ("6", str(cell)))
        assert int(row["area"]) == (labels[6] == cell).sum()
        assert int(row["area"]) == pytest.approx(np.pi * radius**2, rel=0.4)


def test_an_orthophoto_to_a_map(example) -> None:
    out = example("orthophoto.py")
    with rasterio.open("outputs/orthophoto.tif") as dataset:
        picture, size = dataset.read(), dataset.shape
        names = {"objects.geojson": "EPSG:4326", "objects.gpkg": "EPSG:25832"}
        pixels = {}
        for name, crs in names.items():
            found, features = read_features(Path("outputs") / name)
            assert found == crs
            assert f"{name}: {len(features)} objects, {crs}" in out
            pixels[name] = drawn(features, crs, Path("outputs/orthophoto.tif"))
            for one, mask in zip(features, pixels[name], strict=True):
                # A pixel is a quarter of a square metre, but for the scale of UTM.
                assert one["properties"]["area_m2"] == pytest.approx(mask.sum() / 4, rel=1e-3)
    assert np.array_equal(*pixels.values())
    masks = pixels["objects.gpkg"]
    assert masks.shape[1:] == size
    assert masks.sum(0).max() == 1, "no pixel is in two polygons"
    # Some roof, which a seam may cut, is found: its colours are those that were drawn.
    roof = (abs(picture.astype(int) - np.array([176, 84, 66])[:, None, None]) < 40).all(0)
    assert roof.sum() > 2000
    both = (masks & roof).sum((1, 2)) / masks.sum((1, 2))
    assert (both > 0.9).any()


def test_a_thing_cut_out_of_a_clip(example) -> None:
    example("cut_out.py")
    with av.open("outputs/coffee.mov") as container:
        frames = [frame.to_ndarray(format="rgba") for frame in container.decode(video=0)]
    assert len(frames) == 36
    cover = [float((frame[..., 3] > 127).mean()) for frame in frames]
    assert min(cover) > 0.1
    assert max(cover) < 0.6
    with Image.open("outputs/coffee_still.png") as picture:
        assert picture.mode == "RGBA"


def test_a_camera_loop_ends_with_the_newest_frame(example) -> None:
    out = example("camera.py")
    shown = [int(number) for number in re.findall(r"^frame (\d+):", out, re.MULTILINE)]
    assert shown == sorted(shown)
    assert shown[-1] == 35
    taken, left_out = re.search(r"(\d+) frames, (\d+) left out; p50 \d+, p90", out).groups()
    assert int(taken) == len(shown)
    assert int(taken) + int(left_out) == 36


@pytest.fixture
def latest_frame():
    """`LatestFrame` of camera.py."""
    return runpy.run_path(str(ROOT / "examples" / "camera.py"))["LatestFrame"]


def shade(value: int) -> np.ndarray:
    return np.full((4, 4, 3), value, np.uint8)


def test_a_silent_camera_is_waited_for(latest_frame) -> None:
    asked, goes_on = threading.Event(), threading.Event()

    def camera():
        yield from (shade(0), shade(1), shade(2))
        asked.set()
        goes_on.wait()
        yield shade(3)

    with latest_frame(camera()) as frames:
        asked.wait()  # the third frame was taken over then
        number, frame, _ = frames.wait(60)
        assert (number, frame[0, 0, 0]) == (2, 2)
        with pytest.raises(TimeoutError, match=r"no frame for 0\.01 s"):
            frames.wait(0.01)
        goes_on.set()
        assert frames.wait(60)[0] == 3
        assert frames.wait(60) is None
        assert frames.wait(60) is None


def test_an_error_of_a_camera_arrives_after_its_last_frame(latest_frame) -> None:
    failed = threading.Event()

    def camera():
        yield shade(7)
        failed.set()
        raise OSError("unplugged")

    with latest_frame(camera()) as frames:
        failed.wait()
        assert frames.wait(60)[0] == 0
        with pytest.raises(OSError, match="unplugged"):
            frames.wait(60)


def test_a_cup_is_found_again(example) -> None:
    out = example("find_again.py")
    assert len(re.findall(r"presence [01]\.\d\d", out)) == 3
    for number in (12, 24, 35):
        with (
            Image.open(f"outputs/pictures/frame_{number}.png") as picture,
            Image.open(f"outputs/found/frame_{number}.png") as drawn,
        ):
            before, after = np.asarray(picture.convert("RGB")), np.asarray(drawn.convert("RGB"))
        changed = (before != after).any(2)
        assert before.shape == after.shape == (240, 360, 3)
        # The cup reaches over the upper middle; the lower left corner is table.
        assert changed[20:100, 140:260].mean() > 0.9
        assert not changed[-20:, :20].any()


def test_pictures_without_the_one_that_shows_it(example, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        example("find_again.py", "tuesday.jpg")
    assert stop.value.code == 2
    assert "expected --show with a picture" in capsys.readouterr().err


def test_ten_pictures_to_a_model(example) -> None:
    out = example("fine_tune.py", "--steps", "2")
    measured = re.findall(r"^step (\d), mean IoU of 30 objects held out: box (0\.\d+)", out, re.M)
    assert [step for step, _ in measured] == ["0", "2"]
    assert float(measured[1][1]) > float(measured[0][1]) + 0.1
    assert len(list(Path("outputs/cells/masks").iterdir())) == 15
    masks = samkit.load("outputs/cells.safetensors").predict(
        "outputs/cells/images/00.png", samkit.Prompt.point(110, 80)
    )
    assert masks.masks.shape == (1, 192, 256)


def test_pictures_of_your_own_to_a_model(example) -> None:
    draw_cells = runpy.run_path(str(ROOT / "examples" / "fine_tune.py"))["draw_cells"]
    for i in range(3):
        image, labels = draw_cells(np.random.default_rng(i))
        samkit.media.write_image(f"mine/images/{i}.png", image)
        samkit.media.write_image(f"mine/masks/{i}.png", labels)
    out = example("fine_tune.py", "mine", "--steps", "1", "-o", "mine.safetensors")
    assert "mine.safetensors: written" in out
    assert not Path("outputs").exists()


def test_a_client_of_a_server(example) -> None:
    out = example("client.py")
    with Image.open("outputs/cup.png") as picture:
        mask = np.asarray(picture)
    assert mask.shape == (400, 600)
    assert mask.dtype == bool
    assert f"{mask.sum()} pixels" in out
    assert 40_000 < mask.sum() < 60_000
    tracked = re.findall(r"^frame (\d): (\d+) pixels, there (\d\.\d\d)$", out, re.MULTILINE)
    assert [int(frame) for frame, _, _ in tracked] == list(range(8))
    assert all(10_000 < int(area) < 40_000 for _, area, _ in tracked)


@pytest.fixture
def scripted():
    """A server on this machine that answers what it is told to, one after the other."""
    answers, seen = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["X-Session-Id"]))
            status, body = answers.pop(0)
            self.send_response(status)
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", answers, seen
        server.shutdown()


def test_a_client_sends_again_what_its_server_has_lost(scripted) -> None:
    address, answers, seen = scripted
    client = runpy.run_path(str(ROOT / "examples" / "client.py"))
    server = client["Server"](address)
    expired = (404, '{"error": {"code": "expired", "message": "not here"}}')
    image, masks = "/v1/embeddings", "/v1/embeddings/{}/masks".format
    answers += [(201, '{"id": "a"}'), (200, '{"n": 1}'), (200, '{"n": 2}')]
    assert [server.masks(b"x", [{}])["n"] for _ in range(2)] == [1, 2]
    answers += [expired, (201, '{"id": "b"}'), (500, "Internal Server Error")]
    answers += [expired, (503, "{}"), (201, '{"id": "c"}'), (200, '{"n": 3}')]
    assert server.masks(b"x", [{}])["n"] == 3
    asked = [image, masks("a"), masks("a"), masks("a"), image, masks("b"), masks("b"), image, image]
    assert [path for path, _ in seen] == [*asked, masks("c")]
    assert {about for _, about in seen} == {hashlib.sha256(b"x").hexdigest()}
    answers += [(422, '{"error": {"code": "prompt", "message": "prompt 0: odd"}}')]
    with pytest.raises(client["Refused"], match="prompt 0: odd"):
        server.masks(b"x", [{}])
    answers += [expired, (201, '{"id": "d"}')] * 10
    with pytest.raises(client["Refused"], match="not here"):  # it does not try for ever
        server.masks(b"x", [{}])


def test_a_replica_is_lost_and_no_mask() -> None:
    pytest.importorskip("ray.serve", reason="ray is large, and this takes half a minute")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    load = ["--clients", "2", "--requests", "40", "--kill", "1", "--port", port]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "ray_serve.py", *load],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "80 requests in" in done.stdout, done.stderr
    assert "0 wrong masks" in done.stdout


def test_every_example_is_listed() -> None:
    listed = re.findall(r"^\| `(\S+)` \|", (ROOT / "examples" / "README.md").read_text(), re.M)
    there = {path.name for path in (ROOT / "examples").iterdir() if path.is_file()}
    assert sorted(listed) == sorted((there | {"web/"}) - {"README.md"})


def test_masks_come_back_from_label_studio(example, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    lines = example("exchange.py").splitlines()
    assert "pip install supervision" in lines[0]
    assert lines[-1] == "Label Studio: the same masks and scores came back"
    assert lines[-2].endswith("coffee.jpg: cup, table")
    (task,) = json.loads(Path("outputs/tasks.json").read_text())
    for region in task["predictions"][0]["result"]:
        assert (region["original_width"], region["original_height"]) == (600, 400)


def test_masks_come_back_from_supervision(example) -> None:
    pytest.importorskip("supervision", reason="supervision is not installed")
    assert "supervision: the same masks and scores came back" in example("exchange.py")
