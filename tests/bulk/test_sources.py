"""From every kind of source the same images."""

import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk.conftest import SETTINGS
from pyarrow import fs

from samkit import bulk
from samkit.bulk.places import Place
from samkit.bulk.shards import plan
from samkit.bulk.sources import VIDEO_SUFFIXES, Item, list_items
from samkit.errors import InputError
from samkit.media import IMAGE_SUFFIXES


def _tar(photos: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for photo in sorted(photos.iterdir()):
            tar.add(photo, photo.name)
        tar.addfile(tarfile.TarInfo("0.json"), io.BytesIO())
    return path


def _bytes(photos: Path, path: Path) -> Path:
    images = [{"bytes": photo.read_bytes(), "path": None} for photo in sorted(photos.iterdir())]
    names = [photo.name for photo in sorted(photos.iterdir())]
    pq.write_table(pa.table({"image": images, "image_id": names}), path, row_group_size=2)
    return path


def _paths(photos: Path, path: Path) -> Path:
    pq.write_table(pa.table({"path": [str(p) for p in sorted(photos.iterdir())]}), path)
    return path


def _addresses(photos: Path, path: Path) -> Path:
    pq.write_table(pa.table({"path": [p.as_uri() for p in sorted(photos.iterdir())]}), path)
    return path


@pytest.mark.parametrize("kind", [_tar, _bytes, _paths, _addresses])
def test_other_sources_hold_the_same_images(kind, photos, tmp_path):
    source = kind(photos, tmp_path / ("a.tar" if kind is _tar else "a.parquet"))
    items = list_items(source, IMAGE_SUFFIXES)
    assert [item.image_id.rpartition("/")[2] for item in items] == [f"{i}.png" for i in range(7)]
    for item, photo in zip(items, sorted(photos.iterdir()), strict=True):
        found = item.read()
        assert (found.read_bytes() if isinstance(found, Path) else found) == photo.read_bytes()
        with item.local_file() as file:
            assert file.read_bytes() == photo.read_bytes()
    assert list_items(source, IMAGE_SUFFIXES) == items


def test_folders_hold_what_is_in_them(tmp_path):
    names = ["b.jpg", "a/z.png", "a/b/c.PNG", "a/note.txt", ".hidden/a.png", "a/.d.png", "v.mp4"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    ids = [item.image_id for item in list_items(tmp_path, IMAGE_SUFFIXES)]
    assert ids == ["a/b/c.PNG", "a/z.png", "b.jpg"]
    assert [item.image_id for item in list_items(tmp_path, VIDEO_SUFFIXES)] == ["v.mp4"]
    there = Place(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "")
    assert [item.image_id for item in list_items(there, IMAGE_SUFFIXES)] == ids
    assert [item.image_id for item in list_items(tmp_path.as_uri(), IMAGE_SUFFIXES)] == ids
    pattern = list_items(f"{tmp_path}/a/**/*.*", IMAGE_SUFFIXES)
    assert [item.image_id for item in pattern] == ["b/c.PNG", "z.png"]


def test_a_folder_of_tars(photos, tmp_path):
    for name in ("1.tar", "0.tar"):
        _tar(photos, tmp_path / name)
    ids = [item.image_id for item in list_items(tmp_path, IMAGE_SUFFIXES)]
    assert ids == [f"{tar}.tar/{i}.png" for tar in (0, 1) for i in range(7)]


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    """It ends the run: without its images the shards would be others."""
    import os

    (tmp_path / "inner").mkdir()
    (tmp_path / "a.png").touch()
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("inner"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"cannot read .*inner: Permission denied"):
        list_items(tmp_path, IMAGE_SUFFIXES)


def test_results_are_no_source(whole):
    with pytest.raises(InputError, match=r"part-00000.*is a result of a bulk run"):
        list_items(whole, IMAGE_SUFFIXES)


def test_wrong_sources(tmp_path):
    (tmp_path / "bad.tar").write_bytes(b"no tar")
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    (tmp_path / "empty").mkdir()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    pq.write_table(pa.table({"path": ["a.png", "a.png"]}), tmp_path / "twice.parquet")
    for name in ("bad.tar", "bad.parquet", "other.parquet", "nothing", "empty", "*.gif"):
        with pytest.raises(InputError, match=name.strip("*")):
            list_items(tmp_path / name, IMAGE_SUFFIXES)
    pq.write_table(pa.table({"path": ["a.png", None]}), tmp_path / "null.parquet")
    with pytest.raises(InputError, match=r"null\.parquet: row 1 of row group 0 has no path"):
        list_items(tmp_path / "null.parquet", IMAGE_SUFFIXES)
    with pytest.raises(InputError, match=r"got a\.png twice"):
        list_items(tmp_path / "twice.parquet", IMAGE_SUFFIXES)
    with pytest.raises(InputError, match="nope://a/b"):
        list_items("nope://a/b", IMAGE_SUFFIXES)
    with pytest.raises(InputError, match="expected the path of images as text, got int"):
        list_items(3, IMAGE_SUFFIXES)


@pytest.mark.parametrize(
    ("images", "size", "shards"),
    [(1, 1, 1), (64, 1, 64), (200, 3, 67), (16_384, 256, 64), (100_000, 256, 391)],
)
def test_shards_are_few_and_enough(images, size, shards):
    place = Place(None, "/a")
    found = plan([Item(str(i), place) for i in range(images)])
    assert len(found) == shards
    assert len(found[0].items) == size
    assert [item.image_id for one in found for item in one.items] == [*map(str, range(images))]


def test_another_file_system(whole, photos, model, tmp_path, inline):
    """As an object store: without folders of ours, and files put at once."""
    system = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    source, dest = Place(system, "photos"), Place(system, "dest")
    for photo in photos.iterdir():
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / photo.name).write_bytes(photo.read_bytes())
    run = {"model": model, "settings": SETTINGS, "shard_size": 3}
    bulk.run(source, dest, **run)
    found, expected = list(bulk.open(dest)), list(bulk.open(whole))
    assert len(found) == len(expected) == 7
    for one, other in zip(found, expected, strict=True):
        assert one.image_id == other.image_id
        assert (one.error is None) == (other.error is None)
        if one.masks is not None:
            assert one.masks.to_rle() == other.masks.to_rle()
    assert found[0].path == "subtree://photos/0.png"
    assert bulk.verify(dest) == []
    assert bulk.verify((tmp_path / "dest").as_uri()) == []
    (tmp_path / "dest" / "part-000001.parquet").write_bytes(b"half of it")
    assert bulk.status(dest).done == 2
    assert bulk.run(source, dest, **run).done == 3
    assert bulk.verify(dest) == []
