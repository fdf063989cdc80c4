"""`samkit track --find`: what words find in a video."""

import json

import pytest
import typer
from whole_sam3 import save_whole_sam3

import samkit
from samkit import ConceptTracking, VideoPredictor
from samkit.cli.track.setup import read_rules
from samkit.media.frames import open_frames


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam3")
    save_whole_sam3(folder, presence=4.0)
    return folder


RULES = {
    "score_threshold_detection": 0.1,
    "hotstart_delay": 3,
    "hotstart_unmatch_thresh": 3,
    "hotstart_dup_thresh": 3,
}
OPTIONS = [one for name, value in RULES.items() for one in ("--rule", f"{name}={value}")]


def test_files_hold_what_python_gives(run, clip, whole, tmp_path):
    target, drawn = tmp_path / "out.json", tmp_path / "out.mp4"
    code, out, err = run(
        "track",
        clip,
        "--find",
        "red cup, dog",
        *OPTIONS,
        "-o",
        target,
        "-o",
        drawn,
        "-m",
        whole,
        "--dtype",
        "float32",
    )
    assert code == 0, err
    assert "8 frames" in out
    predictor = samkit.load(whole, dtype="float32")
    rules = ConceptTracking(**RULES)
    tracker = VideoPredictor(predictor, clip).find(["red cup", "dog"], settings=rules)
    expected = [
        (frame, object_id, str(name), area)
        for frame, masks in tracker.track()
        for object_id, name, area in zip(
            masks.object_ids.tolist(),
            [] if masks.names is None else masks.names,
            masks.areas.tolist(),
            strict=True,
        )
    ]
    assert expected
    data = json.loads(target.read_text())
    kinds = {one["id"]: one["name"] for one in data["categories"]}
    assert [
        (one["image_id"], one["object_id"], kinds[one["category_id"]], one["area"])
        for one in data["annotations"]
    ] == expected
    assert [one["frame"] for one in data["images"]] == list(range(8))
    assert open_frames(drawn).count == 8


def test_a_model_that_cannot(run, clip, model, tmp_path):
    code, _, err = run("track", clip, "--find", "dog", "-o", tmp_path / "o.json", "-m", model)
    assert code == 2
    assert "SAM 3 alone can: -m sam3" in err
    code, _, err = run("track", clip, "--find", "dog", "-o", tmp_path / "o.json", "-m", "pico")
    assert code == 2
    assert "pico cannot find by words" in err


@pytest.mark.parametrize("options", [("--find", "dog"), ("--box", "0:1:2,2,9,9")])
def test_of_a_newer_one_there_are_images_alone(run, clip, tmp_path, options):
    code, _, err = run("track", clip, *options, "-o", tmp_path / "o.json", "-m", "sam3.1")
    assert code == 2
    message = " ".join(err.replace("│", " ").split())
    assert "of SAM 3.1 samkit has the part for images alone" in message
    assert "take sam3, which also finds by words in video, or sam2.1-tiny" in message


def test_rules():
    assert read_rules(None, []) == ((), None)
    words, rules = read_rules(" red cup,dog", ["new_det_thresh=0.5", "max_num_objects=7"])
    assert words == ("red cup", "dog")
    assert rules == ConceptTracking(new_det_thresh=0.5, max_num_objects=7)
    _, rules = read_rules("dog", ["recondition_on_trk_masks=True"])
    assert rules == ConceptTracking(recondition_on_trk_masks=True)


@pytest.mark.parametrize(
    ("words", "rules", "message"),
    [
        ("", [], "expected words, each once"),
        ("dog,,cat", [], "expected words, each once"),
        ("dog, dog", [], "expected words, each once"),
        ("a\udcff", [], "expected words without control characters"),
        (None, ["new_det_thresh=0.5"], "it is about what --find finds"),
        ("dog", ["colour=red"], "expected NAME=VALUE with a NAME of score_threshold_detection"),
        ("dog", ["new_det_thresh"], "new_det_thresh: expected a number from 0 to 1, got ''"),
        ("dog", ["max_num_objects=1.5"], "max_num_objects: expected a whole number"),
    ],
)
def test_wrong_rules(words, rules, message):
    with pytest.raises(typer.BadParameter, match=message):
        read_rules(words, rules)


def test_without_smoothing(run, clip, whole, tmp_path):
    arguments = ("track", clip, "--find", "dog", "-o", tmp_path / "o.json", "-m", whole)
    code, _, err = run(*arguments, "--smooth", 2)
    assert code == 2
    assert "cannot be smoothed" in err
    assert not list(tmp_path.glob("*.json"))
