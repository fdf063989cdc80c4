"""Sessions as files: a reloaded one goes on as if nothing had happened; wrong files are refused."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import make, tiny_pico
from video.same import assert_same, assert_same_trackers

from samkit import ImagePredictor, Prompt, VideoPredictor, rle
from samkit.cli.track.prompts import read_prompts
from samkit.errors import InputError

BOX, CLICK = Prompt.box(5, 10, 20, 30), Prompt.point(40, 20)
NOT_HERE = Prompt.point(50, 40, label=0)
KEY = "samkit.session"


def begun(predictor, video, **options):
    """A session with objects of different pasts."""
    tracker = VideoPredictor(predictor, video, **options)
    tracker.prompt(12, 1, BOX)
    tracker.prompt(12, -8, CLICK)
    tracker.prompt(15, 3, Prompt.mask(np.tri(20, 30, dtype=bool)) + CLICK)
    return tracker


def meddle(tracker, frame):
    """What a user does while tracking goes on."""
    if frame in (10, 14, 20):
        tracker.prompt(frame, 1, NOT_HERE)
    if frame in (17, 27):
        tracker.remove(-8 if -8 in tracker.object_ids else 3)
        tracker.prompt(frame, 2**40, Prompt.mask(np.linspace(-3, 3, 48 * 64).reshape(48, 64)))


@pytest.mark.parametrize(
    ("network", "kind"),
    [
        *(("predictor", kind) for kind in ("forward", "backward", "both", "both, on the way back")),
        ("absent_predictor", "backward"),
        ("absent_predictor", "both"),
        ("pico_predictor", "forward"),
        ("pico_predictor", "both, on the way back"),
    ],
)
def test_it_goes_on_bit_by_bit(request, video, tmp_path, kind, network):
    predictor = request.getfixturevalue(network)
    direction, start, saved_at, length = {
        "forward": ("forward", None, 18, 24),
        "backward": ("backward", 20, 4, 24),
        "both": ("both", 20, 24, 34),  # far enough to forget where the way back begins
        "both, on the way back": ("both", 14, 7, 20),
    }[kind]
    video = video[:length]
    path = tmp_path / "session.safetensors"
    tracker = begun(predictor, video)
    expected = {}
    for frame, masks in tracker.track(direction, start=start):
        expected[frame] = masks
        meddle(tracker, frame)
        if frame == saved_at:
            tracker.save(path)
            saved = copy.deepcopy(tracker._session, {id(predictor.network): predictor.network})
            expected.clear()

    again = VideoPredictor.load(path, predictor, video)
    assert_same(again._session, saved)
    onwards = saved_at + 1 if kind in ("forward", "both") else saved_at - 1
    passes = [("forward" if onwards > saved_at else "backward", onwards)]
    if kind == "both":
        passes.append(("backward", 19))
    found = {}
    for way, first in passes:
        for frame, masks in again.track(way, start=first):
            found[frame] = masks
            meddle(again, frame)
    assert sorted(found) == sorted(expected)
    for frame, masks in found.items():
        for name in ("object_ids", "logits", "masks", "scores", "presence"):
            assert np.array_equal(getattr(masks, name), getattr(expected[frame], name)), frame
    assert_same_trackers(again, tracker)


def test_a_live_session(predictor, video, tmp_path):
    path = tmp_path / "live.safetensors"
    live = VideoPredictor(predictor, nearest_prompts=2)
    for t in range(20):
        live.step(video[t], {t: CLICK} if t % 4 == 0 else {0: NOT_HERE})
    live.remove(4)
    live.save(path)
    again = VideoPredictor.load(path, predictor)
    assert_same_trackers(again, live)
    for t in range(20, 30):
        said = {0: BOX} if t == 22 else None
        mine, theirs = again.step(video[t], said), live.step(video[t], said)
        assert np.array_equal(mine.logits, theirs.logits)
    assert_same_trackers(again, live)


def test_a_stream_goes_on_from_its_start(predictor, video, tmp_path):
    path = tmp_path / "stream.safetensors"
    stream = VideoPredictor(predictor, iter(video))
    stream.prompt(0, 1, BOX)
    results = {}
    for frame, masks in stream.track(stop=20):
        results[frame] = masks.logits
        if frame == 11:
            stream.save(path)
    again = VideoPredictor.load(path, predictor, iter(video))
    for frame, masks in again.track(start=12, stop=20):
        assert np.array_equal(masks.logits, results[frame])
    assert frame == 19


def test_options_and_what_can_be_undone_come_back(predictor, video, tmp_path):
    path = tmp_path / "session.safetensors"
    tracker = begun(predictor, video, nearest_prompts=3, select_frames=True, non_overlapping=True)
    for frame, _ in tracker.track():
        if frame == 16:
            tracker.prompt(16, 1, NOT_HERE)
            break
    tracker.save(path)
    again = VideoPredictor.load(path, predictor, video)
    assert again._session.nearest_prompts == 3
    assert again._session.select_frames is True
    assert again.non_overlapping is True
    for _ in range(4):
        mine, theirs = again.undo(), tracker.undo()
        assert mine.object_ids.tolist() == theirs.object_ids.tolist()
        assert np.array_equal(mine.masks, theirs.masks)
        assert_same_trackers(again, tracker)
    with pytest.raises(InputError, match="nothing to undo"):
        again.undo()


def test_sessions_without_objects(predictor, video, tmp_path):
    path = tmp_path / "session.safetensors"
    VideoPredictor(predictor, video).save(path)
    assert VideoPredictor.load(path, predictor, video).object_ids == ()
    live = VideoPredictor(predictor)
    live.save(path)
    assert len(VideoPredictor.load(path, predictor).step(video[0], {1: BOX})) == 1


def test_prompts_for_people(predictor, video, tmp_path):
    path = tmp_path / "cars.v1.safetensors"
    tracker = begun(predictor, video)
    for frame, _ in tracker.track(stop=15):
        meddle(tracker, frame)
    tracker.save(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "cars.v1.safetensors",
        "cars.v1.safetensors.prompts.json",
    ]
    text = (tmp_path / "cars.v1.safetensors.prompts.json").read_text(encoding="utf-8")
    first, correction, second, third = json.loads(text)
    assert first == {"frame": 12, "object_id": 1, "box": [5, 10, 20, 30]}
    assert correction == {"frame": 14, "object_id": 1, "points": [[50, 40]], "labels": [0]}
    assert (second["object_id"], second["points"]) == (-8, [[40, 20]])
    counts = rle.checked_counts(third["mask"], (20, 30), "mask")
    assert np.array_equal(rle.decode_one(counts, (20, 30)), np.tri(20, 30, dtype=bool))
    assert len([line for line in text.splitlines() if "object_id" in line]) == 4
    # `samkit track` takes it as it is.
    again = read_prompts([], [], [], tmp_path / "cars.v1.safetensors.prompts.json")
    assert [(one.frame, one.object_id) for one in again][:2] == [(12, 1), (14, 1)]
    assert np.array_equal(again[3].prompt.mask_input, np.tri(20, 30, dtype=bool))


def test_the_file_of_prompts_is_not_needed(predictor, video, tmp_path):
    path = tmp_path / "session.safetensors"
    begun(predictor, video).save(path)
    (tmp_path / "session.safetensors.prompts.json").unlink()
    assert VideoPredictor.load(path, predictor, video).object_ids == (1, -8, 3)


def test_a_failed_save_leaves_the_old_files(predictor, video, tmp_path, monkeypatch):
    path = tmp_path / "session.safetensors"
    tracker = begun(predictor, video)
    tracker.save(path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    tracker.prompt(13, 1, CLICK)

    def fail(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", fail)
    with pytest.raises(InputError, match="No space left"):
        tracker.save(path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    with pytest.raises(InputError, match="cannot write"):
        tracker.save(tmp_path)


@pytest.fixture
def saved(predictor, video, tmp_path):
    path = tmp_path / "session.safetensors"
    tracker = begun(predictor, video)
    for frame, _ in tracker.track(stop=16):
        meddle(tracker, frame)
    tracker.save(path)
    return path


def test_another_network(predictor, absent_predictor, video, saved):
    with pytest.raises(InputError, match="another network"):
        VideoPredictor.load(saved, absent_predictor, video)  # one bias is another
    for name in ("memory_attention.norm.weight", "image_encoder.trunk.patch_embed.proj.bias"):
        network = copy.deepcopy(predictor.network)
        with torch.no_grad():
            network.get_parameter(name)[:1] += 0.5
        with pytest.raises(InputError, match="another network"):
            VideoPredictor.load(saved, ImagePredictor(network, device="cpu"), video)
    sizes = make(replace(tiny_pico(), image_size=(64, 64)))
    with pytest.raises(InputError, match="another network"):
        VideoPredictor.load(saved, ImagePredictor(sizes, device="cpu"), video)
    with pytest.raises(InputError, match="expected an ImagePredictor"):
        VideoPredictor.load(saved, "pico", video)


def test_another_precision_is_the_same_network(predictor, video, saved):
    half = ImagePredictor(copy.deepcopy(predictor.network), device="cpu", dtype="bfloat16")
    tracker = VideoPredictor.load(saved, half, video)
    assert len(list(tracker.track(start=16, stop=18))) == 2


def test_another_video(predictor, video, saved):
    with pytest.raises(InputError, match="of 40 frames, got 39"):
        VideoPredictor.load(saved, predictor, video[:39])
    with pytest.raises(InputError, match=r"size \(48, 64\).*got \(64, 48\)"):
        VideoPredictor.load(saved, predictor, video.swapaxes(1, 2))
    with pytest.raises(InputError, match="needs its video"):
        VideoPredictor.load(saved, predictor)
    stream = VideoPredictor.load(saved, predictor, iter(video.swapaxes(1, 2)))
    with pytest.raises(InputError, match="expected the size of the frames before"):
        next(stream.track(start=16))


def test_a_live_session_takes_no_video(predictor, video, tmp_path):
    live = VideoPredictor(predictor)
    live.step(video[0], {1: BOX})
    live.save(tmp_path / "live.safetensors")
    with pytest.raises(InputError, match="needs no video"):
        VideoPredictor.load(tmp_path / "live.safetensors", predictor, video)


def test_files_that_hold_no_session(predictor, video, saved, tmp_path):
    other = tmp_path / "other.safetensors"
    with pytest.raises(InputError, match="cannot read a session"):
        VideoPredictor.load(tmp_path / "missing.safetensors", predictor, video)
    for content in (b"", b"{}", b"\x80\x04cos\nsystem\n", saved.read_bytes()[:-9]):
        other.write_bytes(content)
        with pytest.raises(InputError, match="cannot read a session"):
            VideoPredictor.load(other, predictor, video)
    predictor.embed(video[0]).save(other)
    with pytest.raises(InputError, match="it holds none"):
        VideoPredictor.load(other, predictor, video)
    for text in ("", "[]", "null", "[" * 100_000, "9" * 5000):
        save_file({"0": torch.zeros(1)}, other, metadata={KEY: text})
        with pytest.raises(InputError, match=r"it holds none|its header"):
            VideoPredictor.load(other, predictor, video)


def changed(path, change, other):
    """A copy of a session whose JSON, or one of whose tensors, is another."""
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()[KEY])
    change(about, tensors)
    save_file(tensors, other, metadata={KEY: json.dumps(about)})
    return other


def first_prompted(about):
    return about["prompted"][0]


def put(place, name, value):
    place[name] = value


@pytest.mark.parametrize(
    "change",
    [
        lambda about, _: about.pop("objects"),
        lambda about, _: put(about, "objects", 3),
        lambda about, _: about["objects"].append(about["objects"][0]),
        lambda about, _: put(about["objects"][0], "id", 2**63),
        lambda about, _: put(about["objects"][0], "id", "1"),
        lambda about, _: put(about["objects"][0]["state"], "prompted", []),
        lambda about, _: put(about["objects"][0]["state"], "tracked", [[1]]),
        lambda about, _: put(about["objects"][0]["state"]["recent"][-1], "backward", 1),
        lambda about, _: put(about["objects"][0]["state"]["remembered"][0], "frame", 12),
        lambda about, _: put(about["video"], "image_size", None),
        lambda about, _: put(about["video"], "image_size", [10**9, 10**9]),
        lambda about, _: put(about["video"], "frame_count", 0),
        lambda about, _: put(about["options"], "nearest_prompts", 0),
        lambda about, _: put(about["options"], "non_overlapping", "yes"),
        lambda about, _: put(about["options"], "select_frames", 1),
        lambda about, _: put(first_prompted(about)["memory"], "confidence", 2),
        lambda about, _: put(first_prompted(about)["memory"], "confidence", None),
        lambda about, _: put(about, "last_step", 1.5),
        lambda about, _: put(about["objects"][0]["state"]["prompted"][0], 0, -1),
        lambda about, _: put(about["objects"][0]["state"]["prompted"][0], 0, True),
        lambda about, _: put(about["objects"][0]["state"]["prompted"][0], 1, 99),
        lambda about, _: put(first_prompted(about), "corrects", None),
        lambda about, _: put(first_prompted(about)["prompt"], "box", [9, 9, 1, 1]),
        lambda about, _: put(first_prompted(about)["prompt"], "box", None),
        lambda about, _: put(first_prompted(about)["prompt"], "points", [[1]]),
        lambda about, _: put(first_prompted(about)["prompt"], "mask", 999),
        lambda about, _: put(first_prompted(about)["prediction"], "logits", None),
        lambda about, _: put(
            first_prompted(about)["prediction"], "logits", first_prompted(about)["memory"]["tokens"]
        ),
        lambda about, _: put(first_prompted(about)["memory"], "tokens", None),
        lambda about, _: put(about["history"][0], "id", 77),
        lambda about, _: about["history"].append(about["history"][0]),
        lambda about, tensors: put(tensors, "0", tensors["0"][:, :4].contiguous()),
        lambda about, tensors: put(tensors, "0", tensors["0"].double()),
        lambda about, tensors: put(tensors, "0", torch.full_like(tensors["0"], torch.nan)),
        lambda about, tensors: tensors.pop("1"),
    ],
)
def test_damaged_sessions(predictor, video, saved, tmp_path, change):
    damaged = changed(saved, change, tmp_path / "damaged.safetensors")
    with pytest.raises(InputError, match="it is damaged"):
        VideoPredictor.load(damaged, predictor, video)


def test_a_session_of_a_newer_version(predictor, video, saved, tmp_path):
    def newer(about, _):
        about["version"] = 4

    newer_one = changed(saved, newer, tmp_path / "newer.safetensors")
    with pytest.raises(InputError, match="expected version 3 of the layout, got 4, which a newer"):
        VideoPredictor.load(newer_one, predictor, video)


def test_each_tensor_is_written_once(predictor, video, tmp_path):
    """What can be undone shares nearly all with what is there."""
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    for frame, _ in tracker.track():
        if frame == 20:
            break
    tracker.save(tmp_path / "before.safetensors")
    for x in range(5):
        tracker.prompt(20, 1, Prompt.point(x, 9))
    tracker.save(tmp_path / "after.safetensors")
    sizes = [
        sum(tensor.nbytes for tensor in load_file(tmp_path / f"{name}.safetensors").values())
        for name in ("before", "after")
    ]
    state = tracker._session.objects[1]
    prompted = state.prompted[20]
    one = sum(
        tensor.nbytes
        for tensor in (
            *vars(prompted.prediction).values(),
            prompted.memory.tokens,
            prompted.memory.pointer,
        )
    )
    assert sizes[1] <= sizes[0] + 5 * one
