"""`-` for standard input and standard output."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samkit import Masks, cli
from samkit.media import read_image
from samkit.weights import load_network

Run = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line on bytes; gives (exit code, standard output, standard error)."""

    def piped(*words: object, given: bytes = b"", terminal: bool = False) -> tuple[int, bytes, str]:
        streams = [io.TextIOWrapper(io.BytesIO(data), "utf-8") for data in (given, b"", b"")]
        monkeypatch.setattr(streams[0], "isatty", lambda: terminal, raising=False)
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, "argv", ["samkit", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = (stream.buffer.getvalue() for stream in streams[1:])  # type: ignore[attr-defined]
        return int(stop.value.code or 0), out, err.decode()

    return piped


@pytest.fixture
def place(tmp_path: Path, photos: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which commands run, without anything but a model and the photographs."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(model, "tiny.safetensors")
    return photos


POINT = ("--point", "9,9", "-m", "tiny.safetensors")


def test_an_image_through_a_pipe(piped, place) -> None:
    command = ("predict", "-", *POINT, "-o", "-")
    code, out, err = piped(*command, given=(place / "a.png").read_bytes())
    assert code == 0, err
    assert err.startswith("standard output: 1 mask, predicted IoU")
    assert piped("predict", place / "a.png", *POINT, "-o", "a.png")[0] == 0
    assert out == Path("a.png").read_bytes()


@pytest.mark.parametrize("kind", ["png", "overlay", "coco", "jsonl", "npz", "polygons"])
@pytest.mark.parametrize("command", ["predict", "everything"])
def test_formats(piped, place, command, kind, tmp_path) -> None:
    options = ("--points-per-side", 3) if command == "everything" else ("--point", "9,9")
    words = (command, "-", *options, "-m", "tiny.safetensors", "-o", "-", "--format", kind)
    code, out, err = piped(*words, given=(place / "b.jpg").read_bytes())
    assert code == 0, err
    if kind in ("png", "npz", "coco"):
        path = tmp_path / f"out.{'json' if kind == 'coco' else kind}"
        path.write_bytes(out)
        assert Masks.load(path).image_size == (31, 50)
    elif kind == "overlay":
        assert read_image(out).shape == (31, 50, 3)
    else:
        lines = [json.loads(line) for line in out.decode().splitlines()]
        assert len(lines) == 1 or command == "everything"  # which may find nothing


def test_everything_gives_coco(piped, place) -> None:
    words = ("everything", place / "a.png", "--points-per-side", 3, "-m", "tiny.safetensors")
    code, out, err = piped(*words, "-o", "-")
    assert code == 0, err
    assert json.loads(out)["images"][0]["file_name"] == "a.png"


def test_only_the_input_is_a_pipe(piped, place, tmp_path) -> None:
    code, out, _ = piped("predict", "-", *POINT, given=(place / "a.png").read_bytes())
    assert (code, out[:17]) == (0, b"input_overlay.png")
    assert (tmp_path / "input_overlay.png").is_file()


def test_a_mask_through_a_pipe(piped, place) -> None:
    mask = io.BytesIO()
    Image.fromarray(np.eye(30, 50, dtype=np.uint8) * 255).save(mask, "PNG")
    words = ("predict", place / "a.png", "--mask", "-", "-m", "tiny.safetensors", "-o", "o.npz")
    code, _, err = piped(*words, given=mask.getvalue())
    assert code == 0, err
    assert len(Masks.load("o.npz")) == 1


def test_prompts_and_masks_of_a_video(piped, place) -> None:
    Image.fromarray(np.eye(30, 50, dtype=np.uint8) * 255).save("first.png")
    shutil.copy(place / "a.png", "frame.png")
    entries = [
        {"frame": 0, "object_id": 3, "points": [[9, 9]]},
        {"frame": 0, "object_id": 5, "mask": "first.png"},  # from the folder of the command
    ]
    words = ("track", "frame.png", "--prompts", "-", "-m", "tiny.safetensors", "-o", "-")
    code, out, err = piped(*words, given=json.dumps(entries).encode())
    assert code == 0, err
    assert "standard output: 1 frame, 2 objects" in err
    found = json.loads(out)
    assert {one["object_id"] for one in found["annotations"]} == {3, 5}
    code, _, err = piped(*words, given=b"[]")
    assert code == 2
    assert "standard input: expected a list of prompts" in err


def test_a_video_through_a_pipe(piped, place) -> None:
    data = (Path(__file__).parents[2] / "examples" / "coffee.mp4").read_bytes()
    options = ("--point", "0:1:202,86", "--stop", 2, "-m", "tiny.safetensors", "-o", "-")
    code, out, err = piped("track", "-", *options, given=data)
    assert code == 0, err
    assert "standard output: 2 frames, 1 object" in err
    assert json.loads(out)


def test_weights_through_a_pipe(piped, place, model) -> None:
    data = Path(model).read_bytes()
    code, out, err = piped("convert", "-", "-", "--layout", "samkit", given=data)
    assert (code, err) == (0, "standard output: written in the layout samkit\n")
    Path("again.safetensors").write_bytes(out)
    before, after = (load_network(path).state_dict() for path in (model, "again.safetensors"))
    assert all(tensor.equal(after[name]) for name, tensor in before.items())
    code, _, err = piped("convert", model, "-", "--layout", "hugging-face")
    assert (code, "expected a folder" in err) == (2, True)


def test_numbers_of_eval(piped, place) -> None:
    for folder in ("images", "masks"):
        Path("data", folder).mkdir(parents=True)
    shutil.copy(place / "a.png", "data/images")
    labels = np.zeros((30, 50), np.uint8)
    labels[5:20, 10:40] = 1
    Image.fromarray(labels).save("data/masks/a.png")
    code, out, err = piped("eval", "tiny.safetensors", "--data", "data", "--clicks", "1", "-o", "-")
    assert code == 0, err
    assert json.loads(out)
    assert "mean IoU" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("predict", "-", "--mask", "-"), "standard input can be read only once"),
        (("predict", "-", "-", "--point", "9,9"), "standard input can be read only once"),
        (("track", "-", "--prompts", "-"), "standard input can be read only once"),
        (("predict", "photos", "--point", "9,9", "-o", "-"), "3 images need a folder, got the file "
         "standard output"),
        (("everything", "photos/a.png", "-o", "-", "--format", "npz", "--format", "png"),
         "2 formats need a folder"),
    ],
)  # fmt: skip
def test_what_cannot_be(piped, place, words, message) -> None:
    code, out, err = piped(*words, "-m", "tiny.safetensors", given=(place / "a.png").read_bytes())
    assert (code, out) == (2, b""), err
    assert message in " ".join(err.replace("│", " ").split())


def test_a_terminal_is_not_waited_for(piped, place) -> None:
    code, _, err = piped("predict", "-", *POINT, terminal=True)
    assert (code, "which is a terminal" in err) == (2, True)


@pytest.mark.parametrize("given", [b"", b"no picture"])
def test_a_failure_leaves_nothing(piped, place, given) -> None:
    code, out, err = piped("predict", "-", *POINT, "-o", "-", given=given)
    assert (code, out) == (1, b"")
    assert err.startswith("error: cannot read ")
