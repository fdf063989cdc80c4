"""`samkit track`: what is written, from which prompts, and what stays after an early end."""

import json
import os
import signal
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from tiny import make
from videos import make_video, number_of, picture, served

import samkit
from samkit import Masks, Prompt, VideoPredictor
from samkit.errors import InputError
from samkit.evaluation import open_sequences
from samkit.masks import drawing
from samkit.media.frames import open_frames
from samkit.weights import save_network

TIMES = [0, 40, 80, 200, 240, 1000, 1040, 1080]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Eight frames 51 x 37, not at equal times."""
    return make_video(
        tmp_path / "clip.mkv", 8, size=(51, 37), codec="ffv1", times=TIMES, unit=Fraction(1, 1000)
    )


@pytest.fixture
def track(run, model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run `samkit track` in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def track(*arguments: object) -> tuple[int, str, str]:
        code, out, err = run("track", *arguments, "--model", model, "--dtype", "float32")
        return code, out, " ".join(err.replace("│", " ").split())

    return track


@pytest.fixture
def tracked(model, clip: Path):
    """Frame -> masks, by the Python interface."""

    def tracked(prompts, direction="forward", **options) -> dict[int, Masks]:
        predictor = samkit.load(model, dtype="float32")
        tracker = VideoPredictor(predictor, clip, **options.pop("tracker", {}))
        for frame, object_id, prompt in prompts:
            tracker.prompt(frame, object_id, prompt)
        return dict(tracker.track(direction, **options))

    return tracked


BOX, CLICK = Prompt.box(5, 6, 25, 30), Prompt.point(40, 20) + Prompt.point(3, 4, label=0)
PROMPTS = [(1, 7, BOX), (3, 2, CLICK)]
OPTIONS = ("--box", "1:7:5,6,25,30", "--point", "3:2:40,20", "--point", "3:2:3,4,0")


def masks_of(path: Path) -> dict[int, Masks]:
    """Frame -> masks of a .json, read by pycocotools."""
    coco = COCO(str(path))
    found = {}
    for image in coco.loadImgs(coco.getImgIds()):
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        with warnings.catch_warnings():  # pycocotools with numpy 2
            warnings.simplefilter("ignore", DeprecationWarning)
            areas = [int(coco.annToMask(one).sum()) for one in annotations]
        assert areas == [one["area"] for one in annotations]
        found[image["frame"]] = Masks.from_rle(
            [one["segmentation"] for one in annotations],
            (image["height"], image["width"]),
            [one["score"] for one in annotations],
            object_ids=[one["object_id"] for one in annotations],
            presence=[one["presence"] for one in annotations],
        )
    return found


def check_same(found: dict[int, Masks], expected: dict[int, Masks]) -> None:
    assert list(found) == sorted(expected)
    for frame, masks in found.items():
        assert np.array_equal(masks.masks, expected[frame].masks), frame
        assert masks.object_ids.tolist() == expected[frame].object_ids.tolist()
        np.testing.assert_allclose(masks.scores, expected[frame].scores, rtol=1e-5)
        np.testing.assert_allclose(masks.presence, expected[frame].presence, rtol=1e-5)


# What is written


def test_three_outputs_in_one_pass(track, tracked, clip) -> None:
    code, out, err = track(clip, *OPTIONS, "-o", "o.mp4", "-o", "new/m.json", "-o", "pngs")
    assert code == 0, err
    assert out.splitlines() == [
        f"{name}: 7 frames, 2 objects" for name in ("o.mp4", "new/m.json", "pngs")
    ]
    expected = tracked(PROMPTS)
    assert list(expected) == list(range(1, 8))
    assert any(masks.masks.any() for masks in expected.values())
    check_same(masks_of(Path("new/m.json")), expected)

    data = json.loads(Path("new/m.json").read_text())
    assert data["videos"] == [
        {"id": 1, "name": "clip.mkv", "width": 51, "height": 37, "frame_rate": pytest.approx(25)}
    ]
    assert [image["time"] for image in data["images"]] == [t / 1000 for t in TIMES[1:]]
    assert data["images"][0]["file_name"] == "00001.jpg"
    assert [one["id"] for one in data["annotations"]] == list(range(1, 15))

    assert sorted(os.listdir("pngs")) == [f"{i:05d}.png" for i in range(1, 8)]
    for frame, masks in expected.items():
        with Image.open(f"pngs/{frame:05d}.png") as image:
            assert image.mode == "P"
            assert image.getpalette()[3 * 7 : 3 * 8] == list(drawing.colour_of(7))
            labels = np.asarray(image)
        assert np.array_equal(labels > 0, masks.masks.any(0))
        for masks_of_one in masks:
            where = masks_of_one.masks[0] & (masks.masks.sum(0) == 1)
            assert (labels[where] == masks_of_one.object_ids[0]).all()

    frames, source = open_frames("o.mp4"), open_frames(clip)
    with av.open("o.mp4") as container:
        stream = container.streams.video[0]
        found = (stream.codec_context.name, stream.pix_fmt, stream.width, stream.height)
        assert found == ("h264", "yuv420p", 52, 38)
    assert [frames.time(i) for i in range(7)] == [Fraction(t - 40, 1000) for t in TIMES[1:]]
    for i in range(7):
        overlay = expected[i + 1].overlay(source.read(i + 1))
        assert np.abs(frames.read(i)[:37, :51].astype(int) - overlay).mean() < 8


@pytest.mark.parametrize("direction", ["backward", "both"])
def test_backward_comes_out_in_the_order_of_frames(track, tracked, clip, direction) -> None:
    start = ["--start", 5] if direction == "backward" else []
    code, _, err = track(
        clip, *OPTIONS, "-o", "m.json", "-o", "o.mp4", "-o", "pngs", "--direction", direction,
        *start,
    )  # fmt: skip
    assert code == 0, err
    expected = tracked(PROMPTS, direction, start=5 if start else None)
    check_same(masks_of(Path("m.json")), expected)
    frames = open_frames("o.mp4")
    source = open_frames(clip)
    for i, frame in enumerate(sorted(expected)):
        overlay = expected[frame].overlay(source.read(frame))
        assert np.abs(frames.read(i)[:37, :51].astype(int) - overlay).mean() < 8
    assert sorted(os.listdir("pngs")) == [f"{i:05d}.png" for i in sorted(expected)]


def test_start_stop_and_the_tracker_s_options(track, tracked, clip) -> None:
    code, _, err = track(
        clip, *OPTIONS, "-o", "m.json", "--start", 2, "--stop", 6, "--non-overlapping",
        "--nearest-prompts", 1,
    )  # fmt: skip
    assert code == 0, err
    options = {"nearest_prompts": 1, "non_overlapping": True}
    expected = tracked(PROMPTS, start=2, stop=6, tracker=options)
    assert list(expected) == [2, 3, 4, 5]
    check_same(masks_of(Path("m.json")), expected)


def test_without_an_output_there_is_an_overlay(track, clip) -> None:
    assert track(clip, "--point", "0:1:20,20")[0] == 0
    assert open_frames("clip_overlay.mp4").count == 8


def test_pictures(track, tmp_path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(picture(i)).save(folder / f"img_{i + 9}.png")
    point = ("--point", "0:1:20,20")
    code, _, err = track(folder, *point, "-o", "a", "-o", "a.json", "-o", "a.mp4", "--fps", 10)
    assert code == 0, err
    assert sorted(os.listdir("a")) == ["img_10.png", "img_11.png", "img_9.png"]
    images = json.loads(Path("a.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["img_9.png", "img_10.png", "img_11.png"]
    assert {image["time"] for image in images} == {None}
    frames = open_frames("a.mp4")
    assert frames.format.rate == 10
    assert [number_of(frames.read(i)) for i in range(3)] == [0, 1, 2]
    code, _, err = track(folder, *point, "-o", "frames")
    assert code == 2
    assert "frames is read from" in err
    Path("links").mkdir()
    Path("links/img.png").symlink_to(folder / "img_9.png")
    for source in ("frames/*.png", "fr*/*.png", "**/img_9.png", "links"):
        code, _, err = track(source, *point, "-o", "frames", "--overwrite")
        assert (code, "is read from" in err) == (2, True), source


def test_colours_stay_with_their_objects(track, clip) -> None:
    """Also where there are others, and where one is prompted later."""
    assert track(clip, *OPTIONS, "-o", "two")[0] == 0
    assert track(clip, *OPTIONS[2:], "-o", "one", "--start", 3)[0] == 0
    with Image.open("two/00003.png") as two, Image.open("one/00003.png") as one:
        assert two.getpalette() == one.getpalette()
        assert set(np.unique(np.asarray(two))) <= {0, 2, 7}
        assert set(np.unique(np.asarray(one))) <= {0, 2}


def test_a_rotated_video(track, tmp_path) -> None:
    make_video(tmp_path / "t.mp4", 3, matrix=(0, -1, 1, 0))
    assert track("t.mp4", "--point", "0:1:20,20", "-o", "o.mp4")[0] == 0
    frames = open_frames("o.mp4")
    assert frames.read(0).shape == (64, 48, 3)
    assert track("t.mp4", "--point", "0:1:20,20", "-o", "m.json")[0] == 0
    overlay = masks_of(Path("m.json"))[2].overlay(open_frames("t.mp4").read(2))
    assert np.abs(frames.read(2).astype(int) - overlay).mean() < 8


# Prompts


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


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "point at something"),
        (["--point", "1,2"], "expected FRAME:ID:X,Y"),
        (["--point", "0:1"], "expected FRAME:ID:X,Y"),
        (["--point", "0:x:1,2"], "expected FRAME:ID:X,Y"),
        (["--point", "-1:1:1,2"], "expected FRAME:ID:X,Y"),
        (["--point", "0:1:1,2,3"], "LABEL 1 or 0"),
        (["--point", "0:1:nan,2"], "finite"),
        (["--box", "0:1:1,2,3"], "expected FRAME:ID:X0,Y0,X1,Y1"),
        (["--box", "0:1:9,9,3,3"], "box"),
        (["--box", "0:1:1,2,3,4", "--box", "0:1:1,2,3,4"], "two boxes"),
        (["--mask", "0:1:no.png"], "no.png: no such file"),
        (["--mask", "0:1"], "expected FRAME:ID:FILE"),
        (["--prompts", "no.json"], "cannot read no.json"),
        (["--point", "8:1:1,2"], "--point 8:1:1,2: there is no frame 8; the last one is 7"),
        (["--point", "0:1:1,2", "--direction", "up"], "expected forward, backward or both"),
        (["--point", "0:1:1,2", "--start", "9"], "there is no frame 9"),
        (["--point", "2:1:1,2", "--stop", "2"], "expected a frame after 2"),
        (
            ["--point", "2:1:1,2", "--direction", "backward", "--stop", "5"],
            "expected a frame before 2",
        ),
        (["--point", "0:1:1,2", "-o", "x.avi"], "expected a file .mp4, .mov, .json"),
        (["--point", "0:1:1,2", "-o", "x.m4v"], "expected a file .mp4, .mov, .json"),
        (["--point", "0:1:1,2", "-o", "a.mp4", "-o", "./a.mp4"], "named twice"),
        (["--point", "0:300:1,2", "-o", "pngs"], "ids from 1 to 254, got 300"),
        (["--point", "0:0:1,2", "-o", "pngs"], "ids from 1 to 254, got 0"),
        (["--point", "0:65536:1,2", "-o", "a.tif"], "ids from 1 to 65535, got 65536"),
        (["--point", "0:0:1,2", "-o", "a.json", "-o", "a.tiff"], "ids from 1 to 65535, got 0"),
        (["--point", "0:1:1,2", "--fps", "10"], "the video has times of its own"),
        (["--point", "0:1:1,2", "--fps", "0"], "expected a number from 0.001 to 1000"),
        (["--point", "0:1:1,2", "--fps", "1e-9"], "expected a number from 0.001 to 1000"),
        (["--point", f"0:{2**63}:1,2", "-o", "m.json"], "expected FRAME:ID:X,Y"),
        (["--point", "0:1:1,2", "-o", ""], "expected the name of a file or folder"),
        (["--point", "0:1:1,2", "-o", "-", "-o", "-"], "standard output is named twice"),
        (["--point", "0:1:1,2", "--nearest-prompts", "0"], "--nearest-prompts"),
    ],
)
def test_wrong_usage(track, clip, tmp_path, monkeypatch, arguments, message) -> None:
    monkeypatch.setattr(samkit, "load", lambda *a, **k: pytest.fail("no work is to be done"))
    before = sorted(os.listdir(tmp_path))
    code, out, err = track(clip, *arguments)
    assert code == 2
    assert message in err
    assert out == ""
    assert sorted(os.listdir(tmp_path)) == before


def test_wrong_videos_and_places(track, clip, tmp_path) -> None:
    Path("text.mp4").write_text("no video")
    Path("empty").mkdir()
    make_video(tmp_path / "in.mp4", 2)
    Path("p.json").write_text('[{"frame": 0, "object_id": 1, "box": [1, 2, 30, 40]}]')
    Path("old").mkdir()
    Image.fromarray(np.zeros((48, 64), np.uint8) + 255).save("old/00000.png")
    point = ("--point", "0:1:1,2")
    for arguments, message in (
        (["missing.mp4", *point], "no such file or folder: missing.mp4"),
        (["empty", *point], "no image in the folder"),
        (["no*.png", *point], "no image matches"),
        (["97", *point], "cannot open camera 97"),
        (["in.mp4", *point, "-o", "in.mp4"], "would overwrite what is read"),
        (["in.mp4", "--prompts", "p.json", "-o", "p.json"], "would overwrite what is read"),
        (["in.mp4", *point, "-o", "old"], "old holds PNGs already"),
        (["in.mp4", "--mask", "0:1:old/00000.png", "-o", "old", "--overwrite"], "is read from"),
    ):
        code, _, err = track(*arguments)
        assert code == 2, arguments
        assert message in err
    code, _, err = track("text.mp4", *point)
    assert (code, "cannot read text.mp4 as a video" in err) == (1, True)
    assert track("in.mp4", *point, "-o", "old", "--overwrite")[0] == 0
    assert sorted(os.listdir("old")) == ["00000.png", "00001.png"]


def test_a_network_without_memory(run, clip, tmp_path) -> None:
    from tiny import tiny_sam

    save_network(make(tiny_sam()), tmp_path / "sam.safetensors")
    output = tmp_path / "o.mp4"
    code, _, err = run(
        "track", clip, "--point", "0:1:1,2", "-o", output, "-m", tmp_path / "sam.safetensors"
    )
    assert code == 1
    assert "memory" in err
    assert not output.exists()


# Early ends


OUTPUTS = ("-o", "o.mp4", "-o", "m.json", "-o", "pngs")


def check_saved(frames: list[int]) -> None:
    assert list(masks_of(Path("m.json"))) == frames
    assert open_frames("o.mp4").count == len(frames)
    assert sorted(os.listdir("pngs")) == [f"{i:05d}.png" for i in frames]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("direction", "saved"), [("forward", [1, 2, 3]), ("backward", [3, 4, 5]), ("both", [1, 2, 3])]
)
def test_ctrl_c_keeps_what_is_done(track, clip, monkeypatch, direction, saved, number) -> None:
    plain = VideoPredictor.track

    def interrupted(self, *arguments, **options):
        for i, result in enumerate(plain(self, *arguments, **options)):
            if i == 2:
                os.kill(os.getpid(), number)
            yield result

    monkeypatch.setattr(VideoPredictor, "track", interrupted)
    before = signal.getsignal(number)
    start = ["--start", 5] if direction == "backward" else []
    code, out, err = track(clip, *OPTIONS, *OUTPUTS, "--direction", direction, *start)
    assert code == 130
    assert signal.getsignal(number) == before
    check_saved(saved)
    assert f"stopped: frames {saved[0]} to {saved[-1]} were tracked and are saved" in err
    assert "m.json: 3 frames, 2 objects" in out


def test_a_second_ctrl_c_leaves_nothing_half(track, clip, monkeypatch) -> None:
    plain = VideoPredictor.track

    def interrupted(self, *arguments, **options):
        for i, result in enumerate(plain(self, *arguments, **options)):
            if i == 2:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            yield result

    monkeypatch.setattr(VideoPredictor, "track", interrupted)
    before = sorted(os.listdir())
    assert track(clip, *OPTIONS, "-o", "o.mp4", "-o", "m.json")[0] == 130
    assert sorted(os.listdir()) == before


def test_a_signal_elsewhere_ends_like_ctrl_c(track, clip, monkeypatch) -> None:
    """Also before tracking begins."""

    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(samkit, "load", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    assert track(clip, *OPTIONS, "-o", "m.json")[0] == 130
    assert signal.getsignal(signal.SIGTERM) == before
    assert not Path("m.json").exists()


def test_a_file_that_is_cut_off(track, tmp_path) -> None:
    data = make_video(tmp_path / "whole.mp4", 20).read_bytes()
    start = data.find(b"mdat")
    Path("cut.mp4").write_bytes(data[: start + (len(data) - start) // 2])
    count = open_frames("cut.mp4").count
    code, out, err = track("cut.mp4", "--point", "0:1:20,20", *OUTPUTS)
    assert code == 1
    check_saved(list(range(count)))
    assert f"error: cut.mp4 is cut off: it ends after frame {count - 1}" in err
    assert f"ended early: frames 0 to {count - 1} were tracked and are saved" in err
    assert f"o.mp4: {count} frames, 1 object" in out


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_a_broken_picture(track, tmp_path, direction) -> None:
    Path("frames").mkdir()
    for i in range(6):
        Image.fromarray(picture(i)).save(f"frames/{i:05d}.png")
    Path("frames/00004.png").write_bytes(b"broken")
    arguments = ("frames", "--point", "1:1:20,20", "--direction", direction)
    code, _, err = track(*arguments, *OUTPUTS)
    assert code == 1
    check_saved([1, 2, 3])
    assert "00004.png" in err
    assert "frames 1 to 3 were tracked and are saved" in err


def test_nothing_tracked_leaves_nothing(track, tmp_path) -> None:
    Path("frames").mkdir()
    for i in range(3):
        Image.fromarray(picture(i)).save(f"frames/{i:05d}.png")
    Path("frames/00000.png").write_bytes(b"broken")
    code, out, err = track("frames", "--point", "0:1:20,20", *OUTPUTS)
    assert code == 1
    assert err.count("00000.png") == 1
    assert out == ""
    assert sorted(os.listdir()) == ["frames"]


def test_an_output_that_fails_does_not_stop_the_others(track, clip, monkeypatch) -> None:
    from samkit.masks.sequences import CocoVideoWriter

    def full(self, number, masks):
        if number == 4:
            self._file._file.is_broken = True
            raise InputError("cannot write m.json: No space left on device")
        plain(self, number, masks)

    plain = CocoVideoWriter.write
    monkeypatch.setattr(CocoVideoWriter, "write", full)
    code, out, err = track(clip, *OPTIONS, "-o", "m.json", "-o", "o.mp4")
    assert code == 1
    assert "No space left" in err
    assert open_frames("o.mp4").count == 3
    assert not Path("m.json").exists()
    assert "m.json" not in out


# Streams


@pytest.fixture
def stream(clip: Path) -> Iterator[str]:
    """An address at which the clip can be read once."""
    with served(clip.parent) as address:
        yield f"{address}/clip.mkv?token=1"


def test_a_stream_is_prompted_as_it_goes(track, tracked, stream, clip, model) -> None:
    code, _, err = track(stream, *OPTIONS, "-o", "m.json", "-o", "o.mp4")
    assert code == 0, err
    tracker = VideoPredictor(samkit.load(model, dtype="float32"), iter(open_all(clip)))
    tracker.prompt(1, 7, BOX)
    expected = {}
    for frame, masks in tracker.track():
        expected[frame] = masks
        if frame == 2:
            tracker.prompt(3, 2, CLICK)
    found = masks_of(Path("m.json"))
    check_same(found, expected)
    assert [len(found[frame]) for frame in (2, 3)] == [1, 2]
    assert open_frames("o.mp4").time(6) == Fraction(TIMES[7] - TIMES[1], 1000)


def open_all(path: Path) -> list[np.ndarray]:
    frames = open_frames(path)
    return [frames.read(i) for i in range(frames.count)]


def test_what_a_stream_cannot_do(track, stream) -> None:
    for arguments, message in (
        (["--direction", "both"], "can only go forward"),
        (["--direction", "backward"], "can only go forward"),
        (["--start", 0], "from its first prompt, 1, on"),
        (["--stop", 3], "--point 3:2:40,20: it comes after --stop 3"),
    ):
        code, _, err = track(stream, *OPTIONS, *arguments, "-o", "m.json")
        assert code == 2
        assert message in err


def test_a_stream_that_ends_before_a_prompt(track, stream) -> None:
    code, _, err = track(stream, *OPTIONS, "--point", "30:3:4,5", "-o", "m.json")
    assert code == 1
    assert "--point 30:3:4,5: the video ended before frame 30" in err
    assert list(masks_of(Path("m.json"))) == list(range(1, 8))


def test_cutouts_as_a_video_and_as_pictures(track, clip, tmp_path) -> None:
    code, _, err = track(clip, *OPTIONS, "-o", "cut.mov", "-o", "cut", "--cutouts", "--largest",
                         "--feather", 1)  # fmt: skip
    assert code == 0, err
    with av.open("cut.mov") as container:
        assert sum(1 for _ in container.decode(video=0)) == 7
    pictures = sorted(Path("cut").glob("*.png"))
    assert len(pictures) == 7
    with Image.open(pictures[0]) as picture:
        assert picture.mode == "RGBA"


def test_an_interrupted_folder_of_cutouts_is_known_by_its_options(track, clip) -> None:
    command = (clip, *OPTIONS, "-o", "cut", "--cutouts")
    assert track(*command)[0] == 0
    assert "skipped" in track(*command)[2]
    code, _, err = track(*command, "--feather", 2)
    assert code == 2
    assert "holds PNGs already" in err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["-o", "x.mp4", "--feather", 2], "--feather, --refine"),
        (["-o", "x", "--refine", 2], "--feather, --refine"),
        (["-o", "x.json", "--cutouts"], "--cutouts"),
        (["-o", "x.json", "--format", "davis"], "--format"),
        (["-o", "x.mp4", "--format", "sav"], "--format"),
    ],
)
def test_options_that_change_nothing(track, clip, options, named) -> None:
    code, _, err = track(clip, *OPTIONS, *options)
    assert code == 2
    assert named in err


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_smooth_is_that_of_python(track, tracked, clip, direction):
    arguments = (*OPTIONS, "--smooth", 2, "--direction", direction)
    code, _, err = track(clip, *arguments, "-o", "out.json", "-o", "pngs", "-o", "out.mp4")
    assert code == 0, err
    wanted = tracked(PROMPTS, direction, smooth=2)
    found = masks_of(Path("out.json"))
    assert found.keys() == wanted.keys()
    for frame, masks in wanted.items():
        assert np.array_equal(found[frame].masks, masks.masks)
    assert len(list(Path("pngs").glob("*.png"))) == len(wanted)


def test_a_stream_is_not_smoothed(track, clip):
    with served(clip.parent) as address:
        code, _, err = track(f"{address}/{clip.name}", *OPTIONS, "--smooth", 2)
    assert code == 2
    assert "save it first" in err


def test_files_of_data_sets_for_tracking(track, clip: Path, tmp_path: Path) -> None:
    command = (clip, *OPTIONS, "-o")
    assert track(*command, "coco.json")[0] == 0
    expected = masks_of(tmp_path / "coco.json")
    code, _, err = track(*command, "clip_auto.json", "--format", "sav")
    assert code == 0, err
    data = json.loads((tmp_path / "clip_auto.json").read_text())
    assert data["video_id"] == "clip"
    assert len(data["masklet"]) == 8
    for frame, masks in expected.items():
        found = Masks.from_rle(data["masklet"][frame], (37, 51), [1, 1])
        found = found.with_object_ids(data["masklet_id"])
        for one in masks:
            same = found[found.object_ids == one.object_ids[0]]
            assert np.array_equal(same.masks, one.masks)
    options = ("--format", "youtube-vos")
    code, _, err = track(*command, "Annotations/clip", "-o", "meta.json", *options)
    assert code == 0, err
    (video,) = json.loads((tmp_path / "meta.json").read_text())["videos"].items()
    assert video[0] == "clip"
    for frame, masks in expected.items():
        for object_id, area in zip(masks.object_ids, masks.areas, strict=True):
            seen = video[1]["objects"][str(object_id)]["frames"]
            assert (f"{frame:05d}" in seen) == (area > 0)
            assert (tmp_path / "Annotations" / "clip" / f"{frame:05d}.png").is_file()


def test_films_of_one_name_in_one_meta(track, clip: Path, tmp_path: Path) -> None:
    """Read as YouTube-VOS's readers do: by the names of videos, objects and frames."""
    for folder in ("one", "two"):
        options = (clip, *OPTIONS, "-o", "meta.json", "--format", "youtube-vos")
        code, _, err = track(*options, "-o", f"Annotations/{folder}/")
        assert code == 0, err
    videos = json.loads((tmp_path / "meta.json").read_text())["videos"]
    assert sorted(videos) == ["one", "two"]
    for name, video in videos.items():
        assert sorted(video["objects"]) == ["2", "7"]
        for frame in video["objects"]["7"]["frames"]:
            labels = Image.open(tmp_path / "Annotations" / name / f"{frame}.png")
            assert {*np.unique(labels).tolist()} <= {0, 2, 7}
    pictures = ("--cutouts", "-o", "pictures")  # hold no ids
    for more in ((), pictures):
        (tmp_path / "meta.json").unlink()
        code, _, err = track(*options, *more)
        assert code == 0, err
        assert list(json.loads((tmp_path / "meta.json").read_text())["videos"]) == ["clip"]


def test_eval_reads_what_track_wrote(track, clip: Path, tmp_path: Path) -> None:
    frames = open_frames(clip)
    (tmp_path / "sequences" / "one" / "images").mkdir(parents=True)
    for i in range(8):
        Image.fromarray(frames.read(i)).save(tmp_path / f"sequences/one/images/{i:05d}.png")
    code, _, err = track(clip, *OPTIONS, "-o", "sequences/one/masks", "-o", "coco.json")
    assert code == 0, err
    expected = masks_of(tmp_path / "coco.json")
    (video,) = open_sequences(tmp_path / "sequences").values()
    assert len(video) == len(expected) == 7, "from the first prompt on"
    for i, masks in enumerate(expected.values()):
        labels = np.zeros((37, 51), int)
        for at in drawing.painting_order(masks.scores):
            labels[masks.masks[at]] = masks.object_ids[at]
        assert np.array_equal(video[i].labels, labels)
        assert not video[i].ignore.any()
