"""`--jobs`; real processes are those of test_everything."""

import json
import pickle

import pytest
from whole_sam3 import save_whole_sam3

from samkit import processes


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    """What would go to a process and come back is pickled, and stays in this one."""
    counts = []

    def in_processes(begin, tasks, count, tell):
        counts.append(count)
        work = pickle.loads(pickle.dumps(begin))()
        for task in tasks:
            yield pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(task)))))

    monkeypatch.setattr(processes, "in_processes", in_processes)
    yield
    assert counts == [2]


def test_prompts_of_each_image_in_several_processes(run, photos, model, tmp_path):
    entries = [
        {"image": "c.png", "object_id": 3, "points": [[9, 9]], "labels": [1], "category": "cat"},
        {"image": "a.png", "object_id": 1, "box": [2, 2, 20, 20], "category": "dog"},
        {"image": "c.png", "object_id": 1, "box": [4, 4, 30, 20]},
    ]
    prompts = photos / "prompts.json"
    prompts.write_text(json.dumps(entries))
    command = ("predict", "--prompts", prompts, "--model", model, "-o")
    assert run(*command, tmp_path / "one.json")[0] == 0
    code, _, err = run(*command, tmp_path / "two.json", "--jobs", 2)
    assert code == 0, err
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    found = json.loads((tmp_path / "two.json").read_text())
    assert [image["file_name"] for image in found["images"]] == ["c.png", "a.png"]


def test_a_window_in_several_processes(run, photos, model, tmp_path):
    command = (
        "predict", photos, "--point", "9,9", "--window", "0,0,20,20", "--model", model,
        "--format", "coco", "-o",
    )  # fmt: skip
    assert run(*command, tmp_path / "one")[0] == 0
    code, _, err = run(*command, tmp_path / "two", "--jobs", 2)
    assert code == 0, err
    for name in ("a.json", "b.json", "c.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_one_file_of_everything_is_in_order(run, photos, model, tmp_path):
    options = ("--preset", "recall", "--points-per-side", 2, "--model", model)
    command = ("everything", photos, *options, "-o")
    assert run(*command, tmp_path / "one.json")[0] == 0
    assert run(*command, tmp_path / "two.json", "--jobs", 2)[0] == 0
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_words_in_several_processes(run, photos, tmp_path):
    save_whole_sam3(tmp_path / "sam3")
    command = ("find", photos, "red cup, dog", "--threshold", 0, "-m", tmp_path / "sam3", "-o")
    assert run(*command, tmp_path / "one.json")[0] == 0
    code, _, err = run(*command, tmp_path / "two.json", "--jobs", 2)
    assert code == 0, err
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
