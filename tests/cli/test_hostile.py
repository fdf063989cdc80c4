"""Texts that are no numbers, and names that are no text."""

import os
import shutil
import sys

import pytest

import samkit
from samkit import evaluation

MANY = "9" * 5000


@pytest.mark.parametrize(
    "options",
    [
        ["--point", f"{MANY},1"],
        ["--point", f"1,1,{MANY}"],
        ["--point", "inf,1"],
        ["--box", f"0,0,{MANY},9"],
        ["--box", "0,0,nan,9"],
        ["--point", "\ud800,1"],
        ["--mask", "\ud800.png"],
        ["--mask", "/dev/null"],
        ["--mask", "x" * 300],
        ["--candidates", MANY],
    ],
    ids=lambda options: options[1][:9],
)
def test_prompts_of_an_image(run, photos, options, monkeypatch) -> None:
    monkeypatch.setattr(samkit, "load", lambda *a, **k: pytest.fail("no work is to be done"))
    code, out, err = run("predict", photos / "a.png", *options)
    assert (code, out) == (2, "")
    assert "Invalid value" in err


@pytest.mark.parametrize(
    "options",
    [
        ["--point", f"{MANY}:1:1,2"],
        ["--point", f"0:{MANY}:1,2"],
        ["--point", f"0:-{MANY}:1,2"],
        ["--point", f"0:1:{MANY},2"],
        ["--point", "²:1:1,2"],
        ["--point", "٣:1:1,2"],
        ["--point", f"{2**63}:1:1,2"],
        ["--box", f"0:1:0,0,{MANY},9"],
        ["--mask", "0:1:/dev/null"],
        ["--mask", "0:1:\ud800"],
        ["--prompts", "/dev/null"],
        ["--prompts", "\ud800"],
    ],
    ids=lambda options: options[1][:9],
)
def test_prompts_of_a_video(run, photos, options) -> None:
    code, out, err = run("track", photos, *options)
    assert (code, out) == (2, "")
    assert "Invalid value" in err


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**5,
        f'[{{"frame": {MANY}}}]',
        '[{"frame": 9223372036854775808, "object_id": 1, "points": [[1, 2]]}]',
        '[{"frame": 1e3, "object_id": 1, "points": [[1, 2]]}]',
        '[{"frame": 0, "object_id": true, "points": [[1, 2]]}]',
        '[{"frame": 0, "object_id": 1, "points": [["1", 2]]}]',
        '[{"frame": 0, "object_id": 1, "points": [[1e999, 2]]}]',
        '[{"frame": 0, "object_id": 1, "points": [[1, [2]]]}]',
        '[{"frame": 0, "object_id": 1, "box": [NaN, 1, 2, 3]}]',
        '[{"frame": 0, "object_id": 1, "mask": ""}]',
        '[{"frame": 0, "object_id": 1, "mask": "."}]',
        '[{"frame": 0, "object_id": 1, "mask": "/dev/null"}]',
        '[{"frame": 0, "object_id": 1, "mask": "a\\u0000"}]',
        '[{"frame": 0, "object_id": 1, "mask": "\\ud800"}]',
        '[{"frame": 0, "object_id": 1, "mask": {"size": [4, 1e9], "counts": "4"}}]',
        '[{"frame": 0, "object_id": 1, "mask": {"size": [99999, 99999], "counts": [1]}}]',
    ],
    ids=lambda text: text[:80],
)
def test_files_of_prompts(run, photos, tmp_path, text) -> None:
    (tmp_path / "prompts.json").write_text(text)
    code, out, err = run("track", photos, "--prompts", tmp_path / "prompts.json")
    assert (code, out) == (2, "")
    assert "prompts.json" in err


@pytest.mark.parametrize("text", [MANY, "1001", f"1,{MANY}", "²", "-1", "1e3", "", "1,,2"])
def test_numbers_of_clicks(run, text, monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "open_dataset", lambda *a, **k: pytest.fail("no work"))
    code, _, err = run("eval", "pico", "--data", ".", "--clicks", text)
    assert code == 2
    assert "expected numbers from 1 to 1000" in err


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_names_that_are_no_text(run, photos, model, tmp_path, monkeypatch) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        shutil.copy(photos / "a.png", photos / name)
    except OSError:
        pytest.skip("this file system takes text only")
    place = tmp_path / os.fsdecode(b"\xe9.png")
    code, out, err = run("predict", photos / name, "--point", "9,9", "-o", place, "-m", model)
    assert code == 0, err
    assert "\\udce9.png" in out
    assert samkit.Masks.load(place).image_size == (30, 50)
    code, _, err = run("predict", "\ud800.png", "--point", "9,9", "-m", model)
    assert code in (1, 2)
    assert "\\ud800" in err


@pytest.mark.parametrize("command", ["predict", "everything", "track"])
@pytest.mark.parametrize(
    "name", ["loop.json", "loop", "x" * 300 + ".json", "x" * 300, "http://host/x.json", "here/x"]
)
def test_outputs_that_cannot_be(run, photos, model, tmp_path, monkeypatch, command, name) -> None:
    monkeypatch.chdir(tmp_path)
    for loop in ("loop.json", "loop"):
        os.symlink(loop, loop)
    (tmp_path / "here").write_text("a file")
    before = sorted(os.listdir())
    prompts = {"predict": ["--point", "5,5"], "track": ["--point", "0:1:5,5"]}.get(command, [])
    source = photos / "a.png"
    code, out, err = run(command, source, *prompts, "-m", model, "-o", name)
    assert code in (1, 2), (out, err)
    assert "Traceback" not in err
    assert "error: " in err or "Invalid value for -o" in err
    assert sorted(os.listdir()) == before
