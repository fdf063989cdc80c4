"""Stacks of labels and tables of videos, as others read them."""

import csv
import os

import numpy as np
import pytest
import tifffile
from videos import picture

from samkit.errors import InputError
from samkit.masks import Masks
from samkit.masks.stacks import LabelStackWriter, TableWriter
from samkit.media.frames import open_frames


def masks_of(frame: int, ids=(3, 300)) -> Masks:
    stack = np.zeros((2, 8, 9), bool)
    stack[0, 1:5, 1 + frame : 4 + frame] = True
    stack[1, 4:8, :3] = True
    return Masks(stack, [0.9, 0.8], object_ids=list(ids), presence=[1, 2])


def test_tifffile_reads_the_ids_of_each_page(tmp_path) -> None:
    writer = LabelStackWriter(tmp_path / "labels.tif")
    for frame in range(3):
        writer.write(frame, masks_of(frame))
    assert os.listdir(tmp_path) != ["labels.tif"]
    writer.close()
    assert os.listdir(tmp_path) == ["labels.tif"]
    pages = tifffile.imread(tmp_path / "labels.tif")
    assert pages.shape == (3, 8, 9)
    assert pages.dtype == np.uint16
    for frame, page in enumerate(pages):
        first, second = masks_of(frame).masks
        expected = np.where(first, 3, np.where(second, 300, 0))  # the first has the better score
        np.testing.assert_array_equal(page, expected)


@pytest.mark.parametrize("wrong", [0, -1, 65536])
def test_ids_that_a_stack_cannot_hold(tmp_path, wrong) -> None:
    writer = LabelStackWriter(tmp_path / "labels.tif")
    with pytest.raises(InputError, match=f"from 1 to 65535, got {wrong}"):
        writer.write(0, masks_of(0, ids=(5, wrong)))
    writer.discard()
    assert os.listdir(tmp_path) == []


def test_a_row_for_each_object_in_each_frame(tmp_path) -> None:
    frames = open_frames(np.stack([picture(i) for i in range(3)]))
    writer = TableWriter(tmp_path / "objects.csv", frames)
    for frame in range(3):
        writer.write(frame, masks_of(frame))
    writer.close()
    with (tmp_path / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["object_id"]) for row in rows] == [
        (str(frame), name) for frame in range(3) for name in ("3", "300")
    ]
    assert [row["area"] for row in rows] == ["12", "12"] * 3
    assert [float(row["centroid_x"]) for row in rows[::2]] == [2.5, 3.5, 4.5]
    assert {row["presence"] for row in rows[1::2]} == {"2.0"}


@pytest.mark.parametrize("suffix", [".tif", ".csv"])
def test_nothing_is_left_of_what_is_discarded(tmp_path, suffix) -> None:
    path = tmp_path / f"a{suffix}"
    frames = open_frames(np.stack([picture(0)]))
    writer = LabelStackWriter(path) if suffix == ".tif" else TableWriter(path, frames)
    writer.close()
    writer.write(0, masks_of(0))
    writer.discard()
    writer.close()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".tif", ".csv"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, suffix) -> None:
    path = tmp_path / f"a{suffix}"
    frames = open_frames(np.stack([picture(i) for i in range(2)]))
    writer = LabelStackWriter(path) if suffix == ".tif" else TableWriter(path, frames)
    writer.write(0, masks_of(0))

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile.TiffWriter, "write", full)
    monkeypatch.setattr(csv.DictWriter, "writerow", full)
    with pytest.raises(InputError, match="No space left"):
        writer.write(1, masks_of(1))
    writer.close()
    assert os.listdir(tmp_path) == []
