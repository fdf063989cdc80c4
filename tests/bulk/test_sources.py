"""From every kind of source the same images."""

import gzip
import io
import os
import sys
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
    with pytest.raises(InputError, match=r"expected files \.avi, .*\.webm in .*a, got none"):
        list_items(tmp_path / "a", VIDEO_SUFFIXES)


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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_utf8(photos, model, tmp_path, inline):
    source, dest = tmp_path / "source", tmp_path / "dest"
    source.mkdir()
    (source / "good é.png").write_bytes((photos / "0.png").read_bytes())
    Path(os.fsdecode(os.fsencode(source) + b"/bad\xff.png")).write_bytes(b"no picture")
    bulk.run(source, dest, model=model, settings=SETTINGS)
    bad, good = bulk.open(dest)
    assert bad.image_id == r"bad\udcff.png"
    assert r"bad\udcff.png" in bad.error
    assert (good.image_id, good.error) == ("good é.png", None)


def test_links_that_lead_back(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    for source in (tmp_path, f"{tmp_path}/**/*.png"):
        assert [item.place.name for item in list_items(source, IMAGE_SUFFIXES)] == ["1.png"]


def test_tars_of_one_name(photos, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        _tar(photos, tmp_path / folder / "0.tar")
    ids = [item.image_id for item in list_items(tmp_path, IMAGE_SUFFIXES)]
    assert ids == [f"{folder}/0.tar/{i}.png" for folder in "ab" for i in range(7)]


def _cut(data: bytes) -> bytes:
    return data[:1124]  # within the second header


def _changed(data: bytes) -> bytes:
    return data[:1024] + b"z" * 512 + data[1536:]  # the second header


@pytest.mark.parametrize("spoil", [_cut, _changed, gzip.compress, lambda data: b""])
def test_damaged_tars(spoil, tmp_path):
    """None of their images is left out without a word."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("a.png", "b.png"):
            about = tarfile.TarInfo(name)
            about.size = 9
            tar.addfile(about, io.BytesIO(b"no image!"))
    assert len(list_items(tmp_path / "a.tar", IMAGE_SUFFIXES)) == 2
    (tmp_path / "a.tar").write_bytes(spoil((tmp_path / "a.tar").read_bytes()))
    with pytest.raises(InputError, match=r"cannot read .*a\.tar"):
        list_items(tmp_path / "a.tar", IMAGE_SUFFIXES)


def test_compressed_files_are_no_source(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    with pytest.raises(InputError, match="expected images or a tar that is not compressed"):
        list_items(tmp_path / "a.tar.gz", IMAGE_SUFFIXES)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": [1]}, "column path: expected texts, got int64"),
        ({"path": [["a.png"]]}, "column path: expected texts, got list"),
        ({"path": [""]}, "row 0 of row group 0 has no path"),
        ({"image": ["a.png"]}, "column image: expected image files .*, got string"),
        ({"image": [{"data": b""}]}, "column image: expected image files .*, got struct"),
        ({"image": [b""], "image_id": [1.5]}, "image_id: expected texts or whole numbers"),
        ({"image": [b"", b""], "image_id": ["a", None]}, "row 1 of row group 0 has no image_id"),
    ],
)
def test_columns_of_other_types(columns, message, tmp_path):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        list_items(tmp_path / "a.parquet", IMAGE_SUFFIXES)


def test_columns_of_one_name(tmp_path):
    table = pa.Table.from_arrays([pa.array([b"a"])] * 2, names=["image", "image"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="expected one column image, got several"):
        list_items(tmp_path / "a.parquet", IMAGE_SUFFIXES)


def test_dictionaries_of_paths_and_numbers_as_names(tmp_path):
    paths = pa.array(["a.png", "b.png"]).dictionary_encode()
    pq.write_table(pa.table({"path": paths, "image_id": [7, 8]}), tmp_path / "a.parquet")
    items = list_items(tmp_path / "a.parquet", IMAGE_SUFFIXES)
    assert [(item.image_id, item.place.name) for item in items] == [("7", "a.png"), ("8", "b.png")]
