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
    assert f"3 images in {photos}; loading {model}\n0 of 2 shards done, 3 of 3 images left" in err
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
        (("photos", "-o", "d", "--task", "find"), 2, "expected everything, predict, track"),
        (("a", "-o", "dest"), 2, "no such file or folder"),
        (("a*", "-o", "dest"), 1, "expected files"),
        (("photos", "-o", "dest", "--task", "track"), 2, "task: track needs prompts"),
        (("photos", "-o", "d", "--prompts", "photos", "--preset", "recall"), 2, "of everything"),
        (
            ("photos", "-o", "dest", "--threshold", "0.3"),
            2,
            "and the threshold of words, not of ev",
        ),
        (("photos", "-o", "dest", "--cluster", "a"), 2, "it goes with the engine ray"),
        (("photos", "-o", "dest", "--prompts", "a.json"), 2, "no such file or folder: a.json"),
        (("photos", "-o", "dest", "--prompts", "photos/a.png"), 1, "expected a table"),
        (("status", "dest"), 1, "_run.json: no such file"),
    ],
)
def test_wrong_usage(run, photos, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    found, _, err = run("bulk", *arguments)
    assert found == code
    assert message in err


def test_all_images_fail(run, photos, model, tmp_path, monkeypatch):
    """A mistake in the run, and not in some of its images; to repeat it changes nothing."""
    from samkit.bulk import running, work

    def inline(processes, tell, task, shards):
        yield from map(work.Segmenter(task).shard, shards)

    monkeypatch.setattr(running, "by_processes", inline)
    for path in photos.iterdir():
        path.write_bytes(b"no picture")
    command = ("bulk", photos, "-o", tmp_path / "dest", "--model", model, "--jobs", 1)
    for _ in range(2):
        code, out, err = run(*command)
        assert (code, out) == (1, "3 of 3 shards, 3 of 3 images, 0 masks, 3 failed\n")
        last = err.splitlines()[-1]
        assert last.startswith("error: no image could be done; the first: ")
        assert last.count("a.png") == 1


def test_an_interrupt_says_that_the_run_can_go_on(run, photos, model, tmp_path, monkeypatch):
    from samkit.bulk import running

    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(running, "by_processes", interrupted)
    code, _, err = run("bulk", photos, "-o", tmp_path / "dest", "--model", model)
    assert code == 130
    assert err.endswith("stopped; the same command goes on\n")
