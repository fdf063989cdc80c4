"""`samkit bulk` as a user runs it."""

import json

import pytest


def test_a_run_and_what_is_asked_about_it(run, photos, model, tmp_path):
    (photos / "b.jpg").write_bytes(b"no picture")
    dest = tmp_path / "dest"
    code, out, err = run(
        "bulk", photos, "-o", dest, "--model", model, "--points-per-side", 2, "--preset", "recall",
        "--jobs", 1, "--category", "thing", "--shard-size", 2,
    )  # fmt: skip
    assert code == 0, err
    assert "0 of 2 shards done, 3 of 3 images left" in err
    assert "1 process of 1 thread" in err
    assert out.startswith("2 of 2 shards, 3 of 3 images, ")
    assert out.endswith(" masks, 1 failed\n")
    assert run("bulk", "status", dest)[:2] == (0, out)
    assert run("bulk", "verify", dest)[:2] == (0, "all is there\n")
    assert run("bulk", "coco", dest, "-o", tmp_path / "all.json")[0] == 0
    found = json.loads((tmp_path / "all.json").read_text())
    assert [image["file_name"] for image in found["images"]] == ["a.png", "c.png"]
    assert [one["name"] for one in found["categories"]] == ["thing"]
    (dest / "part-000001.parquet").unlink()
    assert run("bulk", "status", dest)[1].startswith("1 of 2 shards, 2 of 3 images, ")
    code, _, err = run("bulk", "verify", dest)
    assert code == 1
    assert "part-000001.parquet: missing" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("photos",), 2, "expected a folder for the results"),
        (("status",), 2, "expected status DEST"),
        (("coco", "dest"), 2, "expected a file .json"),
        (("a", "b", "-o", "dest"), 2, "expected one SOURCE"),
        (("a", "-o", "dest", "--task", "find"), 2, "expected one of everything, predict, track"),
        (("a", "-o", "dest"), 1, "no such file or folder"),
        (("photos", "-o", "dest", "--task", "track"), 1, "task: track needs prompts"),
        (("photos", "-o", "dest", "--prompts", "a.json"), 1, "cannot read"),
        (("status", "dest"), 1, "_run.json: no such file"),
    ],
)
def test_wrong_usage(run, photos, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    found, _, err = run("bulk", *arguments)
    assert found == code
    assert message in err


def test_an_interrupt_says_that_the_run_can_go_on(run, photos, model, tmp_path, monkeypatch):
    from samkit.bulk import running

    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(running, "by_processes", interrupted)
    code, _, err = run("bulk", photos, "-o", tmp_path / "dest", "--model", model)
    assert code == 130
    assert err.endswith("stopped; the same command goes on\n")
