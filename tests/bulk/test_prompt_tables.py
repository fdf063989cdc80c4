"""Prompts from tables, for images and videos."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from videos import make_video

from samkit import Prompt, VideoPredictor, bulk, load
from samkit.bulk.prompt_tables import joined, read_prompts
from samkit.errors import InputError

ENTRIES = [
    {"image": "3.png", "points": [[10, 10], [20, 5]], "labels": [1, 0], "category": "dog"},
    {"image": "1.png", "box": [3, 4, 30, 20], "object_id": 7},
    {"image": "1.png", "points": [[8, 8]], "object_id": 7},
    {"image": "1.png", "mask": Prompt.mask(np.tri(31, 50) > 0).to_dict()["mask"]},
]


def _json(path, entries):
    path.write_text(json.dumps(entries))


def _jsonl(path, entries):
    path.write_text("".join(json.dumps(one) + "\n" for one in entries))


def _parquet(path, entries):
    pq.write_table(pa.Table.from_pylist(entries), path)


@pytest.mark.parametrize("write", [_json, _jsonl, _parquet])
def test_prompts_of_images(write, photos, model, tmp_path, inline):
    table, dest = tmp_path / f"prompts.{write.__name__[1:]}", tmp_path / "dest"
    columns = {key for entry in ENTRIES for key in entry}
    write(table, [{key: entry.get(key) for key in columns} for entry in ENTRIES])
    bulk.run(photos, dest, prompts=table, model=model, label="thing")
    first, second = bulk.open(dest)
    predictor = load(model)
    expected = predictor.predict(
        photos / "1.png",
        [Prompt.box(3, 4, 30, 20) + Prompt.points([[8, 8]]), Prompt.mask(np.tri(31, 50) > 0)],
    )
    assert first.image_id == "1.png"
    assert first.masks.to_rle() == expected.to_rle()
    assert first.masks.object_ids.tolist() == [7, 8]
    assert first.labels == ["thing", "thing"]
    expected = predictor.predict(photos / "3.png", Prompt.points([[10, 10], [20, 5]], [1, 0]))
    assert second.masks.to_rle() == expected.to_rle()
    assert second.labels == ["dog"]
    assert bulk.verify(dest) == []


def test_other_prompts_are_other_shards(photos, model, tmp_path, inline):
    table, dest = tmp_path / "prompts.json", tmp_path / "dest"
    _json(table, [{"image": f"{i}.png", "points": [[5, 5]]} for i in range(3)])
    bulk.run(photos, dest, prompts=table, model=model)
    _json(table, [{"image": f"{i}.png", "points": [[5, 5 + (i == 1)]]} for i in range(3)])
    seen = []
    bulk.run(photos, dest, prompts=table, model=model, on_progress=seen.append)
    assert [one.done for one in seen] == [2, 3]


def test_videos_are_tracked(model, tmp_path, inline):
    videos, dest = tmp_path / "videos", tmp_path / "dest"
    videos.mkdir()
    make_video(videos / "a.mp4", 4)
    make_video(videos / "b.mp4", 3)
    (videos / "c.mp4").write_bytes(b"no video")
    entries = [
        {"image": "a.mp4", "frame": 1, "object_id": 5, "points": [[9, 9]], "category": "cat"},
        {"image": "a.mp4", "frame": 2, "object_id": 6, "box": [10, 10, 30, 30]},
        {"image": "b.mp4", "frame": 0, "object_id": 1, "points": [[9, 9]]},
        {"image": "c.mp4", "points": [[9, 9]]},
    ]
    _json(tmp_path / "prompts.json", entries)
    prompts = tmp_path / "prompts.json"
    done = bulk.run(videos, dest, task="track", prompts=prompts, model=model)
    assert (done.shards, done.images, done.failed) == (3, 3, 1)
    found = list(bulk.open(dest))
    assert [(one.image_id, one.frame) for one in found] == [
        ("a.mp4", 1), ("a.mp4", 2), ("a.mp4", 3), ("b.mp4", 0), ("b.mp4", 1), ("b.mp4", 2),
        ("c.mp4", None),
    ]  # fmt: skip
    assert "c.mp4" in found[-1].error
    with VideoPredictor(load(model), videos / "a.mp4") as tracker:
        tracker.prompt(1, 5, Prompt.points([[9, 9]]))
        tracker.prompt(2, 6, Prompt.box(10, 10, 30, 30))
        for (_, masks), one in zip(tracker.track(), found, strict=False):
            assert one.masks.to_rle() == masks.to_rle()
            assert one.masks.object_ids.tolist() == masks.object_ids.tolist()
            assert one.labels == ["cat", "object"]
    assert bulk.verify(dest) == []
    bulk.save_coco(dest, tmp_path / "all.json")
    names = [one["file_name"] for one in json.loads((tmp_path / "all.json").read_text())["images"]]
    assert names[0] == "a.mp4/000001"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"points": [[1, 1]]}, "entry 1: image: expected a name, got None"),
        ({"image": "0.png"}, "entry 1: expected points, a box or a mask"),
        ({"image": "0.png", "text": "dog"}, "entry 1: unknown text"),
        ({"image": "0.png", "words": "dog"}, "entry 1: words: they are of images"),
        ({"image": "0.png", "box": [1, 2]}, "entry 1: box: expected"),
        ({"image": "0.png", "points": [[1, 1]], "frame": -1}, "frame: expected a whole number"),
        ({"image": "0.png", "points": [[1, 1]], "object_id": "a"}, "object_id: expected a whole"),
        ({"image": "0.png", "points": [[1, 1]], "category": 3}, "category: expected a text"),
        ({"image": "0.png", "points": [[1, 1]], "category": "\udcff"}, "category: expected a text"),
        ({"image": "0.png", "points": [[1, 1]], "object_id": 1.5}, "object_id: expected a whole"),
        (3, "entry 1: expected an object with image, got 3"),
    ],
)
def test_wrong_entries(tmp_path, entry, message):
    _json(tmp_path / "a.json", [entry])
    with pytest.raises(InputError, match=message):
        read_prompts(tmp_path / "a.json", of_videos=True)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"words": " "}, "entry 2: text: expected words"),
        ({"words": 3}, "entry 2: words: expected a text, got 3"),
        ({"words": "\udcff"}, "entry 2: words: expected a text"),
        ({"words": "dog", "category": 3}, "entry 2: category: expected a text, got 3"),
        ({"words": "dog", "object_id": 3}, "entry 2: words: .*, so expected no object_id"),
        ({"words": "dog", "box": [1, 1, 9, 9]}, "entry 2: words: .*, so expected no box"),
        (
            {"box": [1, 1, 9, 9]},
            r"image '0\.png': words: points, boxes and masks of the same image",
        ),
    ],
)
def test_wrong_words(tmp_path, entry, message):
    _json(tmp_path / "a.json", [{"image": "0.png", "words": "cup"}, {"image": "0.png", **entry}])
    with pytest.raises(InputError, match=message):
        read_prompts(tmp_path / "a.json")


def test_one_object_of_two_categories(tmp_path):
    about = {"image": "0.png", "object_id": 4}
    cat = {**about, "points": [[1, 1]], "category": "cat"}
    dog = {**about, "points": [[5, 5]], "category": "dog"}
    _json(tmp_path / "a.json", [cat, dog])
    with pytest.raises(InputError, match="category: object 4 is cat already, got dog"):
        read_prompts(tmp_path / "a.json")
    _json(tmp_path / "a.json", [cat, {**dog, "category": None}])
    assert joined(read_prompts(tmp_path / "a.json")["0.png"])[0].categories == {4: "cat"}


def test_images_have_no_frames(tmp_path):
    _json(tmp_path / "a.json", [{"image": "0.png", "points": [[1, 1]], "frame": 2}])
    with pytest.raises(InputError, match="entry 1: frame: images have none"):
        read_prompts(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{}", "expected a list of prompts"),
        ("a.json", "[]", "expected prompts, got none"),
        ("a.json", "[", r"a\.json is no JSON"),
        ("a.jsonl", '{"image": "a"\n', r"a\.jsonl, line 1 is no JSON"),
        ("a.csv", "image,box", r"a\.csv: expected a table \.parquet, \.json or \.jsonl"),
        ("a.parquet", "x", r"cannot read .*a\.parquet"),
    ],
)
def test_wrong_tables(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_prompts(tmp_path / name)


def test_prompts_of_no_image(photos, model, tmp_path):
    _json(tmp_path / "a.json", [{"image": "no.png", "points": [[1, 1]]}])
    with pytest.raises(InputError, match=r"1 image of it not in the source, such as 'no\.png'"):
        bulk.run(photos, tmp_path / "dest", prompts=tmp_path / "a.json", model=model)


def test_whole_numbers_as_pandas_writes_them(tmp_path):
    """A column with gaps has floats."""
    boxes = [[1.0, 1.0, 9.0, 9.0]] * 2
    table = {"image": ["0.png", "1.png"], "object_id": [3.0, None], "box": boxes}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    found = read_prompts(tmp_path / "a.parquet")
    assert [list(joined(found[name])[0].prompts) for name in found] == [[3], [1]]


def test_two_boxes_of_one_object(tmp_path):
    """Told before the run begins, and not by a row at its end."""
    entry = {"image": "0.png", "object_id": 4}
    _json(tmp_path / "a.json", [{**entry, "box": [1, 1, 9, 9]}, {**entry, "box": [1, 1, 5, 5]}])
    with pytest.raises(InputError, match=r"a\.json, image '0\.png': two boxes"):
        read_prompts(tmp_path / "a.json")
