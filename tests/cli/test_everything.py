"""`samkit everything`: folders, resuming, bad images, files."""

import json

import numpy as np
import pytest
from PIL import Image

from samkit.errors import InputError
from samkit.masks import Masks

OPTIONS = ("--preset", "recall", "--points-per-side", 2)


def test_an_image_to_a_file(run, photos, model, tmp_path):
    target = tmp_path / "new" / "all.json"
    code, out, err = run("everything", photos / "a.png", "-o", target, "--model", model, *OPTIONS)
    assert code == 0, err
    masks = Masks.load(target)
    assert masks.image_size == (30, 50)
    assert masks.stability is not None
    assert f"{target}: {len(masks)} mask" in out


def test_a_folder_in_several_formats(run, photos, model, tmp_path):
    out_folder = tmp_path / "out"
    code, _, err = run(
        "everything", photos, "-o", out_folder, "--model", model, *OPTIONS,
        "--format", "coco", "--format", "overlay", "--format", "png", "--format", "jsonl",
    )  # fmt: skip
    assert code == 0, err
    names = sorted(path.name for path in out_folder.iterdir())
    assert names == sorted(
        name + ending for name in "abc" for ending in (".json", "_overlay.png", ".png", ".jsonl")
    )
    with Image.open(out_folder / "b_overlay.png") as picture:
        assert picture.size == (50, 31)
    lines = (out_folder / "a.jsonl").read_text().splitlines()
    assert len(lines) == len(Masks.load(out_folder / "a.json"))
    assert all(json.loads(line)["segmentation"]["size"] == [30, 50] for line in lines)


def test_a_folder_is_gone_on_with(run, photos, model, tmp_path):
    out_folder = tmp_path / "out"
    command = ("everything", photos, "-o", out_folder, "--model", model, *OPTIONS)
    assert run(*command)[0] == 0
    kept, lost = out_folder / "a.json", out_folder / "b.json"
    before = kept.stat().st_mtime_ns
    lost.unlink()
    code, out, err = run(*command)
    assert code == 0
    assert "skipped 2 of 3 images" in err
    assert "b.json" in out
    assert "a.json" not in out
    assert kept.stat().st_mtime_ns == before
    assert lost.is_file()
    code, out, err = run(*command)
    assert (code, out) == (0, "")
    assert "3 of 3" in err
    assert run(*command, "--overwrite")[0] == 0
    assert kept.stat().st_mtime_ns > before


def test_another_format_leaves_what_is_there(run, photos, model, tmp_path):
    out_folder = tmp_path / "out"
    command = ("everything", photos, "-o", out_folder, "--model", model, *OPTIONS)
    assert run(*command)[0] == 0
    kept = out_folder / "a.json"
    before = kept.stat().st_mtime_ns
    code, out, err = run(*command, "--format", "coco", "--format", "npz")
    assert code == 0, err
    assert kept.stat().st_mtime_ns == before
    assert sorted(path.suffix for path in out_folder.iterdir()) == [".json"] * 3 + [".npz"] * 3
    assert "a.npz" in out
    assert "a.json" not in out


def test_a_bad_image_does_not_stop_the_others(run, photos, model, tmp_path):
    (photos / "b.jpg").write_bytes(b"no picture")
    code, _, err = run("everything", photos, "-o", tmp_path / "out", "--model", model, *OPTIONS)
    assert code == 1
    assert "b.jpg" in err
    assert "1 of 3 images failed" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "c.json"]


def test_an_interrupted_image_leaves_nothing(run, photos, model, tmp_path, monkeypatch):
    """Stopped while a file is being written: what was finished stays, nothing is half there."""

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    command = ("everything", photos, "-o", tmp_path / "out", "--model", model, *OPTIONS)
    with monkeypatch.context() as patch:
        save, seen = Masks.save, []

        def save_two(self, path, **options):
            seen.append(path)
            if len(seen) == 2:
                patch.setattr(json, "dumps", interrupted)
            save(self, path, **options)

        patch.setattr(Masks, "save", save_two)
        assert run(*command)[0] != 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.json"]
    code, _, err = run(*command)
    assert code == 0
    assert "skipped 1 of 3 images" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "gif"), "expected one of png"),
        (("--preset", "all"), "preset: expected one of default, recall, disjoint"),
        (("--points-per-side", "0"), "--points-per-side"),
        (("--pred-iou-thresh", "2"), "--pred-iou-thresh"),
    ],
)
def test_wrong_usage(run, photos, model, tmp_path, arguments, message):
    code, _, err = run("everything", photos, "-o", tmp_path / "x", "--model", model, *arguments)
    assert code == 2
    assert message in err
    assert not (tmp_path / "x").exists()


def test_a_file_cannot_hold_several_images_or_formats(run, photos, model, tmp_path):
    code, _, err = run("everything", photos, "-o", tmp_path / "x.npz", "--model", model)
    assert code == 2
    assert "3 images need a folder" in err
    code, _, err = run(
        "everything", photos / "a.png", "-o", tmp_path / "x.json", "--model", model,
        "--format", "coco", "--format", "npz",
    )  # fmt: skip
    assert code == 2
    assert "2 formats need a folder" in err


def test_names_of_outputs(run, photos, model, tmp_path):
    folder = tmp_path / "results_v1.5"
    command = ("everything", photos / "a.png", "--model", model, *OPTIONS, "-o")
    assert run(*command, folder)[0] == 0
    assert [path.name for path in folder.iterdir()] == ["a.json"]
    assert run(*command, tmp_path / "x.jpg")[0] == 0
    with Image.open(tmp_path / "x.jpg") as picture:
        assert picture.size == (50, 30)


def test_jsonl_cannot_be_loaded(tmp_path):
    Masks(np.ones((1, 2, 3), bool), [1.0]).save(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="expected a file"):
        Masks.load(tmp_path / "a.jsonl")


def test_several_processes_give_the_same_files(run, photos, model, tmp_path):
    (photos / "b.jpg").write_bytes(b"no picture")
    command = ("everything", photos, "--model", model, *OPTIONS, "-o")
    one = run(*command, tmp_path / "one")
    code, out, err = run(*command, tmp_path / "two", "--jobs", 2)
    assert one[0] == code == 1
    assert out.replace("two", "one") == one[1]
    assert "b.jpg" in err
    assert "2 processes of " in err
    names = [path.name for path in sorted((tmp_path / "two").iterdir())]
    assert names == ["a.json", "c.json"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_wrong_usage_of_several_processes(run, photos, tmp_path):
    code, _, err = run("everything", photos, "-o", tmp_path, "--jobs", 2, "--model", "nothing")
    assert code == 2
    assert "nothing" in err
    assert run("everything", photos, "-o", tmp_path, "--jobs", 0)[0] == 2
