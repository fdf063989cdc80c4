"""Files of masks that ask for more than they hold, and paths that are none."""

import io
import json
import os
import zipfile
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib import format as npy
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samkit import Masks, rle
from samkit import limits as limits_module
from samkit.errors import InputError
from samkit.masks.sequences import CocoVideoWriter, IndexedPngWriter


def scored_png(path: Path, scores: Any, size: tuple[int, int] = (8, 9)) -> None:
    info = PngInfo()
    info.add_text("samkit", scores if isinstance(scores, str) else json.dumps({"scores": scores}))
    image = Image.new("P", size[::-1], 1)
    image.putpalette(range(256))
    image.save(path, pnginfo=info)


def test_many_masks_of_a_large_picture_are_no_pixels(tmp_path: Path) -> None:
    """As pixels these would be 2 GB."""
    scored_png(tmp_path / "a.png", [1.0] * 250, (2000, 4000))
    masks = Masks.load(tmp_path / "a.png")
    assert masks.is_compressed
    assert masks.areas[:3].tolist() == [8_000_000, 0, 0]


@pytest.mark.parametrize(
    "scores",
    ["", "{", "3", "[]", "{}", "[" * 10**5, 3, "x", None, {"a": 1}, [[1]], [None], ["a"], [1e999]],
    ids=lambda value: str(value)[:20],
)
def test_scores_beside_a_picture_that_are_none(tmp_path: Path, scores: Any) -> None:
    scored_png(tmp_path / "a.png", scores)
    with pytest.raises(InputError, match=r"cannot load .*a\.png: "):
        Masks.load(tmp_path / "a.png")


@pytest.mark.parametrize("count", [0, 1, 3, 300])
def test_labels_to_run_lengths(count: int) -> None:
    rng = np.random.default_rng(count)
    for shape in ((1, 1), (7, 9), (40, 3)):
        labels = rng.integers(0, count + 1, shape).astype(np.uint16)
        expected = rle.encode(labels == i + 1 for i in range(count))
        assert rle.encode_labels(labels, count) == expected


def npz_with(path: Path, declared: dict[str, tuple[tuple[int, ...], Any]]) -> None:
    """An archive as `Masks.save` writes it, but for headers of some arrays."""
    masks = Masks(np.ones((2, 4, 5), bool), [1, 1])
    masks.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name, (shape, dtype) in declared.items():
        header = io.BytesIO()
        about = {"descr": npy.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
        npy.write_array_header_1_0(header, {**about, "shape": shape})
        parts[f"{name}.npy"] = header.getvalue() + bytes(10)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    "declared",
    [
        {"packed": ((10**12, 4, 1), np.uint8)},
        {"packed": ((2**62, 2**62, 2**62), np.uint8)},
        {"scores": ((10**12,), np.float32)},
        {"logits": ((2, 10**6, 10**6), np.float32)},
        {"packed": ((0, 4, 1), np.uint8)},
        {"scores": ((10,), "V1")},
        {"compressed": ((10,), np.bool_)},
        {"samkit_masks": ((10,), np.uint8)},
        {"image_size": ((10,), np.uint8)},
    ],
    ids=str,
)
def test_arrays_that_are_not_as_declared(tmp_path: Path, declared: Any) -> None:
    npz_with(tmp_path / "a.npz", declared)
    with pytest.raises(InputError, match=r"cannot load .*a\.npz: .*expected"):
        Masks.load(tmp_path / "a.npz")


def test_arrays_that_unpack_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Masks(np.zeros((300, 100, 100), bool), np.ones(300)).save(tmp_path / "a.npz")
    for most, message in ((10**5, r"arrays of at most 100000 bytes"), (10**6, "SAMKIT_MAX_MASK")):
        monkeypatch.setattr(limits_module, "_set", {"mask_pixels": most})
        with pytest.raises(InputError, match=message):
            Masks.load(tmp_path / "a.npz")
    monkeypatch.setattr(limits_module, "_set", {"mask_pixels": 3 * 10**6})
    assert len(Masks.load(tmp_path / "a.npz")) == 300


def test_masks_of_impossible_images() -> None:
    whole = {"size": [65535, 65535], "counts": [65535 * 65535]}
    with pytest.raises(InputError, match="image size: expected at most"):
        Masks.from_rle([whole], (65535, 65535), [1])
    side = 2**14
    many = Masks.from_rle(
        [{"size": [side, side], "counts": [side * side]}] * 20, (side, side), [1] * 20
    )
    assert many.areas.tolist() == [0] * 20
    with pytest.raises(InputError, match="masks as pixels: expected at most"):
        _ = many.masks


@pytest.mark.parametrize("damage", [0, 20, 40, 60])
def test_damaged_pictures(tmp_path: Path, damage: int) -> None:
    path = tmp_path / "a.png"
    scored_png(path, [1.0])
    data = bytearray(path.read_bytes())
    data[damage] ^= 255
    for damaged in (bytes(data), bytes(data[:-30]), zlib.compress(data)):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"cannot load .*a\.png"):
            Masks.load(path)


@pytest.mark.parametrize(
    "path", [None, b"a.npz", 3, ["a.npz"], "", "a\0.npz", "\ud800.npz", Ellipsis]
)
def test_paths_that_are_none(path: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    masks = Masks(np.ones((1, 4, 5), bool), [1])
    uses = (
        Masks.load,
        masks.save,
        lambda path: masks.save(path, format="png"),
        lambda path: IndexedPngWriter(path, None),  # type: ignore[arg-type]
        lambda path: CocoVideoWriter(path, None),  # type: ignore[arg-type]
    )
    for use in uses:
        with pytest.raises(InputError, match="expected the path of"):
            use(path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero", "x" * 300 + ".npz"])
def test_what_is_no_file(tmp_path: Path, name: str) -> None:
    place = tmp_path / "link.npz"
    place.symlink_to(name)
    with pytest.raises(InputError, match="cannot read"):
        Masks.load(place)


@pytest.mark.parametrize(
    "value", [-1, -1e-9, float("nan"), float("inf"), "1", None, True, Decimal(1), [1], 1j]
)
def test_a_tolerance_that_is_no_number(value: Any) -> None:
    with pytest.raises(InputError, match="epsilon"):
        Masks(np.ones((1, 4, 5), bool), [1]).polygons(value)


def test_any_tolerance_keeps_every_part() -> None:
    masks = Masks(np.ones((1, 4, 5), bool), [1])
    for value in (10**31, 1e300, 10**400, np.float32(5), np.int64(5), 0):
        assert masks.polygons(value)[0][0].shape == (4, 2)


@pytest.mark.parametrize("value", [-1, 2, float("nan"), "1", None, True, Decimal("0.5"), [0.5]])
def test_an_opacity_that_is_none(value: Any) -> None:
    with pytest.raises(InputError, match="alpha"):
        Masks(np.ones((1, 4, 5), bool), [1]).overlay(np.zeros((4, 5, 3), np.uint8), alpha=value)


def test_arguments_of_other_types() -> None:
    pixels = np.ones((1, 2, 3), bool)
    masks = Masks(pixels, [0.5])
    grey = np.full((2, 3), 99, np.uint8)
    for wrong in (None, 3, "text", b"text", {}, np.array(3), torch.ones(()), object()):
        with pytest.raises(InputError, match="expected a list of parts"):
            Masks.concatenate(wrong)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="expected a list of masks"):
            Masks.from_pixels(wrong, (2, 3), [0.5])  # type: ignore[arg-type]
        with pytest.raises(InputError, match="expected a list of RLEs"):
            Masks.from_rle(wrong, (2, 3), [0.5])  # type: ignore[arg-type]
        with pytest.raises(InputError, match="scores"):
            Masks.from_pixels(pixels, (2, 3), wrong)  # type: ignore[arg-type]
    for wrong in ("1", 1.5, ["1"], np.ones(2), np.nan, Decimal(1), True, 10**5000):
        with pytest.raises(InputError, match="total: expected a"):
            Masks.from_pixels(pixels, (2, 3), [0.5], total=wrong)  # type: ignore[arg-type]
        for name in ("image_id", "category_id", "first_id"):
            with pytest.raises(InputError, match=f"{name}: expected a"):
                masks.to_coco(**{name: wrong})  # type: ignore[arg-type]
    for wrong in ("no", 2, None, np.ones(2)):
        for name in ("outline", "boxes", "labels"):
            with pytest.raises(InputError, match=f"{name}: expected True or False"):
                masks.overlay(grey, **{name: wrong})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got an object of type int"):
        masks.polygons(-(10**5000))
    with pytest.raises(InputError, match="image size: expected"):
        Masks.empty((-(10**5000), 3))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, device="meta"),
        torch.ones((), requires_grad=True),
        torch.ones(2, dtype=torch.bfloat16),
        torch.eye(2).to_sparse(),
    ],
    ids=["meta", "grad", "bfloat16", "sparse"],
)
def test_tensors_that_are_no_numbers_here(tensor: torch.Tensor) -> None:
    masks = Masks(np.ones((1, 2, 3), bool), [0.5])
    for index in (tensor, [tensor]):
        with pytest.raises(IndexError, match="cannot index 1 masks"):
            masks[index]
    with pytest.raises(InputError, match="counts of RLE 0"):
        Masks.from_rle([{"size": [2, 3], "counts": [tensor, 6]}], (2, 3), [0.5])
