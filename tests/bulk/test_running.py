"""Bulk runs: the same rows whatever happens."""

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from bulk.conftest import SETTINGS, rows

from samkit import AutomaticMaskGenerator, ImagePredictor, bulk, load
from samkit.bulk import engines, running, work
from samkit.bulk.places import Place
from samkit.bulk.shards import Shard
from samkit.bulk.sources import Item
from samkit.bulk.tables import Origin
from samkit.bulk.work import Outcome, Segmenter, Task
from samkit.errors import InputError, SamkitError
from samkit.evaluation.metrics import mask_iou

linux = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills processes by signals")


def test_rows_are_the_masks_of_the_generator(whole, photos, model):
    generator = AutomaticMaskGenerator(load(model), **SETTINGS)
    found = [image for image in bulk.open(whole) if image.error is None]
    assert len(found) == 5
    for image in found:
        expected = generator(photos / image.image_id)
        assert image.masks.to_rle() == expected.to_rle()
        np.testing.assert_array_equal(image.masks.scores, expected.scores)
        np.testing.assert_array_equal(image.masks.stability, expected.stability)
    row = next(row for row in rows(whole) if row["mask_index"] is not None)
    pixels = generator(photos / row["image_id"]).masks[row["mask_index"]]
    ys, xs = np.nonzero(pixels)
    assert row["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
    assert row["area"] == pixels.sum()
    assert (row["label"], row["model"]) == ("object", model)
    assert (row["height"], row["width"]) == pixels.shape


def test_images_that_fail_are_rows(whole, photos):
    images = list(bulk.open(whole))
    assert [image.image_id for image in images] == [f"{i}.png" for i in range(7)]
    assert [image.image_id for image in images if image.error] == ["5.png", "6.png"]
    assert [image.masks is None for image in images] == [False] * 5 + [True] * 2
    assert [image.path for image in images] == [str(photos / f"{i}.png") for i in range(7)]
    status = bulk.status(whole)
    assert (status.shards, status.done, status.images, status.images_done) == (3, 3, 7, 7)
    assert status.failed == 2
    assert status.masks == sum(row["mask_index"] is not None for row in rows(whole)) > 0


def test_several_processes_give_the_same_rows(whole, photos, model, tmp_path):
    seen = []
    bulk.run(
        photos, tmp_path, model=model, settings=SETTINGS, jobs=2, shard_size=3,
        on_progress=lambda status: seen.append(status.images_done),
    )  # fmt: skip
    assert rows(tmp_path) == rows(whole)
    assert seen == [0, 3, 6, 7]


def test_a_run_goes_on(whole, photos, model, tmp_path, inline):
    for path in whole.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "part-000001.parquet").unlink()
    damaged = (tmp_path / "part-000002.parquet").read_bytes()[:-40]
    (tmp_path / "part-000002.parquet").write_bytes(damaged)
    assert bulk.status(tmp_path).done == 1
    wrong = bulk.verify(tmp_path)
    assert wrong[0] == f"{tmp_path / 'part-000001.parquet'}: missing"
    assert "part-000002.parquet is no whole file" in wrong[1]
    assert len(wrong) == 2
    kept = (tmp_path / "part-000000.parquet").stat().st_mtime_ns
    lines = []
    bulk.run(photos, tmp_path, model=model, settings=SETTINGS, tell=lines.append)
    assert lines[1] == "1 of 3 shards done, 4 of 7 images left"
    assert (tmp_path / "part-000000.parquet").stat().st_mtime_ns == kept
    assert rows(tmp_path) == rows(whole)
    assert bulk.verify(tmp_path) == []


def test_another_run_in_the_folder(whole, photos, model):
    with pytest.raises(InputError, match=r"another settings \(.*points_per_side: 2 there, 1"):
        bulk.run(photos, whole, model=model, settings={"points_per_side": 1})
    with pytest.raises(InputError, match="holds a run of another model and fingerprint"):
        bulk.run(photos, whole, settings=SETTINGS)
    with pytest.raises(InputError, match="holds more than the 1 shard of"):
        bulk.run(photos, whole, model=model, settings=SETTINGS, shard_size=10)


def test_only_shards_whose_images_changed_are_done_again(whole, photos, model, tmp_path, inline):
    source, dest = tmp_path / "source", tmp_path / "dest"
    for folder, files in ((source, photos), (dest, whole)):
        folder.mkdir()
        for path in files.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    (source / "7.png").write_bytes((photos / "0.png").read_bytes())
    seen = []
    bulk.run(
        source, dest, model=model, settings=SETTINGS,
        on_progress=lambda status: seen.append(status.images_done),
    )  # fmt: skip
    assert seen == [6, 8]
    assert [image.image_id for image in bulk.open(dest)] == [f"{i}.png" for i in range(8)]


@linux
def test_killed_and_gone_on_with(whole, photos, model, tmp_path):
    command = [
        sys.executable, "-m", "samkit", "bulk", photos, "-o", tmp_path, "--model", model,
        "--preset", "recall", "--points-per-side", "2", "--jobs", "1", "--shard-size", "3",
    ]  # fmt: skip
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("*.parquet")) and first.poll() is None:
        time.sleep(0.01)
    first.kill()
    first.wait()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path) == rows(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "_run.json", *(f"part-00000{i}.parquet" for i in range(3)),
    ]  # fmt: skip


@linux
def test_an_image_that_ends_its_process_is_a_row(whole, photos, model, tmp_path, monkeypatch):
    """The others of its shard are done, each by a process that it cannot end."""

    def engine(processes, tell, task, shards):
        for shard in shards:
            yield Outcome(number=shard.number, ended="killed by SIGKILL")

    monkeypatch.setattr(running, "by_processes", engine)
    monkeypatch.setattr(engines, "Segmenter", _Deadly)
    lines = []
    source, dest = tmp_path / "source", tmp_path / "dest"
    source.mkdir()
    for name in ("2.png", "3.png"):
        (source / name).write_bytes((photos / name).read_bytes())
    bulk.run(source, dest, model=model, settings=SETTINGS, shard_size=2, tell=lines.append)
    assert "again, image by image" in lines[-1]
    deadly, other = bulk.open(dest)
    assert deadly.error == "two processes ended in the middle of it (killed by SIGKILL)"
    expected = next(image for image in bulk.open(whole) if image.image_id == "3.png")
    assert other.masks.to_rle() == expected.masks.to_rle()


class _Deadly(work.Segmenter):
    def __call__(self, item):
        if item.image_id == "2.png":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(item)


def test_whatever_an_image_raises_is_a_row(photos, model, tmp_path, monkeypatch, inline):
    def fail(self, image, *, embedding):
        raise RuntimeError("not enough memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(AutomaticMaskGenerator, "__call__", fail)
    assert bulk.run(photos, tmp_path, model=model, settings=SETTINGS).failed == 7
    errors = [image.error for image in bulk.open(tmp_path)]
    assert errors[0] == "RuntimeError: not enough memory: you tried to allocate 9 bytes"


@linux
def test_no_room_for_a_file(photos, model, tmp_path, inline):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*part-000000.*File too large"):
            bulk.run(photos, tmp_path, model=model, settings=SETTINGS, shard_size=7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in tmp_path.iterdir()] == ["_run.json"]


def test_a_full_disk(whole, photos, model, tmp_path, monkeypatch, inline):
    """It ends the run; what is there stays, and the next run goes on."""
    write = Path.write_bytes

    def full(path, data):
        if len(list(tmp_path.glob("*.parquet"))) == 1:
            write(path, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    run = {"model": model, "settings": SETTINGS, "shard_size": 3}
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError, match=r"cannot write .*part-000001.*No space left"):
            bulk.run(photos, tmp_path, **run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_run.json", "part-000000.parquet"]
    bulk.run(photos, tmp_path, **run)
    assert rows(tmp_path) == rows(whole)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "find"}, "task: expected everything, predict, track, got 'find'"),
        ({"task": "track"}, "task: track needs prompts"),
        ({"task": "everything", "prompts": "a.json"}, "task: everything takes no prompts"),
        ({"prompts": "a.json", "settings": SETTINGS}, "settings: they are of everything mode"),
        ({"engine": "spark"}, "engine: expected processes, ray, got 'spark'"),
        ({"cluster": "auto"}, "cluster: it goes with the engine ray"),
        ({"jobs": 0}, "jobs: expected a whole number from 1 on"),
        ({"shard_size": 1.5}, "shard_size: expected a whole number"),
        ({"settings": {"points_per_side": 0}}, "points_per_side"),
        ({"settings": {"no": 0}}, "no"),
        ({"settings": 5}, "settings: expected names and values, got 5"),
        ({"settings": {"predictor": 2}}, "settings: expected no predictor, got 2"),
        ({"settings": {"threshold": 0.3}}, "threshold"),
        ({"prompts": "a.json", "settings": {"threshold": 2}}, "threshold: expected a number from"),
        ({"settings": {1: 2}}, "settings: expected names and values"),
        ({"label": 5}, "label: expected a text, got 5"),
        ({"label": "\udcff"}, "label: expected a text"),
        ({"engine": "ray", "cluster": 5}, "cluster: expected a text, got 5"),
    ],
)
def test_wrong_arguments(photos, model, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        bulk.run(photos, tmp_path / "dest", model=model, **arguments)
    assert not (tmp_path / "dest").exists()


def test_an_image_in_front_of_others(photos, model, tmp_path, monkeypatch, inline):
    """Files of the listing before are no part of the run, however far it comes."""
    source, dest = tmp_path / "source", tmp_path / "dest"
    source.mkdir()
    for name in ("1.png", "2.png", "3.png"):
        (source / name).write_bytes((photos / name).read_bytes())
    run = {"model": model, "settings": SETTINGS, "shard_size": 2}
    bulk.run(source, dest, **run)
    (source / "0.png").write_bytes((photos / "0.png").read_bytes())

    def killed(processes, tell, task, shards):
        yield Segmenter(task).shard(shards[0])
        raise KeyboardInterrupt

    lines = []
    with monkeypatch.context() as patched:
        patched.setattr(running, "by_processes", killed)
        with pytest.raises(KeyboardInterrupt):
            bulk.run(source, dest, **run, tell=lines.append)
    assert "2 shards of other images or prompts there, to be done again" in lines
    assert bulk.status(dest).done == 1
    assert [image.image_id for image in bulk.open(dest)] == ["0.png", "1.png"]
    assert bulk.verify(dest) == [f"{dest / 'part-000001.parquet'}: of other images or prompts"]
    bulk.run(source, dest, **run)
    assert [image.image_id for image in bulk.open(dest)] == [f"{i}.png" for i in range(4)]


def test_results_into_a_file(photos, model, tmp_path):
    (tmp_path / "dest").touch()
    with pytest.raises(InputError, match=r"cannot write .*dest: expected a folder, got a file"):
        bulk.run(photos, tmp_path / "dest", model=model, settings=SETTINGS)


def test_tasks_can_be_sent_to_another_machine(tmp_path):
    origin = Origin(model="pico", fingerprint="f", settings="s")
    task = Task(kind="everything", dest=Place.of(tmp_path, "x"), origin=origin, model="pico")
    shard = Shard(3, (Item("a", Place.of("s3://b/a.png?region=eu-west-1", "x"), (1, 2)),))
    copy = pickle.loads(pickle.dumps((task, shard)))
    assert copy[0] == task
    assert copy[1].digest == shard.digest
    assert copy[1].items[0].place.filesystem.region == "eu-west-1"


def test_images_are_embedded_together_on_a_gpu(whole, photos, model, tmp_path, monkeypatch, inline):
    """Here on the CPU, where that gives nearly the same masks."""
    together = []
    embed = ImagePredictor.embed_batch

    def embed_batch(predictor, images):
        together.append(len(images))
        return embed(predictor, images)

    monkeypatch.setattr(ImagePredictor, "embed_batch", embed_batch)
    on_gpu = property(lambda _: False, lambda _, value: None)
    monkeypatch.setattr(Segmenter, "runs_on_cpu", on_gpu, raising=False)
    bulk.run(photos, tmp_path, model=model, settings=SETTINGS, shard_size=6)
    assert together == [5, 0]  # five of the first six can be read, and not the last one
    for found, expected in zip(bulk.open(tmp_path), bulk.open(whole), strict=True):
        assert (found.image_id, found.error) == (expected.image_id, expected.error)
        if expected.masks is not None:
            assert len(found.masks) == len(expected.masks)
            pairs = zip(found.masks.masks, expected.masks.masks, strict=True)
            assert all(mask_iou(one, other) > 0.99 for one, other in pairs)


def test_the_first_process_does_not_keep_the_model(photos, model, tmp_path, monkeypatch):
    networks = []

    def begin(*args):
        made = Segmenter(*args)
        networks.append(weakref.ref(made.network))
        return made

    def engine(processes, tell, task, shards):
        assert [network() for network in networks] == [None]
        yield from map(Segmenter(task).shard, shards)

    monkeypatch.setattr(running, "Segmenter", begin)
    monkeypatch.setattr(running, "by_processes", engine)
    assert bulk.run(photos, tmp_path, model=model, settings=SETTINGS).images_done == 7


def test_other_weights_under_the_same_name(model, tmp_path):
    origin = Origin(model=model, fingerprint="other", settings="s")
    place = Place.of(tmp_path, "x")
    with pytest.raises(SamkitError, match="other weights here than where the run began"):
        Segmenter(Task(kind="everything", dest=place, origin=origin, model=model))


def test_files_say_what_they_are(whole):
    about = pq.read_metadata(whole / "part-000001.parquet").metadata
    footer = json.loads(about[b"samkit"])
    assert (footer["images"], footer["failed"]) == (3, 1)
    assert json.loads((whole / "_run.json").read_text())["asked"]["points_per_side"] == 2
