"""Exit codes of all commands: 2 for wrong usage, 1 for what fails."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def place(tmp_path: Path, model: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which commands run: a model, images, annotated ones, and damaged files."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(model, "tiny.safetensors")
    for name in ("images", "masks", "frames"):
        (tmp_path / "data" / name).mkdir(parents=True)
    shutil.copy(photos / "a.png", "data/images/a.png")
    Image.fromarray(np.eye(30, 50, dtype=np.uint8)).save("data/masks/a.png")
    for name in ("bad.png", "bad.mp4", "bad.pt"):
        Path(name).write_bytes(b"neither a picture nor weights")
    Path("bad").mkdir()
    Path("bad/instances.json").write_text("{}")
    Path("file").write_text("no folder")
    return tmp_path


PREDICT = "predict photos/a.png --point 1,2 -o o.png"
TRACK = "track photos --point 0:1:5,5 -o o.json"
EVAL = "eval tiny.safetensors --data data"
TRAIN = "train --data data -o o.safetensors"
MODEL = "-m tiny.safetensors"


@pytest.mark.parametrize(
    "command",
    [
        "nonsense",
        "--nonsense",
        "predict",
        "predict photos/a.png",
        "predict missing.png --point 1,2",
        "predict file/a.png --point 1,2",
        f"{PREDICT} {MODEL} --device tpu",
        f"{PREDICT} {MODEL} --dtype int3",
        f"{PREDICT} {MODEL} --page -1",
        f"{PREDICT} {MODEL} --bands x",
        f"{PREDICT} -m sam3-tiny",
        f"{PREDICT} -m missing.pt",
        "everything",
        f"everything photos/a.png {MODEL} --device tpu",
        f"everything photos/a.png {MODEL} --preset none",
        f"everything missing.png {MODEL}",
        "everything photos/a.png -m missing/none.pt",
        "find photos/a.png",
        f"find missing.png cup {MODEL}",
        f"find photos/a.png cup {MODEL}",
        f"find photos/a.png cup, {MODEL}",
        f"find photos/a.png cup {MODEL} --threshold 2",
        f"find photos/a.png cup {MODEL} --box 1,2,3",
        f"bulk missing -o new {MODEL}",
        f"bulk photos {MODEL}",
        f"bulk photos -o new {MODEL} --task none",
        f"bulk photos -o new {MODEL} --task predict",
        f"bulk photos -o new {MODEL} --engine none",
        f"bulk photos -o new {MODEL} --preset none",
        f"bulk photos -o new {MODEL} --device tpu",
        f"bulk photos -o new {MODEL} --dtype int3",
        "bulk photos -o new -m sam3-tiny",
        f"{TRACK} {MODEL} --device tpu",
        f"track missing.mp4 --point 0:1:5,5 {MODEL}",
        f"track photos/*.gif --point 0:1:5,5 {MODEL}",
        f"track bad --point 0:1:5,5 {MODEL}",
        f"{TRACK} -m sam2.1-tini",
        "annotate missing",
        "annotate bad --no-browser",
        "annotate missing.mp4 --video",
        "models --nonsense",
        "eval tiny.safetensors --data missing",
        "eval missing.pt --data data",
        f"{EVAL} --everything --preset none",
        f"{EVAL} --device tpu",
        f"{EVAL} --video none",
        "convert missing.pt o.pt --layout meta",
        "convert tiny.safetensors o.pt --layout onnx",
        "convert tiny.safetensors o.safetensors --layout meta",
        f"{TRAIN} --from tiny.safetensors",
        f"{TRAIN} --from missing.pt --steps 1",
        f"{TRAIN} --from tiny.safetensors --steps 1 --device tpu",
        f"{TRAIN} --from tiny.safetensors --steps 1 --seed -1",
        f"{TRAIN} --from tiny.safetensors --steps 1 --accumulate 7",
        f"{TRAIN} --from tiny.safetensors --steps 1 --resume",
        f"{TRAIN} --from tiny.safetensors --steps 1 --validate missing",
        "train --data missing --from tiny.safetensors --steps 1 -o o.safetensors",
    ],
)
def test_wrong_usage_is_2(run, place, command) -> None:
    before = sorted(path.name for path in place.iterdir())
    code, out, err = run(*command.split())
    assert (code, out) == (2, ""), err
    assert "Usage: " in err
    assert sorted(path.name for path in place.iterdir()) == before


@pytest.mark.parametrize(
    "command",
    [
        f"predict bad.png --point 1,2 {MODEL}",
        f"{PREDICT} {MODEL} --page 5",
        f"{PREDICT} -m bad.pt",
        f"predict photos/a.png --point 1,2 {MODEL} -o file/o.png",
        f"everything bad.png {MODEL} -o o.json",
        "everything photos/a.png -m bad.pt",
        f"bulk photos -o file {MODEL}",
        "bulk photos -o new -m bad.pt",
        f"track bad.mp4 --point 0:1:5,5 {MODEL}",
        f"track photos --point 0:1:5,5 -o file/o.json {MODEL}",
        f"{TRACK} -m bad.pt",
        "eval tiny.safetensors --data bad",
        "eval bad.pt --data data",
        f"{EVAL} -o file/o.json",
        "convert bad.pt o.pt --layout meta",
        "convert tiny.safetensors file/o.pt --layout meta",
        f"{TRAIN} --from bad.pt --steps 1",
        "train --data bad --from tiny.safetensors --steps 1 -o o.safetensors",
        "train --data data --from tiny.safetensors --steps 1 -o file/o.safetensors",
    ],
)
def test_failures_are_1(run, place, command) -> None:
    code, out, err = run(*command.split())
    assert (code, out) == (1, ""), err
    assert "error: " in err
    assert "Usage" not in err
    assert "Traceback" not in err


def test_a_scale_for_a_video_is_wrong_usage(run, place) -> None:
    """While a video that cannot be read is a failure, with and without the option."""
    shutil.copy(Path(__file__).parents[2] / "examples" / "coffee.mp4", "clip.mp4")
    prompt = ("--point", "0:1:5,5", "--model", "tiny.safetensors", "--scale", "minmax")
    code, _, err = run("track", "clip.mp4", *prompt)
    assert (code, "not for a video" in err) == (2, True)
    assert run("track", "bad.mp4", *prompt)[0] == 1
