"""`samkit bulk` as a user runs it."""

import json

import pytest

pytest.importorskip("pyarrow")


def test_a_run_and_what_is_asked_about_it(run, photos, model, tmp_path):
    (photos / "b.jpg").write_bytes(b"no picture")
    dest = tmp_path / "dest"
    code, _, err = run(
        "bulk", photos, "-o", dest, "--model", model, "--points-per-side", 2, "--preset", "recall",
        "--jobs", 1, "--category", "thing", "--shard-size", 2,
    )  # fmt: skip
    assert code == 0, err
    assert "0 of 2 shards are done, 3 images are left" in err
    assert run("bulk", "status", dest)[:2] == (0, "2 of 2 shards, 3 images\n")
    assert run("bulk", "verify", dest)[:2] == (0, "all is there\n")
    assert run("bulk", "coco", dest, "-o", tmp_path / "all.json")[0] == 0
    found = json.loads((tmp_path / "all.json").read_text())
    assert [image["file_name"] for image in found["images"]] == ["a.png", "c.png"]
    assert [one["name"] for one in found["categories"]] == ["thing"]
    (dest / "part-000001.parquet").unlink()
    assert run("bulk", "status", dest)[1] == "1 of 2 shards, 3 images\n"
    code, _, err = run("bulk", "verify", dest)
    assert code == 1
    assert "part-000001.parquet: missing" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photos",), "expected a folder for the results"),
        (("coco", "dest"), "expected a file .json"),
        (("a", "b", "-o", "dest"), "expected one SOURCE"),
    ],
)
def test_wrong_usage(run, arguments, message):
    code, _, err = run("bulk", *arguments)
    assert code == 2
    assert message in err
