"""Prompts in files: JSON, and pictures of masks."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from cli.track.results import CLICK, PROMPTS, check_same, masks_of
from PIL import Image

from samkit import Prompt


def test_a_file_of_prompts(track, tracked, clip) -> None:
    rough = np.zeros((37, 51), np.uint8)
    rough[5:20, 10:30] = 255
    Path("given").mkdir()
    Image.fromarray(rough).save("given/rough.png")
    entries = [
        {"frame": 1, "object_id": 7, "box": [5, 6, 25, 30]},
        {"frame": 3, "object_id": 2, "points": [[40, 20], [3, 4]], "labels": [1, 0]},
        {"frame": 2, "object_id": -4, "mask": "rough.png"},
        {"frame": 4, "object_id": 7, "points": [[20, 20]]},
    ]
    Path("given/p.json").write_text(json.dumps(entries))
    code, _, err = track(clip, "--prompts", "given/p.json", "--point", "4:7:1,2,0", "-o", "m.json")
    assert code == 0, err
    more = Prompt.point(20, 20) + Prompt.point(1, 2, label=0)
    added = [(2, -4, Prompt.mask(rough > 0)), (4, 7, more)]
    ordered = sorted([*PROMPTS, *added], key=lambda one: one[0])
    check_same(masks_of(Path("m.json")), tracked(ordered))


def test_a_file_of_prompts_as_dicts(track, tracked, clip) -> None:
    """All that `Prompt.to_dict` gives, and clicks beside a mask from a file."""
    rough = np.zeros((37, 51), bool)
    rough[5:20, 10:30] = True
    Image.fromarray(rough).save("rough.png")
    logits = Prompt.mask(np.where(rough, 2.5, -1.5)) + CLICK
    file = {"mask": "rough.png", "points": [[20, 10]], "box": None}
    said = [
        (0, 1, Prompt.mask(rough), Prompt.mask(rough).to_dict()),
        (1, 2, logits, logits.to_dict()),
        (2, 3, Prompt.mask(rough) + Prompt.point(20, 10), file),
    ]
    entries = [{"frame": frame, "object_id": i, **values} for frame, i, _, values in said]
    Path("p.json").write_text(json.dumps(entries))
    code, _, err = track(clip, "--prompts", "p.json", "-o", "m.json")
    assert code == 0, err
    check_same(masks_of(Path("m.json")), tracked([one[:3] for one in said]))


def test_masks_of_an_indexed_picture(track, tracked, clip) -> None:
    labels = np.zeros((37, 51), np.uint8)
    labels[5:20, 10:30], labels[25:35, 30:45] = 3, 5
    image = Image.fromarray(labels)
    image.putpalette([0, 0, 0] * 256)
    image.save("first.png")
    code, _, err = track(clip, "--mask", "0:3:first.png", "--mask", "0:5:first.png", "-o", "m.json")
    assert code == 0, err
    check_same(
        masks_of(Path("m.json")),
        tracked([(0, 3, Prompt.mask(labels == 3)), (0, 5, Prompt.mask(labels == 5))]),
    )
    Image.fromarray(labels).save("first.png")  # grey, with the same small numbers
    assert track(clip, "--mask", "0:5:first.png", "-o", "m.json")[0] == 0
    check_same(masks_of(Path("m.json")), tracked([(0, 5, Prompt.mask(labels == 5))]))
    code, _, err = track(clip, "--mask", "0:4:first.png", "-o", "m.json")
    assert code == 2
    assert "holds the objects 3, 5, and none with the id 4" in err


@pytest.mark.parametrize("white", [1, 127, 200, 255, 2000, 65535])
def test_masks_are_white_on_black_however_white_is_written(track, clip, tracked, white) -> None:
    mask = np.zeros((37, 51), np.uint8 if white < 256 else np.uint16)
    mask[5:20, 8:30] = white
    Image.fromarray(mask).save("mask.png")
    assert track(clip, "--mask", "0:9:mask.png", "-o", "m.json")[0] == 0
    check_same(masks_of(Path("m.json")), tracked([(0, 9, Prompt.mask(mask > 0))]))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_no_file_of_prompts(track, clip) -> None:
    os.mkfifo("p.json")
    code, _, err = track(clip, "--prompts", "p.json", "-o", "m.json")
    assert code == 2
    assert "p.json: expected a file, got a pipe or device" in err


def test_a_file_of_prompts_with_a_byte_order_mark(track, clip) -> None:
    text = '[{"frame": 0, "object_id": 1, "box": [1, 2, 30, 30]}]'
    Path("p.json").write_text(text, encoding="utf-8-sig")
    assert track(clip, "--prompts", "p.json", "-o", "m.json")[0] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "p.json is no JSON"),
        ("{}", "expected a list of prompts"),
        ("[]", "expected a list of prompts"),
        ("[3]", "p.json, entry 1: expected an object"),
        ('[{"object_id": 1, "box": [1, 2, 3, 4]}]', "entry 1: frame: expected a whole number"),
        ('[{"frame": 0, "object_id": true, "box": [1, 2, 3, 4]}]', "object_id: expected a whole"),
        ('[{"frame": 1.5, "object_id": 1, "box": [1, 2, 3, 4]}]', "frame: expected a whole"),
        ('[{"frame": -1, "object_id": 1, "box": [1, 2, 3, 4]}]', "expected a frame from 0 on"),
        ('[{"frame": 0, "object_id": 1}]', "(frame 0, object 1): expected points, a box"),
        ('[{"frame": 0, "object_id": 1, "boxes": [1, 2, 3, 4]}]', "unknown boxes"),
        ('[{"frame": 0, "object_id": 1, "box": [1, 2, 3]}]', "box: expected [x0, y0, x1, y1]"),
        ('[{"frame": 0, "object_id": 1, "box": [9, 2, 3, 4]}]', "(frame 0, object 1): box"),
        ('[{"frame": 0, "object_id": 1, "points": [1, 2]}]', "(frame 0, object 1): point"),
        ('[{"frame": 0, "object_id": 1, "points": [["a", 2]]}]', "(frame 0, object 1): point"),
        ('[{"frame": 0, "object_id": 1, "labels": [1]}]', "labels: they go with points"),
        ('[{"frame": 0, "object_id": 1, "mask": "no.png"}]', "no.png: no such file"),
        ('[{"frame": 0, "object_id": 1, "mask": 3}]', "mask: expected the name of a file"),
        (
            '[{"frame": 0, "object_id": 1, "mask": {"size": [2, 2], "counts": "5"}}]',
            "(frame 0, object 1): mask: expected run lengths of the mask that fill 2 x 2 pixels",
        ),
        (
            '[{"frame": 0, "object_id": 1, "box": [1, 2, 3, 4]}, '
            '{"frame": 0, "object_id": 1, "box": [1, 2, 3, 4]}]',
            "p.json, entry 2 (frame 0, object 1): two boxes",
        ),
        ('[{"frame": 8, "object_id": 1, "box": [1, 2, 3, 4]}]', "there is no frame 8"),
    ],
)
def test_bad_files_of_prompts(track, clip, content, message) -> None:
    Path("p.json").write_text(content)
    code, out, err = track(clip, "--prompts", "p.json", "-o", "m.json")
    assert code == 2
    assert message in err
    assert out == ""
    assert not Path("m.json").exists()
