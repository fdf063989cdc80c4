"""Masks of videos as files: what a reader finds in them, and what is refused."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from videos import make_video, number_of, picture

from samkit.errors import InputError
from samkit.masks import Masks, coco_stream
from samkit.masks.drawing import colour_of
from samkit.masks.sequences import (
    CocoVideoWriter,
    CutoutPngWriter,
    IndexedPngWriter,
    PictureVideoWriter,
    SequenceWriter,
)
from samkit.media.frames import open_frames

SIZE = (48, 64)


def masks_at(frame: int, ids: list[int], scores: list[float] | None = None) -> Masks:
    """Blocks that move with the frame."""
    pixels = np.zeros((len(ids), *SIZE), bool)
    for i, one in enumerate(pixels):
        one[4 + 6 * i : 14 + 6 * i, 4 + frame : 20 + frame] = True
    scores = [0.9 - 0.1 * i for i in range(len(ids))] if scores is None else scores
    return Masks(pixels, scores, object_ids=ids, presence=[0.75] * len(ids))


@pytest.fixture
def frames():
    return open_frames(np.stack([picture(i) for i in range(5)]))


def writers(folder: Path, frames) -> list[SequenceWriter]:
    return [
        PictureVideoWriter(folder / "o.mp4", frames),
        CocoVideoWriter(folder / "m.json", frames, name="clip"),
        IndexedPngWriter(folder / "pngs", frames),
    ]


def test_objects_that_come_and_go(tmp_path: Path, frames) -> None:
    ids = [[3], [3, 9], [9], [], [3, 9]]
    for writer in writers(tmp_path, frames):
        for frame, present in enumerate(ids):
            writer.write(frame, masks_at(frame, present))
        writer.close()
    data = json.loads((tmp_path / "m.json").read_text())
    assert [image["frame"] for image in data["images"]] == list(range(5))
    found = [(one["image_id"], one["object_id"]) for one in data["annotations"]]
    assert found == [(frame, one) for frame, present in enumerate(ids) for one in present]
    assert {one["presence"] for one in data["annotations"]} == {0.75}
    assert len(COCO(str(tmp_path / "m.json")).getAnnIds(1)) == 2
    for frame, present in enumerate(ids):
        with Image.open(tmp_path / "pngs" / f"{frame:05d}.png") as image:
            assert set(np.unique(np.asarray(image))) == {0, *present}
            palette = np.array(image.getpalette()).reshape(-1, 3)
        assert palette[0].tolist() == [0, 0, 0]
        assert [tuple(palette[i]) for i in (3, 9)] == [colour_of(3), colour_of(9)]
    video = open_frames(tmp_path / "o.mp4")
    assert [number_of(video.read(i)) for i in range(5)] == list(range(5))
    for frame, present in ((0, 3), (2, 9)):  # the rim has the colour of the object
        rim = video.read(frame)[4, 4 + frame : 20 + frame].mean(0)
        assert np.abs(rim - colour_of(present)).max() < 60


def test_the_best_score_is_on_top(tmp_path: Path, frames) -> None:
    writer = IndexedPngWriter(tmp_path, frames)
    writer.write(0, masks_at(0, [1, 2]))
    writer.write(1, masks_at(0, [1, 2], [0.2, 0.6]))
    tops = [np.asarray(Image.open(tmp_path / f"0000{i}.png"))[12, 10] for i in range(2)]
    assert tops == [1, 2]


@pytest.mark.parametrize("object_id", [0, -1, 255, 300])
def test_ids_that_a_png_cannot_hold(tmp_path: Path, frames, object_id: int) -> None:
    with pytest.raises(InputError, match=f"ids from 1 to 254, got {object_id}"):
        IndexedPngWriter(tmp_path, frames).write(0, masks_at(0, [1, object_id]))
    assert list(tmp_path.iterdir()) == []


def test_nothing_written_and_nothing_kept(tmp_path: Path, frames) -> None:
    for writer in writers(tmp_path, frames):
        writer.close()
    for writer in writers(tmp_path, frames)[:2]:
        writer.write(0, masks_at(0, [1]))
        writer.discard()
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path, frames) -> None:
    (tmp_path / "file").write_text("in the way")
    for writer in writers(tmp_path / "file", frames):
        with pytest.raises(InputError, match="cannot write"):
            writer.write(0, masks_at(0, [1]))
        writer.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["write", "close"])
def test_no_room_for_json(tmp_path: Path, frames, monkeypatch, step: str) -> None:
    def full(text: str) -> int:
        raise OSError(28, "No space left on device")

    writer = CocoVideoWriter(tmp_path / "m.json", frames)
    writer.write(0, masks_at(0, [1]))
    monkeypatch.setattr(writer._file._file._writer, "write", full)
    with pytest.raises(InputError, match=r"m\.json: No space left"):
        writer.write(1, masks_at(1, [1])) if step == "write" else writer.close()
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_two_frames_at_one_time_are_both_written(tmp_path: Path) -> None:
    times = [0, 40, 40, 41, 120]
    path = make_video(tmp_path / "same.mkv", 5, codec="ffv1", times=times, unit=Fraction(1, 1000))
    source = open_frames(path)
    writer = PictureVideoWriter(tmp_path / "o.mp4", source)
    for frame in range(5):
        writer.write(frame, masks_at(frame, [1]))
    writer.close()
    found = open_frames(tmp_path / "o.mp4")
    assert [number_of(found.read(i)) for i in range(5)] == list(range(5))
    assert [found.time(i) * 1000 for i in range(5)] == [0, 40, 41, 42, 120]


def test_json_of_many_frames_does_not_stay_in_memory(tmp_path, frames, monkeypatch) -> None:
    monkeypatch.setattr(coco_stream, "_SPOOL_BYTES", 1000)
    writer = CocoVideoWriter(tmp_path / "m.json", frames)
    for frame in range(200):
        writer.write(frame, masks_at(0, [1]))
    on_disk = writer._file._images._rolled
    writer.close()
    assert on_disk
    data = json.loads((tmp_path / "m.json").read_text())
    assert [image["id"] for image in data["images"]] == list(range(200))
    assert [one["id"] for one in data["annotations"]] == list(range(1, 201))


def test_a_mov_has_what_the_masks_cover_and_its_opacity(tmp_path: Path) -> None:
    pictures = [np.full((37, 51, 3), (200, 20 * i, 60), np.uint8) for i in range(8)]
    writer = PictureVideoWriter(tmp_path / "cut.mov", open_frames(pictures), rate=10)
    covered = np.zeros((37, 51), bool)
    covered[5:25, 10:40] = True
    for frame in range(8):
        writer.write(frame, Masks(covered[None], [1]))
    writer.close()
    with av.open(str(tmp_path / "cut.mov")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "prores"
        assert stream.average_rate == 10
        frames = [one.to_ndarray(format="rgba") for one in container.decode(stream)]
    assert [one.shape for one in frames] == [(37, 51, 4)] * 8
    for shown, given in zip(frames, pictures, strict=True):
        assert np.abs(shown[..., 3].astype(int) - covered * 255).max() <= 3
        assert np.abs(shown[8:20, 15:35, :3].astype(int) - given[8:20, 15:35]).max() <= 8


def test_a_folder_of_cutouts(tmp_path: Path, frames) -> None:
    writer = CutoutPngWriter(tmp_path / "cut", frames, feather=2)
    masks = masks_at(0, [1])
    writer.write(0, masks)
    (path,) = (tmp_path / "cut").iterdir()
    with Image.open(path) as picture:
        assert np.array_equal(np.asarray(picture), masks.cutout(frames.read(0), feather=2))
