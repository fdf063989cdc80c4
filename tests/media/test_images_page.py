"""The lines of docs/images.md run, and what it says of limits is so."""

import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tifffile

import samkit
from samkit import limits as limits_module
from samkit.limits import Limits

PAGE = (Path(__file__).parents[2] / "docs" / "images.md").read_text(encoding="utf-8")


def test_documented_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(limits_module, "_set", {})
    rng = np.random.default_rng(0)
    disc = np.hypot(*(np.mgrid[:60, :80] - np.array([30, 40])[:, None, None])) < 15
    stack = (rng.integers(0, 200, (10, 60, 80)) + disc * 3000).astype(np.uint16)
    tifffile.imwrite("stack.tif", stack)
    tifffile.imwrite("cells.tif", stack[0])
    tifffile.imwrite("heights.tif", stack[0].astype(np.float32))
    bands = rng.integers(0, 900, (60, 80, 5)).astype(np.uint16)
    tifffile.imwrite("field.tif", bands, photometric="minisblack", planarconfig="contig")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block, "docs/images.md", "exec"), names)
    assert isinstance(names["plants"], np.ndarray)
    assert names["plants"].shape == (60, 80, 3)
    pages = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert pages == [5, 6, 7, 8, 9, 4, 3, 2, 1, 0]
    assert samkit.limits.limits().image_pixels == 2**31


def test_limits_are_all_there_with_their_defaults() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\S+)", PAGE.split("## Limits")[1], re.M))
    shown = {
        "image_pixels": "2^29,",
        "image_side": "2^20",
        "mask_pixels": "2^32",
        "header_bytes": "64",
        "download_bytes": "16",
        "nesting": "64",
    }
    assert rows == shown
    assert asdict(Limits()) == {
        "image_pixels": 2**29,
        "image_side": 2**20,
        "mask_pixels": 2**32,
        "header_bytes": 64 * 2**20,
        "download_bytes": 16 * 2**30,
        "nesting": 64,
    }
