"""Reading back what a run has written."""

import json

import pyarrow.parquet as pq
import pytest
from bulk.conftest import rows

from samkit import bulk
from samkit.errors import InputError


def _copy(whole, dest):
    for path in whole.iterdir():
        (dest / path.name).write_bytes(path.read_bytes())


def test_to_coco(whole, tmp_path):
    bulk.save_coco(whole, tmp_path / "all.json")
    found = json.loads((tmp_path / "all.json").read_text())
    assert [image["file_name"] for image in found["images"]] == [f"{i}.png" for i in range(5)]
    masks = [row for row in rows(whole) if row["mask_index"] is not None]
    assert [one["segmentation"] for one in found["annotations"]] == [row["rle"] for row in masks]
    assert [one["bbox"] for one in found["annotations"]] == [row["bbox"] for row in masks]


def test_no_run(tmp_path):
    for ask in (bulk.status, bulk.verify, bulk.open):
        with pytest.raises(InputError, match=r"_run\.json"):
            ask(tmp_path)
    (tmp_path / "_run.json").write_text("[]")
    with pytest.raises(InputError, match=r"expected what a bulk run wrote, got \[\]"):
        bulk.status(tmp_path)
    (tmp_path / "_run.json").write_text('{"images": 1, "shard_size": 1, "model": "", "shards": []}')
    with pytest.raises(InputError, match="got nothing of fingerprint, settings"):
        bulk.status(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [{"shard_size": 0}, {"shard_size": None}, {"images": "x"}, {"images": -1}, {"shards": 3}],
)
def test_a_run_file_that_was_edited(whole, photos, model, tmp_path, changed):
    about = json.loads((whole / "_run.json").read_text())
    (tmp_path / "_run.json").write_text(json.dumps({**about, **changed}))
    message = rf"_run\.json: {next(iter(changed))}: expected a (whole number from 1 on|list)"
    for ask in (bulk.status, bulk.verify, bulk.open, lambda dest: bulk.run(photos, dest)):
        with pytest.raises(InputError, match=message):
            ask(tmp_path)


def test_files_of_another_run_are_found(whole, tmp_path):
    _copy(whole, tmp_path)
    about = json.loads((tmp_path / "_run.json").read_text())
    (tmp_path / "_run.json").write_text(json.dumps({**about, "fingerprint": "other"}))
    wrong = bulk.verify(tmp_path)
    assert len(wrong) == 3
    assert all(line.endswith("of another fingerprint") for line in wrong)


def test_rows_that_were_changed_are_found(whole, tmp_path):
    _copy(whole, tmp_path)
    first = tmp_path / "part-000000.parquet"
    about = pq.read_metadata(first).metadata
    pq.write_table(pq.read_table(first).slice(1).replace_schema_metadata(about), first)
    assert f"{first}: expected (images, failed, masks)" in bulk.verify(tmp_path)[0]


def test_to_supervision(whole):
    detections = next(bulk.open(whole)).masks.to_supervision()
    assert len(detections) == len(next(bulk.open(whole)).masks) > 0


def test_a_folder_is_one_table_to_others(whole):
    assert pq.read_table(whole).to_pylist() == rows(whole)


def test_a_file_in_the_place_of_another(whole, tmp_path):
    _copy(whole, tmp_path)
    first = tmp_path / "part-000000.parquet"
    first.write_bytes((tmp_path / "part-000001.parquet").read_bytes())
    assert bulk.verify(tmp_path) == [f"{first}: of other images or prompts"]
    assert bulk.status(tmp_path).done == 2
    assert [image.image_id for image in bulk.open(tmp_path)] == ["3.png", "4.png", "5.png", "6.png"]


@pytest.mark.parametrize("column", ["score", "object_id", "area"])
def test_a_byte_that_was_changed_is_found(whole, tmp_path, column):
    _copy(whole, tmp_path)
    first = tmp_path / "part-000000.parquet"
    group = pq.read_metadata(first).row_group(0)
    chunks = [group.column(i) for i in range(group.num_columns)]
    chunk = next(one for one in chunks if one.path_in_schema == column)
    data = bytearray(first.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data[start + chunk.total_compressed_size - 1] ^= 1
    first.write_bytes(data)
    assert str(first) in "".join(bulk.verify(tmp_path))


@pytest.mark.parametrize("said", [None, [1], {"images": 3}, "masks"])
def test_footers_of_something_else(whole, tmp_path, said):
    _copy(whole, tmp_path)
    first = tmp_path / "part-000000.parquet"
    about = pq.read_metadata(first).metadata
    if said == "masks":
        said = {**json.loads(about[b"samkit"]), "masks": "x"}
    changed = {b"samkit": json.dumps(said)}
    pq.write_table(pq.read_table(first).replace_schema_metadata(changed), first)
    assert f"{first} is no file of a bulk run: expected a footer" in bulk.verify(tmp_path)[0]
    assert bulk.status(tmp_path).done == 2
