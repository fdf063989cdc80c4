"""Files of data sets for tracking."""

import json
from pathlib import Path

import numpy as np
from cli.track.results import OPTIONS, masks_of
from PIL import Image

from samkit import Masks
from samkit.evaluation import open_sequences
from samkit.masks import drawing
from samkit.media.frames import open_frames


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
