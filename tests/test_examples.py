"""The scripts in examples/, offline; what they write is read by what people would read it with."""

import csv
import re
import runpy
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools.coco import COCO

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
