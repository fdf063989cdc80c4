"""Everything of samkit that writes files, each in a child process that can be ended at any time."""

import faulthandler
import gc
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import typer.main
from hostile.harness import leftovers
from hostile.networks import CLICK, PICTURES, predictor
from PIL import Image
from tiny import make, tiny_pico, tiny_sam
from videos import make_video

from samkit import Masks, MemoryPredictor, VideoPredictor, cli, training
from samkit.sizes import to_dict
from samkit.weights import load_network, save_network

__all__ = [
    "NAMES",
    "Failed",
    "Whole",
    "Writer",
    "contents",
    "exits_with",
    "make_world",
    "start",
    "writers",
]

NAMES = (
    "predict", "everything", "track to mp4", "track to json", "track to folder", "train",
    "convert", "convert to folder", "masks", "embedding", "session", "memory",
)  # fmt: skip
_PHOTOS = 3
SECONDS = 240  # after which a child says where it is, and ends
MASKS = Masks(PICTURES[0].transpose(2, 0, 1) > 127, [1, 1, 1], object_ids=[1, 2, 3])


@dataclass(frozen=True)
class Writer:
    """Something that writes into a folder.

    Attributes:
        run: writes; its output is the same each time.
        differ: files that say when they were written, or how often.
        shared: whether two may write into one folder at the same time.
    """

    run: Callable[[Path], None]
    differ: tuple[str, ...] = ()
    shared: bool = True


def make_world(folder: Path) -> Path:
    """What is read: pictures, a clip, annotated images, and weights."""
    (folder / "photos").mkdir()
    for i in range(_PHOTOS):
        Image.fromarray(PICTURES[i]).save(folder / "photos" / f"{i}.png")
    make_video(folder / "clip.mkv", 8, codec="ffv1")
    save_network(predictor().network, folder / "tiny.safetensors")
    save_network(make(tiny_pico()), folder / "pico.safetensors")
    save_network(make(tiny_sam()), folder / "sam.safetensors")
    square = [10, 10, 40, 10, 40, 35, 10, 35]
    names = [{"id": i, "file_name": f"{i}.png"} for i in range(_PHOTOS)]
    objects = [{"image_id": one["id"], "segmentation": [square]} for one in names]
    coco = {"images": names, "annotations": objects}
    (folder / "photos" / "instances.json").write_text(json.dumps(coco))
    return folder


def writers(world: Path) -> dict[str, Writer]:
    """By the names in `NAMES`."""
    photos = [world / "photos" / f"{i}.png" for i in range(_PHOTOS)]
    model = ("--model", world / "tiny.safetensors", "--device", "cpu", "--dtype", "float32")
    point, tracked = ("--point", "10,10"), ("--point", "0:1:10,10", "--point", "2:2:40,20")
    sparse = ("--preset", "recall", "--points-per-side", 3)

    def predict(folder: Path) -> None:
        command("predict", *photos, *point, *model, "-o", folder)
        command("predict", *photos, *point, *model, "-o", folder, "--format", "npz")

    def everything(folder: Path, *more: str) -> None:
        formats = ("--format", "coco", "--format", "overlay")
        command("everything", *photos, *sparse, *formats, *model, "-o", folder, *more)

    def track(folder: Path, name: str, *more: str) -> None:
        command("track", world / "clip.mkv", *tracked, *model, "-o", folder / name, *more)

    def convert(folder: Path, ending: str, layout: str) -> None:
        for i in range(3):
            target = folder / f"{i}{ending}"
            command("convert", world / "sam.safetensors", target, "--layout", layout)

    def train(folder: Path) -> None:
        network = load_network(world / "pico.safetensors")
        config = training.fine_tuning(to_dict(network.config), [world / "photos"], steps=3)
        state = folder / "run.checkpoint"
        events = training.train(
            config, state, start=network, resume=state.is_file(), processes=1, checkpoint_every=0
        )
        *_, trained = events
        save_network(trained, folder / "trained.safetensors")

    # Imports and finds what children would each for itself.
    for name in ("pico", "sam", "tiny"):
        load_network(world / f"{name}.safetensors")
    typer.main.get_command(cli.app)
    import rich.progress  # noqa: F401

    embedding = predictor().embed(PICTURES[0])
    tracker = VideoPredictor(predictor(), PICTURES)
    tracker.prompt(0, 1, CLICK)
    list(tracker.track())
    memory = MemoryPredictor(predictor())
    memory.remember(embedding, {1: CLICK})
    return {
        "predict": Writer(predict),
        "everything": Writer(everything),
        "track to mp4": Writer(lambda folder: track(folder, "clip.mp4")),
        "track to json": Writer(lambda folder: track(folder, "clip.json")),
        "track to folder": Writer(
            lambda folder: track(folder, "pngs"),
            shared=False,
        ),
        "train": Writer(train, differ=("run.checkpoint", "run.training.csv"), shared=False),
        "convert": Writer(lambda folder: convert(folder, ".pt", "meta")),
        "convert to folder": Writer(lambda folder: convert(folder, "", "hugging-face")),
        "masks": Writer(
            lambda folder: often(folder, MASKS.save, ".png", ".npz", ".json", ".jsonl")
        ),
        "embedding": Writer(lambda folder: often(folder, embedding.save, ".safetensors")),
        "session": Writer(lambda folder: often(folder, tracker.save, ".safetensors")),
        "memory": Writer(lambda folder: often(folder, memory.save, ".safetensors")),
    }


class Failed(Exception):
    """A command said that it failed."""


def command(*arguments: object) -> None:
    """`samkit` with these arguments."""
    sys.argv = ["samkit", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as stop:
        if stop.code:
            raise Failed(f"samkit ended with {stop.code}") from stop


def often(folder: Path, save: Callable[[Path], object], *suffixes: str) -> None:
    """Write many files, so that it takes a while."""
    for i in range(20):
        for suffix in suffixes:
            save(folder / f"{i}{suffix}")


@contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Let what a child prints go to a file."""
    with log.open("w") as file:
        sys.stdout = sys.stderr = file
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        yield


def start(call: Callable[[], object], log: Path) -> BaseProcess:
    """Begin a call in a child, which has this process's modules and networks already."""

    def run() -> None:
        gc.freeze()  # what is garbage of the parent, such as open decoders, would crash here
        with quiet(log):
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            call()
            faulthandler.cancel_dump_traceback_later()

    child = multiprocessing.get_context("fork").Process(target=run)
    with warnings.catch_warnings():
        # Python warns of threads, of which torch and others keep idle ones.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    return child


def exits_with(child: BaseProcess, log: Path) -> int:
    """The exit code of a child; fails with what it printed if it does not end."""
    child.join(300)
    if child.exitcode is None:
        child.kill()
        child.join()
        raise AssertionError(f"a writer did not end: {log.read_text()}")
    return child.exitcode


def contents(folder: Path) -> dict[str, bytes]:
    """Path below a folder -> bytes of every file under a final name."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {path.relative_to(folder): path for path in files}
    return {
        str(name): path.read_bytes()
        for name, path in names.items()
        if not any(part.startswith(".") for part in name.parts)
    }


class Whole:
    """What a writer leaves when nobody disturbs it, and how long it takes."""

    def __init__(self, writer: Writer, folder: Path) -> None:
        self.writer = writer
        log = folder / "log.txt"
        for name in ("first", "whole"):  # the first time, files are not in memory yet
            (folder / name).mkdir(parents=True)
            began = time.monotonic()
            code = exits_with(start(partial(writer.run, folder / name), log), log)
            self.seconds = time.monotonic() - began
            assert code == 0, log.read_text()
        self.files = contents(folder / "whole")
        assert self.files
        assert leftovers(folder / "whole") == []

    def broken(self, folder: Path) -> list[str]:
        """Files that are there and are not what they have to be."""
        return [
            name
            for name, data in contents(folder).items()
            if name not in self.writer.differ
            and _meaning(name, data) != _meaning(name, self.files.get(name, b""))
        ]

    def check(self, folder: Path) -> None:
        """Nothing is broken, missing or left over."""
        assert self.broken(folder) == []
        assert contents(folder).keys() == self.files.keys()
        assert leftovers(folder) == []


def _meaning(name: str, data: bytes) -> object:
    """The same for files of the same content: safetensors writes its header in any order."""
    end = 8 + int.from_bytes(data[:8], "little")
    try:
        return (json.loads(data[8:end]), data[end:]) if name.endswith(".safetensors") else data
    except ValueError:  # half a file
        return data
