"""Files of masks that are damaged, lie about their size, or hold other values; and odd indices."""

import io
import json
import struct
import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hostile.harness import pick
from hostile.mutations import HOSTILE_VALUES, changed_json, damaged, json_text
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samkit import Masks, SamkitError

STACK = np.random.default_rng(0).random((3, 12, 16)) < 0.4
SOME = Masks(
    STACK,
    [0.5, 0.9, 0.7],
    object_ids=[4, -5, 6],
    presence=[1, 2, 3],
    points=np.ones((3, 2)),
    logits=np.zeros((3, 4, 4), np.float32),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("masks")
    for name, masks in (("a", SOME), ("packed", SOME.compressed()), ("one", SOME[0])):
        for suffix in ("png", "npz", "json"):
            masks.save(folder / f"{name}.{suffix}")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def use(masks: Masks) -> None:
    """What a user does with masks; `masks.masks` only where they are small."""
    repr(masks), masks.scores, masks.areas, masks.boxes, masks.to_rle(), masks.object_ids
    if np.prod([len(masks), *masks.image_size], dtype=float) < 1e6:
        masks.masks, masks.polygons(), masks.to_coco(), masks.compressed()
        np.asarray(masks.logits)
        masks[::-1], masks[:1]


def load(path: Path) -> None:
    use(Masks.load(path))


def damaged_files(rng: np.random.Generator, folder: Path, files: dict[str, bytes]) -> object:
    name = pick(rng, list(files))
    path = folder / (name if rng.random() < 0.95 else f"a.{pick(rng, ('png', 'npz', 'json'))}")
    path.write_bytes(damaged(rng, files[name]))
    return partial(load, path)


def other_json(rng: np.random.Generator, folder: Path, files: dict[str, bytes]) -> object:
    (folder / "a.json").write_bytes(json_text(rng, json.loads(files["a.json"])))
    return partial(load, folder / "a.json")


def other_arrays(rng: np.random.Generator, folder: Path, files: dict[str, bytes]) -> object:
    """Arrays of other shapes, types and names in a .npz, or whose headers lie."""
    with np.load(io.BytesIO(files[pick(rng, ("a.npz", "packed.npz"))])) as opened:
        arrays = dict(opened)
    for _ in range(rng.integers(1, 3)):
        name = pick(rng, list(arrays))
        array = arrays[name]
        others = (
            lambda a: a[:-1] if a.ndim else a, lambda a: a[None], lambda a: a.ravel(),
            lambda a: a.astype("U"), lambda a: a.astype(">f8"), lambda a: a.astype("i1"),
            lambda a: np.zeros((10**7, 1, 1), bool), lambda a: np.full(a.shape, np.nan),
            lambda a: np.full(a.shape, 2**40), lambda a: np.zeros(0), lambda a: a.astype("O"),
            lambda a: np.array("x" * 100), lambda a: np.zeros((3, 0, 5), bool),
            lambda a: a.astype("c8") if a.dtype.kind in "fib" else a,
        )  # fmt: skip
        change = pick(rng, others)
        arrays[name] = change(array if array.dtype.kind != "U" else np.zeros(array.shape))
        if rng.random() < 0.15:
            del arrays[name]
        elif rng.random() < 0.1:
            arrays[pick(rng, ("x", "masks", "counts", "../a"))] = array
    lying = pick(rng, list(arrays) or ["x"]) if rng.random() < 0.3 else None
    with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            file = io.BytesIO()
            np.save(file, array)
            data = file.getvalue()
            if name == lying:
                shapes = ("(10**12,)", "(1000000000000,)", "(-1,)", "()", "(3, 99999999, 99999999)")
                header = f"{{'descr': '|b1', 'fortran_order': False, 'shape': {pick(rng, shapes)}}}"
                text = header.encode().ljust(117) + b"\n"
                data = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(100)
            archive.writestr(f"{name}.npy", data)
    return partial(load, folder / "a.npz")


def other_pictures(rng: np.random.Generator, folder: Path, files: dict[str, bytes]) -> object:
    """PNGs of any mode with labels and texts of their own."""
    text = {"scores": [0.5, 0.9], "object_ids": [1, 2], "prompt_index": [0, 1]}
    side = int(pick(rng, (1, 9, 9, 3000)))
    labels = np.zeros((side, side), np.uint8)
    labels[: side // 2] = pick(rng, (1, 2, 3, 255))
    image = pick(
        rng,
        (
            lambda: Image.fromarray(labels, "L"),
            lambda: Image.fromarray(labels > 0),
            lambda: Image.fromarray(labels.astype(np.uint16) * 257),
            lambda: Image.fromarray(labels).convert("RGB"),
            lambda: Image.fromarray(labels).convert("P"),
            lambda: Image.fromarray(labels).convert("LA"),
        ),
    )()
    if image.mode == "P":
        image.putpalette(bytes(768))
    info = PngInfo()
    if rng.random() < 0.3:
        text = {name: list(range(int(pick(rng, (255, 4000, 70000))))) for name in text}
    elif rng.random() < 0.8:
        text = changed_json(rng, text)
    written = json.dumps(text).encode("latin-1", "replace").decode("latin-1")
    info.add_text("samkit", written, zip=rng.random() < 0.3)
    image.save(folder / "a.png", pnginfo=info)
    return partial(load, folder / "a.png")


def lying_pictures(rng: np.random.Generator, folder: Path, files: dict[str, bytes]) -> object:
    data = bytearray(files[pick(rng, ("a.png", "one.png", "packed.png"))])
    sizes = (0, 1, 16, 4000, 2**16, 2**20, 2**31 - 1)
    data[16:24] = struct.pack(">II", pick(rng, sizes), pick(rng, sizes))
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (folder / "a.png").write_bytes(bytes(data))
    return partial(load, folder / "a.png")


def run_lengths(rng: np.random.Generator, folder: Path, files: dict[str, bytes]) -> object:
    """RLE given by a caller."""
    runs: list[object] = list(SOME.to_rle())
    i = int(rng.integers(3))
    counts = ("", "0", "~" * 50, "\xff", b"o5Q0", [192], [-1, 193], [0, 0, 192], [10**30], [1e9])
    if rng.random() < 0.5:
        runs[i] = {"size": [12, 16], "counts": pick(rng, counts)}
    else:
        runs[i] = changed_json(rng, runs[i])
    size = (12, 16)
    if rng.random() < 0.1:
        size = pick(rng, ((16, 12), (0, 0), (2**20, 2**20), (65535, 65535)))
        if rng.random() < 0.7:
            runs = [{"size": list(size), "counts": [size[0] * size[1]]}] * 3
    size = pick(rng, HOSTILE_VALUES) if rng.random() < 0.05 else size
    return lambda: use(Masks.from_rle(runs, size, [0.5, 0.9, 0.7]))


def indices(rng: np.random.Generator, folder: Path, files: dict[str, bytes]) -> object:
    """A wrong index is an IndexError, as elsewhere in Python."""
    odd = (
        *HOSTILE_VALUES, slice(None, None, 0), slice("a"), slice(2, 1), ..., (0, 1), (), [True] * 3,
        [True] * 2, np.array([[0]]), np.array([0.5]), np.array(["0"]), np.zeros(3, bool), [-4],
        np.array(2), np.uint8(1), np.array([], int), object(),
    )  # fmt: skip
    index = pick(rng, odd)

    def call() -> None:
        try:
            use(SOME[index])
        except IndexError as error:
            raise SamkitError("documented") from error

    return call


WAYS = (
    damaged_files, damaged_files, other_json, other_json, other_arrays, other_pictures,
    lying_pictures, run_lengths, indices,
)  # fmt: skip


def test_masks(hostile, files) -> None:
    hostile("masks", lambda rng, folder: pick(rng, WAYS)(rng, folder, files), 350)
