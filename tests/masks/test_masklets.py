"""Masks of a video as data sets for tracking keep them, read as those who train on them do."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco
from videos import picture

from samkit.errors import InputError
from samkit.masks import Masks, masklets
from samkit.masks.masklets import SavWriter, YouTubeVosWriter
from samkit.media.frames import open_frames

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = (48, 64)


@pytest.fixture
def frames():
    return open_frames(np.stack([picture(i) for i in range(6)]))


def masks_of(areas: dict[int, int]) -> Masks:
    """Object id -> pixels of it, counted along the rows."""
    pixels = np.zeros((len(areas), SIZE[0] * SIZE[1]), bool)
    for one, area in zip(pixels, areas.values(), strict=True):
        one[:area] = True
    return Masks(pixels.reshape(-1, *SIZE), np.ones(len(areas)), object_ids=list(areas))


# Frame 0 was not tracked, object 3 comes later, object 7 is hidden twice.
RUN = {1: {7: 500}, 2: {7: 0, 3: 2000}, 3: {7: 700, 3: 2000}, 4: {3: 2600}}
EXPECTED = np.array([[0, 0], [500, 0], [0, 2000], [700, 2000], [0, 2600]])


def test_masklets_of_sa_v(tmp_path: Path, frames) -> None:
    writer = SavWriter(tmp_path / "clip_auto.json", frames, name="clip")
    for frame, areas in RUN.items():
        writer.write(frame, masks_of(areas))
    writer.close()
    data = json.loads((tmp_path / "clip_auto.json").read_text())
    # As SAM 2's training reads it: by frame, then by position of the object.
    decoded = [coco.decode(row) for row in data["masklet"]]
    assert {one.shape for one in decoded} == {(*SIZE, 2)}
    np.testing.assert_array_equal([one.sum((0, 1)) for one in decoded], EXPECTED)
    assert decoded[3][:, :, 0].ravel()[:700].all()
    assert data["masklet_id"] == [7, 3]
    assert data["masklet_num"] == 2
    assert data["masklet_first_appeared_frame"] == [1, 2]
    assert data["masklet_frame_count"] == [5, 5]
    assert data["masklet_size_abs"] == [600, 2200]
    assert data["masklet_size_rel"] == pytest.approx([600 / 3072, 2200 / 3072])
    assert data["masklet_size_bucket"] == ["small", "medium"]
    assert data["masklet_visibility_changes"] == [3, 0]
    assert data["masklet_type"] == ["auto", "auto"]
    assert data["video_id"] == "clip"
    sizes = [data[f"video_{name}"] for name in ("height", "width", "resolution", "frame_count")]
    assert sizes == [48, 64, 3072, 5]


def test_objects_that_are_never_seen(tmp_path: Path, frames) -> None:
    writer = SavWriter(tmp_path / "a.json", frames)
    writer.write(0, masks_of({1: 0}))
    writer.close()
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["masklet_first_appeared_frame"] == [None]
    assert data["masklet_size_abs"] == [0]
    assert coco.area(data["masklet"][0]).tolist() == [0]


def test_many_frames_do_not_stay_in_memory(tmp_path, frames, monkeypatch) -> None:
    monkeypatch.setattr(masklets, "_SPOOL_BYTES", 1000)
    writer = SavWriter(tmp_path / "a.json", frames)
    for frame in range(100):
        writer.write(frame, masks_of({1: frame}))
    assert writer._lines._rolled
    writer.close()
    data = json.loads((tmp_path / "a.json").read_text())
    assert [int(coco.area(row[0])) for row in data["masklet"]] == list(range(100))


def test_meta_of_youtube_vos(tmp_path: Path, frames) -> None:
    path = tmp_path / "meta.json"
    for name, run in (("clip", RUN), ("other", {0: {1: 5}}), ("other", {3: {2: 5}})):
        writer = YouTubeVosWriter(path, frames, name=name)
        for frame, areas in run.items():
            writer.write(frame, masks_of(areas))
        writer.close()
    assert json.loads(path.read_text()) == {
        "videos": {
            "clip": {
                "objects": {
                    "3": {"category": "object", "frames": ["00002", "00003", "00004"]},
                    "7": {"category": "object", "frames": ["00001", "00003"]},
                }
            },
            "other": {"objects": {"2": {"category": "object", "frames": ["00003"]}}},
        }
    }


def test_names_are_the_categories_of_youtube_vos(tmp_path: Path, frames) -> None:
    pixels = np.ones((2, 5, 5), bool)
    writer = YouTubeVosWriter(tmp_path / "meta.json", frames, name="clip")
    writer.write(0, Masks(pixels, [1, 1], object_ids=[1, 4], names=["cup", "dog"]))
    writer.write(1, Masks.empty((5, 5)))
    writer.close()
    objects = json.loads((tmp_path / "meta.json").read_text())["videos"]["clip"]["objects"]
    assert {number: one["category"] for number, one in objects.items()} == {"1": "cup", "4": "dog"}


@pytest.mark.parametrize("text", ["[", "[]", "{}", '{"videos": []}', '{"images": []}'])
def test_a_file_of_another_kind_is_not_added_to(tmp_path: Path, frames, text: str) -> None:
    path = tmp_path / "meta.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"meta\.json"):
        YouTubeVosWriter(path, frames, name="clip")
    assert path.read_text() == text


@pytest.mark.parametrize("kind", [SavWriter, YouTubeVosWriter])
def test_nothing_written_and_nothing_kept(tmp_path: Path, frames, kind) -> None:
    kind(tmp_path / "a.json", frames, name="clip").close()
    writer = kind(tmp_path / "a.json", frames, name="clip")
    writer.write(0, masks_of({1: 5}))
    writer.discard()
    writer.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [SavWriter, YouTubeVosWriter])
def test_a_place_that_cannot_be_written(tmp_path: Path, frames, kind) -> None:
    (tmp_path / "file").write_text("in the way")
    writer = kind(tmp_path / "file" / "a.json", frames, name="clip")
    with pytest.raises(InputError, match="cannot write"):
        writer.write(0, masks_of({1: 5})) or writer.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["write", "close"])
def test_no_room(tmp_path: Path, frames, monkeypatch, step: str) -> None:
    def full(text: str) -> int:
        raise OSError(28, "No space left on device")

    writer = SavWriter(tmp_path / "a.json", frames)
    writer.write(0, masks_of({1: 5}))
    place = writer._lines if step == "write" else writer._file._writer
    monkeypatch.setattr(place, "write", full)
    with pytest.raises(InputError, match=r"a\.json: No space left"):
        writer.write(1, masks_of({1: 5})) if step == "write" else writer.close()
    writer.close()
    assert list(tmp_path.iterdir()) == []
