"""An error about a file calls it by its name, and does so once."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import make, tiny_sam2

from samkit import ImageEmbedding, Masks, MemoryPredictor, VideoPredictor, cli
from samkit.errors import SamkitError
from samkit.evaluation import open_dataset
from samkit.image_predictor import ImagePredictor
from samkit.masks.label_maps import read_label_picture
from samkit.masks.sequences import CocoVideoWriter, IndexedPngWriter, PictureVideoWriter
from samkit.media import read_image, write_image
from samkit.media.frames import open_frames
from samkit.weights import convert, load_network, save_network

EXAMPLES = Path(__file__).parents[1] / "examples"
NAME = "unusual-name"


@pytest.fixture(scope="module")
def predictor() -> ImagePredictor:
    return ImagePredictor(make(tiny_sam2()), device="cpu", dtype="float32")


def picture(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


READERS: dict[str, tuple[tuple[str, ...], Callable[[Path, ImagePredictor], object]]] = {
    "read_image": (
        (".png", ".jpg", ".tif", ".webp", ".gif", ".bmp", ".jp2", ".ppm", ".avif", ""),
        lambda path, _: read_image(path),
    ),
    "read_label_picture": ((".png", ".tif"), lambda path, _: read_label_picture(path)),
    "open_frames": (
        (".mp4", ".tif", ".gif", ".webp", ".png", ""),
        lambda path, _: open_frames(path).read(0),
    ),
    "Masks.load": ((".npz", ".json", ".png", ".txt"), lambda path, _: Masks.load(path)),
    "ImageEmbedding.load": ((".safetensors",), lambda path, _: ImageEmbedding.load(path)),
    "VideoPredictor.load": (
        (".safetensors",),
        lambda path, predictor: VideoPredictor.load(path, predictor),
    ),
    "MemoryPredictor.load": (
        (".safetensors",),
        lambda path, predictor: MemoryPredictor.load(path, predictor),
    ),
    "load_network": (
        (".pt", ".pth", ".bin", ".safetensors", ".ckpt"),
        lambda path, _: load_network(path),
    ),
    "open_dataset": ((".json", ""), lambda path, _: len(open_dataset(path))),
}
CONTENTS: dict[str, bytes | None] = {
    "missing": None,
    "empty": b"",
    "noise": bytes(range(1, 200)),
    "text": b'{"images": 3}',
    "zip": b"PK\x03\x04" + bytes(90),
    "pickle": b"\x80\x02}q\x00X\x05\x00",
    "safetensors": (40).to_bytes(8, "little") + b'{"__metadata__":{"samkit.embedding":"x"}',
    "PNG": picture("PNG")[:-500],
    "JPEG": picture("JPEG")[:-500],
    "TIFF": picture("TIFF")[:-500],
    "WEBP": picture("WEBP")[:-50],
    "GIF": picture("GIF")[:-500],
    "MP4": (EXAMPLES / "coffee.mp4").read_bytes()[:3000],
}


def message_of(action: Callable[[], object]) -> str | None:
    try:
        action()
    except SamkitError as error:
        return str(error)
    return None


@pytest.mark.parametrize("content", [*CONTENTS, "folder"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.filterwarnings("ignore")  # what of a damaged file can be read, is
def test_reading(tmp_path: Path, predictor: ImagePredictor, reader: str, content: str) -> None:
    suffixes, read = READERS[reader]
    for suffix in suffixes:
        path = tmp_path / f"{NAME}{suffix}"
        if content == "folder":
            path.mkdir()
        elif (data := CONTENTS[content]) is not None:
            path.write_bytes(data)
        message = message_of(lambda path=path: read(path, predictor))
        assert message is None or message.count(NAME) == 1, message


MASKS = Masks(np.ones((1, 4, 6), bool), [0.5])


def overlay_video(path: Path) -> None:
    frames = open_frames(np.zeros((2, 4, 6, 3), np.uint8))
    writer = PictureVideoWriter(path, frames, rate=None)
    writer.write(0, MASKS)
    writer.close()


@pytest.mark.parametrize("place", ["folder", "inside a file"])
@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".png", MASKS.save),
        (".npz", MASKS.save),
        (".json", MASKS.save),
        (".jpg", lambda path: write_image(path, np.zeros((4, 6, 3), np.uint8))),
        (".bmpx", lambda path: write_image(path, np.zeros((4, 6, 3), np.uint8))),
        (".mp4", overlay_video),
        (".json", lambda path: CocoVideoWriter(path, open_frames([np.zeros((4, 6, 3), "u1")]))),
        ("", lambda path: IndexedPngWriter(path, open_frames([np.zeros((4, 6, 3), "u1")]))),
        (".safetensors", lambda path: save_network(make(tiny_sam2()), path)),
        (".pt", lambda path: convert("pico", path, layout="meta")),
    ],
)
def test_writing(tmp_path: Path, place: str, suffix: str, write: Callable[[Path], None]) -> None:
    if place == "folder":
        path = tmp_path / f"{NAME}{suffix}"
        path.mkdir()
    else:
        path = tmp_path / "file" / f"{NAME}{suffix}"
        path.parent.write_text("no folder")
    message = message_of(lambda: write(path))
    assert message is None or message.count(NAME) == 1 or "pico" in message, message


COMMANDS = (
    "predict NAME.png --point 1,2 -m tiny.safetensors",
    "predict good.png --mask NAME.png -m tiny.safetensors",
    "predict good.png --point 1,2 -m NAME.pt",
    "predict good.png --point 1,2 -m tiny.safetensors -o file/NAME.png",
    "predict good.png --point 1,2 -m tiny.safetensors -o NAME.bmpx",
    "everything NAME.png -m tiny.safetensors",
    "track NAME.mp4 --point 0:1:1,2 -m tiny.safetensors",
    "track good.png --mask 0:1:NAME.png -m tiny.safetensors",
    "track good.png --prompts NAME.json -m tiny.safetensors",
    "track good.png --prompts mask.json -m tiny.safetensors",
    "track good.png --point 0:1:1,2 -m tiny.safetensors -o file/NAME.json",
    "eval NAME.pt --data data",
    "eval tiny.safetensors --data NAME.json",
    "convert NAME.pt good.pt --layout meta",
    "convert tiny.safetensors file/NAME.pt --layout meta",
    "train --data NAME.json --from tiny.safetensors --steps 1 -o o.safetensors",
    "train --data data --from NAME.pt --steps 1 -o o.safetensors",
    "train --data data --from tiny.safetensors --steps 1 --resume --checkpoint NAME.pt "
    "-o o.safetensors",
)


@pytest.mark.parametrize(
    ("command", "content"),
    [
        *((command, content) for command in COMMANDS for content in ("missing", "noise")),
        *((command, "labels") for command in COMMANDS if "mask" in command),
    ],
)
def test_commands(
    tmp_path: Path,
    predictor: ImagePredictor,
    command: str,
    content: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save_network(predictor.network, "tiny.safetensors")
    for name in ("good.png", "data/images/a.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40), "white").save(name)
    Path("data/masks").mkdir()
    Image.fromarray(np.eye(40, 60, dtype=np.uint8)).save("data/masks/a.png")
    Path("file").write_text("no folder")
    entry = {"frame": 0, "object_id": 9, "mask": f"{NAME}.png"}
    Path("mask.json").write_text(json.dumps([entry]))
    words = command.replace("NAME", NAME).split()
    name = next((word.rpartition(":")[2] for word in words if NAME in word), f"{NAME}.png")
    if content == "noise" and "/" not in name:
        Path(name).write_bytes(CONTENTS["noise"] or b"")
    if content == "labels":
        words = [word.replace("0:1:", "0:9:") for word in words]  # an object that is not there
        Image.fromarray(np.arange(2400, dtype=np.uint8).reshape(40, 60) % 7).save(name)
    monkeypatch.setattr(sys, "argv", ["samkit", *words])
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code in (1, 2)
    message = capsys.readouterr().err
    assert message.count(NAME) == 1, message
