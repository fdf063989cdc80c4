"""Bulk runs: the same rows whatever happens, from every kind of source."""

import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import make, tiny_sam2

from samkit import AutomaticMaskGenerator, bulk, load
from samkit.errors import InputError
from samkit.weights import save_network

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

SETTINGS = {"preset": "recall", "points_per_side": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    network = make(tiny_sam2())
    with torch.no_grad():  # objects are nearly always there
        network.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_network(network, path)
    return str(path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images, of which one is damaged and one is empty."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 256, (30 + i, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    (folder / "5.png").write_bytes(b"no picture")
    (folder / "6.png").touch()
    return folder


@pytest.fixture(scope="module")
def whole(photos: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dest = tmp_path_factory.mktemp("whole")
    done = bulk.run(photos, dest, model=model, settings=SETTINGS, jobs=1, shard_size=3)
    assert done == bulk.Status(shards=3, done=3, images=7)
    return dest


def rows(dest: Path) -> list[dict[str, object]]:
    return [
        row for path in sorted(dest.glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def test_rows_are_the_masks_of_the_generator(whole: Path, photos: Path, model: str) -> None:
    generator = AutomaticMaskGenerator(load(model), **SETTINGS)
    for image in bulk.open(whole):
        if image.error is None:
            expected = generator(photos / image.image_id)
            assert image.masks is not None
            assert image.masks.to_rle() == expected.to_rle()
            np.testing.assert_array_equal(image.masks.scores, expected.scores)
            np.testing.assert_array_equal(image.masks.stability, expected.stability)
    row = next(row for row in rows(whole) if row["mask_index"] is not None)
    assert row["label"] == "object"
    assert row["area"] > 0
    x, y, width, height = row["bbox"]
    assert 0 <= x < x + width <= row["width"] == 50
    assert 0 <= y < y + height <= row["height"]


def test_images_that_fail_are_rows(whole: Path) -> None:
    images = list(bulk.open(whole))
    assert [image.image_id for image in images] == [f"{i}.png" for i in range(7)]
    assert [image.image_id for image in images if image.error] == ["5.png", "6.png"]
    assert [image.masks is None for image in images] == [False] * 5 + [True] * 2


def test_several_processes_give_the_same_rows(
    whole: Path, photos: Path, model: str, tmp_path: Path
) -> None:
    bulk.run(photos, tmp_path, model=model, settings=SETTINGS, jobs=2, shard_size=3)
    assert rows(tmp_path) == rows(whole)


def test_a_run_goes_on(whole: Path, photos: Path, model: str, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    for path in whole.iterdir():
        (dest / path.name).write_bytes(path.read_bytes())
    (dest / "part-000001.parquet").unlink()
    assert bulk.status(dest).done == 2
    assert bulk.verify(dest) == [f"{dest / 'part-000001.parquet'}: missing"]
    kept = (dest / "part-000000.parquet").stat().st_mtime_ns
    lines: list[str] = []
    run = {"model": model, "settings": SETTINGS, "jobs": 1, "shard_size": 3}
    bulk.run(photos, dest, **run, tell=lines.append)
    assert lines[0] == "2 of 3 shards are done, 3 images are left"
    assert (dest / "part-000000.parquet").stat().st_mtime_ns == kept
    assert rows(dest) == rows(whole)
    assert bulk.verify(dest) == []
    with pytest.raises(InputError, match="holds a run of another settings"):
        bulk.run(photos, dest, **{**run, "settings": {"points_per_side": 1}})
    with pytest.raises(InputError, match="holds more than the 1 shards"):
        bulk.run(photos, dest, **{**run, "shard_size": 10})
    damaged = (dest / "part-000002.parquet").read_bytes()[:-40]
    (dest / "part-000002.parquet").write_bytes(damaged)
    assert len(bulk.verify(dest)) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills processes by signals")
def test_killed_and_gone_on_with(whole: Path, photos: Path, model: str, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "samkit", "bulk", photos, "-o", tmp_path, "--model", model,
        "--preset", "recall", "--points-per-side", "2", "--jobs", "1", "--shard-size", "3",
    ]  # fmt: skip
    began = time.monotonic()
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("*.parquet")) and first.poll() is None:
        time.sleep(0.01)
    first.kill()
    first.wait()
    seconds = time.monotonic() - began
    again = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(seconds * np.random.default_rng().random())
    again.kill()
    again.wait()
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert rows(tmp_path) == rows(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"part-00000{i}.parquet" for i in range(3)), "run.json",
    ]  # fmt: skip


def _tar(photos: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for photo in sorted(photos.iterdir()):
            tar.add(photo, photo.name)
        note = tarfile.TarInfo("0.json")
        tar.addfile(note, io.BytesIO())
    return path


def _bytes(photos: Path, path: Path) -> Path:
    images = [{"bytes": photo.read_bytes(), "path": None} for photo in sorted(photos.iterdir())]
    names = [photo.name for photo in sorted(photos.iterdir())]
    pq.write_table(pa.table({"image": images, "image_id": names}), path, row_group_size=2)
    return path


def _paths(photos: Path, path: Path) -> Path:
    pq.write_table(pa.table({"path": [str(p) for p in sorted(photos.iterdir())]}), path)
    return path


@pytest.mark.parametrize(
    ("kind", "name"), [(_tar, "a.tar"), (_bytes, "a.parquet"), (_paths, "b.parquet")]
)
def test_other_sources(kind, name: str, whole: Path, photos: Path, model, tmp_path: Path) -> None:
    source = kind(photos, tmp_path / name)
    dest = tmp_path / "dest"
    bulk.run(source, dest, model=model, settings=SETTINGS, jobs=1)
    found, expected = list(bulk.open(dest)), list(bulk.open(whole))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.image_id.endswith(other.image_id)
        assert (one.error is None) == (other.error is None)
        if one.masks is not None:
            assert other.masks is not None
            assert one.masks.to_rle() == other.masks.to_rle()


def test_to_coco(whole: Path, tmp_path: Path) -> None:
    bulk.save_coco(whole, tmp_path / "all.json")
    found = json.loads((tmp_path / "all.json").read_text())
    assert [image["file_name"] for image in found["images"]] == [f"{i}.png" for i in range(5)]
    count = sum(row["mask_index"] is not None for row in rows(whole))
    assert len(found["annotations"]) == count > 0


def test_wrong_sources(tmp_path: Path, model: str) -> None:
    (tmp_path / "bad.tar").write_bytes(b"no tar")
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    for name in ("bad.tar", "bad.parquet", "other.parquet", "nothing"):
        with pytest.raises(InputError, match=name):
            bulk.run(tmp_path / name, tmp_path / "dest", model=model)
    with pytest.raises(InputError, match=r"run\.json"):
        bulk.status(tmp_path)


def test_a_full_disk(photos: Path, model: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*part-000000"):
            bulk.run(photos, tmp_path, model=model, settings=SETTINGS, jobs=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
